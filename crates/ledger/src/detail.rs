//! Reading one trial of a large study. A champion has thousands of replicates: what a trial is, its replicates and its
//! values are three questions, each of which costs what it answers.

use std::collections::BTreeMap;

use empiric_core::{
    Event, Purpose, Record, Replicate, ReplicateId, Seed, Split, Trial, TrialNo, trial::Measured,
};
use rusqlite::{OptionalExtension as _, Row};
use uuid::Uuid;

use crate::{Error, Reader, chain, fold, projection};

/// One value of one metric, from a usable replicate.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it was measured for.
    pub purpose: Purpose,
    /// The segment.
    pub segment: u32,
    /// The seed.
    pub seed: Seed,
    /// The value.
    pub value: f64,
}

/// The mean of a metric over finished replicates, failed ones as well.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanOf {
    /// The metric.
    pub metric: String,
    /// The split, by name.
    pub split: String,
    /// The mean.
    pub mean: f64,
    /// Replicates.
    pub replicates: usize,
}

/// A replicate with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The event that opened its lease.
    pub seq: u64,
    /// It.
    pub replicate: Replicate,
}

/// Columns of a [`Placed`]; leases that ended without a result are no replicates.
const PLACED: &str =
    "SELECT seq, id, trial, purpose, confirm, idx, seed, slot, segment, seq_ended FROM replicate
    WHERE state <> 'fenced'";

impl Reader {
    /// One trial with everything recorded of it but its replicates.
    ///
    /// # Errors
    /// When one of its events cannot be read.
    pub fn trial_alone(&self, no: TrialNo) -> Result<Option<Trial>, Error> {
        let mut events = self.db.prepare_cached(
            "SELECT seq, at, body FROM event INDEXED BY event_own
             WHERE trial = ? AND name NOT IN ('leased', 'measured', 'fenced') ORDER BY seq",
        )?;
        let mut rows = events.query([no.0])?;
        let mut trial = None;
        while let Some(row) = rows.next()? {
            fold::next(&mut trial, chain::record(row)?, None)?;
        }
        Ok(trial)
    }

    /// How many replicates a trial has, those under way among them.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn replicate_count(&self, trial: TrialNo) -> Result<usize, Error> {
        let sql = "SELECT count(*) FROM replicate WHERE trial = ? AND state <> 'fenced'";
        let count: i64 = self.db.prepare_cached(sql)?.query_row([trial.0], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// At most `limit` replicates of `trial` whose leases were opened before event `before`, newest first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn replicates_before(
        &self,
        trial: TrialNo,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Placed>, Error> {
        let sql = format!("{PLACED} AND trial = ? AND seq < ? ORDER BY seq DESC LIMIT ?");
        let mut found = self.db.prepare_cached(&sql)?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let rows = found.query_map((trial.0, before, limit), placed)?;
        rows.map(|row| self.with_result(row?)).collect()
    }

    /// One replicate.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn replicate(&self, id: ReplicateId) -> Result<Option<Placed>, Error> {
        let sql = format!("{PLACED} AND id = ?");
        let mut found = self.db.prepare_cached(&sql)?;
        let row = found.query_row([id.0.as_bytes()], placed).optional()?;
        row.map(|row| self.with_result(row)).transpose()
    }

    /// The replicate with what the event that ended it says.
    fn with_result(&self, (mut placed, ended): (Placed, Option<u64>)) -> Result<Placed, Error> {
        if let Some(seq) = ended
            && let Some(Record { event: Event::Measured { result, .. }, .. }) = self.record(seq)?
        {
            placed.replicate.result = Some(result);
        }
        Ok(placed)
    }

    /// The values of `metric` on `split` that a trial's usable replicates have, oldest first; where the evaluator gives no
    /// such split, those on the search split.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn values(&self, trial: TrialNo, metric: &str, split: Split) -> Result<Vec<Value>, Error> {
        self.values_of(trial, metric, split, "")
    }

    /// Those on the search split of its search replicates.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn search_values(&self, trial: TrialNo, metric: &str) -> Result<Vec<Value>, Error> {
        self.values_of(trial, metric, Split::Search, "AND purpose = 'search'")
    }

    fn values_of(
        &self,
        trial: TrialNo,
        metric: &str,
        split: Split,
        only: &str,
    ) -> Result<Vec<Value>, Error> {
        let sql = format!(
            "SELECT purpose, confirm, segment, seed,
                 coalesce(max(value) FILTER (WHERE split = ?3), max(value) FILTER (WHERE split = 'search'))
             FROM replicate JOIN measurement ON measurement.replicate = replicate.seq
             WHERE trial = ?1 {only} AND metric = ?2 AND state = 'measured' AND cause IS NULL
             GROUP BY replicate.seq ORDER BY replicate.seq"
        );
        let mut found = self.db.prepare_cached(&sql)?;
        let rows = found.query_map((trial.0, metric, split.name()), |row| {
            Ok((purpose(row, 0)?, row.get(2)?, Seed(row.get(3)?), row.get::<_, Option<f64>>(4)?))
        })?;
        let mut values = Vec::new();
        for row in rows {
            let (purpose, segment, seed, value) = row?;
            values.extend(value.map(|value| Value { purpose, segment, seed, value }));
        }
        Ok(values)
    }

    /// The mean of everything measured of a trial, by metric and split.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn means(&self, trial: TrialNo) -> Result<Vec<MeanOf>, Error> {
        let sql = "SELECT metric, split, avg(value), count(*)
                   FROM replicate JOIN measurement ON measurement.replicate = replicate.seq
                   WHERE trial = ? GROUP BY metric, split ORDER BY metric, split";
        let mut found = self.db.prepare_cached(sql)?;
        let rows = found.query_map([trial.0], |row| {
            let count: i64 = row.get(3)?;
            Ok(MeanOf {
                metric: row.get(0)?,
                split: row.get(1)?,
                mean: row.get(2)?,
                replicates: usize::try_from(count).unwrap_or_default(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Pins after event `after` that were set and taken away, in order: the event, the trial, and whether it was set.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn pins(&self, after: u64) -> Result<BTreeMap<u64, (TrialNo, bool)>, Error> {
        let sql = "SELECT seq, trial, name = 'pinned' FROM event INDEXED BY event_pin
                   WHERE seq > ? AND name IN ('pinned', 'unpinned')";
        let mut found = self.db.prepare_cached(sql)?;
        let rows = found.query_map([after.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), (TrialNo(row.get(1)?), row.get(2)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A replicate without its result, and the event that ended it.
fn placed(row: &Row<'_>) -> rusqlite::Result<(Placed, Option<u64>)> {
    let replicate = Replicate {
        id: ReplicateId(Uuid::from_bytes(row.get(1)?)),
        trial: TrialNo(row.get(2)?),
        purpose: purpose(row, 3)?,
        index: row.get(5)?,
        seed: Seed(row.get(6)?),
        slot: row.get(7)?,
        segment: row.get(8)?,
        result: None::<Measured>,
    };
    let seq = row.get::<_, i64>(0)?.cast_unsigned();
    Ok((Placed { seq, replicate }, row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned)))
}

/// The purpose in this column and the next.
fn purpose(row: &Row<'_>, column: usize) -> rusqlite::Result<Purpose> {
    let found = projection::purpose(&row.get::<_, String>(column)?, row.get(column + 1)?);
    found.ok_or_else(|| {
        let what = "unknown purpose".into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what)
    })
}
