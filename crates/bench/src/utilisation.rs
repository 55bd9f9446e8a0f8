//! How busy slots are kept when replicates take a second and a proposal takes half of one.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use empiric_core::{Event, ReplicateId, TrialNo};
use jiff::Timestamp;

use crate::{Words, say, steady::Steady, study::Bench, task};

/// Trials of each slot.
const ROUNDS: u32 = 6;
/// What a proposal takes.
const PROPOSAL: Duration = Duration::from_millis(500);
/// Seconds that a recipe sleeps.
const REPLICATE: u32 = 1;

pub(crate) const REFERENCE: &str =
    "  reference: OpenEvolve 0.4.0 64 % at 4 slots, 53 % at 16; ShinkaEvolve 0.0.7 37-56 %";

/// When replicates held slots, from the records' own times.
#[derive(Default)]
struct Slots {
    held: BTreeMap<ReplicateId, Timestamp>,
    spans: Vec<(Timestamp, Timestamp)>,
}

pub(crate) fn measure(words: &Words, scratch: &Path, slots: usize) -> anyhow::Result<()> {
    let dir = scratch.join(format!("slots{slots}"));
    let bench = Bench {
        loaded: task::make(&dir.join("task"), REPLICATE)?,
        dir: dir.join("study"),
        exe: words.exe.clone(),
        slots,
        trials: ROUNDS * u32::try_from(slots)?,
        proposer: Arc::new(Steady { pause: PROPOSAL }),
        recorder: None,
    };
    let mut seen = Slots::default();
    bench.run(|notice| seen.take(notice.record.at, &notice.record.event))?;
    let (busy, asleep) = seen.shares(slots);
    say(format!(
        "  {slots:>2} slots: busy {:.1} % of the time, {:.1} % in the recipe's own second ({} replicates of {REPLICATE} s, proposals of {} s)",
        100.0 * busy,
        100.0 * asleep,
        seen.spans.len(),
        PROPOSAL.as_secs_f64()
    ))
}

impl Slots {
    /// Follows one event; the baseline is not part of the search.
    fn take(&mut self, at: Timestamp, event: &Event) {
        if let Event::Leased { replicate, trial, .. } = event {
            if *trial != TrialNo::BASELINE {
                self.held.insert(*replicate, at);
            }
        } else if let Event::Measured { replicate, .. } = event
            && let Some(from) = self.held.remove(replicate)
        {
            self.spans.push((from, at));
        }
    }

    /// Shares of all slot time between the first lease and the last: held, and slept in by the recipe.
    fn shares(&self, slots: usize) -> (f64, f64) {
        let first = self.spans.iter().map(|(from, _)| *from).min().unwrap_or_default();
        let last = self.spans.iter().map(|(from, _)| *from).max().unwrap_or_default();
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        let all = seconds(first, last) * slots as f64;
        let (mut busy, mut asleep) = (0.0, 0.0);
        for (from, to) in &self.spans {
            let within = seconds(*from, (*to).min(last)).max(0.0);
            busy += within;
            asleep += f64::from(REPLICATE) * within / seconds(*from, *to);
        }
        (busy / all, asleep / all)
    }
}
