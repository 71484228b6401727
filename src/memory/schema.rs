//! The tables, and how older files come to have them.

use rusqlite::Connection;

/// What each version added to the one before; a file's `user_version` counts how many it has. Never changed, only added to.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,               -- alert, request
    condition TEXT NOT NULL,            -- firing, resolved
    title TEXT NOT NULL,
    entry TEXT,
    symptom TEXT,                       -- latency, errors
    starts_ns INTEGER NOT NULL,
    ends_ns INTEGER,
    last_alert_ns INTEGER NOT NULL,     -- when the last alert joined, by our clock
    baseline TEXT NOT NULL DEFAULT '',  -- asked for with a request: START/END, joined by commas
    updated_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX incidents_by_start ON incidents (starts_ns);
CREATE INDEX incidents_firing ON incidents (condition, last_alert_ns);

CREATE TABLE alerts (
    identity TEXT PRIMARY KEY,          -- receiver, fingerprint and start
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    service TEXT,
    symptom TEXT,
    starts_ns INTEGER NOT NULL,
    ends_ns INTEGER,
    ended_seen_ns INTEGER,              -- when we heard of the end, by our clock
    group_key TEXT NOT NULL,
    ticket TEXT,
    expression TEXT,
    summary TEXT,
    body TEXT NOT NULL                  -- the alert as it came, JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_of_incident ON alerts (incident);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    reason TEXT NOT NULL,               -- first, later, resolved, request
    state TEXT NOT NULL,                -- waiting, running, done, failed
    due_ns INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    ended_ns INTEGER
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, due_ns);
CREATE INDEX jobs_of_incident ON jobs (incident);

CREATE TABLE reports (
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    job INTEGER NOT NULL UNIQUE,        -- an analysis gives one report
    made_ns INTEGER NOT NULL,
    condition TEXT NOT NULL,            -- of the incident, as messages told it
    verdict TEXT NOT NULL,
    cause TEXT,
    probability REAL,
    signature TEXT NOT NULL,            -- cause, path and signals; empty without a cause
    changed TEXT NOT NULL,              -- since the version before, JSON
    json TEXT NOT NULL,
    markdown TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (incident, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX reports_by_signature ON reports (signature);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,                -- waiting, sent, replaced, given_up
    attempts INTEGER NOT NULL DEFAULT 0,
    due_ns INTEGER NOT NULL,
    problem TEXT
) STRICT;
CREATE INDEX outbox_waiting ON outbox (state, sink, due_ns);
CREATE INDEX outbox_of_incident ON outbox (incident, sink);

CREATE TABLE marks (                    -- by which a sink finds its message again
    sink TEXT NOT NULL,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    mark TEXT NOT NULL,
    PRIMARY KEY (sink, incident)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns INTEGER NOT NULL,
    service TEXT,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (at_ns, service, kind, version, description)
) STRICT;
CREATE INDEX changes_by_time ON changes (at_ns);

CREATE TABLE feedback (
    incident INTEGER PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
    cause TEXT,                         -- none for a false alarm
    note TEXT NOT NULL,
    given_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE server (                   -- one row
    name TEXT NOT NULL                  -- tells its incidents from those of other servers
) STRICT;
INSERT INTO server VALUES (lower(hex(randomblob(3))));

CREATE TABLE edges (                    -- who calls whom, from the analyses
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    seen_ns INTEGER NOT NULL,
    PRIMARY KEY (caller, callee)
) STRICT, WITHOUT ROWID;
",
    "
ALTER TABLE alerts ADD COLUMN heard_ns INTEGER NOT NULL DEFAULT 0; -- when it was told to fire last, by our clock
UPDATE alerts SET heard_ns = (SELECT last_alert_ns FROM incidents WHERE id = alerts.incident);
CREATE INDEX alerts_firing ON alerts (heard_ns) WHERE ends_ns IS NULL;

-- What a message says: of a report, or of an analysis that failed; and the condition of the incident.
ALTER TABLE outbox ADD COLUMN about TEXT NOT NULL DEFAULT 'report';
ALTER TABLE outbox ADD COLUMN condition TEXT NOT NULL DEFAULT 'firing';
UPDATE outbox SET condition = coalesce((SELECT condition FROM reports WHERE reports.incident = outbox.incident
    AND reports.version = outbox.version), condition);
",
];

/// The schema of files of the first release.
#[cfg(test)]
pub(super) const FIRST: &str = MIGRATIONS[0];

/// The schema that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// What a file was found to be.
pub(super) enum Found {
    /// It has today's schema now.
    Known,
    /// It has this one, of a later day; it was left as it is.
    Newer(usize),
}

/// Brings a file to today's schema, in one step or not at all.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Found> {
    let found: usize = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
    let Some(missing) = MIGRATIONS.get(found..) else { return Ok(Found::Newer(found)) };
    let transaction = connection.transaction()?;
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION as u32)?;
    transaction.commit()?;
    Ok(Found::Known)
}
