//! Whether there is room for one more trial: what is spent, what is reserved for trials under way, and what the closing
//! comparison will need.

use empiric_core::{Cost, Study};

/// Running means of what a replicate costs, from which reservations are made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    replicates: u32,
    total: Cost,
}

/// Whether a new trial may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Open,
    /// Not before something under way has ended.
    Reserved,
    /// No: this cap is spent.
    Spent(String),
}

impl Meter {
    /// Learns what one replicate cost.
    pub(crate) fn observe(&mut self, cost: &Cost) {
        self.replicates += 1;
        self.total += *cost;
    }

    /// Mean of `part` over replicates.
    fn mean(&self, part: impl Fn(&Cost) -> f64) -> f64 {
        if self.replicates == 0 { 0.0 } else { part(&self.total) / f64::from(self.replicates) }
    }

    /// Whether the caps leave room for one more trial, with `slots` slots.
    ///
    /// A trial under way is reserved for at one replicate; the closing comparison at two series of replicates.
    pub(crate) fn room(&self, study: &Study, slots: usize) -> Room {
        let budget = study.budget();
        let under_way = study.open_trials().iter().filter(|no| no.0 != 0).count();
        let closing = f64::from(2 * study.settings().rules.report_replicates);
        if let Some(cap) = budget.trials {
            if study.spent_trials() >= cap {
                return Room::Spent(format!("{cap} trials"));
            }
            if study.spent_trials() as usize + under_way >= cap as usize {
                return Room::Reserved;
            }
        }
        let spent = study.cost();
        let reserved = under_way as f64 + closing;
        let caps = [
            (
                "s of wall time",
                budget.wall_s,
                spent.wall_s,
                self.mean(|cost| cost.wall_s) * reserved / slots as f64,
            ),
            ("s of CPU time", budget.cpu_s, spent.cpu_s, self.mean(|cost| cost.cpu_s) * reserved),
            ("s of GPU time", budget.gpu_s, spent.gpu_s, self.mean(|cost| cost.gpu_s) * reserved),
        ];
        for (unit, cap, spent, reserved) in caps {
            if let Some(cap) = cap
                && spent + reserved >= cap
            {
                return Room::Spent(format!("{cap:.0} {unit}"));
            }
        }
        Room::Open
    }
}
