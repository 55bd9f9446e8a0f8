//! A study held open for looking at: its reader, its trials in brief, its extract, brought up to date before every look.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use empiric_core::{Event, Outcome, TrialNo, study::State};
use empiric_ledger::{Blobs, Inbox, Reader};
use empiric_lineage::Store;
use jiff::Timestamp;

use crate::{extract::Extract, index::Index, problem::Problem};

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
                | Event::Paused { .. }
                | Event::Resumed { .. }
                | Event::Stopped { .. }
                | Event::Finished { .. } => {}
            }
        }
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
