//! What a ledger said before, held against what it says now: nothing lost, nothing repeated.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result};
use empiric_core::{Event, Purpose, Record, TrialNo};
use empiric_ledger::{Error, Reader};

use super::Table;

/// What the ledger has said so far.
#[derive(Default)]
pub(super) struct History {
    pub(super) records: Vec<Record>,
    /// Replicates with a usable result, by their segment and what they were for.
    measured: BTreeSet<(u32, TrialNo, Purpose, u32)>,
    pub(super) lost: usize,
    pub(super) repeated: usize,
    fenced: usize,
}

impl History {
    /// Reads the ledger again: what was there must be there still, and what was measured must not be measured again.
    pub(super) fn look(&mut self, study: &Path) -> Result<()> {
        let now = records(study)?;
        let is_measured = |record: &&Record| matches!(record.event, Event::Measured { .. });
        let gone = self.records.iter().enumerate().filter(|(at, old)| now.get(*at) != Some(*old));
        self.lost += gone.map(|(_, old)| old).filter(is_measured).count();
        let (mut leases, mut stretch) = (BTreeMap::new(), 0);
        (self.repeated, self.fenced) = (0, 0);
        self.measured.clear();
        for record in &now {
            if let Event::SegmentOpened { segment, .. } = &record.event {
                stretch = *segment;
            }
            if let Event::Leased { replicate, trial, purpose, index, .. } = &record.event {
                leases.insert(*replicate, (*trial, *purpose, *index));
            }
            if let Event::Measured { replicate, result, .. } = &record.event
                && result.failure.is_none()
            {
                let (trial, purpose, index) =
                    *leases.get(replicate).context("a replicate without a lease")?;
                let new = self.measured.insert((stretch, trial, purpose, index));
                self.repeated += usize::from(!new);
            }
            self.fenced += usize::from(matches!(record.event, Event::Fenced { .. }));
        }
        self.records = now;
        Ok(())
    }

    /// Adds the row on finished replicates.
    pub(super) fn tell(&self, table: &mut Table<'_>) {
        let fate = format!("{} lost, {} repeated", self.lost, self.repeated);
        let measured = self.measured.len();
        table.add(
            "  finished replicates",
            "0 lost, 0 repeated",
            format!("{fate} of {measured}; {} unfinished ones ran again", self.fenced),
            fate == "0 lost, 0 repeated" && measured > 0,
        );
    }
}

/// All events of the study; none when it was killed before it had any.
pub(super) fn records(study: &Path) -> Result<Vec<Record>> {
    let reader = match Reader::open(study) {
        Err(Error::Missing { .. }) => return Ok(Vec::new()),
        reader => reader?,
    };
    let mut all: Vec<Record> = Vec::new();
    loop {
        let page = reader.records(all.last().map_or(0, |record| record.seq), 1000)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
