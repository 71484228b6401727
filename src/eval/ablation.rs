//! Our own method with less to go on: one kind of telemetry left out, or a wrong start of the incident.

use std::collections::BTreeSet;

use super::run::Evaluation;
use super::without::Part;
use crate::telemetry::time::NANOS_PER_SECOND;

/// How wrong the start is taken, either way.
const SHIFT_S: i64 = 60;

/// One way of making it harder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// A kind of telemetry is left out.
    Without(Part),
    /// The incident is taken to begin this many seconds later than it did.
    Shift(i64),
}

impl Variant {
    /// Its name in tables and records.
    pub fn name(self) -> String {
        match self {
            Self::Without(part) => format!("without {}", part.name()),
            Self::Shift(seconds) if seconds < 0 => format!("start {} s early", -seconds),
            Self::Shift(seconds) => format!("start {seconds} s late"),
        }
    }

    /// What is left out.
    pub fn parts(self) -> BTreeSet<Part> {
        match self {
            Self::Without(part) => BTreeSet::from([part]),
            Self::Shift(_) => BTreeSet::new(),
        }
    }

    /// The shift for [`super::cases`], nanoseconds.
    pub fn shift_ns(self) -> i64 {
        match self {
            Self::Without(_) => 0,
            Self::Shift(seconds) => seconds * NANOS_PER_SECOND,
        }
    }
}

/// The variants that make sense for what the dataset holds: each kind of telemetry that it has, as long as logs, traces
/// or metrics are left, and the start wrong either way.
pub fn variants(evaluation: &Evaluation) -> Vec<Variant> {
    let held: BTreeSet<Part> = evaluation.cases.iter().flat_map(|case| &case.parts).copied().collect();
    let leaves_something = |part: &Part| held.iter().any(|other| other != part && *other != Part::Changes);
    let without = held.iter().copied().filter(leaves_something).map(Variant::Without);
    without.chain([Variant::Shift(-SHIFT_S), Variant::Shift(SHIFT_S)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::run::CaseResult;

    fn names(parts: &[&[Part]]) -> Vec<String> {
        let case = |parts: &&[Part]| CaseResult {
            id: String::new(),
            truth: String::new(),
            groups: Vec::new(),
            parts: parts.iter().copied().collect(),
            seconds: 0.0,
            error: None,
            answers: Vec::new(),
        };
        let cases = parts.iter().map(case).collect();
        let evaluation = Evaluation { dataset: String::new(), methods: Vec::new(), cases, ablations: Vec::new() };
        variants(&evaluation).into_iter().map(Variant::name).collect()
    }

    #[test]
    fn what_a_dataset_has_can_be_left_out() {
        let shifts = ["start 60 s early", "start 60 s late"];
        let all = names(&[&[Part::Traces, Part::Metrics], &[Part::Traces, Part::Logs]]);
        assert_eq!(all[..3], ["without logs", "without traces", "without metrics"]);
        assert_eq!(all[3..], shifts);
        assert_eq!(names(&[&[Part::Metrics]]), shifts, "nothing would be left");
        let changes = names(&[&[Part::Metrics, Part::Changes]]);
        assert_eq!(changes[0], "without changes");
        assert_eq!(changes[1..], shifts);
    }
}
