//! `--model`: which weights our own method uses.

use std::path::Path;

use crate::model::{self, Model, ModelError};
use crate::rank::fusion::Fusion;

/// The word for no model at all.
const RULES: &str = "rules";

/// The weights of a file, of the rules, or of the model that comes with the program.
pub(super) fn fusion(asked: Option<&Path>) -> Result<Fusion, ModelError> {
    match asked {
        None => Ok(model::builtin()),
        Some(path) if path == Path::new(RULES) => Ok(Fusion::rules()),
        Some(path) => Model::read(path).map(|model| model.fusion()),
    }
}
