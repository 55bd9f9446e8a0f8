//! The tables, their versions, and opening the database.
//!
//! `user_version` holds two numbers, `1000 × tables + events`: how many of [`MIGRATIONS`] were applied, and the event
//! format ([`empiric_core::event::SCHEMA`]). A ledger that is newer in either is read, never written.

use std::path::{Path, PathBuf};

use empiric_core::event;
use rusqlite::{Connection, OpenFlags};

use crate::{Error, projection};

/// `EMPL`, in the file's header.
const APPLICATION_ID: i32 = 0x454d_504c;

/// Steps of the tables that are not projections, oldest first; never edited, only added to. Projections need none:
/// they are dropped and rebuilt when the version changes.
const MIGRATIONS: [&str; 3] = [
    "
CREATE TABLE event (
    seq   INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    trial INTEGER,
    body  TEXT NOT NULL,
    hash  BLOB NOT NULL
) STRICT;
CREATE INDEX event_trial ON event (trial) WHERE trial IS NOT NULL;
CREATE TRIGGER event_appended BEFORE INSERT ON event
WHEN new.seq IS NOT (SELECT ifnull(max(seq), 0) + 1 FROM event)
BEGIN SELECT raise(ABORT, 'events are only appended'); END;
CREATE TRIGGER event_unchanged BEFORE UPDATE ON event
BEGIN SELECT raise(ABORT, 'events are never changed'); END;
CREATE TRIGGER event_undeleted BEFORE DELETE ON event
BEGIN SELECT raise(ABORT, 'events are never deleted'); END;
CREATE TABLE answer (
    request BLOB PRIMARY KEY,
    seq     INTEGER NOT NULL,
    trial   INTEGER,
    refusal TEXT
) STRICT, WITHOUT ROWID;
",
    "
CREATE INDEX event_study ON event (seq) WHERE trial IS NULL;
",
    // What a trial is, without its replicates, of which a champion has thousands.
    "
CREATE INDEX event_own ON event (trial)
WHERE trial IS NOT NULL AND name NOT IN ('leased', 'measured', 'fenced');
CREATE INDEX event_pin ON event (seq) WHERE name IN ('pinned', 'unpinned');
",
];

/// The version this crate writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32 * 1000 + event::SCHEMA;

/// The database of the study in `dir`.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("ledger.db")
}

/// Whether the tables of a database of version `found` are those that this crate reads.
pub(crate) fn is_current(found: u32) -> bool {
    found == VERSION || newer(found)
}

/// Whether `found` is newer than this crate in its tables or its events.
fn newer(found: u32) -> bool {
    found / 1000 > VERSION / 1000 || found % 1000 > VERSION % 1000
}

/// Opens or creates the database for writing, and says which version it is of. The caller holds the lock.
pub(crate) fn open_to_write(path: &Path, full_sync: bool) -> Result<(Connection, u32), Error> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let found = version(&db, path)?;
    if newer(found) {
        return Err(Error::Newer { path: path.to_owned(), found, known: VERSION });
    }
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", if full_sync { "full" } else { "normal" })?;
    db.pragma_update(None, "wal_autocheckpoint", 4000)?;
    // A page that is split keeps no stale copy of rows that moved: what is found in the file is what is read.
    db.pragma_update(None, "secure_delete", true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok((db, found))
}

/// Brings a database of version `found` to [`VERSION`].
pub(crate) fn migrate(db: &mut Connection, found: u32) -> Result<(), Error> {
    if found == VERSION {
        return Ok(());
    }
    let tx = db.transaction()?;
    for step in MIGRATIONS.iter().skip(found as usize / 1000) {
        tx.execute_batch(step)?;
    }
    projection::rebuild(&tx)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// The version of the database, 0 when it is new.
pub(crate) fn version(db: &Connection, path: &Path) -> Result<u32, Error> {
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: u32 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, tables) {
        (APPLICATION_ID, _) => Ok(version),
        (0, 0) => Ok(0),
        _ => Err(Error::NotALedger { path: path.to_owned() }),
    }
}

/// An empty ledger in memory, to compare with.
pub(crate) fn in_memory() -> Result<Connection, Error> {
    let db = Connection::open_in_memory()?;
    for step in MIGRATIONS {
        db.execute_batch(step)?;
    }
    db.execute_batch(projection::TABLES)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
