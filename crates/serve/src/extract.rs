//! The part of a study that its summary rests on, folded: the study's own events and those of the baseline and of what
//! was kept. What the command line says of a study is worked out of the whole fold; this says the same at a size that
//! does not grow with the number of trials.
//!
//! Its trials are numbered anew, without gaps: [`Extract::real`] and [`Extract::own`] translate.

use std::collections::BTreeMap;

use empiric_core::{Event, Purpose, Record, Study, Trial, TrialNo};
use empiric_ledger::{Error, Reader};

/// Numbers from here on stand for trials outside of the extract.
const OUTSIDE: u32 = 1 << 31;

/// See the module.
#[derive(Debug)]
pub(crate) struct Extract {
    study: Study,
    /// The baseline and the keeps, ascending; the place is the number in the extract.
    members: Vec<TrialNo>,
    /// The last event looked at.
    seq: u64,
}

impl Extract {
    /// The extract of a study with these keeps.
    pub(crate) fn read(reader: &Reader, keeps: &[TrialNo]) -> Result<Self, Error> {
        let mut members = vec![TrialNo::BASELINE];
        members.extend(keeps);
        members.sort_unstable();
        members.dedup();
        let records = records(reader, &members, 0)?;
        let seq = records.last().map_or(0, |record| record.seq);
        let numbered = records
            .into_iter()
            .enumerate()
            .map(|(place, record)| renumbered(record, place as u64 + 1, &members));
        let study = Study::replay(&numbered.collect::<Vec<_>>())?;
        Ok(Self { study, members, seq })
    }

    /// Takes in what happened since.
    pub(crate) fn follow(&mut self, reader: &Reader) -> Result<(), Error> {
        for record in records(reader, &self.members, self.seq)? {
            self.seq = record.seq;
            let next = self.study.seq() + 1;
            self.study.apply(&renumbered(record, next, &self.members))?;
        }
        Ok(())
    }

    /// The fold.
    pub(crate) fn study(&self) -> &Study {
        &self.study
    }

    /// The number in the study of trial `own` of the extract.
    pub(crate) fn real(&self, own: TrialNo) -> TrialNo {
        self.members.get(own.0 as usize).copied().unwrap_or(TrialNo(own.0.saturating_sub(OUTSIDE)))
    }

    /// The number in the extract of the study's trial `real`.
    pub(crate) fn own(&self, real: TrialNo) -> TrialNo {
        own(&self.members, real)
    }

    /// The baseline, or a kept trial, by its number in the study.
    pub(crate) fn trial(&self, real: TrialNo) -> Option<&Trial> {
        self.study.trial(self.own(real)).map(|trial| &**trial)
    }
}

fn own(members: &[TrialNo], real: TrialNo) -> TrialNo {
    let place = members.binary_search(&real).ok().and_then(|place| u32::try_from(place).ok());
    TrialNo(place.unwrap_or_else(|| OUTSIDE.saturating_add(real.0)))
}

/// Events after `after` about the study itself and about its `members`, in order.
fn records(reader: &Reader, members: &[TrialNo], after: u64) -> Result<Vec<Record>, Error> {
    let mut found: BTreeMap<u64, Record> =
        reader.study_records(after)?.into_iter().map(|record| (record.seq, record)).collect();
    for member in members {
        let records = reader.trial_records(*member, after, u32::MAX)?;
        found.extend(records.into_iter().map(|record| (record.seq, record)));
    }
    // A champion that was kept this very moment is no member yet; the next look takes both in.
    for record in found.values_mut() {
        if let Event::ReportOpened { champions } = &mut record.event {
            champions.retain(|champion| members.binary_search(champion).is_ok());
        }
    }
    Ok(found.into_values().collect())
}

/// `record` as event `seq` of the extract.
fn renumbered(mut record: Record, seq: u64, members: &[TrialNo]) -> Record {
    record.seq = seq;
    let own = |no: &mut TrialNo| *no = own(members, *no);
    match &mut record.event {
        Event::Asked { trial, ask, .. } => {
            own(trial);
            ask.parents.iter_mut().for_each(own);
        }
        Event::Proposed { trial, edit } => {
            own(trial);
            edit.parents.iter_mut().for_each(own);
        }
        Event::Leased { trial, purpose, .. } => {
            own(trial);
            match purpose {
                Purpose::Confirm { of } | Purpose::Audit { of } => own(of),
                Purpose::Search | Purpose::Report => {}
            }
        }
        Event::Called { trial, .. }
        | Event::Rehearsed { trial, .. }
        | Event::Fetched { trial, .. }
        | Event::Measured { trial, .. }
        | Event::Fenced { trial, .. }
        | Event::Quarantined { trial, .. }
        | Event::Concluded { trial, .. }
        | Event::Pinned { trial, .. }
        | Event::Unpinned { trial, .. }
        | Event::Requeued { trial, .. } => own(trial),
        Event::ReportOpened { champions } => champions.iter_mut().for_each(own),
        Event::AblationOpened { champion, .. } => own(champion),
        Event::StudyOpened { .. }
        | Event::SessionStarted { .. }
        | Event::SegmentOpened { .. }
        | Event::BudgetSet { .. }
        | Event::Staffed { .. }
        | Event::IdeaAdded { .. }
        | Event::IdeaChanged { .. }
        | Event::Learned { .. }
        | Event::Noted { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Stopped { .. }
        | Event::Finished { .. } => {}
    }
    record
}
