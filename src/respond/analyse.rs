//! One analysis: from an incident that is remembered to a report.

use super::gather::{GatherError, Wanted, gather};
use super::related::named;
use super::tell::title;
use super::{Configuration, Responder, now_ns, window};
use crate::analysis;
use crate::assemble::{Request, assemble};
use crate::explain::{Diagnosis, Earlier, History, changed};
use crate::ingest::Telemetry;
use crate::memory::{self, AlertRecord, IncidentRecord, MemoryError, Origin, ReportSummary};
use crate::telemetry::alert::{Alert, Symptom};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::{Window, without};
use crate::telemetry::warning::Warning;
use crate::timespec::{parse_duration, parse_window, window_text};
use crate::windows::{Chosen, Rules, extent, holds_telemetry};

/// So many earlier incidents are named in a report.
const MOST_SIMILAR: u32 = 3;
/// Of earlier incidents, those whose windows may lie in the baseline are looked at.
const MOST_EARLIER: u32 = 200;

/// So much of the baseline other incidents must leave, else it is taken with them.
const LEAST_QUIET_SHARE: f64 = 0.25;

/// What is known of an incident before its telemetry is read.
pub(super) struct Known {
    pub(super) incident: IncidentRecord,
    pub(super) alerts: Vec<AlertRecord>,
    /// The report before this one.
    pub(super) before: Option<ReportSummary>,
    /// When other incidents went on.
    others: Vec<Window>,
    changes: Vec<crate::telemetry::change::Change>,
}

/// The windows to compare.
pub(super) struct Compared {
    pub(super) windows: Chosen,
    /// What other incidents take of the baseline, for the report.
    pub(super) others: Option<Warning>,
}

/// What an analysis gave.
pub(super) struct Analysed {
    pub(super) diagnosis: Diagnosis,
    pub(super) edges: Vec<(String, String)>,
}

impl Known {
    /// Recalls an incident; `None` where it was forgotten in the meantime.
    pub(super) fn recall(responder: &Responder, id: i64) -> Result<Option<Self>, MemoryError> {
        let rules = responder.configuration().settings.windows;
        responder.memory().read(|transaction| {
            let Some(incident) = memory::incident(transaction, id)? else { return Ok(None) };
            let reaches_back_ns = rules.before_alert_ns + rules.baseline_ns;
            let from_ns = incident.starts_ns.saturating_sub(reaches_back_ns);
            let earlier = memory::Search { limit: MOST_EARLIER, ..memory::Search::default() };
            let others = memory::search(transaction, &earlier)?
                .into_iter()
                .filter(|other| other.id != id && other.origin == Origin::Alert)
                .filter_map(|other| {
                    // Of many the end is never heard: alerts that were silenced, or that always fire.
                    let longest_ns = other.starts_ns.saturating_add(rules.longest_firing_ns);
                    window(other.starts_ns - rules.before_alert_ns, other.ends_ns.unwrap_or(longest_ns))
                })
                .collect();
            let ends_ns = incident.ends_ns.unwrap_or_else(now_ns).max(incident.starts_ns);
            let changes = window(from_ns, ends_ns).map(|window| memory::changes_in(transaction, &window));
            Ok(Some(Self {
                alerts: memory::alerts_of(transaction, id)?,
                before: memory::latest_summary(transaction, id)?,
                others,
                changes: changes.transpose()?.unwrap_or_default(),
                incident,
            }))
        })
    }

    /// The windows to read: as long as there may be telemetry.
    pub(super) fn windows(&self, rules: &Rules, now_ns: i64) -> Result<Chosen, GatherError> {
        let incident = match self.incident.origin {
            Origin::Request => window(self.incident.starts_ns, self.incident.ends_ns.unwrap_or(now_ns)),
            Origin::Alert => {
                let alert = Alert {
                    starts_ns: Some(self.incident.starts_ns),
                    // A clock that goes before tells of an end that is still to come.
                    ends_ns: self.incident.ends_ns.map(|end_ns| end_ns.min(now_ns)),
                    ..Alert::default()
                };
                let ranges = self.alerts.iter().filter_map(|alert| longest_range_ns(alert.expression.as_deref()?));
                let longest = ranges.max().unwrap_or(0).min(rules.longest_firing_ns);
                let before_alert_ns = rules.before_alert_ns.max(longest);
                Rules { before_alert_ns, ..*rules }.incident_of(&[alert], now_ns)
            }
        };
        let too_short = || GatherError::Nothing("the incident has no length".to_owned());
        let incident = incident.ok_or_else(too_short)?;
        let asked = self.incident.baseline.split(',').filter(|text| !text.is_empty());
        let asked: Vec<Window> = asked.filter_map(|text| parse_window(text, now_ns).ok()).collect();
        let baselines = match asked.is_empty() {
            true => rules.baseline_before(&incident, 0).into_iter().collect(),
            false => asked,
        };
        Ok(Chosen { incident, baselines })
    }

    /// The windows to compare, of those that were read: where there is telemetry and, of a derived baseline, no other
    /// incident.
    pub(super) fn compared(&self, read: Chosen, telemetry: &Telemetry, rules: &Rules) -> Result<Compared, GatherError> {
        let nothing = |which: &str, window: &Window| {
            GatherError::Nothing(format!(
                "the {which} window {} holds no telemetry: check that services send to this server, or that the settings \
                 name the live sources; `hypocenter doctor` tells",
                window_text(window)
            ))
        };
        let Chosen { incident, baselines } = read;
        let extent = extent(telemetry).ok_or_else(|| nothing("incident", &incident))?;
        // What is not there yet is no silence.
        let incident = match self.incident.ends_ns {
            None => window(incident.start_ns(), incident.end_ns().min(extent.end_ns())).unwrap_or(incident),
            Some(_) => incident,
        };
        if !holds_telemetry(telemetry, &incident) {
            return Err(nothing("incident", &incident));
        }
        let was_asked = !self.incident.baseline.is_empty();
        let derived = rules.baseline_before(&incident, extent.start_ns());
        let whole = match (was_asked, derived) {
            (true, _) | (false, None) => baselines,
            (false, Some(derived)) => vec![derived],
        };
        let quiet = if was_asked { whole.clone() } else { without(&whole, &self.others) };
        let usable = |windows: &[Window]| -> Vec<Window> {
            windows.iter().filter(|window| holds_telemetry(telemetry, window)).copied().collect()
        };
        let (quiet, usable_whole) = (usable(&quiet), usable(&whole));
        let seconds = |windows: &[Window]| windows.iter().map(Window::seconds).sum::<f64>();
        // A baseline with another incident in it is better than next to none.
        let taken = without(&usable_whole, &quiet);
        let is_quiet_enough = seconds(&quiet) >= LEAST_QUIET_SHARE * seconds(&usable_whole);
        let (baselines, what) = match is_quiet_enough {
            true => (quiet, "left out of the baseline, since other incidents went on then"),
            false => {
                (usable_whole, "in the baseline, although other incidents went on then: without it too little is left")
            }
        };
        let others = (!taken.is_empty()).then(|| Warning {
            source: "baseline".to_owned(),
            place: taken.iter().map(window_text).collect::<Vec<_>>().join(", "),
            message: what.to_owned(),
            affected: 1,
        });
        match baselines.is_empty() {
            false => Ok(Compared { windows: Chosen { incident, baselines }, others }),
            true => Err(nothing("baseline", whole.first().unwrap_or(&incident))),
        }
    }

    fn alerts(&self) -> Vec<Alert> {
        let alert = |record: &AlertRecord| Alert {
            name: record.name.clone(),
            starts_ns: Some(record.starts_ns),
            ends_ns: record.ends_ns,
            service: record.service.as_deref().map(ServiceId::new),
            symptom: record.symptom.as_deref().and_then(Symptom::of_word),
            expression: record.expression.clone(),
            summary: record.summary.clone(),
        };
        self.alerts.iter().map(alert).collect()
    }
}

/// The longest range over which an expression looks back, `[5m]` or `[5m:10s]`: so late it may notice.
fn longest_range_ns(expression: &str) -> Option<i64> {
    let ranges = expression.split('[').skip(1).filter_map(|rest| rest.split([']', ':']).next());
    ranges.filter_map(|text| parse_duration(text.trim()).ok()).max()
}

/// Reads, compares, explains.
pub(super) fn analyse(
    responder: &Responder,
    configuration: &Configuration,
    known: &Known,
) -> Result<Analysed, GatherError> {
    let rules = &configuration.settings.windows;
    let IncidentRecord { entry, symptom: felt, origin, .. } = &known.incident;
    let name = title(&known.incident);
    let windows = known.windows(rules, now_ns())?;
    let wanted = Wanted { windows: &windows, name: &name, entry: entry.as_deref(), symptom: felt.as_deref() };
    let (mut telemetry, arrived) = gather(&configuration.origin_of_an_analysis(), &wanted, &responder.scratch())?;
    let Compared { windows, others } = known.compared(arrived, &telemetry, rules)?;
    telemetry.warnings.extend(others);
    telemetry.alerts = known.alerts();
    telemetry.changes.extend(known.changes.iter().cloned());
    let request = Request {
        name,
        window: windows.incident,
        baselines: windows.baselines,
        // An alert may call a service otherwise than traces do: then the entry is looked for.
        entry: entry.as_deref().map(ServiceId::new).filter(|_| *origin == Origin::Request),
        symptom: felt.as_deref().and_then(Symptom::of_word),
    };
    let incident = assemble(telemetry, request)?;
    let edges = named(&incident.graph);
    Ok(Analysed { diagnosis: analysis::analyze(&incident, &configuration.analysis), edges })
}

/// What went before, for a report that is the next version.
pub(super) fn history(known: &Known, diagnosis: &Diagnosis, similar: Vec<memory::Similar>) -> History {
    let earlier = |similar: memory::Similar| Earlier {
        incident: similar.incident,
        starts_ns: similar.starts_ns,
        is_confirmed: similar.is_confirmed,
        confirmed_cause: similar.confirmed,
        note: similar.note,
    };
    let changed = match &known.before {
        Some(before) => changed((&before.verdict, before.cause.as_deref(), before.probability), diagnosis),
        None => Vec::new(),
    };
    History {
        version: known.before.as_ref().map_or(1, |before| before.version + 1),
        changed,
        similar: similar.into_iter().map(earlier).collect(),
    }
}

/// Earlier incidents that look like a diagnosis.
pub(super) fn similar(
    responder: &Responder,
    incident: i64,
    signature: Option<&str>,
) -> Result<Vec<memory::Similar>, MemoryError> {
    let Some(signature) = signature else { return Ok(Vec::new()) };
    responder.memory().read(|transaction| memory::similar(transaction, signature, incident, MOST_SIMILAR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::series::{Series, Signal, Statistic, Subject, Unit};

    #[test]
    fn an_expression_looks_back_as_far_as_its_longest_range() {
        const SECOND: i64 = 1_000_000_000;
        let of = longest_range_ns;
        assert_eq!(of("rate(x[5m]) / rate(y[ 10m ]) > 0.1"), Some(600 * SECOND));
        assert_eq!(of("max_over_time(rate(x[1m])[30m:10s])"), Some(1_800 * SECOND));
        assert_eq!((of("up == 0"), of("x[")), (None, None));
    }

    #[test]
    fn what_other_incidents_take_of_the_baseline_is_left_out_wherever_it_lies_and_told() {
        const MINUTE: i64 = 60_000_000_000;
        let minutes = |from: i64, to: i64| Window::new(from * MINUTE, to * MINUTE).unwrap();
        let known = |others: Vec<Window>| Known {
            incident: IncidentRecord {
                id: 9,
                origin: Origin::Alert,
                condition: memory::Condition::Resolved,
                title: String::new(),
                entry: None,
                symptom: None,
                starts_ns: 100 * MINUTE,
                ends_ns: Some(110 * MINUTE),
                last_alert_ns: 0,
                baseline: String::new(),
                updated_ns: 0,
            },
            alerts: Vec::new(),
            before: None,
            others,
            changes: Vec::new(),
        };
        let samples = (0..200).map(|minute| (minute * MINUTE, 1.0)).collect();
        let subject = Subject::Service("web".into());
        let (signal, statistic, unit, name) = (Signal::Latency, Statistic::Mean, Unit::Seconds, String::new());
        let series = Series { subject, signal, statistic, unit, name, samples };
        let telemetry = Telemetry { series: vec![series], ..Telemetry::default() };
        let compared = |others: Vec<Window>| {
            let (known, rules) = (known(others), Rules::default());
            let read = known.windows(&rules, 200 * MINUTE).unwrap();
            let Compared { windows, others } = known.compared(read, &telemetry, &rules).unwrap();
            assert_eq!(windows.incident, minutes(95, 110));
            (windows.baselines, others.map(|warning| warning.to_string()))
        };
        assert_eq!(compared(vec![minutes(0, 20)]), (vec![minutes(35, 85)], None));
        let (baselines, told) = compared(vec![minutes(60, 65), minutes(80, 100)]);
        assert_eq!(baselines, [minutes(35, 60), minutes(65, 80)]);
        let told = told.unwrap();
        assert!(told.contains("1970-01-01T01:00:00Z/") && told.contains("left out of the baseline"), "{told}");
        let (baselines, told) = compared(vec![minutes(40, 90)]);
        assert_eq!(baselines, [minutes(35, 85)]);
        assert!(told.unwrap().contains("without it too little is left"));
    }
}
