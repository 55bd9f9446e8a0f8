//! Reading a ledger, from any process, while another writes or nobody does.

use std::path::{Path, PathBuf};

use empiric_core::{
    Blame, Operator, Purpose, Record, ReplicateId, Seed, Study, Trial, TrialNo, Verdict,
    study::OutOfOrder,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params_from_iter};
use serde::Serialize;
use uuid::Uuid;

use crate::{Error, Head, RequestId, chain, fold, projection, schema, seal};

/// Which trials, and where to go on. Filters are joined by *and*; an absent one does not filter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// Most trials in a page; 0 stands for 100, and more than 1,000 for 1,000.
    pub limit: u32,
    /// From the newest trial down, rather than from the baseline up.
    pub newest_first: bool,
    /// Ended with this verdict.
    pub verdict: Option<Verdict>,
    /// Failed of this cause, by [`empiric_core::Cause::name`].
    pub cause: Option<String>,
    /// Failed, whatever the cause.
    pub failed: bool,
    /// Failed by this party's fault.
    pub blame: Option<Blame>,
    /// Made by this operator.
    pub operator: Option<Operator>,
    /// Made by this proposer.
    pub proposer: Option<String>,
    /// Within this surface.
    pub surface: Option<String>,
    /// Asked for by this arm.
    pub arm: Option<String>,
    /// Has ended, or has not.
    pub ended: Option<bool>,
}

/// Some of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the page that follows; absent on the last one. Opaque; valid for the same order and filters.
    pub next: Option<String>,
}

/// A lease that a trial's replicate took, whatever became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lease {
    /// The event that opened it.
    pub seq: u64,
    /// The replicate.
    pub id: ReplicateId,
    /// What for.
    pub purpose: Purpose,
    /// Place in the purpose's seed stream.
    pub index: u32,
    /// The seed.
    pub seed: Seed,
    /// The slot.
    pub slot: String,
    /// The segment.
    pub segment: u32,
    /// What became of it.
    pub state: LeaseState,
    /// Why what it measured is not usable, by [`empiric_core::Cause::name`].
    pub cause: Option<String>,
    /// Wall-clock seconds, once measured.
    pub wall_s: Option<f64>,
    /// CPU seconds, once measured.
    pub cpu_s: Option<f64>,
    /// GPU seconds, once measured.
    pub gpu_s: Option<f64>,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// It runs, or its holder died.
    Leased,
    /// It ended with a result, usable or not.
    Measured,
    /// It ended without one.
    Fenced,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The last event when it was answered.
    pub seq: u64,
    /// The trial that it became.
    pub trial: Option<TrialNo>,
    /// Why it was not done, where it was not.
    pub refusal: Option<String>,
}

/// The state of this name.
pub(crate) fn lease_state(name: &str) -> Option<LeaseState> {
    match name {
        "leased" => Some(LeaseState::Leased),
        "measured" => Some(LeaseState::Measured),
        "fenced" => Some(LeaseState::Fenced),
        _ => None,
    }
}

/// Whether SQLite cannot open the file for want of a place beside it to write to.
fn is_read_only(error: &Error) -> bool {
    let cannot_open =
        |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::CannotOpen);
    matches!(error, Error::ReadOnly(_))
        || matches!(error, Error::Sqlite(error) if cannot_open(error))
}

/// A ledger open for reading. One thread at a time; open another where two threads read.
#[derive(Debug)]
pub struct Reader {
    pub(crate) db: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the ledger of the study in `dir`. A newer one opens too; what it holds may then not decode.
    ///
    /// # Errors
    /// When there is no ledger, or what is there is not one.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = schema::path(dir);
        if !path.exists() {
            return Err(Error::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags)?;
        db.set_prepared_statement_cache_capacity(32);
        match schema::version(&db, &path) {
            // On a read-only medium there is no place for the log's index. Without a log there is no need for one.
            Err(error) if is_read_only(&error) && seal::is_settled(dir) => {
                Self::open_immutable(path)
            }
            Err(error) => Err(error),
            // A writer died, or is at work, between making the file and making its tables.
            Ok(0) => Err(Error::Missing { path }),
            Ok(_) => Ok(Self { db, path }),
        }
    }

    /// Opens a file that nothing changes, by SQLite's `immutable` parameter.
    pub(crate) fn open_immutable(path: PathBuf) -> Result<Self, Error> {
        let mut uri = "file:".to_owned();
        for character in path.to_string_lossy().chars() {
            match character {
                '%' => uri.push_str("%25"),
                '?' => uri.push_str("%3f"),
                '#' => uri.push_str("%23"),
                other => uri.push(other),
            }
        }
        uri.push_str("?immutable=1");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let db = Connection::open_with_flags(uri, flags)?;
        schema::version(&db, &path)?;
        Ok(Self { db, path })
    }

    /// The format the ledger was written in: `1000 × tables + events`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn version(&self) -> Result<u32, Error> {
        schema::version(&self.db, &self.path)
    }

    /// The last event's place and hash.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<Head, Error> {
        Head::read(&self.db)
    }

    /// At most `limit` records after event `after` (0 for the start), in order.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn records(&self, after: u64, limit: u32) -> Result<Vec<Record>, Error> {
        let mut found = self
            .db
            .prepare_cached("SELECT seq, at, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?")?;
        let mut rows = found.query((after.cast_signed(), limit))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.read(row)?);
        }
        Ok(records)
    }

    /// The record in a row of `seq, at, body`; one that cannot be read may be of another version of Empiric.
    pub(crate) fn read(&self, row: &rusqlite::Row<'_>) -> Result<Record, Error> {
        match chain::record(row) {
            Err(Error::Undecodable { seq, what }) => Err(match self.version()? {
                schema::VERSION => Error::Undecodable { seq, what },
                found => {
                    let (path, known) = (self.path.clone(), schema::VERSION);
                    Error::OtherFormat { path, found, known, seq, what }
                }
            }),
            Err(error) => Err(error),
            Ok(record) => Ok(record),
        }
    }

    /// The study that all events amount to, as of now.
    ///
    /// # Errors
    /// When the ledger is empty, an event cannot be read, or one does not follow from those before it.
    pub fn study(&self) -> Result<Study, Error> {
        let mut events = self.db.prepare_cached("SELECT seq, at, body FROM event ORDER BY seq")?;
        let mut rows = events.query([])?;
        let empty = OutOfOrder { seq: 1, what: "the ledger is empty".to_owned() };
        let mut study = Study::open(&self.read(rows.next()?.ok_or(empty)?)?)?;
        while let Some(row) = rows.next()? {
            study.apply(&self.read(row)?)?;
        }
        Ok(study)
    }

    /// One trial, with everything recorded of it.
    ///
    /// # Errors
    /// When one of its events cannot be read.
    pub fn trial(&self, no: TrialNo) -> Result<Option<Trial>, Error> {
        fold::trial(&self.db, no)
    }

    /// A page of trials.
    ///
    /// # Errors
    /// When the cursor is none of ours, or an event cannot be read.
    pub fn trials(&self, query: &Query) -> Result<Page<Trial>, Error> {
        let tx = self.db.unchecked_transaction()?;
        let limit = if query.limit == 0 { 100 } else { query.limit.min(1000) } as usize;
        let mut numbers = self.matching(query, limit + 1)?;
        let more = numbers.len() > limit;
        numbers.truncate(limit);
        let next = numbers.last().filter(|_| more).map(|no| no.to_string());
        let items = numbers
            .into_iter()
            .filter_map(|no| fold::trial(&self.db, no).transpose())
            .collect::<Result<_, _>>()?;
        tx.finish()?;
        Ok(Page { items, next })
    }

    /// Numbers of the first `limit` trials that match.
    fn matching(&self, query: &Query, limit: usize) -> Result<Vec<TrialNo>, Error> {
        let mut sql = "SELECT no FROM trial WHERE TRUE".to_owned();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut filter = |column: &str, value: Option<String>| {
            if let Some(value) = value {
                sql.push_str(&format!(" AND {column} = ?"));
                values.push(Box::new(value));
            }
        };
        filter("verdict", query.verdict.map(|verdict| verdict.to_string()));
        filter("cause", query.cause.clone());
        filter("blame", query.blame.map(|blame| blame.to_string()));
        filter("operator", query.operator.map(|operator| operator.to_string()));
        filter("proposer", query.proposer.clone());
        filter("surface", query.surface.clone());
        filter("arm", query.arm.clone());
        match query.ended {
            Some(true) => sql.push_str(" AND kind IS NOT NULL"),
            Some(false) => sql.push_str(" AND kind IS NULL"),
            None => {}
        }
        if query.failed {
            sql.push_str(" AND cause IS NOT NULL");
        }
        let (than, order) = if query.newest_first { ("<", "DESC") } else { (">", "ASC") };
        if let Some(cursor) = &query.after {
            let after: TrialNo = cursor.parse().map_err(|_| Error::Cursor(cursor.clone()))?;
            sql.push_str(&format!(" AND no {than} ?"));
            values.push(Box::new(after.0));
        }
        sql.push_str(&format!(" ORDER BY no {order} LIMIT {limit}"));
        let mut found = self.db.prepare_cached(&sql)?;
        let numbers = found.query_map(params_from_iter(values), |row| row.get(0).map(TrialNo))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// Every lease of a trial's replicates, fenced ones too, oldest first.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn leases(&self, trial: TrialNo) -> Result<Vec<Lease>, Error> {
        let mut found = self.db.prepare_cached(
            "SELECT seq, id, purpose, confirm, idx, seed, slot, segment, state, cause, wall_s, cpu_s, gpu_s
             FROM replicate WHERE trial = ? ORDER BY seq",
        )?;
        let leases = found.query_map([trial.0], |row| {
            let unknown = |column| {
                let what = format!("unknown {column}");
                rusqlite::Error::FromSqlConversionFailure(
                    column,
                    rusqlite::types::Type::Text,
                    what.into(),
                )
            };
            Ok(Lease {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                id: ReplicateId(Uuid::from_bytes(row.get(1)?)),
                purpose: projection::purpose(&row.get::<_, String>(2)?, row.get(3)?)
                    .ok_or_else(|| unknown(2))?,
                index: row.get(4)?,
                seed: Seed(row.get(5)?),
                slot: row.get(6)?,
                segment: row.get(7)?,
                state: lease_state(&row.get::<_, String>(8)?).ok_or_else(|| unknown(8))?,
                cause: row.get(9)?,
                wall_s: row.get(10)?,
                cpu_s: row.get(11)?,
                gpu_s: row.get(12)?,
            })
        })?;
        Ok(leases.collect::<Result<_, _>>()?)
    }

    /// What became of a request; nothing while it waits.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn answer(&self, id: RequestId) -> Result<Option<Answer>, Error> {
        let mut found =
            self.db.prepare_cached("SELECT seq, trial, refusal FROM answer WHERE request = ?")?;
        let answer = found
            .query_row([id.0.as_bytes()], |row| {
                Ok(Answer {
                    seq: row.get::<_, i64>(0)?.cast_unsigned(),
                    trial: row.get::<_, Option<u32>>(1)?.map(TrialNo),
                    refusal: row.get(2)?,
                })
            })
            .optional()?;
        Ok(answer)
    }
}
