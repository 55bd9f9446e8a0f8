//! What a study cost, by what its replicates were for, and for each per cent that was confirmed.

use empiric_core::{Cost, Purpose, Study};
use empiric_decide::Summary;
use serde::Serialize;

use crate::page::text::{Decimals, seconds};

/// What a study cost.
#[derive(Debug, Clone, Serialize)]
pub struct CostReport {
    /// All of it.
    pub total: Cost,
    /// Trials that count against the budget.
    pub trials: u32,
    /// The cap on them.
    pub cap: Option<u32>,
    /// By what replicates were for.
    pub purposes: [PurposeCost; 3],
    /// For each per cent of gain over the baseline; absent without a gain above zero.
    pub per_percent: Option<PerPercent>,
}

/// What replicates for one purpose cost.
#[derive(Debug, Clone, Serialize)]
pub struct PurposeCost {
    /// What for.
    pub purpose: &'static str,
    /// How many finished.
    pub finished: usize,
    /// How many of them failed.
    pub failed: usize,
    /// CPU seconds.
    pub cpu_s: f64,
}

/// What one per cent of confirmed gain over the baseline cost, everything counted.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PerPercent {
    /// The gain in per cent of the baseline.
    pub percent: f64,
    /// Wall seconds for each.
    pub wall_s: f64,
    /// CPU seconds for each.
    pub cpu_s: f64,
    /// GPU seconds for each.
    pub gpu_s: f64,
    /// US dollars for each.
    pub usd: f64,
    /// Trials for each.
    pub trials: f64,
}

impl PerPercent {
    /// In a sentence.
    pub(crate) fn words(&self) -> String {
        let mut each = vec![
            format!("{} of CPU time", seconds(self.cpu_s)),
            format!("{} of wall time", seconds(self.wall_s)),
        ];
        if self.gpu_s > 0.0 {
            each.push(format!("{} of GPU time", seconds(self.gpu_s)));
        }
        if self.usd > 0.0 {
            each.push(format!("{:.2} USD", self.usd));
        }
        format!(
            "For each confirmed per cent of the baseline ({} in all): {} and {} trials, those that led nowhere counted.",
            Decimals::of(self.percent, 3).show(self.percent),
            each.join(", "),
            Decimals::of(self.trials, 2).show(self.trials),
        )
    }
}

impl CostReport {
    pub(crate) fn of(study: &Study, summary: &Summary) -> Self {
        let row = |purpose| PurposeCost { purpose, finished: 0, failed: 0, cpu_s: 0.0 };
        let mut purposes = [row("search"), row("confirmation"), row("closing comparison")];
        for replicate in study.trials().iter().flat_map(|trial| &trial.replicates) {
            let Some(result) = &replicate.result else { continue };
            let sum = match replicate.purpose {
                Purpose::Search => &mut purposes[0],
                Purpose::Confirm { .. } | Purpose::Audit { .. } => &mut purposes[1],
                Purpose::Report => &mut purposes[2],
            };
            sum.finished += 1;
            sum.failed += usize::from(result.failure.is_some());
            sum.cpu_s += result.cost.cpu_s;
        }
        let total = study.cost();
        let trials = study.spent_trials();
        let percent = summary
            .champion
            .as_ref()
            .zip(summary.baseline)
            .map(|(champion, baseline)| 100.0 * champion.gain / baseline.mean.abs());
        let per_percent =
            percent.filter(|percent| percent.is_finite() && *percent > 0.0).map(|percent| {
                PerPercent {
                    percent,
                    wall_s: total.wall_s / percent,
                    cpu_s: total.cpu_s / percent,
                    gpu_s: total.gpu_s / percent,
                    usd: total.usd / percent,
                    trials: f64::from(trials) / percent,
                }
            });
        let arms = u32::try_from(study.rows()).unwrap_or(u32::MAX);
        let cap = study.budget().trials.map(|cap| cap.saturating_mul(arms));
        // Of several arms each has a price of its own.
        let per_percent = per_percent.filter(|_| arms == 1);
        Self { total, trials, cap, purposes, per_percent }
    }
}
