//! The case folder that a pull writes: answers as the servers gave them, `case.toml`, and the record of what was asked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LiveError;
use crate::case::{CASE_FILE, CaseToWrite};
use crate::ingest::PULL_RECORD;

/// A folder to write into.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder, which has to be empty where it is there already: what lay in it would be read as telemetry.
    pub(super) fn create(root: &Path) -> Result<Self, LiveError> {
        let wrong = |source| LiveError::Write { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(wrong)?;
        if fs::read_dir(root).map_err(wrong)?.next().is_some() {
            let text = format!("{}: the folder is not empty; name a new one to save into", root.display());
            return Err(LiveError::Request(text));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Writes a new file, with the folders above it. One that is there already is an error: nothing is lost silently.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LiveError> {
        let path = self.root.join(name);
        let write = || {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            fs::OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(bytes)
        };
        write().map_err(|source| LiveError::Write { path: path.clone(), source })
    }

    pub(super) fn write_record(&self, record: &impl Serialize) -> Result<(), LiveError> {
        let text = serde_json::to_vec_pretty(record).expect("records hold text and numbers only");
        self.write(PULL_RECORD, &text)
    }

    /// Writes the description of the case.
    pub(super) fn write_case(&self, case: &CaseToWrite<'_>) -> Result<(), LiveError> {
        self.write(CASE_FILE, case.toml().as_bytes())
    }
}

/// A name as part of a file's name: letters, digits, `_`, `-` and `.` stay.
pub(super) fn as_file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    name.chars().map(plain).take(150).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::telemetry::alert::Symptom;
    use crate::telemetry::time::Window;

    #[test]
    fn the_case_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new");
        let written = Folder::create(&root).unwrap();
        let (incident, before) = (Window::new(10_500_000_000, 20_000_000_000), Window::new(0, 9_000_000_000));
        let (incident, baselines) = (incident.unwrap(), [before.unwrap()]);
        let (name, entry, symptom) = ("a \"b\"\\\n", Some("front"), Some("errors"));
        let baselines = &baselines;
        let case = CaseToWrite { comment: "", name, entry, symptom, incident, baselines, truth: None };
        written.write_case(&case).unwrap();
        written.write("metrics/a.json", b"{}").unwrap();
        assert!(written.write("metrics/a.json", b"other").is_err(), "a file is not written over");
        let case = Case::read(&root).unwrap();
        assert_eq!((case.name.as_str(), case.incident, case.baselines.as_slice()), (name, incident, &baselines[..]));
        assert_eq!((case.entry, case.symptom), (Some("front".into()), Some(Symptom::Errors)));
        let message = Folder::create(&root).err().unwrap().to_string();
        assert!(message.contains("not empty"), "{message}");
    }
}
