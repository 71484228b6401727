//! Alerts that came by webhook: by their identity one is known again, whoever sends it and how often.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Row, params};

use super::{Result, Transaction};

/// An alert of an incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// Receiver, fingerprint and start: the same alert has the same whenever it is sent again.
    pub identity: String,
    /// The number of its incident.
    pub incident: i64,
    /// Name of the rule. Hostile text, as is all that follows.
    pub name: String,
    /// The service that it is about.
    pub service: Option<String>,
    /// `latency` or `errors`.
    pub symptom: Option<String>,
    /// When it began to fire, Unix nanoseconds.
    pub starts_ns: i64,
    /// When it stopped; `None` while it fires.
    pub ends_ns: Option<i64>,
    /// When we heard of that, by our clock; `None` also for one that was given up as nothing was heard of it any more.
    pub ended_seen_ns: Option<i64>,
    /// The sender's key of its group.
    pub group_key: String,
    /// The ticket that it names.
    pub ticket: Option<String>,
    /// The expression that fired.
    pub expression: Option<String>,
    /// Human summary from the annotations.
    pub summary: Option<String>,
    /// The alert as it came, JSON.
    pub body: String,
    /// When we were told last that it fires, by our clock. Noted now and then only.
    pub heard_ns: i64,
}

const COLUMNS: &str = "identity, incident, name, service, symptom, starts_ns, ends_ns, ended_seen_ns, group_key, ticket, expression, summary, body, heard_ns";

fn of_row(row: &Row<'_>) -> rusqlite::Result<AlertRecord> {
    Ok(AlertRecord {
        identity: row.get(0)?,
        incident: row.get(1)?,
        name: row.get(2)?,
        service: row.get(3)?,
        symptom: row.get(4)?,
        starts_ns: row.get(5)?,
        ends_ns: row.get(6)?,
        ended_seen_ns: row.get(7)?,
        group_key: row.get(8)?,
        ticket: row.get(9)?,
        expression: row.get(10)?,
        summary: row.get(11)?,
        body: row.get(12)?,
        heard_ns: row.get(13)?,
    })
}

/// The alert of an identity.
pub fn find_alert(transaction: &Transaction<'_>, identity: &str) -> Result<Option<AlertRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE identity = ?");
    Ok(transaction.prepare_cached(&sql)?.query_row([identity], of_row).optional()?)
}

/// The alerts of an incident, the earliest first.
pub fn alerts_of(transaction: &Transaction<'_>, incident: i64) -> Result<Vec<AlertRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM alerts WHERE incident = ? ORDER BY starts_ns, identity");
    let found = transaction.prepare_cached(&sql)?.query_map([incident], of_row)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// What the alerts of an incident are about: their services with the keys of their groups.
pub fn subjects_of(transaction: &Transaction<'_>, incident: i64) -> Result<Vec<(Option<String>, String)>> {
    let sql = "SELECT DISTINCT service, group_key FROM alerts WHERE incident = ? ORDER BY service, group_key";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map([incident], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// When the first and the last of an incident's alerts began.
pub fn starts_of(transaction: &Transaction<'_>, incident: i64) -> Result<Option<(i64, i64)>> {
    let sql = "SELECT min(starts_ns), max(starts_ns) FROM alerts WHERE incident = ?";
    let (first, last): (Option<i64>, Option<i64>) =
        transaction.prepare_cached(sql)?.query_row([incident], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last))
}

/// Remembers a new alert.
pub fn insert_alert(transaction: &Transaction<'_>, new: &AlertRecord) -> Result<()> {
    let sql = format!("INSERT INTO alerts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    transaction.prepare_cached(&sql)?.execute(params![
        new.identity,
        new.incident,
        new.name,
        new.service,
        new.symptom,
        new.starts_ns,
        new.ends_ns,
        new.ended_seen_ns,
        new.group_key,
        new.ticket,
        new.expression,
        new.summary,
        new.body,
        new.heard_ns
    ])?;
    Ok(())
}

/// Notes that an alert fires again that had ended.
pub fn reopen_alert(transaction: &Transaction<'_>, identity: &str, now_ns: i64) -> Result<()> {
    let sql = "UPDATE alerts SET ends_ns = NULL, ended_seen_ns = NULL, heard_ns = ?2 WHERE identity = ?1";
    transaction.prepare_cached(sql)?.execute(params![identity, now_ns])?;
    Ok(())
}

/// Notes that an alert was told to fire still.
pub fn hear_alert(transaction: &Transaction<'_>, identity: &str, now_ns: i64) -> Result<()> {
    let sql = "UPDATE alerts SET heard_ns = ?2 WHERE identity = ?1";
    transaction.prepare_cached(sql)?.execute(params![identity, now_ns])?;
    Ok(())
}

/// Notes that an alert has ended; a second time changes nothing.
pub fn close_alert(transaction: &Transaction<'_>, identity: &str, ends_ns: i64, now_ns: i64) -> Result<()> {
    let sql = "UPDATE alerts SET ends_ns = ?2, ended_seen_ns = ?3 WHERE identity = ?1 AND ended_seen_ns IS NULL";
    transaction.prepare_cached(sql)?.execute(params![identity, ends_ns, now_ns])?;
    Ok(())
}

/// Takes alerts of which nothing was heard since an instant for ended when they were heard of last, and gives their
/// incidents.
pub fn close_unheard_alerts(transaction: &Transaction<'_>, since_ns: i64) -> Result<BTreeSet<i64>> {
    let sql = "UPDATE alerts SET ends_ns = max(starts_ns, heard_ns) WHERE ends_ns IS NULL AND heard_ns < ? RETURNING incident";
    let mut statement = transaction.prepare_cached(sql)?;
    let closed = statement.query_map([since_ns], |row| row.get(0))?;
    Ok(closed.collect::<rusqlite::Result<_>>()?)
}
