//! Reading a large study without folding it: trials in brief, the study's own events, who was in which slot. Each
//! question costs what it answers, not what the study holds.

use std::collections::BTreeMap;

use empiric_core::{Purpose, Record, TrialNo};
use jiff::Timestamp;
use rusqlite::{Row, params_from_iter, types::Type};
use serde::Serialize;

use crate::{Error, LeaseState, Reader, chain, projection, reader::lease_state, schema};

/// A trial in one row: what lists, curves and graphs are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    /// The trial.
    pub no: TrialNo,
    /// The arm that asked for it.
    pub arm: String,
    /// How its edit comes about, by name.
    pub operator: String,
    /// The trials it starts from.
    pub parents: Vec<TrialNo>,
    /// The surface it lies in.
    pub surface: Option<String>,
    /// Who made it, once it is made.
    pub proposer: Option<String>,
    /// The verdict, by name, of a valid trial.
    pub verdict: Option<String>,
    /// Why it failed, by name.
    pub cause: Option<String>,
    /// Who is to blame for that, by name.
    pub blame: Option<String>,
    /// Where that was, by name.
    pub phase: Option<String>,
    /// Estimated gain over the champion of that moment.
    pub gain: Option<f64>,
    /// Mean of the metric over its usable search replicates, on the search split.
    pub score: Option<f64>,
    /// How many those are.
    pub score_n: u32,
    /// Finished replicates, usable or not.
    pub replicates: u32,
    /// Wall-clock seconds of them.
    pub wall_s: f64,
    /// CPU seconds of them.
    pub cpu_s: f64,
    /// GPU seconds of them.
    pub gpu_s: f64,
    /// Calls of models that were made for it.
    pub calls: u64,
    /// Tokens of them.
    pub tokens: u64,
    /// US dollars that they were charged.
    pub usd: f64,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The event that ended it.
    pub seq_ended: Option<u64>,
}

/// A stretch of time in which a replicate held a slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Occupied {
    /// The event that opened the lease.
    pub seq: u64,
    /// The slot.
    pub slot: String,
    /// The trial.
    pub trial: TrialNo,
    /// What for.
    pub purpose: Purpose,
    /// What became of it.
    pub state: LeaseState,
    /// Why what it measured is not usable, by [`empiric_core::Cause::name`].
    pub cause: Option<String>,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Option<Timestamp>,
}

/// Columns of a [`Brief`].
const BRIEF: &str = "SELECT no, arm, operator, parents, surface, proposer, verdict, cause, blame, phase, gain, score, score_n,
    replicates, wall_s, cpu_s, gpu_s, calls, tokens, usd, asked_at, ended_at, seq_ended FROM trial";

impl Reader {
    /// Whether the tables are those that the questions of this file are asked of. Those of an older Empiric are brought up
    /// to date by the next session, or by [`crate::rebuild_projections`].
    ///
    /// # Errors
    /// When the version cannot be read.
    pub fn is_current(&self) -> Result<bool, Error> {
        Ok(schema::is_current(self.version()?))
    }

    /// Tells `each` the trials that events after `after` (0 for all) were about, in order of their numbers, and says up to
    /// which event that is so.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn briefs(&self, after: u64, mut each: impl FnMut(Brief)) -> Result<u64, Error> {
        let tx = self.db.unchecked_transaction()?;
        let head = self.head()?.seq;
        if after == 0 {
            let mut found = self.db.prepare_cached(&format!("{BRIEF} ORDER BY no"))?;
            let mut rows = found.query([])?;
            while let Some(row) = rows.next()? {
                each(brief(row)?);
            }
        } else if after < head {
            let sql = format!(
                "{BRIEF} WHERE no IN (SELECT trial FROM event WHERE seq > ? AND trial IS NOT NULL) ORDER BY no"
            );
            let mut found = self.db.prepare_cached(&sql)?;
            let mut rows = found.query([after.cast_signed()])?;
            while let Some(row) = rows.next()? {
                each(brief(row)?);
            }
        }
        tx.finish()?;
        Ok(head)
    }

    /// The hypotheses of these trials, of those that have one.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn hypotheses(&self, trials: &[TrialNo]) -> Result<BTreeMap<TrialNo, String>, Error> {
        let mut found = self.db.prepare_cached(
            "SELECT hypothesis FROM trial WHERE no = ? AND hypothesis IS NOT NULL",
        )?;
        let mut texts = BTreeMap::new();
        for no in trials {
            let mut rows = found.query([no.0])?;
            if let Some(row) = rows.next()? {
                texts.insert(*no, row.get(0)?);
            }
        }
        Ok(texts)
    }

    /// Events after `after` that are about no trial: sessions, segments, budgets, notes, controls. In order.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn study_records(&self, after: u64) -> Result<Vec<Record>, Error> {
        let sql = "SELECT seq, at, body FROM event WHERE trial IS NULL AND seq > ? ORDER BY seq";
        let mut found = self.db.prepare_cached(sql)?;
        let mut rows = found.query([after.cast_signed()])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.read(row)?);
        }
        Ok(records)
    }

    /// At most `limit` events about `trial` after event `after`, in order.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn trial_records(
        &self,
        trial: TrialNo,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        let sql =
            "SELECT seq, at, body FROM event WHERE trial = ? AND seq > ? ORDER BY seq LIMIT ?";
        let mut found = self.db.prepare_cached(sql)?;
        let mut rows = found.query((trial.0, after.cast_signed(), limit))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.read(row)?);
        }
        Ok(records)
    }

    /// The event at place `seq`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self, seq: u64) -> Result<Option<Record>, Error> {
        Ok(self.records(seq.saturating_sub(1), 1)?.into_iter().find(|record| record.seq == seq))
    }

    /// At most `limit` events before event `before`, newest first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn records_before(&self, before: u64, limit: u32) -> Result<Vec<Record>, Error> {
        let sql = "SELECT seq, at, body FROM event WHERE seq < ? ORDER BY seq DESC LIMIT ?";
        let mut found = self.db.prepare_cached(sql)?;
        let mut rows = found.query((i64::try_from(before).unwrap_or(i64::MAX), limit))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.read(row)?);
        }
        Ok(records)
    }

    /// At most `limit` leases opened before event `before`, newest first.
    ///
    /// # Errors
    /// When the projection cannot be read.
    pub fn occupied(&self, before: u64, limit: u32) -> Result<Vec<Occupied>, Error> {
        let sql = "SELECT seq, slot, trial, purpose, confirm, state, cause, leased_at, ended_at FROM replicate
                   WHERE seq < ? ORDER BY seq DESC LIMIT ?";
        let mut found = self.db.prepare_cached(sql)?;
        let bounds = [i64::try_from(before).unwrap_or(i64::MAX), i64::from(limit)];
        let rows = found.query_map(params_from_iter(bounds), |row| {
            Ok(Occupied {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                slot: row.get(1)?,
                trial: TrialNo(row.get(2)?),
                purpose: projection::purpose(&row.get::<_, String>(3)?, row.get(4)?)
                    .ok_or_else(|| strange(3, "purpose"))?,
                state: lease_state(&row.get::<_, String>(5)?).ok_or_else(|| strange(5, "state"))?,
                cause: row.get(6)?,
                from: time(row, 7)?,
                to: row.get::<_, Option<i64>>(8)?.map(|_| time(row, 8)).transpose()?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn brief(row: &Row<'_>) -> rusqlite::Result<Brief> {
    Ok(Brief {
        no: TrialNo(row.get(0)?),
        arm: row.get(1)?,
        operator: row.get(2)?,
        parents: numbers(row.get_ref(3)?.as_str().unwrap_or_default()),
        surface: row.get(4)?,
        proposer: row.get(5)?,
        verdict: row.get(6)?,
        cause: row.get(7)?,
        blame: row.get(8)?,
        phase: row.get(9)?,
        gain: row.get(10)?,
        score: row.get(11)?,
        score_n: row.get(12)?,
        replicates: row.get(13)?,
        wall_s: row.get(14)?,
        cpu_s: row.get(15)?,
        gpu_s: row.get(16)?,
        calls: row.get::<_, i64>(17)?.cast_unsigned(),
        tokens: row.get::<_, i64>(18)?.cast_unsigned(),
        usd: row.get(19)?,
        asked_at: time(row, 20)?,
        ended_at: row.get::<_, Option<i64>>(21)?.map(|_| time(row, 21)).transpose()?,
        seq_ended: row.get::<_, Option<i64>>(22)?.map(i64::cast_unsigned),
    })
}

/// The numbers in `[3,14]`.
fn numbers(list: &str) -> Vec<TrialNo> {
    let inner = list.trim_matches(['[', ']']).split(',');
    inner.filter_map(|number| number.parse().ok()).map(TrialNo).collect()
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    chain::time(row.get(column)?).map_err(|what| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, what.into())
    })
}

fn strange(column: usize, what: &str) -> rusqlite::Error {
    let what = format!("unknown {what}");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}
