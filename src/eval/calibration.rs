//! Does a probability of 0.9 mean right nine times in ten?
//!
//! What is counted: one statement for each case, its **top answer**. That is "no cause" when the method holds "none of the
//! candidates" likelier than its first candidate, else the first candidate. Its confidence is the probability that the
//! report shows for it. "No cause" is right in a quiet case; a candidate is right when its service is a true one and
//! stands first by the rules of [`super::scoring`] (so never on a tie, and never in a quiet case). Cases that could not
//! be read have no statement; they are counted apart.
//!
//! ```text
//! expected calibration error = sum over bins b of  n_b / n * | right_b - confidence_b |
//! Brier score                = mean of (confidence - right)^2,  right being 0 or 1
//! ```
//! Ten bins of equal width, closed above: (0, 0.1], (0.1, 0.2], …; `right_b` is the share right in a bin and
//! `confidence_b` the mean confidence. M. P. Naeini, G. F. Cooper and M. Hauskrecht, AAAI 2015; C. Guo, G. Pleiss, Y. Sun
//! and K. Q. Weinberger, ICML 2017, eq. 3; G. W. Brier, Mon. Weather Rev. 78, 1950. Limit: with few cases in a bin the error is
//! mostly chance (with n cases at confidence c it is expected to be about `0.8 sqrt(c (1 - c) / n)` when all is well).

use super::run::{Answer, CaseResult};
use super::scoring::Outcome;

/// Number of bins.
pub const BINS: usize = 10;

/// A top answer: how sure it was, and whether it was right.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Statement {
    /// Probability that the method gave to it, 0 to 1.
    pub confidence: f64,
    /// Whether it was right.
    pub right: bool,
}

impl Statement {
    /// The top answer of a method about a case; `None` when the case could not be read.
    pub fn of(answer: &Answer) -> Option<Self> {
        let none = answer.none_probability?;
        let first = answer.probability.unwrap_or(0.0);
        let quiet = matches!(answer.outcome, Outcome::Quiet(_));
        let hit = matches!(answer.outcome, Outcome::Incident { rank: Some(1), .. });
        Some(if none > first {
            Self { confidence: none, right: quiet }
        } else {
            Self { confidence: first, right: hit }
        })
    }
}

/// The statements of similar confidence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bin {
    /// Lower bound of the confidence, excluded (but 0 is in the first bin).
    pub low: f64,
    /// Upper bound, included.
    pub high: f64,
    /// Number of statements.
    pub statements: usize,
    /// Their mean confidence; `None` without statements.
    pub mean_confidence: Option<f64>,
    /// The share of them that is right.
    pub share_right: Option<f64>,
}

/// How well confidence and truth agree.
#[derive(Clone, PartialEq, Debug)]
pub struct Calibration {
    /// Number of statements.
    pub statements: usize,
    /// Cases without a statement.
    pub unanswered: usize,
    /// Expected calibration error, 0 (well calibrated) to 1.
    pub expected_error: f64,
    /// Brier score, 0 (always right and sure of it) to 1.
    pub brier: f64,
    /// The reliability diagram: [`BINS`] rows.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Of the first method; `None` when there is nothing to count.
    pub fn of_first_method(cases: &[CaseResult]) -> Option<Self> {
        let statements: Vec<Statement> =
            cases.iter().filter_map(|case| case.answers.first().and_then(Statement::of)).collect();
        let counted = Self::of(&statements)?;
        Some(Self { unanswered: cases.len() - statements.len(), ..counted })
    }

    /// Of statements; `None` without any.
    pub fn of(statements: &[Statement]) -> Option<Self> {
        if statements.is_empty() {
            return None;
        }
        let n = statements.len() as f64;
        let bins: Vec<Bin> = (0..BINS).map(|at| bin(at, statements)).collect();
        let gap = |b: &Bin| Some(b.statements as f64 / n * (b.share_right? - b.mean_confidence?).abs());
        let square = |s: &Statement| (s.confidence - f64::from(u8::from(s.right))).powi(2);
        Some(Self {
            statements: statements.len(),
            unanswered: 0,
            expected_error: bins.iter().filter_map(gap).sum(),
            brier: statements.iter().map(square).sum::<f64>() / n,
            bins,
        })
    }
}

fn bin(at: usize, statements: &[Statement]) -> Bin {
    let bin_of = |confidence: f64| ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
    let inside: Vec<&Statement> = statements.iter().filter(|s| bin_of(s.confidence) == at).collect();
    let mean = |sum: f64| (!inside.is_empty()).then(|| sum / inside.len() as f64);
    Bin {
        low: at as f64 / BINS as f64,
        high: (at + 1) as f64 / BINS as f64,
        statements: inside.len(),
        mean_confidence: mean(inside.iter().map(|s| s.confidence).sum()),
        share_right: mean(inside.iter().filter(|s| s.right).count() as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(pairs: &[(f64, bool)]) -> Vec<Statement> {
        pairs.iter().map(|&(confidence, right)| Statement { confidence, right }).collect()
    }

    /// By hand. Bin (0.8, 0.9]: 0.85 right, 0.9 wrong; mean confidence 0.875, share right 0.5, gap 0.375 with weight 2/5.
    /// Bin (0.5, 0.6]: 0.6 right; gap 0.4, weight 1/5. Bin (0.9, 1]: 0.95 and 1 right; gap 0.025, weight 2/5.
    /// Sum 0.15 + 0.08 + 0.01 = 0.24. Brier: (0.0225 + 0.81 + 0.16 + 0.0025 + 0) / 5 = 0.199.
    #[test]
    fn error_and_score_by_hand() {
        let all = statements(&[(0.85, true), (0.9, false), (0.6, true), (0.95, true), (1.0, true)]);
        let got = Calibration::of(&all).unwrap();
        assert!((got.expected_error - 0.24).abs() < 1e-12, "{}", got.expected_error);
        assert!((got.brier - 0.199).abs() < 1e-12, "{}", got.brier);
        let counts: Vec<usize> = got.bins.iter().map(|b| b.statements).collect();
        assert_eq!(counts, [0, 0, 0, 0, 0, 1, 0, 0, 2, 2]);
        assert_eq!((got.bins[0].mean_confidence, got.bins[8].share_right), (None, Some(0.5)));
        assert_eq!(Calibration::of(&[]), None);
    }

    #[test]
    fn who_is_as_right_as_sure_has_no_error() {
        let all = statements(&[(0.75, true), (0.75, true), (0.75, true), (0.75, false), (0.0, false)]);
        let got = Calibration::of(&all).unwrap();
        assert!(got.expected_error.abs() < 1e-15, "{}", got.expected_error);
        assert_eq!(got.bins[0].statements, 1, "0 is in the first bin");
    }

    #[test]
    fn the_top_answer_is_what_is_likelier() {
        let hit = Outcome::Incident { rank: Some(1), all: None };
        let second = Outcome::Incident { rank: Some(2), all: None };
        let statement = |outcome, probability, none_probability| {
            let answer = Answer { outcome, probability, none_probability, ..Answer::unread(&[]) };
            Statement::of(&answer).map(|s| (s.confidence, s.right))
        };
        assert_eq!(statement(hit, Some(0.7), Some(0.2)), Some((0.7, true)));
        assert_eq!(statement(second, Some(0.7), Some(0.2)), Some((0.7, false)), "another service, or a tie");
        assert_eq!(statement(hit, Some(0.3), Some(0.6)), Some((0.6, false)), "doubted what was right");
        assert_eq!(statement(Outcome::Quiet(true), Some(0.3), Some(0.6)), Some((0.6, true)));
        assert_eq!(statement(Outcome::Quiet(false), Some(0.7), Some(0.2)), Some((0.7, false)));
        assert_eq!(statement(second, None, Some(1.0)), Some((1.0, false)), "nothing ranked");
        assert_eq!(statement(hit, None, None), None, "not read");
    }
}
