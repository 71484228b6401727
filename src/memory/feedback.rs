//! What the cause really was, as people found it afterwards.

use rusqlite::{OptionalExtension, params};

use super::{Result, Transaction};

/// The true cause of an incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Feedback {
    /// The service; `None` for a false alarm.
    pub cause: Option<String>,
    /// What people noted.
    pub note: String,
    /// When it was given, Unix nanoseconds.
    pub given_ns: i64,
}

/// Remembers the true cause; a later one takes the place of an earlier one.
pub fn give_feedback(transaction: &Transaction<'_>, incident: i64, feedback: &Feedback) -> Result<()> {
    let sql = "INSERT INTO feedback (incident, cause, note, given_ns) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET \
               cause = excluded.cause, note = excluded.note, given_ns = excluded.given_ns";
    let Feedback { cause, note, given_ns } = feedback;
    transaction.prepare_cached(sql)?.execute(params![incident, cause, note, given_ns])?;
    Ok(())
}

/// The true cause, where somebody gave it.
pub fn feedback_of(transaction: &Transaction<'_>, incident: i64) -> Result<Option<Feedback>> {
    let sql = "SELECT cause, note, given_ns FROM feedback WHERE incident = ?";
    let feedback = transaction
        .prepare_cached(sql)?
        .query_row([incident], |row| Ok(Feedback { cause: row.get(0)?, note: row.get(1)?, given_ns: row.get(2)? }));
    Ok(feedback.optional()?)
}
