//! The study as its ledger tells it so far, read again and again while another process writes.

use std::collections::{BTreeMap, VecDeque};

use empiric_core::{Event, Purpose, Record, ReplicateId, Split, Study, TrialNo};
use empiric_engine::Layout;
use empiric_ledger::Reader;
use empiric_report::{Curve, Status};
use jiff::Timestamp;

use crate::{exit::Failure, live, words};

/// Events read at one time.
const PAGE: u32 = 1000;
/// Lines of the feed that are kept.
const FEED: usize = 400;

/// A replicate under way.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) slot: String,
    pub(super) trial: TrialNo,
    pub(super) purpose: Purpose,
    pub(super) index: u32,
    pub(super) since: Timestamp,
}

/// A line of the feed.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) text: String,
}

/// What there is to see at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) study: Study,
    pub(super) status: Status,
    pub(super) curve: Curve,
    /// Names of the last session's slots.
    pub(super) slots: Vec<String>,
    pub(super) held: Vec<Held>,
    /// Newest last.
    pub(super) feed: Vec<Told>,
    /// Whether a process holds the study.
    pub(super) at_work: bool,
    /// The arm through whose eyes this is.
    pub(super) arm: Option<String>,
}

impl Sight {
    /// What there is to see of one arm: its trials, its curve, its champion, and what it has cost. Slots and feed stay those
    /// of the whole study.
    pub(super) fn of_arm(&self, arm: &str) -> Self {
        let study = self.study.of_arm(arm);
        let mut status = Status::of(&study);
        if let Some(own) = self.study.arm(arm) {
            status.cost = own.cost();
        }
        let curve = Curve::of(&study);
        Self { study, status, curve, arm: Some(arm.to_owned()), ..self.clone() }
    }
}

/// A reader of a study that goes on from where it was.
pub(super) struct Follower {
    layout: Layout,
    fold: Fold,
}

/// What the events so far amount to.
#[derive(Debug, Default)]
pub(super) struct Fold {
    study: Option<Study>,
    slots: Vec<String>,
    held: BTreeMap<ReplicateId, Held>,
    feed: VecDeque<Told>,
}

impl Follower {
    pub(super) fn open(layout: &Layout) -> Result<Self, Failure> {
        Reader::open(layout.root())?;
        Ok(Self { layout: layout.clone(), fold: Fold::default() })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether a process holds the study's lock.
    pub(super) fn at_work(&self) -> bool {
        empiric_ledger::is_locked(self.layout.root())
    }

    /// Reads on until nothing is left to read.
    pub(super) fn catch_up(&mut self) -> Result<(), Failure> {
        while self.follow(|_, _| {})? {}
        Ok(())
    }

    /// Reads what has been written since, at most a few thousand events; `each` sees every one with the study after it.
    /// The ledger is open for that moment only, so that whoever closes it finds nobody there.
    pub(super) fn follow(
        &mut self,
        mut each: impl FnMut(&Record, &Study),
    ) -> Result<bool, Failure> {
        let reader = Reader::open(self.layout.root())?;
        let newest = reader.head()?.seq;
        let mut any = false;
        for _ in 0..4 {
            let records = reader.records(self.fold.seq(), PAGE)?;
            for record in &records {
                // Lines of what will have scrolled away are not made.
                let told = newest.saturating_sub(record.seq) < FEED as u64;
                let study = self.fold.take(record, told)?;
                each(record, study);
            }
            any |= !records.is_empty();
            if records.len() < PAGE as usize {
                break;
            }
        }
        Ok(any)
    }

    /// What there is to see; nothing before the first event.
    pub(super) fn sight(&self) -> Option<Sight> {
        self.fold.sight(self.at_work())
    }
}

impl Fold {
    fn seq(&self) -> u64 {
        self.study.as_ref().map_or(0, Study::seq)
    }

    /// Takes the next event in, and its line where one is wanted.
    pub(super) fn take(&mut self, record: &Record, told: bool) -> Result<&Study, Failure> {
        if let Event::SessionStarted { slots, .. } = &record.event {
            self.slots.clone_from(slots);
        }
        if let Event::Leased { replicate, trial, purpose, index, slot, .. } = &record.event {
            let (slot, since) = (slot.clone(), record.at);
            let held = Held { slot, trial: *trial, purpose: *purpose, index: *index, since };
            self.held.insert(*replicate, held);
        }
        if let Event::Measured { replicate, .. } | Event::Fenced { replicate, .. } = &record.event {
            self.held.remove(replicate);
        }
        let study = match self.study.take() {
            None => Study::open(record)?,
            Some(mut study) => {
                study.apply(record)?;
                study
            }
        };
        if told && let Some(text) = line(record, &study) {
            self.feed.push_back(Told { at: record.at, text });
            if self.feed.len() > FEED {
                self.feed.pop_front();
            }
        }
        Ok(self.study.insert(study))
    }

    pub(super) fn sight(&self, at_work: bool) -> Option<Sight> {
        let study = self.study.clone()?;
        Some(Sight {
            status: Status::of(&study),
            curve: Curve::of(&study),
            slots: self.slots.clone(),
            held: self.held.values().cloned().collect(),
            feed: self.feed.iter().cloned().collect(),
            study,
            at_work,
            arm: None,
        })
    }
}

/// The line of an event: as `run` says it, and a short one for the steps in between.
fn line(record: &Record, study: &Study) -> Option<String> {
    if let Event::Asked { trial, ask, .. } = &record.event
        && *trial != TrialNo::BASELINE
    {
        let parents: Vec<String> = ask.parents.iter().map(ToString::to_string).collect();
        return Some(format!("{trial} asked: {} of {}", ask.operator, parents.join(" and ")));
    }
    if let Event::Measured { trial, replicate, result } = &record.event {
        let held = study.trial(*trial)?.replicates.iter().rfind(|held| held.id == *replicate)?;
        let metric = &study.task().metric.name;
        let what = match &result.failure {
            Some(failure) => failure.cause.name().replace('_', " "),
            None => held
                .value(metric, Split::Search)
                .map_or_else(|| "measured".to_owned(), words::number),
        };
        return Some(format!("{trial} {}: {what}", purpose(held.purpose)));
    }
    live::line(record, study)
}

/// What a replicate is for, in a word.
pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Search => "search",
        Purpose::Confirm { .. } => "confirm",
        Purpose::Audit { .. } => "audit",
        Purpose::Report => "report",
    }
}
