//! Changes as a list that people keep: `changes.json`.

use serde::Serialize;

use crate::simulate::recording::{ChangeKind, Recording};
use crate::simulate::system::System;

use super::CaseFile;
use super::json::instant;

#[derive(Serialize)]
struct Change<'r> {
    time: String,
    service: &'r str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'r str>,
    description: &'r str,
}

#[derive(Serialize)]
struct Changes<'r> {
    changes: Vec<Change<'r>>,
}

/// All changes of a recording; `None` where there are none.
pub fn changes(system: &System, recording: &Recording) -> Option<CaseFile> {
    if recording.changes.is_empty() {
        return None;
    }
    let changes = recording.changes.iter().map(|change| Change {
        time: instant(change.at_ns),
        service: &system.services[change.service].name,
        kind: match change.kind {
            ChangeKind::Deploy => "deploy",
            ChangeKind::Config => "config",
            ChangeKind::Scale => "scale",
        },
        version: change.version.as_deref(),
        description: &change.description,
    });
    let list = Changes { changes: changes.collect() };
    let mut bytes = serde_json::to_vec_pretty(&list).expect("texts and no maps with other keys");
    bytes.push(b'\n');
    Some(CaseFile { name: "changes.json".to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ingest::{ReadOptions, read_bytes};
    use crate::simulate::write::sample;
    use crate::telemetry::change;

    #[test]
    fn changes_are_read_back() {
        let (system, mut recording) = sample::shop(1);
        let file = changes(&system, &recording).expect("there are some");
        let read = read_bytes(Path::new(&file.name), &file.bytes, &ReadOptions::default()).expect("recognised");
        assert_eq!(read.warnings, []);
        let kinds = [change::ChangeKind::Deploy, change::ChangeKind::Config, change::ChangeKind::Scale];
        assert_eq!(read.changes.len(), recording.changes.len());
        for ((found, written), kind) in read.changes.iter().zip(&recording.changes).zip(kinds) {
            assert_eq!(found.at_ns, written.at_ns);
            assert_eq!(found.service.as_ref().map(|service| service.as_str()), Some("cart"));
            assert_eq!(found.kind, kind);
            assert_eq!(found.version, written.version.clone().unwrap_or_default());
            assert_eq!(found.description, written.description);
        }
        recording.changes.clear();
        assert_eq!(changes(&system, &recording), None);
    }
}
