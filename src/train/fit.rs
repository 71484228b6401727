//! Weights by logistic regression over pairs.
//!
//! Under a conditional logit the odds of one alternative against another depend on these two only (McFadden 1974,
//! independence of irrelevant alternatives), so that its weights can be had from pairs: the right answer less a wrong one
//! is a positive example, mirrored a negative one (Bradley and Terry 1952; Joachims 2002 for rankings). No intercept: a
//! pair has no first.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use super::TrainError;
use super::examples::Example;
use crate::rank::fusion::{Fusion, SIGNS};

/// Columns of a pair: those of [`SIGNS`], "none", "none where it is calm".
pub(super) const COLUMNS: usize = SIGNS.len() + 2;
/// Strength of the pull towards 0, in pairs.
const RIDGE: f64 = 1.0;
/// Steps of the solver, and the slope at which it stops.
const MOST_STEPS: u64 = 1000;
const LEAST_SLOPE: f64 = 1e-8;

/// One row of the regression.
type Row = [f64; COLUMNS];

/// The weights, in bits; their temperature is 1.
pub(super) fn fit<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Result<Fusion, TrainError> {
    let pairs: Vec<Row> = examples.into_iter().flat_map(pairs).collect();
    let mut used = [true; COLUMNS];
    // A sign that speaks against its service would be a habit of the cases, not of failures: it is taken out, and the
    // others are fitted again.
    loop {
        let weights = solve(&pairs, &used)?;
        let negative =
            (0..SIGNS.len()).filter(|at| weights[*at] < 0.0).min_by(|a, b| weights[*a].total_cmp(&weights[*b]));
        match negative {
            Some(at) => used[at] = false,
            None => return Ok(fusion(&weights)),
        }
    }
}

fn fusion(nats: &Row) -> Fusion {
    let bits = nats.map(|weight| weight / std::f64::consts::LN_2);
    let mut weights = [0.0; SIGNS.len()];
    weights.copy_from_slice(&bits[..SIGNS.len()]);
    Fusion { weights, none: bits[SIGNS.len()], none_when_calm: bits[SIGNS.len() + 1], temperature: 1.0 }
}

/// The right answers of an example less its wrong ones.
fn pairs(example: &Example) -> Vec<Row> {
    let mut none = [0.0; COLUMNS];
    none[SIGNS.len()] = 1.0;
    none[SIGNS.len() + 1] = f64::from(u8::from(example.is_calm));
    let row = |signs: &[f64; SIGNS.len()]| {
        let mut row = [0.0; COLUMNS];
        row[..SIGNS.len()].copy_from_slice(signs);
        row
    };
    let of = |is_cause: bool| {
        example.alternatives.iter().filter(move |a| a.is_cause == is_cause).map(|a| row(&a.signs)).collect::<Vec<_>>()
    };
    let (mut right, mut wrong) = (of(true), of(false));
    // Where the cause left no sign at all, the honest answer is that none of the others is it.
    if right.is_empty() {
        right.push(none)
    } else {
        wrong.push(none)
    }
    let less = |a: &Row, b: &Row| std::array::from_fn(|at| a[at] - b[at]);
    right.iter().flat_map(|a| wrong.iter().map(move |b| less(a, b))).collect()
}

/// Coefficients in nats, 0 where a column is not used.
fn solve(pairs: &[Row], used: &[bool; COLUMNS]) -> Result<Row, TrainError> {
    let columns: Vec<usize> = (0..COLUMNS).filter(|at| used[*at]).collect();
    let rows = 2 * pairs.len();
    let records = Array2::from_shape_fn((rows, columns.len()), |(row, column)| {
        let value = pairs[row / 2][columns[column]];
        if row % 2 == 0 { value } else { -value }
    });
    let targets = Array1::from_shape_fn(rows, |row| row % 2 == 0);
    let fitted = LogisticRegression::default()
        .alpha(RIDGE)
        .with_intercept(false)
        .max_iterations(MOST_STEPS)
        .gradient_tolerance(LEAST_SLOPE)
        .fit(&Dataset::new(records, targets))?;
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let mut weights = [0.0; COLUMNS];
    for (column, weight) in columns.into_iter().zip(fitted.params()) {
        weights[column] = sign * weight;
    }
    Ok(weights)
}
