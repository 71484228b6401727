//! Recorded incidents with known causes, and how often each method finds them.
//!
//! A dataset gives [`recorded::RecordedCase`]s; each is loaded, assembled and analysed by the same path as `analyze`
//! takes; [`scoring`] compares the rankings with the truth.
//!
//! How sure the figures are: [`interval`] (bootstrap), [`paired`] (is one method better than another?), [`calibration`]
//! (do the probabilities hold?), [`ablation`] (with less to go on). Who reads them: people ([`table`], [`markdown`]),
//! programs ([`json`]), and later days ([`record`], of which [`summary`] makes the README's table).

pub mod ablation;
pub mod calibration;
mod certainty;
mod columns;
mod few_lines;
pub mod folders;
pub mod interval;
pub mod json;
pub mod markdown;
pub mod nezha;
pub mod paired;
pub mod petshop;
pub mod rcaeval;
pub mod record;
pub mod recorded;
pub mod run;
pub mod scoring;
pub mod summary;
pub mod table;
pub mod without;

use std::path::Path;

use recorded::{EvalError, RecordedCase};

/// How a dataset lies on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatasetFormat {
    /// Folders with a `case.toml` that has a truth.
    Case,
    /// Nezha's layout: `rca_data` and `construct_data`.
    Nezha,
    /// PetShop's layout: scenarios with `graph.csv`, `noissue` and `<split>/issue_N`.
    PetShop,
    /// RCAEval's layout: `<service>_<fault>/<n>` with `inject_time.txt`.
    RcaEval,
}

/// Finds the cases of a dataset, in a fixed order. Telemetry is read later, case by case.
///
/// `shift_ns` moves the time at which the analysis takes each incident to begin: how much does a wrong time cost?
///
/// # Errors
/// [`EvalError`] when the folder cannot be read or holds no case of the format.
pub fn cases(dir: &Path, format: DatasetFormat, shift_ns: i64) -> Result<Vec<RecordedCase>, EvalError> {
    match format {
        DatasetFormat::Case => folders::cases(dir, shift_ns),
        DatasetFormat::Nezha => nezha::cases(dir, shift_ns),
        DatasetFormat::PetShop => petshop::cases(dir, shift_ns),
        DatasetFormat::RcaEval => rcaeval::cases(dir, shift_ns),
    }
}
