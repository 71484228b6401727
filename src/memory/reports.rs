//! Reports, a version each analysis, and earlier incidents that looked alike.

use rusqlite::{OptionalExtension, Row, params};

use super::incidents::Condition;
use super::{Result, Transaction};

/// One version of an incident's report.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportRecord {
    /// The number of the incident.
    pub incident: i64,
    /// 1 for the first.
    pub version: u32,
    /// The number of its analysis.
    pub job: i64,
    /// When it was made, Unix nanoseconds.
    pub made_ns: i64,
    /// Whether the incident went on, as messages told it.
    pub condition: Condition,
    /// As in the JSON report.
    pub verdict: String,
    /// The first cause.
    pub cause: Option<String>,
    /// How sure it is, 0 to 1.
    pub probability: Option<f64>,
    /// Cause, path and signals; the same for incidents that look alike, empty without a cause.
    pub signature: String,
    /// What changed since the version before.
    pub changed: Vec<String>,
    /// The report as JSON.
    pub json: String,
    /// The report as Markdown.
    pub markdown: String,
    /// The report as plain text.
    pub text: String,
}

const COLUMNS: &str =
    "incident, version, job, made_ns, condition, verdict, cause, probability, signature, changed, json, markdown, text";

fn of_row(row: &Row<'_>) -> rusqlite::Result<ReportRecord> {
    Ok(ReportRecord {
        incident: row.get(0)?,
        version: row.get(1)?,
        job: row.get(2)?,
        made_ns: row.get(3)?,
        condition: row.get(4)?,
        verdict: row.get(5)?,
        cause: row.get(6)?,
        probability: row.get(7)?,
        signature: row.get(8)?,
        changed: row.get::<_, String>(9)?.lines().map(str::to_owned).collect(),
        json: row.get(10)?,
        markdown: row.get(11)?,
        text: row.get(12)?,
    })
}

/// Remembers a report.
pub fn insert_report(transaction: &Transaction<'_>, new: &ReportRecord) -> Result<()> {
    let sql = format!("INSERT INTO reports ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    transaction.prepare_cached(&sql)?.execute(params![
        new.incident,
        new.version,
        new.job,
        new.made_ns,
        new.condition,
        new.verdict,
        new.cause,
        new.probability,
        new.signature,
        new.changed.join("\n"),
        new.json,
        new.markdown,
        new.text
    ])?;
    Ok(())
}

/// One version of an incident's report.
pub fn report(transaction: &Transaction<'_>, incident: i64, version: u32) -> Result<Option<ReportRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM reports WHERE incident = ? AND version = ?");
    Ok(transaction.prepare_cached(&sql)?.query_row(params![incident, version], of_row).optional()?)
}

/// The newest version of an incident's report.
pub fn latest_report(transaction: &Transaction<'_>, incident: i64) -> Result<Option<ReportRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM reports WHERE incident = ? ORDER BY version DESC LIMIT 1");
    Ok(transaction.prepare_cached(&sql)?.query_row([incident], of_row).optional()?)
}

/// What lists show of one version of an incident's report: all but its texts, which are long.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportSummary {
    /// 1 for the first.
    pub version: u32,
    /// When it was made, Unix nanoseconds.
    pub made_ns: i64,
    /// As in the JSON report.
    pub verdict: String,
    /// The first cause.
    pub cause: Option<String>,
    /// How sure it is, 0 to 1.
    pub probability: Option<f64>,
    /// What changed since the version before.
    pub changed: Vec<String>,
}

const SUMMARY: &str = "version, made_ns, verdict, cause, probability, changed";

fn summary_of_row(row: &Row<'_>) -> rusqlite::Result<ReportSummary> {
    Ok(ReportSummary {
        version: row.get(0)?,
        made_ns: row.get(1)?,
        verdict: row.get(2)?,
        cause: row.get(3)?,
        probability: row.get(4)?,
        changed: row.get::<_, String>(5)?.lines().map(str::to_owned).collect(),
    })
}

/// The newest version of an incident's report, without its texts.
pub fn latest_summary(transaction: &Transaction<'_>, incident: i64) -> Result<Option<ReportSummary>> {
    let sql = format!("SELECT {SUMMARY} FROM reports WHERE incident = ? ORDER BY version DESC LIMIT 1");
    Ok(transaction.prepare_cached(&sql)?.query_row([incident], summary_of_row).optional()?)
}

/// All versions of an incident's report without their texts, the first one first.
pub fn summaries(transaction: &Transaction<'_>, incident: i64) -> Result<Vec<ReportSummary>> {
    let sql = format!("SELECT {SUMMARY} FROM reports WHERE incident = ? ORDER BY version");
    let mut statement = transaction.prepare_cached(&sql)?;
    let found = statement.query_map([incident], summary_of_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// An earlier incident whose last report has the same signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Similar {
    /// Its number.
    pub incident: i64,
    /// When it began, Unix nanoseconds.
    pub starts_ns: i64,
    /// Whether somebody has given the true cause.
    pub is_confirmed: bool,
    /// The true cause as it was given; `None` for a false alarm, or when nobody gave one.
    pub confirmed: Option<String>,
    /// What was noted with it.
    pub note: String,
}

/// The newest earlier incidents with a signature: those with feedback first.
pub fn similar(transaction: &Transaction<'_>, signature: &str, before: i64, limit: u32) -> Result<Vec<Similar>> {
    let sql = "SELECT i.id, i.starts_ns, f.incident IS NOT NULL, f.cause, coalesce(f.note, '') FROM reports AS r \
               JOIN incidents AS i ON i.id = r.incident LEFT JOIN feedback AS f ON f.incident = i.id \
               WHERE r.signature = ?1 AND i.id < ?2 \
               AND r.version = (SELECT max(version) FROM reports WHERE incident = i.id) \
               ORDER BY f.incident IS NULL, i.id DESC LIMIT ?3";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map(params![signature, before, limit], |row| {
        Ok(Similar {
            incident: row.get(0)?,
            starts_ns: row.get(1)?,
            is_confirmed: row.get(2)?,
            confirmed: row.get(3)?,
            note: row.get(4)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
