//! From recorded incidents with known causes to the weights of [`Fusion`].
//!
//! ```text
//! cases ──analysis by rules──> examples (table) ──pairs, logistic regression──> weights ──left-out systems──> temperature
//! ```
//! The table is all that training sees: bits of evidence by kind, no names, no counts, no positions. It is kept beside
//! the model, so that anyone can train again without the datasets.

mod calibrate;
mod card;
mod examples;
mod fit;
mod table;

pub use examples::{Alternative, Example, example};
pub use table::TableError;

use std::collections::BTreeMap;

use crate::model::{HeldOut, Model, SCHEMA, Training};
use crate::rank::fusion::{Fusion, SIGNS};

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is too little to learn from.
    #[error(
        "the training table has incidents of {systems} system{}, and needs at least 2, so that one can be left out: give \
         a dataset of another one too (`hypocenter simulate` makes three)",
        if *systems == 1 { "" } else { "s" }
    )]
    TooFewSystems {
        /// How many there are.
        systems: usize,
    },
    /// The regression did not come to an end.
    #[error("the regression failed")]
    Regression(#[from] linfa_logistic::error::Error),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A model with what goes beside it.
#[derive(Clone, PartialEq, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// What is to be known about it, Markdown.
    pub card: String,
    /// The training table, CSV.
    pub table: String,
}

/// Trains on a table. The same table gives the same bytes.
///
/// # Errors
/// [`TrainError`] when the table is wrong or holds fewer than two systems.
pub fn train(table: &str) -> Result<Trained, TrainError> {
    let examples = table::read(table)?;
    let mut systems: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for example in &examples {
        let counts = systems.entry(&example.system).or_default();
        if example.is_quiet { counts.1 += 1 } else { counts.0 += 1 }
    }
    let with_incidents = systems.values().filter(|counts| counts.0 > 0).count();
    if with_incidents < 2 {
        return Err(TrainError::TooFewSystems { systems: with_incidents });
    }
    let held_out = calibrate::without_each_system(&examples)?;
    let hotter = calibrate::temperature(&held_out);
    let fitted = fit::fit(&examples)?;
    let fusion = rounded(Fusion { temperature: fitted.temperature * hotter, ..fitted });
    let Some(figures) = calibrate::figures(&held_out, hotter) else {
        return Err(TrainError::TooFewSystems { systems: 0 });
    };
    let counts = |of: fn(&(usize, usize)) -> usize| {
        systems.iter().map(|(name, both)| ((*name).to_owned(), of(both))).filter(|(_, count)| *count > 0).collect()
    };
    let model = Model {
        schema: SCHEMA,
        weights: SIGNS.iter().zip(fusion.weights).map(|(sign, weight)| (sign.0.to_owned(), weight)).collect(),
        none: fusion.none,
        none_when_calm: fusion.none_when_calm,
        unseen: fusion.unseen,
        unseen_when_calm: fusion.unseen_when_calm,
        temperature: fusion.temperature,
        training: Training {
            table_sha256: table::digest(table),
            incidents: counts(|both| both.0),
            quiet: counts(|both| both.1),
        },
        held_out: HeldOut {
            cases: held_out.len(),
            right: round(figures.right, 4),
            calibration_error: round(figures.calibration.expected_error, 4),
            log_loss: round(figures.log_loss, 4),
        },
    };
    let card = card::card(&model, &figures);
    Ok(Trained { model, card, table: table.to_owned() })
}

/// The table of examples, as [`train`] takes it.
pub fn table_of(examples: &[Example]) -> String {
    table::write(examples)
}

/// Digits that a machine's last bits do not reach.
fn rounded(fusion: Fusion) -> Fusion {
    Fusion {
        weights: fusion.weights.map(|weight| round(weight, 3)),
        none: round(fusion.none, 3),
        none_when_calm: round(fusion.none_when_calm, 3),
        unseen: round(fusion.unseen, 3),
        unseen_when_calm: round(fusion.unseen_when_calm, 3),
        temperature: round(fusion.temperature, 3),
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
