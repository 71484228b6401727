//! Incidents: what is open, what was, and the search in both.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row, params};

use super::{Result, Transaction};

/// A closed set of words in a column.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl $name {
            /// As it stands in the file and in the API.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The reverse of [`Self::word`].
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.word().to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::of_word(value.as_str()?).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}
pub(super) use words;

words! {
    /// Where an incident comes from.
    Origin {
        /// From an alert.
        Alert = "alert",
        /// Somebody asked for the analysis of a window.
        Request = "request",
    }
}

words! {
    /// Whether an incident goes on.
    Condition {
        /// An alert fires.
        Firing = "firing",
        /// All have ended, or the window that was asked for is over.
        Resolved = "resolved",
        /// None was told to have ended, or not each of them, but nothing is heard of them any more.
        Unheard = "unheard",
    }
}

/// An incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncidentRecord {
    /// Its number; 0 before it is remembered.
    pub id: i64,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it goes on.
    pub condition: Condition,
    /// Name of its first alert. Hostile text.
    pub title: String,
    /// Where users feel it, as the alert says.
    pub entry: Option<String>,
    /// `latency` or `errors`, as the alert says.
    pub symptom: Option<String>,
    /// When its first alert began to fire, or the window that was asked for, Unix nanoseconds.
    pub starts_ns: i64,
    /// When its last alert ended; `None` while it goes on.
    pub ends_ns: Option<i64>,
    /// When the last alert joined it, by our clock.
    pub last_alert_ns: i64,
    /// Baselines that were asked for, as windows are written, joined by commas; empty for derived ones.
    pub baseline: String,
    /// When anything of it changed last.
    pub updated_ns: i64,
}

const COLUMNS: &str =
    "id, origin, condition, title, entry, symptom, starts_ns, ends_ns, last_alert_ns, baseline, updated_ns";

fn of_row(row: &Row<'_>) -> rusqlite::Result<IncidentRecord> {
    Ok(IncidentRecord {
        id: row.get(0)?,
        origin: row.get(1)?,
        condition: row.get(2)?,
        title: row.get(3)?,
        entry: row.get(4)?,
        symptom: row.get(5)?,
        starts_ns: row.get(6)?,
        ends_ns: row.get(7)?,
        last_alert_ns: row.get(8)?,
        baseline: row.get(9)?,
        updated_ns: row.get(10)?,
    })
}

/// Remembers a new incident and gives its number.
pub fn insert_incident(transaction: &Transaction<'_>, new: &IncidentRecord) -> Result<i64> {
    let sql = format!("INSERT INTO incidents ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    transaction.prepare_cached(&sql)?.execute(params![
        new.origin,
        new.condition,
        new.title,
        new.entry,
        new.symptom,
        new.starts_ns,
        new.ends_ns,
        new.last_alert_ns,
        new.baseline,
        new.updated_ns
    ])?;
    Ok(transaction.last_insert_rowid())
}

/// The incident of a number.
pub fn incident(transaction: &Transaction<'_>, id: i64) -> Result<Option<IncidentRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM incidents WHERE id = ?");
    Ok(transaction.prepare_cached(&sql)?.query_row([id], of_row).optional()?)
}

/// Incidents from alerts whose last one joined since then.
pub fn open_incidents(transaction: &Transaction<'_>, since_ns: i64) -> Result<Vec<IncidentRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM incidents WHERE origin = 'alert' AND last_alert_ns >= ? ORDER BY last_alert_ns DESC, id DESC"
    );
    let found = transaction.prepare_cached(&sql)?.query_map([since_ns], of_row)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// Another alert has joined the incident, which goes on again where it had ended.
pub fn extend_incident(
    transaction: &Transaction<'_>,
    id: i64,
    starts_ns: i64,
    entry_and_symptom: (Option<&str>, Option<&str>),
    now_ns: i64,
) -> Result<()> {
    let sql = "UPDATE incidents SET condition = 'firing', ends_ns = NULL, starts_ns = min(starts_ns, ?2), \
               entry = coalesce(entry, ?3), symptom = coalesce(symptom, ?4), last_alert_ns = ?5, updated_ns = ?5 WHERE id = ?1";
    let (entry, symptom) = entry_and_symptom;
    transaction.prepare_cached(sql)?.execute(params![id, starts_ns, entry, symptom, now_ns])?;
    Ok(())
}

/// Closes an incident none of whose alerts fires any more, and tells whether that is news.
pub fn end_incident(transaction: &Transaction<'_>, id: i64, now_ns: i64) -> Result<bool> {
    let sql = "UPDATE incidents SET condition = of_alerts.condition, updated_ns = ?2, ends_ns = of_alerts.ends_ns FROM \
               (SELECT iif(count(ended_seen_ns) = count(*), 'resolved', 'unheard') AS condition, max(ends_ns) AS ends_ns, \
               count(ends_ns) = count(*) AS is_over FROM alerts WHERE incident = ?1) AS of_alerts \
               WHERE id = ?1 AND of_alerts.is_over AND incidents.condition != of_alerts.condition";
    Ok(transaction.prepare_cached(sql)?.execute(params![id, now_ns])? > 0)
}

/// What to look for among incidents; what is `None` is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Search {
    /// Whether it goes on.
    pub condition: Option<Condition>,
    /// Its entry, or the cause of its newest report.
    pub service: Option<String>,
    /// A part of its title, or of the text of its newest report.
    pub text: Option<String>,
    /// Began at this instant or later.
    pub from_ns: Option<i64>,
    /// Began before this instant.
    pub to_ns: Option<i64>,
    /// Only incidents with a smaller number: the next page.
    pub before_id: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// The newest incidents that fit. Texts of reports are read only where a part of one is looked for.
pub fn search(transaction: &Transaction<'_>, wanted: &Search) -> Result<Vec<IncidentRecord>> {
    let has_text = match wanted.text {
        None => "?3 IS NULL",
        Some(_) => {
            "(instr(lower(title), lower(?3)) > 0 OR instr(lower((SELECT text FROM reports WHERE incident = i.id \
             ORDER BY version DESC LIMIT 1)), lower(?3)) > 0)"
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM incidents AS i WHERE (?1 IS NULL OR condition = ?1) \
         AND (?2 IS NULL OR entry = ?2 OR (SELECT cause FROM reports WHERE incident = i.id ORDER BY version DESC LIMIT 1) = ?2) \
         AND {has_text} AND (?4 IS NULL OR starts_ns >= ?4) AND (?5 IS NULL OR starts_ns < ?5) AND (?6 IS NULL OR id < ?6) \
         ORDER BY id DESC LIMIT ?7"
    );
    let Search { condition, service, text, from_ns, to_ns, before_id, limit } = wanted;
    let mut statement = transaction.prepare_cached(&sql)?;
    let found = statement.query_map(params![condition, service, text, from_ns, to_ns, before_id, limit], of_row)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Forgets incidents that ended before an instant, or of which nothing was heard since, with all that belongs to them, and
/// changes of before. One that fires is kept, however long: a repetition of its alert would begin another.
pub fn delete_before(transaction: &Transaction<'_>, before_ns: i64) -> Result<usize> {
    let sql = "DELETE FROM incidents WHERE updated_ns < ?1 AND coalesce(ends_ns, starts_ns) < ?1 \
               AND condition != 'firing' AND NOT EXISTS (SELECT 1 FROM jobs WHERE incident = incidents.id AND state IN ('waiting', 'running'))";
    let incidents = transaction.execute(sql, [before_ns])?;
    transaction.execute("DELETE FROM changes WHERE at_ns < ?1", [before_ns])?;
    transaction.execute("DELETE FROM edges WHERE seen_ns < ?1", [before_ns])?;
    Ok(incidents)
}
