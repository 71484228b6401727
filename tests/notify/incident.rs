//! A recorded incident with its report, and the same with what a hostile label could say, ten million bytes of it.

use std::path::Path;
use std::sync::OnceLock;

use hypocenter::analysis::{Settings, analyze};
use hypocenter::assemble::{Request, assemble};
use hypocenter::case::Case;
use hypocenter::explain::Diagnosis;
use hypocenter::ingest::{ReadOptions, read_paths};
use hypocenter::notify::{Failure, Message, Outcome, ReportBefore, Status};

pub(crate) fn diagnosis() -> &'static Diagnosis {
    static MADE: OnceLock<Diagnosis> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/checkout-db-latency");
        let case = Case::read(&dir).unwrap();
        let telemetry = read_paths(&case.files, &ReadOptions::default(), &|_| {}).unwrap();
        let incident = assemble(telemetry, Request::from(&case)).unwrap();
        analyze(&incident, &Settings::default())
    })
}

/// What would steer one dialect or another.
pub(crate) const STEERING: &str = "<!channel> @here @org/team {code}[~admin]{noformat} ``` \u{202e}\u{1b}[31m </details> \"\\ #1 \
                                   <b>ünï𝄞 ";

/// What is said beside a report.
#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) version: u32,
    pub(crate) status: Status,
    /// Instead of the diagnosis.
    pub(crate) failure: Option<Failure>,
    pub(crate) title: String,
    pub(crate) alerts: Vec<String>,
    pub(crate) similar: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) ticket: Option<String>,
}

impl Said {
    pub(crate) fn first() -> Self {
        Self {
            diagnosis: diagnosis().clone(),
            version: 1,
            status: Status::Open,
            failure: None,
            title: "FrontendLatencyHigh at frontend".to_owned(),
            alerts: vec![
                "FrontendLatencyHigh at frontend since 2026-03-02T10:12:00Z: p99 above 1 s for 90 s".to_owned(),
            ],
            similar: vec!["incident 9 (2026-02-11): payments, confirmed: an index was dropped".to_owned()],
            changed: Vec::new(),
            ticket: None,
        }
    }

    pub(crate) fn second() -> Self {
        let changed = vec!["payments is now 99 % likely, was 71 %".to_owned()];
        Self { version: 2, changed, ..Self::first() }
    }

    pub(crate) fn resolved() -> Self {
        Self { version: 3, status: Status::Resolved, ..Self::second() }
    }

    /// An analysis that failed before there was a report.
    pub(crate) fn failed() -> Self {
        let failure = Failure {
            problem: "the incident window holds no telemetry".to_owned(),
            next_steps: vec!["ask `hypocenter doctor`".to_owned()],
            starts_ns: diagnosis().window.start_ns(),
            before: None,
        };
        Self { version: 0, failure: Some(failure), ..Self::first() }
    }

    /// The last analysis failed, after alerts of which nothing is heard any more.
    pub(crate) fn failed_at_the_end() -> Self {
        let before = ReportBefore {
            headline: "cause found: payments (99 %)".to_owned(),
            markdown: "## Cause found: payments\n".to_owned(),
            text: "CAUSE FOUND  payments\n".to_owned(),
        };
        let failed = Self::failed();
        let failure = failed.failure.clone().map(|failure| Failure { before: Some(before), ..failure });
        Self { version: 1, status: Status::Unheard, failure, ..failed }
    }

    /// Ten million bytes of a text, wherever one can stand.
    pub(crate) fn hostile(one: &str) -> Self {
        let long = one.repeat(1_000_000 / one.len());
        let mut said = Self::second();
        let diagnosis = &mut said.diagnosis;
        diagnosis.verdict_reason.clone_from(&long);
        diagnosis.name.clone_from(&long);
        let cause = &mut diagnosis.causes[0];
        let line = cause.evidence[0].clone();
        cause.evidence = vec![line; 20];
        for (line, number) in cause.evidence.iter_mut().zip(0..) {
            line.text = format!("{number} {}", &one.repeat(1_000));
        }
        cause.candidate.suspect = hypocenter::rank::Suspect::Service(long.as_str().into());
        for step in &mut cause.path {
            step.callee = long.as_str().into();
        }
        diagnosis.next_steps = vec![long.clone(); 2];
        let said_of = |n: usize| vec![format!("```\n<details>\n{}", one.repeat(2_000)); n];
        (said.alerts, said.similar, said.changed) = (said_of(10), said_of(10), said_of(10));
        said.title = format!("{}{long}", "𝄞".repeat(60));
        said
    }

    /// The same of an analysis that failed.
    pub(crate) fn hostile_failure(one: &str) -> Self {
        let mut said = Self { failure: Self::failed_at_the_end().failure, ..Self::hostile(one) };
        let long = one.repeat(1_000_000 / one.len());
        if let Some(failure) = &mut said.failure {
            failure.problem.clone_from(&long);
            failure.next_steps = vec![long.clone(); 2];
            if let Some(before) = &mut failure.before {
                before.headline = long;
            }
        }
        said
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message {
            incident_id: "17",
            version: self.version,
            status: self.status,
            title: &self.title,
            alerts: &self.alerts,
            link: Some("http://hypocenter.example:9464/api/v1/incidents/17"),
            outcome: self.failure.as_ref().map_or(Outcome::Report(&self.diagnosis), Outcome::Failure),
            similar: &self.similar,
            changed: &self.changed,
            ticket: self.ticket.as_deref(),
        }
    }
}
