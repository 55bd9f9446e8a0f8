//! Tests of the crate, one file per promise.

mod append;
mod blobs;
mod inbox;
mod kill;
mod read;
mod script;
mod tamper;

use std::{path::Path, sync::Arc};

use empiric_core::Record;
use jiff::Timestamp;
use rusqlite::{Connection, types::Value};

use crate::{Clock, Durability, Ledger, Options, projection, schema};

/// A clock that stands still, in the middle of a microsecond.
fn clock() -> Clock {
    Arc::new(|| Timestamp::new(1_790_000_000, 123_456_789).expect("in range"))
}

fn options(dir: &Path) -> Options {
    Options { dir: dir.to_owned(), clock: clock(), durability: Durability::Process }
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(options(dir)).expect("the ledger opens")
}

/// A closed and sealed ledger of `trials` plain trials, and its records.
fn closed(dir: &Path, trials: u32) -> Vec<Record> {
    let ledger = open(dir);
    let mut records = Vec::new();
    for events in script::plain(trials) {
        records.extend(ledger.append(events).wait().expect("appended"));
    }
    ledger.close().expect("closed");
    records
}

/// The database, open to do anything to it.
fn raw(dir: &Path) -> Connection {
    Connection::open(schema::path(dir)).expect("the file opens")
}

/// Everything in the projections.
fn dump(dir: &Path) -> Vec<Vec<Value>> {
    let db = raw(dir);
    let mut all = Vec::new();
    for (_, sql) in projection::DUMPS {
        let mut statement = db.prepare(sql).expect("prepared");
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|i| row.get(i)).collect())
            .expect("queried");
        all.extend(rows.map(|row| row.expect("a row")));
    }
    all
}
