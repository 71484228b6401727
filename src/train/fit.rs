//! Weights by logistic regression over pairs.
//!
//! Under a conditional logit the odds of one alternative against another depend on these two only (McFadden 1974,
//! independence of irrelevant alternatives), so that its weights can be had from pairs: the right answer less a wrong one
//! is a positive example, mirrored a negative one (Bradley and Terry 1952; Joachims 2002 for rankings). No intercept: a
//! pair has no first.
//!
//! The weights are pulled towards each other and not towards 0: one column holds the sum of all bits, and what a sign
//! weighs beyond the common weight is penalised more. Without evidence to the contrary a bit is a bit, as in the rules,
//! whatever sign it comes from: a sign that few systems show is not learned from one of them.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use super::TrainError;
use super::examples::Example;
use crate::rank::fusion::{Fusion, SIGNS};

/// Columns of a pair: those of [`SIGNS`], "none", "none where it is calm", "unseen", the same where it is calm, all signs
/// together.
const COLUMNS: usize = SIGNS.len() + 5;
const NONE: usize = SIGNS.len();
const UNSEEN: usize = SIGNS.len() + 2;
const TOGETHER: usize = SIGNS.len() + 4;
/// Penalty on squared coefficients.
const RIDGE: f64 = 1.0;
/// By how much more a sign's own part is penalised. From 300 to 10 000 the log loss on systems that were left out is
/// within 3 %.
const OWN_PART_RIDGE: f64 = 3000.0;
/// Least common weight, in nats a bit, by which the others are measured: below it the signs tell nothing.
const LEAST_COMMON_NATS: f64 = 0.01;
/// Steps of the solver, and the slope at which it stops.
const MOST_STEPS: u64 = 1000;
const LEAST_SLOPE: f64 = 1e-8;

/// One row of the regression.
type Row = [f64; COLUMNS];

/// The weights, measured by the common one, so that they are about 1, and the temperature that belongs to them.
pub(super) fn fit<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Result<Fusion, TrainError> {
    let pairs: Vec<Row> = examples.into_iter().flat_map(pairs).collect();
    let nats = solve(&pairs)?;
    let common = nats[TOGETHER].max(LEAST_COMMON_NATS);
    // A sign that speaks against its service would be a habit of the cases, not of failures.
    let weights = std::array::from_fn(|at| (nats[at] / OWN_PART_RIDGE.sqrt() / common + 1.0).max(0.0));
    Ok(Fusion {
        weights,
        none: nats[NONE] / common,
        none_when_calm: nats[NONE + 1] / common,
        unseen: nats[UNSEEN] / common,
        unseen_when_calm: nats[UNSEEN + 1] / common,
        temperature: std::f64::consts::LN_2 / common,
    })
}

/// The right answers of an example less its wrong ones.
fn pairs(example: &Example) -> Vec<Row> {
    let without_evidence = |column: usize| {
        let mut row = [0.0; COLUMNS];
        row[column] = 1.0;
        row[column + 1] = f64::from(u8::from(example.is_calm));
        row
    };
    let row = |signs: &[f64; SIGNS.len()]| {
        let mut row = [0.0; COLUMNS];
        for (value, bits) in row.iter_mut().zip(signs) {
            *value = bits / OWN_PART_RIDGE.sqrt();
        }
        row[TOGETHER] = signs.iter().sum();
        row
    };
    let of = |is_cause: bool| {
        example.alternatives.iter().filter(move |a| a.is_cause == is_cause).map(|a| row(&a.signs)).collect::<Vec<_>>()
    };
    let (mut right, mut wrong) = (of(true), of(false));
    let is_unseen = !example.is_quiet && right.is_empty();
    for (row, is_right) in [(without_evidence(NONE), example.is_quiet), (without_evidence(UNSEEN), is_unseen)] {
        if is_right { right.push(row) } else { wrong.push(row) }
    }
    let less = |a: &Row, b: &Row| std::array::from_fn(|at| a[at] - b[at]);
    right.iter().flat_map(|a| wrong.iter().map(move |b| less(a, b))).collect()
}

/// Coefficients in nats.
fn solve(pairs: &[Row]) -> Result<Row, TrainError> {
    let records = Array2::from_shape_fn((2 * pairs.len(), COLUMNS), |(row, column)| {
        let value = pairs[row / 2][column];
        if row % 2 == 0 { value } else { -value }
    });
    let targets = Array1::from_shape_fn(2 * pairs.len(), |row| row % 2 == 0);
    let fitted = LogisticRegression::default()
        .alpha(RIDGE)
        .with_intercept(false)
        .max_iterations(MOST_STEPS)
        .gradient_tolerance(LEAST_SLOPE)
        .fit(&Dataset::new(records, targets))?;
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let mut nats = [0.0; COLUMNS];
    for (value, coefficient) in nats.iter_mut().zip(fitted.params()) {
        *value = sign * coefficient;
    }
    Ok(nats)
}
