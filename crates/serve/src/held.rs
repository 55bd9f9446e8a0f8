//! A study held open for looking at: its reader, its trials in brief, its extract, brought up to date before every look.

use std::{
    collections::{BTreeMap, HashMap},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use axum::body::Bytes;
use empiric_core::{Event, Outcome, Purpose, Split, TrialNo, study::State};
use empiric_decide::stats::Sample;
use empiric_ledger::{Blobs, Inbox, Reader};
use empiric_lineage::Store;
use jiff::Timestamp;

use crate::{extract::Extract, index::Index, problem::Problem};

/// Most bytes of answers that are kept to be given again.
const ANSWERS: usize = 8 << 20;

/// A session of the study: a process that took it up.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) at: Timestamp,
    pub(crate) slots: Vec<String>,
}

/// A segment of the study.
#[derive(Debug, Clone)]
pub(crate) struct Seam {
    pub(crate) segment: u32,
    pub(crate) at: Timestamp,
    pub(crate) reason: String,
}

/// Something written down.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) text: String,
}

/// See the module.
pub(crate) struct Held {
    pub(crate) dir: PathBuf,
    /// Device and inode of the ledger.
    file: (u64, u64),
    pub(crate) reader: Reader,
    pub(crate) index: Index,
    pub(crate) seq: u64,
    pub(crate) last_at: Timestamp,
    pub(crate) sessions: Vec<Session>,
    pub(crate) seams: Vec<Seam>,
    pub(crate) notes: Vec<Note>,
    /// Pins that were set and taken away, by their events.
    pins: BTreeMap<u64, (TrialNo, bool)>,
    /// What kept trials measured on streams of their own, with the number of replicates that it was worked out at.
    confirmed: HashMap<u32, (u32, Sample)>,
    /// Answers that hold as long as nothing happens, by what was asked.
    answers: HashMap<String, Bytes>,
    /// Wall-clock seconds of the sessions before the last.
    wall_before: f64,
    extract: Extract,
    store: Option<Store>,
    /// What failed trials are recognised by, as far as anybody asked: `(trial, signature)`.
    pub(crate) signatures: crate::signatures::Signatures,
}

impl Held {
    /// Opens the study in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, Problem> {
        let reader = Reader::open(dir)?;
        if !reader.is_current()? {
            return Err(Problem::conflict(
                "the study was made by an older Empiric",
                "its next session brings it up to date",
            ));
        }
        let mut index = Index::new();
        let seq = reader.briefs(0, |brief| index.take(&brief))?;
        index.settle();
        let keeps: Vec<TrialNo> = index.keeps().map(TrialNo).collect();
        let mut held = Self {
            dir: dir.to_owned(),
            file: identity(dir)?,
            extract: Extract::read(&reader, &keeps)?,
            reader,
            index,
            seq,
            last_at: Timestamp::UNIX_EPOCH,
            sessions: Vec::new(),
            seams: Vec::new(),
            notes: Vec::new(),
            pins: BTreeMap::new(),
            confirmed: HashMap::new(),
            answers: HashMap::new(),
            wall_before: 0.0,
            store: None,
            signatures: crate::signatures::Signatures::default(),
        };
        held.take_own(0)?;
        Ok(held)
    }

    /// Whether it is still this study that lies in `dir`.
    pub(crate) fn is_at(&self, dir: &Path) -> bool {
        self.dir == dir && identity(dir).is_ok_and(|file| file == self.file)
    }

    /// Takes in what happened since the last look.
    pub(crate) fn refresh(&mut self) -> Result<(), Problem> {
        if self.reader.head()?.seq == self.seq {
            return Ok(());
        }
        let before = (self.seq, self.index.keeps().count());
        let index = &mut self.index;
        self.seq = self.reader.briefs(self.seq, |brief| index.take(&brief))?;
        index.settle();
        self.answers.clear();
        self.take_own(before.0)?;
        let grown = self.index.keeps().count() != before.1;
        if grown || self.extract.follow(&self.reader).is_err() {
            let keeps: Vec<TrialNo> = self.index.keeps().map(TrialNo).collect();
            self.extract = Extract::read(&self.reader, &keeps)?;
        }
        Ok(())
    }

    /// Takes in the study's own events after `after`.
    fn take_own(&mut self, after: u64) -> Result<(), Problem> {
        for record in self.reader.study_records(after)? {
            // Both questions were asked of a ledger that grows.
            if record.seq > self.seq {
                break;
            }
            match record.event {
                Event::SessionStarted { slots, .. } => {
                    self.end_session(record.seq)?;
                    self.sessions.push(Session { at: record.at, slots });
                }
                Event::SegmentOpened { segment, reason, .. } => {
                    self.seams.push(Seam { segment, at: record.at, reason });
                }
                Event::Noted { by, text } => {
                    self.notes.push(Note { seq: record.seq, at: record.at, by, text });
                }
                Event::StudyOpened { .. }
                | Event::BudgetSet { .. }
                | Event::Staffed { .. }
                | Event::Called { .. }
                | Event::Rehearsed { .. }
                | Event::Fetched { .. }
                | Event::IdeaAdded { .. }
                | Event::IdeaChanged { .. }
                | Event::Learned { .. }
                | Event::Asked { .. }
                | Event::Proposed { .. }
                | Event::Leased { .. }
                | Event::Measured { .. }
                | Event::Fenced { .. }
                | Event::Quarantined { .. }
                | Event::Concluded { .. }
                | Event::ReportOpened { .. }
                | Event::AblationOpened { .. }
                | Event::Paused { .. }
                | Event::Pinned { .. }
                | Event::Unpinned { .. }
                | Event::Requeued { .. }
                | Event::Resumed { .. }
                | Event::Stopped { .. }
                | Event::Finished { .. } => {}
            }
        }
        self.pins.extend(self.reader.pins(after)?);
        if let Some(last) = self.reader.record(self.seq)? {
            self.last_at = last.at;
        }
        Ok(())
    }

    /// Counts the time of the session before event `next`.
    fn end_session(&mut self, next: u64) -> Result<(), Problem> {
        if let Some(session) = self.sessions.last()
            && let Some(last) = self.reader.record(next.saturating_sub(1))?
        {
            self.wall_before += last.at.duration_since(session.at).as_secs_f64().max(0.0);
        }
        Ok(())
    }

    /// Wall-clock seconds of all sessions.
    pub(crate) fn wall_s(&self) -> f64 {
        let last = self.sessions.last();
        let last = last
            .map_or(0.0, |session| self.last_at.duration_since(session.at).as_secs_f64().max(0.0));
        self.wall_before + last
    }

    pub(crate) fn extract(&self) -> &Extract {
        &self.extract
    }

    /// The trials that new ones start from, by arm, as [`empiric_core::Study::pins`] has them: a keep ends a pin.
    pub(crate) fn pinned(&self) -> BTreeMap<String, TrialNo> {
        let arms = || self.extract.study().settings().arms.iter().map(|arm| arm.name.clone());
        let mut pinned: BTreeMap<String, (u64, TrialNo)> = BTreeMap::new();
        for (seq, (trial, set)) in &self.pins {
            let own = self.index.row(*trial).and_then(|row| self.index.names.get(row.arm));
            let of: Vec<String> = match *trial {
                TrialNo::BASELINE => arms().collect(),
                _ => own.map(str::to_owned).into_iter().collect(),
            };
            for arm in of {
                if *set {
                    pinned.insert(arm, (*seq, *trial));
                } else if pinned.get(&arm).is_some_and(|(_, pinned)| pinned == trial) {
                    pinned.remove(&arm);
                }
            }
        }
        for row in self.index.keeps().filter_map(|no| self.index.row(TrialNo(no))) {
            let arm = self.index.names.get(row.arm).unwrap_or_default();
            if pinned.get(arm).is_some_and(|(seq, _)| *seq < row.seq_ended) {
                pinned.remove(arm);
            }
        }
        pinned.into_iter().map(|(arm, (_, trial))| (arm, trial)).collect()
    }

    /// What kept trial `no` measured on a stream of its own, in its last segment, on the split that scores are on.
    pub(crate) fn confirmed(&mut self, no: TrialNo) -> Sample {
        let replicates = self.index.row(no).map_or(0, |row| row.replicates);
        if let Some((at, sample)) = self.confirmed.get(&no.0)
            && *at == replicates
        {
            return *sample;
        }
        let purpose = Purpose::Confirm { of: no };
        let found = self.extract.trial(no).and_then(|trial| {
            trial.replicates.iter().rfind(|replicate| replicate.purpose == purpose)
        });
        let sample = found
            .map(|last| last.segment)
            .map_or_else(|| Sample::of(&[]), |segment| self.sample(no, purpose, segment));
        self.confirmed.insert(no.0, (replicates, sample));
        sample
    }

    /// What the baseline or a kept trial measured for `purpose` in `segment`, on the split that scores are on.
    pub(crate) fn sample(&self, no: TrialNo, purpose: Purpose, segment: u32) -> Sample {
        let metric = &self.extract.study().task().metric.name;
        let values = self.extract.trial(no).map(|trial| {
            let values = trial.values(metric, Split::Search, purpose, segment);
            values.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        });
        Sample::of(&values.unwrap_or_default())
    }

    /// The answer to `asked` that was given since anything happened last.
    pub(crate) fn answer(&self, asked: &str) -> Option<Bytes> {
        self.answers.get(asked).cloned()
    }

    /// Keeps an answer to be given again.
    pub(crate) fn keep_answer(&mut self, asked: String, answer: Bytes) {
        let held: usize = self.answers.values().map(Bytes::len).sum();
        if held + answer.len() > ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(asked, answer);
    }

    /// Whether a process is at work on it.
    pub(crate) fn at_work(&self) -> bool {
        empiric_ledger::is_locked(&self.dir)
    }

    /// Where it stands; a session that was killed before it could say so has stopped.
    pub(crate) fn state(&self) -> State {
        let state = self.extract.study().state();
        if state == State::Running && !self.at_work() { State::Stopped } else { state }
    }

    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::of(&self.dir)
    }

    pub(crate) fn inbox(&self) -> Inbox {
        Inbox::of(&self.dir)
    }

    /// The git store.
    pub(crate) fn store(&mut self) -> Result<&Store, Problem> {
        if self.store.is_none() {
            self.store = Some(Store::open(&self.dir.join("store.git"))?);
        }
        self.store.as_ref().ok_or_else(|| Problem::internal("the git store cannot be opened"))
    }

    /// The number of `word`: `t17`, `17`, `champion`, `baseline`.
    pub(crate) fn trial_no(&self, word: &str) -> Result<TrialNo, Problem> {
        let no = match word {
            "champion" => self.champion(),
            "baseline" => TrialNo::BASELINE,
            word => word.parse().map_err(|_| Problem::missing("no trial has that name"))?,
        };
        match self.index.row(no) {
            Some(_) => Ok(no),
            None => Err(Problem::missing(format!("there is no trial {no} in this study"))),
        }
    }

    /// The best confirmed trial; the baseline before there is one.
    pub(crate) fn champion(&self) -> TrialNo {
        self.extract.real(self.extract.study().in_front().champion())
    }

    /// Works out what failed trials are recognised by, of those that nobody has yet.
    pub(crate) fn recognise(&mut self) -> Result<(), Problem> {
        let Self { index, signatures, reader, .. } = self;
        for row in &index.rows {
            if row.mark != crate::index::Mark::Failed || signatures.knows(row.no) {
                continue;
            }
            let Some(record) = reader.record(row.seq_ended)? else { continue };
            if let Event::Concluded { outcome: Outcome::Failed(failure), .. } = record.event {
                signatures.put(row.no, failure.signature());
            }
        }
        Ok(())
    }
}

/// Device and inode of the ledger in `dir`.
fn identity(dir: &Path) -> std::io::Result<(u64, u64)> {
    let found = fs_err::metadata(dir.join("ledger.db"))?;
    Ok((found.dev(), found.ino()))
}
