//! Model files: the weights of [`Fusion`] as JSON, with what they were trained on.
//!
//! The model that comes with the program lies in `models/fusion.json` and is compiled in; `hypocenter train` makes it. A
//! file of another schema is refused, never guessed at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::rank::fusion::{Fusion, SIGNS};

/// Version of the file's layout and of what the signs mean. It grows when either changes, so that an old model is never
/// applied to other numbers than those it was trained on.
pub const SCHEMA: u32 = 2;

/// A model as the file has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Weight of each sign, by name.
    pub weights: BTreeMap<String, f64>,
    /// Score of "none", bits.
    pub none: f64,
    /// Added to it where no symptom passes the gate.
    pub none_when_calm: f64,
    /// Score of a cause that shows nothing, bits.
    pub unseen: f64,
    /// Added to it where no symptom passes the gate.
    pub unseen_when_calm: f64,
    /// Bits that double the odds.
    pub temperature: f64,
    /// What it was trained on.
    pub training: Training,
    /// How its probabilities fared on systems that it had not seen.
    pub held_out: HeldOut,
}

/// What a model was trained on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// SHA-256 of the training table, in hexadecimal.
    pub table_sha256: String,
    /// Incidents by system.
    pub incidents: BTreeMap<String, usize>,
    /// Quiet cases by system.
    pub quiet: BTreeMap<String, usize>,
}

/// Figures over all cases, each predicted by a model that was trained without its system.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Cases.
    pub cases: usize,
    /// Share whose likeliest answer is right.
    pub right: f64,
    /// Expected calibration error of the likeliest answer's probability.
    pub calibration_error: f64,
    /// Mean negative log-likelihood of the right answer, nats.
    pub log_loss: f64,
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It could not be read.
    #[error("cannot read the model {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no model, or one of another layout.
    #[error("{} is no model of schema {SCHEMA}; make one with `hypocenter train`, or leave --model away", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: serde_json::Error,
    },
    /// Its schema is another.
    #[error(
        "{} has schema {found}, this program reads schema {SCHEMA}: train it again with `hypocenter train`, or leave \
         --model away to use the one that comes with the program",
        path.display()
    )]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// A number in it makes no sense.
    #[error("{}: {problem}; train it again with `hypocenter train`", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Field and reason.
        problem: String,
    },
}

#[derive(Deserialize)]
struct OnlySchema {
    schema: u64,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`ModelError`] when it cannot be read or is not a model of [`SCHEMA`].
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = fs::read_to_string(path).map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a model file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Model::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let json = |source| ModelError::Json { path: path.to_owned(), source };
        // The schema first: a file of another one may have other fields, and should hear why it is refused.
        let OnlySchema { schema: found } = serde_json::from_str(text).map_err(json)?;
        if found != u64::from(SCHEMA) {
            return Err(ModelError::Schema { path: path.to_owned(), found });
        }
        let model: Self = serde_json::from_str(text).map_err(json)?;
        model.check().map_err(|problem| ModelError::Value { path: path.to_owned(), problem })?;
        Ok(model)
    }

    /// What is wrong with its numbers.
    fn check(&self) -> Result<(), String> {
        if let Some(unknown) = self.weights.keys().find(|name| !SIGNS.iter().any(|sign| sign.0 == name.as_str())) {
            return Err(format!("weights: there is no sign `{unknown}`"));
        }
        for (name, _) in SIGNS {
            let Some(weight) = self.weights.get(name) else { return Err(format!("weights: `{name}` is missing")) };
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(format!("weights: `{name}` is {weight}, expected 0 or more"));
            }
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(format!("temperature is {}, expected more than 0", self.temperature));
        }
        let scores = [self.none, self.none_when_calm, self.unseen, self.unseen_when_calm];
        if !scores.iter().all(|score| score.is_finite()) {
            return Err("none, unseen, and what is added to them when calm have to be finite".to_owned());
        }
        Ok(())
    }

    /// The weights as the ranking takes them.
    pub fn fusion(&self) -> Fusion {
        Fusion {
            weights: SIGNS.map(|(name, _)| self.weights.get(name).copied().unwrap_or(0.0)),
            none: self.none,
            none_when_calm: self.none_when_calm,
            unseen: self.unseen,
            unseen_when_calm: self.unseen_when_calm,
            temperature: self.temperature,
        }
    }

    /// The file's text: the same model gives the same bytes.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("names are text and numbers finite");
        text.push('\n');
        text
    }
}

/// Text of the model that comes with the program.
pub const BUILTIN: &str = include_str!("../models/fusion.json");

/// The weights of the model that comes with the program; a test holds that it can be read. The rules, if it could not.
pub fn builtin() -> Fusion {
    static FUSION: OnceLock<Fusion> = OnceLock::new();
    *FUSION.get_or_init(|| {
        Model::parse(BUILTIN, Path::new("models/fusion.json")).map_or_else(|_refused| Fusion::rules(), |m| m.fusion())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Model, String> {
        Model::parse(text, Path::new("m.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_that_comes_with_the_program_is_read_and_written_back_to_the_byte() {
        let model = parsed(BUILTIN).unwrap();
        assert_eq!(model.to_json(), BUILTIN);
        assert_eq!(model.fusion(), builtin());
    }

    #[test]
    fn another_schema_is_refused_with_the_way_out() {
        let error = parsed(r#"{"schema": 99, "layers": []}"#).unwrap_err();
        assert!(
            error.contains("schema 99") && error.contains("hypocenter train") && error.contains("--model"),
            "{error}"
        );
        assert!(parsed("{}").unwrap_err().contains("m.json is no model"));
        assert!(parsed("weights").unwrap_err().contains("m.json is no model"));
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_by_name() {
        let wrong = |from: &str, to: &str| {
            assert!(BUILTIN.contains(from), "{from}");
            parsed(&BUILTIN.replacen(from, to, 1)).unwrap_err()
        };
        assert!(wrong("\"logs\": ", "\"logs\": -").contains("`logs`"));
        assert!(wrong("\"logs\": ", "\"prose\": ").contains("`prose`"));
        assert!(wrong("\"temperature\": ", "\"temperature\": -").contains("temperature"));
    }
}
