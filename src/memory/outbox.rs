//! Messages to send: kept until a sink has taken them, one per incident and sink, which newer ones replace.

use std::collections::BTreeMap;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::incidents::{Condition, words};
use super::{Result, Transaction};

words! {
    /// What a message says.
    About {
        /// What an analysis gave.
        Report = "report",
        /// That an analysis failed.
        Failure = "failure",
    }
}

/// A message to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The sink's name in the settings.
    pub sink: String,
    /// The number of the incident.
    pub incident: i64,
    /// The version of its report; 0 before there is one.
    pub version: u32,
    /// What it says …
    pub about: About,
    /// … and of an incident in which condition.
    pub condition: Condition,
    /// What the sink made of it.
    pub payload: String,
}

/// A message that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The message.
    pub message: Outgoing,
    /// How often it was tried before.
    pub attempts: u32,
    /// By which the sink finds the incident's message, where it has taken one.
    pub mark: Option<String>,
    /// Whether any message of this incident was tried before and may have been taken without our knowing.
    pub is_repeated: bool,
}

/// Keeps a message; one of the same incident that waits for the same sink is not sent any more.
pub fn enqueue(transaction: &Transaction<'_>, new: &Outgoing, due_ns: i64) -> Result<()> {
    let replaced = "UPDATE outbox SET state = 'replaced' WHERE incident = ? AND sink = ? AND state = 'waiting'";
    transaction.prepare_cached(replaced)?.execute(params![new.incident, new.sink])?;
    let sql = "INSERT INTO outbox (sink, incident, version, about, condition, payload, state, due_ns) \
               VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)";
    let Outgoing { sink, incident, version, about, condition, payload } = new;
    transaction.prepare_cached(sql)?.execute(params![sink, incident, version, about, condition, payload, due_ns])?;
    Ok(())
}

/// Takes the message that is due longest for a sink and notes that it is tried.
pub fn next_delivery(transaction: &Transaction<'_>, sink: &str, now_ns: i64) -> Result<Option<Delivery>> {
    let sql = "SELECT o.id, o.incident, o.version, o.payload, o.attempts, \
               (SELECT mark FROM marks WHERE sink = o.sink AND incident = o.incident), \
               (SELECT coalesce(sum(attempts), 0) FROM outbox WHERE sink = o.sink AND incident = o.incident) > 0, \
               o.about, o.condition \
               FROM outbox AS o WHERE state = 'waiting' AND sink = ?1 AND due_ns <= ?2 ORDER BY due_ns, id LIMIT 1";
    let delivery = transaction.prepare_cached(sql)?.query_row(params![sink, now_ns], |row| {
        let message = Outgoing {
            sink: sink.to_owned(),
            incident: row.get(1)?,
            version: row.get(2)?,
            about: row.get(7)?,
            condition: row.get(8)?,
            payload: row.get(3)?,
        };
        Ok(Delivery { id: row.get(0)?, message, attempts: row.get(4)?, mark: row.get(5)?, is_repeated: row.get(6)? })
    });
    let Some(delivery) = delivery.optional()? else { return Ok(None) };
    transaction.prepare_cached("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?")?.execute([delivery.id])?;
    Ok(Some(delivery))
}

/// When the next message of a sink is due.
pub fn due_delivery_ns(transaction: &Transaction<'_>, sink: &str) -> Result<Option<i64>> {
    let sql = "SELECT min(due_ns) FROM outbox WHERE state = 'waiting' AND sink = ?";
    Ok(transaction.prepare_cached(sql)?.query_row([sink], |row| row.get(0))?)
}

/// Notes that the sink has taken a message, and by which mark it finds it again.
pub fn delivered(transaction: &Transaction<'_>, delivery: &Delivery, mark: Option<&str>) -> Result<()> {
    // One that was replaced while it was under way was sent all the same.
    let sql = "UPDATE outbox SET state = 'sent', problem = NULL WHERE id = ?";
    transaction.prepare_cached(sql)?.execute([delivery.id])?;
    if let Some(mark) = mark {
        let sql =
            "INSERT INTO marks (sink, incident, mark) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET mark = excluded.mark";
        let Outgoing { sink, incident, .. } = &delivery.message;
        transaction.prepare_cached(sql)?.execute(params![sink, incident, mark])?;
    }
    Ok(())
}

/// Notes why a sink has not taken a message, and when to try again.
pub fn not_delivered(transaction: &Transaction<'_>, id: i64, problem: &str, again_ns: i64) -> Result<()> {
    let sql = "UPDATE outbox SET problem = ?2, due_ns = ?3 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![id, problem, again_ns])?;
    Ok(())
}

/// Sends nothing to a sink before an instant.
pub fn leave_alone(transaction: &Transaction<'_>, sink: &str, until_ns: i64) -> Result<()> {
    let sql = "UPDATE outbox SET due_ns = max(due_ns, ?2) WHERE sink = ?1 AND state = 'waiting'";
    transaction.prepare_cached(sql)?.execute(params![sink, until_ns])?;
    Ok(())
}

/// Notes that a sink will never take a message.
pub fn give_up(transaction: &Transaction<'_>, id: i64, problem: &str) -> Result<()> {
    let sql = "UPDATE outbox SET state = 'given_up', problem = ?2 WHERE id = ?1 AND state = 'waiting'";
    transaction.prepare_cached(sql)?.execute(params![id, problem])?;
    Ok(())
}

/// What each sink was told last of an incident, or will be; what no sink will take was told to none.
pub fn told(transaction: &Transaction<'_>, incident: i64) -> Result<BTreeMap<String, (About, Condition)>> {
    let sql = "SELECT sink, about, condition FROM outbox WHERE incident = ? AND state != 'given_up' AND id IN \
               (SELECT max(id) FROM outbox WHERE incident = ?1 GROUP BY sink)";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map([incident], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The sinks that have not taken the incident's newest message, with the reason where one is known.
pub fn undelivered(transaction: &Transaction<'_>, incident: i64) -> Result<Vec<(String, Option<String>)>> {
    let sql = "SELECT sink, problem FROM outbox WHERE incident = ? AND state IN ('waiting', 'given_up') AND id IN \
               (SELECT max(id) FROM outbox WHERE incident = ?1 GROUP BY sink) ORDER BY sink";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map([incident], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
