//! One recorded case as an example: the signs of its candidates, and which of them are causes.

use crate::analysis::{Detected, Settings};
use crate::assemble::assemble;
use crate::eval::recorded::{EvalError, RecordedCase};
use crate::rank::Ranking;
use crate::rank::fusion::{Fusion, SIGNS, is_calm, signs};

/// Innocent candidates of a case that are kept, those with most evidence: the others decide nothing, and large systems
/// would outweigh small ones (McFadden 1978: sampling of alternatives).
const MOST_RIVALS: usize = 8;

/// One candidate.
#[derive(Clone, PartialEq, Debug)]
pub struct Alternative {
    /// Whether it is a cause.
    pub is_cause: bool,
    /// Bits for each of [`SIGNS`].
    pub signs: [f64; SIGNS.len()],
}

/// One case.
#[derive(Clone, PartialEq, Debug)]
pub struct Example {
    /// The system that was observed, for leaving one out.
    pub system: String,
    /// Whether nothing was wrong.
    pub is_quiet: bool,
    /// Whether no symptom passes the gate.
    pub is_calm: bool,
    /// Candidates with evidence; none where there is none.
    pub alternatives: Vec<Alternative>,
}

/// Analyses the case by the rules, and keeps the signs of its candidates.
///
/// # Errors
/// When its telemetry cannot be read or used.
pub fn example(case: &RecordedCase) -> Result<Example, EvalError> {
    let (telemetry, request) = (case.load)()?;
    let incident = assemble(telemetry, request)?;
    let settings = Settings { fusion: Fusion::rules(), ..Settings::default() };
    Ok(from_ranking(case, &Detected::of(&incident, &settings).ours()))
}

fn from_ranking(case: &RecordedCase, ranking: &Ranking) -> Example {
    let is_cause = |service: &_| case.causes.iter().flatten().any(|cause| cause == service);
    let candidates = ranking.candidates.iter().filter(|candidate| candidate.is_evident());
    let mut rivals = 0;
    let alternatives = candidates
        .filter_map(|candidate| {
            let is_cause = is_cause(candidate.suspect.service());
            rivals += usize::from(!is_cause);
            (is_cause || rivals <= MOST_RIVALS).then(|| Alternative { is_cause, signs: signs(candidate) })
        })
        .collect();
    Example {
        system: case.system.clone(),
        is_quiet: case.causes.is_empty(),
        is_calm: is_calm(&ranking.symptoms),
        alternatives,
    }
}
