//! Analyses that are due, being made, and done.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::incidents::words;
use super::{Result, Transaction};

words! {
    /// Why an analysis is to be made.
    Reason {
        /// An alert began to fire.
        First = "first",
        /// More telemetry has come since.
        Later = "later",
        /// All alerts have ended.
        Resolved = "resolved",
        /// Somebody asked.
        Request = "request",
    }
}

words! {
    /// How far an analysis is.
    JobState {
        /// Not yet due, or none is free to make it.
        Waiting = "waiting",
        /// Being made.
        Running = "running",
        /// There is a report.
        Done = "done",
        /// There is none, and a reason why.
        Failed = "failed",
    }
}

/// An analysis to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// The number of the incident.
    pub incident: i64,
    /// Why.
    pub reason: Reason,
    /// How often it was begun.
    pub attempts: u32,
}

/// Makes an analysis due, unless one for the same reason waits already: then that one is made as early as the earlier.
pub fn schedule(transaction: &Transaction<'_>, incident: i64, reason: Reason, due_ns: i64) -> Result<()> {
    let sooner = "UPDATE jobs SET due_ns = min(due_ns, ?3) WHERE incident = ?1 AND reason = ?2 AND state = 'waiting'";
    if reason != Reason::Later && transaction.prepare_cached(sooner)?.execute(params![incident, reason, due_ns])? > 0 {
        return Ok(());
    }
    let new = "INSERT INTO jobs (incident, reason, state, due_ns) VALUES (?1, ?2, 'waiting', ?3)";
    transaction.prepare_cached(new)?.execute(params![incident, reason, due_ns])?;
    if reason == Reason::Resolved {
        // What comes when all is over makes the others needless.
        let needless = "UPDATE jobs SET state = 'done', ended_ns = ?2 WHERE incident = ?1 AND reason = 'later' AND state = 'waiting'";
        transaction.prepare_cached(needless)?.execute(params![incident, due_ns])?;
    }
    Ok(())
}

/// Makes an analysis due, unless any of the incident waits.
pub fn schedule_unless_waiting(
    transaction: &Transaction<'_>,
    incident: i64,
    reason: Reason,
    due_ns: i64,
) -> Result<()> {
    let sql = "INSERT INTO jobs (incident, reason, state, due_ns) SELECT ?1, ?2, 'waiting', ?3 WHERE NOT EXISTS \
               (SELECT 1 FROM jobs WHERE incident = ?1 AND state = 'waiting')";
    transaction.prepare_cached(sql)?.execute(params![incident, reason, due_ns])?;
    Ok(())
}

/// How many incidents wait for their first analysis, or for one that was asked for.
pub fn waiting(transaction: &Transaction<'_>) -> Result<usize> {
    let sql = "SELECT count(DISTINCT incident) FROM jobs WHERE state IN ('waiting', 'running') AND reason IN ('first', 'request')";
    let count: i64 = transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Takes the analysis that is due longest, of an incident that none is being made of.
pub fn claim(transaction: &Transaction<'_>, now_ns: i64) -> Result<Option<Job>> {
    let sql = "UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE id = (SELECT id FROM jobs AS j WHERE \
               state = 'waiting' AND due_ns <= ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE incident = j.incident AND \
               state = 'running') ORDER BY due_ns, id LIMIT 1) RETURNING id, incident, reason, attempts";
    let job = transaction.prepare_cached(sql)?.query_row([now_ns], |row| {
        Ok(Job { id: row.get(0)?, incident: row.get(1)?, reason: row.get(2)?, attempts: row.get(3)? })
    });
    Ok(job.optional()?)
}

/// When the next analysis is due, of an incident that none is being made of.
pub fn due_next_ns(transaction: &Transaction<'_>) -> Result<Option<i64>> {
    let sql = "SELECT min(due_ns) FROM jobs AS j WHERE state = 'waiting' AND NOT EXISTS \
               (SELECT 1 FROM jobs WHERE incident = j.incident AND state = 'running')";
    Ok(transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Notes that an analysis was made.
pub fn finish(transaction: &Transaction<'_>, job: i64, now_ns: i64) -> Result<()> {
    let sql = "UPDATE jobs SET state = 'done', problem = NULL, ended_ns = ?2 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![job, now_ns])?;
    Ok(())
}

/// Notes that an analysis could not be made, and why; `again_ns` makes it due once more.
pub fn fail(transaction: &Transaction<'_>, job: i64, problem: &str, again_ns: Option<i64>, now_ns: i64) -> Result<()> {
    let sql = "UPDATE jobs SET state = iif(?3 IS NULL, 'failed', 'waiting'), problem = ?2, due_ns = coalesce(?3, due_ns), \
               ended_ns = ?4 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![job, problem, again_ns, now_ns])?;
    Ok(())
}

/// Why the incident's last analysis gave no report; `None` where it gave one, or none has ended.
pub fn last_failure(transaction: &Transaction<'_>, incident: i64) -> Result<Option<String>> {
    let sql =
        "SELECT problem FROM jobs WHERE incident = ? AND ended_ns IS NOT NULL ORDER BY ended_ns DESC, id DESC LIMIT 1";
    Ok(transaction.prepare_cached(sql)?.query_row([incident], |row| row.get(0)).optional()?.flatten())
}

/// Before an orderly end: what is being made is due again, as if it had not been begun.
pub fn put_back_interrupted(transaction: &Transaction<'_>) -> Result<usize> {
    let sql = "UPDATE jobs SET state = 'waiting', attempts = attempts - 1 WHERE state = 'running'";
    Ok(transaction.execute(sql, [])?)
}

/// When the incident's next analysis is due.
pub fn due_again_ns(transaction: &Transaction<'_>, incident: i64) -> Result<Option<i64>> {
    let sql = "SELECT min(due_ns) FROM jobs WHERE incident = ? AND state = 'waiting'";
    Ok(transaction.prepare_cached(sql)?.query_row([incident], |row| row.get(0))?)
}

/// After a start: what was being made when the process ended is due again, unless it ended so often that the analysis
/// itself must be what ends it: then that is the problem. Gives the incidents of those.
pub fn put_back_unfinished(
    transaction: &Transaction<'_>,
    most_attempts: u32,
    problem: &str,
    now_ns: i64,
) -> Result<Vec<i64>> {
    let failed = "UPDATE jobs SET state = 'failed', problem = ?2, ended_ns = ?3 WHERE state = 'running' AND attempts >= ?1 \
                  RETURNING incident";
    let mut statement = transaction.prepare_cached(failed)?;
    let failed = statement.query_map(params![most_attempts, problem, now_ns], |row| row.get(0))?;
    let failed = failed.collect::<rusqlite::Result<_>>()?;
    let again = "UPDATE jobs SET state = 'waiting', problem = NULL, ended_ns = NULL WHERE state = 'running'";
    transaction.execute(again, [])?;
    Ok(failed)
}
