//! Changes that were told: deploys, settings, flags.

use rusqlite::params;

use super::{Result, Transaction};
use crate::telemetry::change::{Change, ChangeKind};
use crate::telemetry::id::ServiceId;
use crate::telemetry::time::Window;

/// Where a change of this room says that it is known from.
const SOURCE: &str = "told by API";

/// Remembers changes and tells how many were new: the same one may be told twice.
pub fn insert_changes(transaction: &Transaction<'_>, changes: &[Change]) -> Result<usize> {
    // SQLite holds two NULLs for different: nobody's change has an empty name.
    let sql = "INSERT OR IGNORE INTO changes (at_ns, service, kind, version, description) VALUES (?, ?, ?, ?, ?)";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut new = 0;
    for change in changes {
        let service = change.service.as_ref().map_or("", ServiceId::as_str);
        new += statement.execute(params![
            change.at_ns,
            service,
            change.kind.word(),
            change.version,
            change.description
        ])?;
    }
    Ok(new)
}

/// The changes of a window, the earliest first.
pub fn changes_in(transaction: &Transaction<'_>, window: &Window) -> Result<Vec<Change>> {
    let sql = "SELECT at_ns, service, kind, version, description FROM changes WHERE at_ns >= ? AND at_ns < ? \
               ORDER BY at_ns, id";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map(params![window.start_ns(), window.end_ns()], |row| {
        let (service, word): (String, String) = (row.get(1)?, row.get(2)?);
        Ok(Change {
            at_ns: row.get(0)?,
            service: (!service.is_empty()).then(|| ServiceId::new(&service)),
            kind: ChangeKind::of_word(&word).unwrap_or(ChangeKind::Other),
            version: row.get(3)?,
            description: row.get(4)?,
            source: SOURCE.to_owned(),
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
