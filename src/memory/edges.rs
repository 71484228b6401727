//! Who calls whom, as the analyses have seen it: by this, alerts of different services are one incident.

use rusqlite::params;

use super::{Result, Transaction};

/// Remembers calls.
pub fn see_edges<'e>(
    transaction: &Transaction<'_>,
    edges: impl IntoIterator<Item = (&'e str, &'e str)>,
    now_ns: i64,
) -> Result<()> {
    let sql = "INSERT INTO edges (caller, callee, seen_ns) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seen_ns = excluded.seen_ns";
    let mut statement = transaction.prepare_cached(sql)?;
    for (caller, callee) in edges {
        statement.execute(params![caller, callee, now_ns])?;
    }
    Ok(())
}

/// All calls, callers first, in the order of names.
pub fn edges(transaction: &Transaction<'_>) -> Result<Vec<(String, String)>> {
    let mut statement = transaction.prepare_cached("SELECT caller, callee FROM edges ORDER BY caller, callee")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
