//! Does a study's directory still hold what was written?
//!
//! In this order, so that the first fault names an event where one is hit: the chain, row by row, with each event's
//! columns, body and place among the others; the schema and its triggers; SQLite's own check of pages and indexes; the
//! projections against a rebuild; the seal; the blobs that events speak of, then the others.
//!
//! One changed byte of a closed ledger is always found. While somebody writes, or after a writer was killed, there is
//! no seal, and bytes that hold nothing (unused parts of pages, a few of the header) can change unseen. A tail that was
//! cut off cleanly is found by the seal alone.

use std::{collections::BTreeMap, path::Path};

use empiric_core::{BlobId, Event, Record, Study};
use rusqlite::{Connection, Row, types::Value};
use serde::Serialize;

use crate::{Blobs, Error, Head, Reader, chain, projection, schema, seal::Seal};

/// Most faults that are listed; the rest are counted.
const MOST: usize = 100;

/// What was checked and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verification {
    /// Events read.
    pub events: u64,
    /// Blobs read.
    pub blobs: u64,
    /// Whether the whole file was compared with its seal.
    pub sealed: bool,
    /// What is wrong; the ledger is sound when there is nothing here.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The event that is hit, where it is one.
    pub event: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Verifies the ledger and the blobs of the study in `dir`. Nothing is written, and damage of any kind is a fault.
///
/// # Errors
/// When there is no ledger in `dir`.
pub fn verify(dir: &Path) -> Result<Verification, Error> {
    let mut check = Check::default();
    // Read before the events: a writer breaks it before it writes, so while it stays the same, the file does.
    check.seal = check.part(|_| Seal::read(dir)).flatten();
    match Reader::open(dir) {
        Ok(reader) => check.ledger(&reader, dir),
        Err(error @ Error::Missing { .. }) if !schema::path(dir).exists() => return Err(error),
        Err(error) => check.fault(None, error.to_string()),
    }
    check.blobs(&Blobs::of(dir));
    if check.hidden > 0 {
        let what = format!("and {} more", check.hidden);
        check.done.faults.push(Fault { event: None, what });
    }
    Ok(check.done)
}

#[derive(Default)]
struct Check {
    done: Verification,
    hidden: usize,
    seal: Option<Seal>,
    logs: BTreeMap<BlobId, u64>,
}

impl Check {
    fn fault(&mut self, event: Option<u64>, what: impl Into<String>) {
        if self.done.faults.len() < MOST {
            self.done.faults.push(Fault { event, what: what.into() });
        } else {
            self.hidden += 1;
        }
    }

    /// Runs one part; an error that ends it early is a fault of the file.
    fn part<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Error>) -> Option<T> {
        part(self).map_err(|error| self.fault(None, error.to_string())).ok()
    }

    fn ledger(&mut self, reader: &Reader, dir: &Path) {
        // One snapshot for all parts, whatever a writer does meanwhile.
        let Some(tx) = self.part(|_| Ok(reader.db.unchecked_transaction()?)) else { return };
        let fresh = self.part(|_| schema::in_memory());
        let Some(fresh) = fresh else { return };
        self.part(|check| check.version(reader));
        let follows = self.part(|check| check.chain(&tx, &fresh, dir)).unwrap_or(false);
        self.part(|check| check.schema(&tx, &fresh));
        self.part(|check| check.pages(&tx));
        if follows {
            for (table, dump) in projection::DUMPS {
                self.part(|check| check.projection(&tx, &fresh, table, dump));
            }
        }
        self.part(|check| check.file(dir));
    }

    fn version(&mut self, reader: &Reader) -> Result<(), Error> {
        let (found, known) = (reader.version()?, schema::VERSION);
        if found != known {
            self.fault(
                None,
                format!("its format is {found}; this version of Empiric verifies {known}"),
            );
        }
        Ok(())
    }

    /// Reads every event; whether all follow from one another, so that `fresh` holds their projections.
    fn chain(&mut self, db: &Connection, fresh: &Connection, dir: &Path) -> Result<bool, Error> {
        let mut head = Head::START;
        let mut fold = Fold { study: None, fresh, follows: true };
        let mut events =
            db.prepare("SELECT seq, at, name, trial, body, hash FROM event ORDER BY seq")?;
        let mut rows = events.query([])?;
        fresh.execute_batch("BEGIN")?;
        loop {
            match rows.next() {
                Ok(Some(row)) => head = self.event(head, row, &mut fold),
                Ok(None) => break,
                Err(error) => {
                    self.fault(Some(head.seq + 1), format!("it cannot be read: {error}"));
                    fold.follows = false;
                    break;
                }
            }
        }
        fresh.execute_batch("COMMIT")?;
        if let Some(sealed) = self.sealed(dir)?.map(|seal| seal.head()).filter(|it| *it != head) {
            let event = (head.seq < sealed.seq).then_some(head.seq + 1);
            self.fault(event, format!("the last event is {head}; sealed was {sealed}"));
        }
        Ok(fold.follows)
    }

    /// Checks one row against the head before it; the head after it, as stored.
    fn event(&mut self, before: Head, row: &Row<'_>, fold: &mut Fold<'_>) -> Head {
        self.done.events += 1;
        let expected = before.seq + 1;
        let columns = match columns(row) {
            Ok(columns) => columns,
            Err(what) => {
                self.fault(Some(expected), what);
                fold.follows = false;
                return Head { seq: expected, ..before };
            }
        };
        let Columns { seq, at, name, trial, body, hash } = columns;
        if seq != expected {
            self.fault(Some(expected), format!("it is missing; event {seq} is in its place"));
        }
        let before = Head { seq: seq.saturating_sub(1), ..before };
        if before.then(at, body).hash.0 != hash {
            self.fault(Some(seq), "its hash is not that of its content and the event before it");
        }
        match chain::decode(seq, at, body) {
            Ok(record) => {
                if record.event.name().as_bytes() != name {
                    self.fault(Some(seq), "its column `name` is not what its body says");
                }
                if record.event.trial().map(|no| i64::from(no.0)) != trial {
                    self.fault(Some(seq), "its column `trial` is not what its body says");
                }
                self.note_logs(&record);
                if let Err(error) = fold.take(&record) {
                    self.fault(Some(seq), error.to_string());
                }
            }
            Err(error) => {
                self.fault(Some(seq), error.to_string());
                fold.follows = false;
            }
        }
        Head { seq, hash: empiric_core::Digest(hash) }
    }

    fn note_logs(&mut self, record: &Record) {
        let mut named: Vec<BlobId> = Vec::new();
        let mut logs: Vec<&String> = Vec::new();
        match &record.event {
            Event::Measured { result, .. } => {
                logs.extend(result.units.iter().filter_map(|unit| unit.log.as_ref()));
            }
            Event::Rehearsed { rehearsal, .. } => logs.extend(&rehearsal.log),
            Event::Fetched { fetch, .. } => named.extend(fetch.page),
            Event::Called { call, .. } => named.extend([call.request, call.answer]),
            Event::Staffed { team, .. } => named.extend(team.prompts.values()),
            Event::StudyOpened { .. }
            | Event::SessionStarted { .. }
            | Event::SegmentOpened { .. }
            | Event::BudgetSet { .. }
            | Event::Asked { .. }
            | Event::IdeaAdded { .. }
            | Event::IdeaChanged { .. }
            | Event::Learned { .. }
            | Event::Proposed { .. }
            | Event::Leased { .. }
            | Event::Fenced { .. }
            | Event::Quarantined { .. }
            | Event::Concluded { .. }
            | Event::ReportOpened { .. }
            | Event::AblationOpened { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Pinned { .. }
            | Event::Unpinned { .. }
            | Event::Requeued { .. }
            | Event::Resumed { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. } => {}
        }
        for log in logs {
            match log.parse() {
                Ok(id) => named.push(id),
                Err(error) => self.fault(Some(record.seq), format!("its log: {error}")),
            }
        }
        for id in named {
            self.logs.entry(id).or_insert(record.seq);
        }
    }

    fn schema(&mut self, db: &Connection, fresh: &Connection) -> Result<(), Error> {
        let read = |db: &Connection| -> Result<Vec<(String, String, Option<String>)>, Error> {
            let mut found =
                db.prepare("SELECT name, type, sql FROM sqlite_schema ORDER BY name, type")?;
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        // SQLite's own tables (`sqlite_stat1`, …) come and go with `ANALYZE`.
        let ours = |rows: Vec<(String, String, Option<String>)>| -> Vec<_> {
            rows.into_iter().filter(|(_, _, sql)| sql.is_some()).collect()
        };
        if ours(read(db)?) != ours(read(fresh)?) {
            self.fault(None, "its tables, indexes and triggers are not those that Empiric makes");
        }
        Ok(())
    }

    /// SQLite's check of pages, cells and indexes.
    fn pages(&mut self, db: &Connection) -> Result<(), Error> {
        let mut check = db.prepare(&format!("PRAGMA integrity_check({MOST})"))?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let what = String::from_utf8_lossy(chain::text(row.get_ref(0)?).unwrap_or_default());
            if what != "ok" {
                self.fault(event_row(&what), format!("ledger.db is damaged: {what}"));
            }
        }
        Ok(())
    }

    fn projection(
        &mut self,
        db: &Connection,
        fresh: &Connection,
        table: &str,
        dump: &str,
    ) -> Result<(), Error> {
        let (mut stored, mut rebuilt) = (db.prepare(dump)?, fresh.prepare(dump)?);
        let (mut stored, mut rebuilt) = (stored.query([])?, rebuilt.query([])?);
        loop {
            let stored = stored.next()?.map(values).transpose()?;
            let rebuilt = rebuilt.next()?.map(values).transpose()?;
            if stored != rebuilt {
                let event = match rebuilt.or(stored).as_deref() {
                    Some([Value::Integer(seq), ..]) => Some(seq.cast_unsigned()),
                    _ => None,
                };
                self.fault(event, format!("table `{table}` is not what the events give"));
                return Ok(());
            }
            if stored.is_none() {
                return Ok(());
            }
        }
    }

    /// Compares the whole file with its seal.
    fn file(&mut self, dir: &Path) -> Result<(), Error> {
        let Some(seal) = self.sealed(dir)? else { return Ok(()) };
        let holds = seal.holds(dir)?;
        self.done.sealed = self.sealed(dir)?.is_some();
        if self.done.sealed && !holds {
            let what = "ledger.db was changed after it was closed: it is not what ledger.seal says";
            self.fault(None, what);
        }
        Ok(())
    }

    /// The seal, while nobody has broken it since the verification began.
    fn sealed(&self, dir: &Path) -> Result<Option<Seal>, Error> {
        Ok(if self.seal.is_some() && self.seal == Seal::read(dir)? {
            self.seal.clone()
        } else {
            None
        })
    }

    fn blobs(&mut self, blobs: &Blobs) {
        let logs = std::mem::take(&mut self.logs);
        let read = |check: &mut Self, id, event| {
            check.done.blobs += 1;
            if let Err(error) = blobs.get(id) {
                check.fault(event, error.to_string());
            }
        };
        for (id, seq) in &logs {
            read(self, *id, Some(*seq));
        }
        self.part(|check| {
            blobs.ids()?.filter(|id| !logs.contains_key(id)).for_each(|id| read(check, id, None));
            Ok(())
        });
    }
}

/// The events read so far, as a study and as projections.
struct Fold<'a> {
    study: Option<Study>,
    fresh: &'a Connection,
    follows: bool,
}

impl Fold<'_> {
    fn take(&mut self, record: &Record) -> Result<(), Error> {
        if !self.follows {
            return Ok(());
        }
        self.follows = false;
        match &mut self.study {
            None => self.study = Some(Study::open(record)?),
            Some(study) => study.apply(record)?,
        }
        projection::project(self.fresh, record)?;
        self.follows = true;
        Ok(())
    }
}

/// A row of `event`, of the right types.
struct Columns<'a> {
    seq: u64,
    at: i64,
    name: &'a [u8],
    trial: Option<i64>,
    body: &'a [u8],
    hash: [u8; 32],
}

fn columns<'a>(row: &'a Row<'_>) -> Result<Columns<'a>, String> {
    let value = |place: usize, column: &str| {
        row.get_ref(place).map_err(|error| format!("its column `{column}`: {error}"))
    };
    let wrong = |column: &str| format!("its column `{column}` is of the wrong type");
    Ok(Columns {
        seq: value(0, "seq")?.as_i64().map_err(|_| wrong("seq"))?.cast_unsigned(),
        at: value(1, "at")?.as_i64().map_err(|_| wrong("at"))?,
        name: chain::text(value(2, "name")?).ok_or_else(|| wrong("name"))?,
        trial: value(3, "trial")?.as_i64_or_null().map_err(|_| wrong("trial"))?,
        body: chain::text(value(4, "body")?).ok_or_else(|| wrong("body"))?,
        hash: value(5, "hash")?
            .as_blob()
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("hash"))?,
    })
}

fn values(row: &Row<'_>) -> Result<Vec<Value>, rusqlite::Error> {
    (0..row.as_ref().column_count()).map(|place| row.get(place)).collect()
}

/// The event in a complaint such as `row 12 missing from index event_trial`.
fn event_row(complaint: &str) -> Option<u64> {
    let (row, index) = complaint.strip_prefix("row ")?.split_once(" missing from index ")?;
    if index == "event_trial" { row.parse().ok() } else { None }
}
