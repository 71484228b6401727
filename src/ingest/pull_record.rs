//! The record that a pull from live sources leaves in its case folder: what was odd then is odd in every analysis.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Telemetry;

/// Its name in the folder.
pub const PULL_RECORD: &str = "pull.json";

/// What these warnings are of: no path, so that a case that was moved gives the same report.
const SOURCE: &str = "live sources";

#[derive(Deserialize)]
struct Record {
    warnings: Vec<String>,
}

/// Takes the warnings of a pull.
pub(super) fn read(path: &Path, out: &mut Telemetry) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            out.warn(path, "", &format!("the record of a pull cannot be read: {error}"), 1);
            return;
        }
    };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) => record.warnings.iter().for_each(|warning| out.warn(Path::new(SOURCE), "", warning, 1)),
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            let message = "this is no record of a pull from live sources, whose warnings would stand in it; restore it, or \
                           name a file of your own otherwise";
            out.warn(path, place, message, 1);
        }
    }
}
