//! Whether a study is what it says: chain, projections, blobs, commits, and every decision made again.

use empiric_core::{Edit, Event, Task, TreeId};
use empiric_ledger::Reader;
use empiric_lineage::{Expected, Store};
use serde::Serialize;

use crate::{Error, Layout, propose::inspect, replay::Replay};

/// What was looked at and what is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Events in the chain.
    pub events: u64,
    /// How much was checked.
    pub checked: Checked,
    /// What is wrong, the ledger's faults first.
    pub faults: Vec<Fault>,
}

/// How much was checked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Blobs read back and hashed.
    pub blobs: u64,
    /// Commits read back with their trees and files, and hashed.
    pub commits: u64,
    /// Asks of the policy made again.
    pub asks: u64,
    /// Verdicts reached again.
    pub verdicts: u64,
    /// Whether the ledger file as a whole is sealed, which holds while no process writes.
    pub sealed: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The event it is about, where it is about one.
    pub event: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// Verifies the study in `layout`.
///
/// # Errors
/// When there is no study, or it cannot be read at all; damage that can be described is a fault, not an error.
pub fn verify(layout: &Layout) -> Result<Verification, Error> {
    let ledger = empiric_ledger::verify(layout.root())?;
    let mut found = Verification {
        ok: false,
        events: ledger.events,
        checked: Checked { blobs: ledger.blobs, sealed: ledger.sealed, ..Checked::default() },
        faults: ledger
            .faults
            .into_iter()
            .map(|fault| Fault { event: fault.event, what: fault.what })
            .collect(),
    };
    // A damaged chain can be followed up to its first fault.
    let last = found.faults.iter().filter_map(|fault| fault.event).min();
    if let Err(error) = follow(layout, last.unwrap_or(u64::MAX), &mut found) {
        found.faults.push(Fault { event: None, what: error.to_string() });
    }
    found.ok = found.faults.is_empty();
    Ok(found)
}

/// Follows the events before `end`: decisions again, and the commits they name.
fn follow(layout: &Layout, end: u64, found: &mut Verification) -> Result<(), Error> {
    let reader = Reader::open(layout.root())?;
    // A session that died at its very start has made no store yet, and refers to nothing in it.
    let store = layout.store().exists().then(|| Store::open(&layout.store())).transpose()?;
    let mut baseline = None;
    let mut expected = Vec::new();
    let mut proposed_at = std::collections::BTreeMap::new();
    let mut replay: Option<Replay> = None;
    let mut after = 0;
    'pages: loop {
        let page = reader.records(after, 1000)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for record in &page {
            if record.seq >= end {
                break 'pages;
            }
            match &mut replay {
                None => {
                    replay = Replay::open(record);
                    if replay.is_none() {
                        let what = "the study does not open with a policy that is known".to_owned();
                        found.faults.push(Fault { event: Some(record.seq), what });
                        break 'pages;
                    }
                }
                Some(replay) => match replay.step(record) {
                    Ok(None) => {}
                    Ok(Some(what)) => found.faults.push(Fault { event: Some(record.seq), what }),
                    Err(error) => {
                        found
                            .faults
                            .push(Fault { event: Some(record.seq), what: error.to_string() });
                        break 'pages;
                    }
                },
            }
            if let Event::Proposed { trial, edit } = &record.event {
                proposed_at.insert(*trial, record.seq);
                let base = *baseline.get_or_insert(edit.tree);
                let task = replay.as_ref().map(Replay::task);
                let inspected = task.zip(store.as_ref());
                if let Some(what) =
                    inspected.and_then(|(task, store)| reread(store, task, base, edit))
                {
                    found
                        .faults
                        .push(Fault { event: Some(record.seq), what: format!("{trial}: {what}") });
                }
                expected.push(Expected { trial: *trial, commit: edit.commit, tree: edit.tree });
            }
        }
    }
    if let Some(replay) = &replay {
        found.checked.asks = replay.asks;
        found.checked.verdicts = replay.verdicts;
    }
    found.checked.commits = expected.len() as u64;
    let faults = match store {
        Some(store) => store.verify(expected)?,
        None if expected.is_empty() => Vec::new(),
        None => Store::open(&layout.store())?.verify(expected)?,
    };
    for fault in faults {
        let event = fault.trial.and_then(|trial| proposed_at.get(&trial).copied());
        found.faults.push(Fault { event, what: fault.what });
    }
    Ok(())
}

/// What is wrong with the inspection recorded of `edit`. Trees that cannot be read are told of with the store.
fn reread(store: &Store, task: &Task, baseline: TreeId, edit: &Edit) -> Option<String> {
    let again = inspect(store, task, baseline, edit.tree).ok()?;
    (again != edit.inspection)
        .then(|| format!("the supervisor reads {again:?}, not {:?}", edit.inspection))
}
