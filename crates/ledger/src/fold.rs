//! One trial, folded from its own events: what [`empiric_core::Study`] makes of them, without the rest of the study.

use empiric_core::{Event, Record, Replicate, Trial, TrialNo};
use rusqlite::Connection;

use crate::{Error, chain};

/// The trial numbered `no`, if there is one.
pub(crate) fn trial(db: &Connection, no: TrialNo) -> Result<Option<Trial>, Error> {
    let mut events = db.prepare_cached(
        "SELECT event.seq, event.at, event.body, replicate.segment
         FROM event LEFT JOIN replicate ON replicate.seq = event.seq
         WHERE event.trial = ? ORDER BY event.seq",
    )?;
    let mut rows = events.query([no.0])?;
    let mut trial = None;
    while let Some(row) = rows.next()? {
        next(&mut trial, chain::record(row)?, row.get(3)?)?;
    }
    Ok(trial)
}

/// Takes the next of a trial's events in; `segment` is that of a lease.
pub(crate) fn next(
    held: &mut Option<Trial>,
    record: Record,
    segment: Option<u32>,
) -> Result<(), Error> {
    match held {
        None => *held = Some(asked(record)?),
        Some(trial) => take(trial, record, segment),
    }
    Ok(())
}

fn asked(record: Record) -> Result<Trial, Error> {
    let Event::Asked { trial, arm, ask } = record.event else {
        let what = "a trial's first event must be `asked`".to_owned();
        return Err(Error::Undecodable { seq: record.seq, what });
    };
    Ok(Trial {
        no: trial,
        arm,
        ask,
        edit: None,
        calls: Vec::new(),
        rehearsals: Vec::new(),
        fetches: Vec::new(),
        replicates: Vec::new(),
        quarantine: None,
        outcome: None,
        asked_at: record.at,
        ended_at: None,
    })
}

fn take(held: &mut Trial, record: Record, segment: Option<u32>) {
    match record.event {
        Event::Called { call, .. } => held.calls.push(call),
        Event::Rehearsed { rehearsal, .. } => held.rehearsals.push(rehearsal),
        Event::Fetched { fetch, .. } => held.fetches.push(fetch),
        Event::Proposed { edit, .. } => held.edit = Some(edit),
        Event::Leased { replicate, trial, purpose, index, seed, slot } => {
            held.replicates.push(Replicate {
                id: replicate,
                trial,
                purpose,
                index,
                seed,
                slot,
                segment: segment.unwrap_or_default(),
                result: None,
            });
        }
        Event::Measured { replicate, result, .. } => {
            if let Some(found) = held.replicates.iter_mut().find(|held| held.id == replicate) {
                found.result = Some(result);
            }
        }
        Event::Fenced { replicate, .. } => held.replicates.retain(|held| held.id != replicate),
        Event::Quarantined { quarantine, .. } => held.quarantine = Some(quarantine),
        Event::Concluded { outcome, .. } => {
            held.outcome = Some(outcome);
            held.ended_at = Some(record.at);
        }
        Event::StudyOpened { .. }
        | Event::SessionStarted { .. }
        | Event::SegmentOpened { .. }
        | Event::BudgetSet { .. }
        | Event::Asked { .. }
        | Event::Staffed { .. }
        | Event::IdeaAdded { .. }
        | Event::IdeaChanged { .. }
        | Event::Learned { .. }
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
}
