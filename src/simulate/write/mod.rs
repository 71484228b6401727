//! What was played, in the formats of real tools: files of a case folder.

pub mod case_toml;

/// One file of a case folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseFile {
    /// Name within the folder, `traces.jsonl.zst`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
