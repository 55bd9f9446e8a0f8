//! What stands beside the search, in stable JSON shapes: the last ablation, and the trials that no other one beats.

use empiric_core::Study;
use empiric_decide::ablate::{Ablated, HunkWorth, Standing, ablated};
use serde::Serialize;

/// The last ablation.
#[derive(Debug, Clone, Serialize)]
pub struct AblationStatus {
    /// The champion that was taken apart.
    pub champion: String,
    /// How much worse a simpler trial may be, in the metric's unit.
    pub margin: f64,
    /// The champion without the hunks that did not earn their place; absent until it is kept, or where all did.
    pub simplified: Option<String>,
    /// Whether there is nothing left to try.
    pub done: bool,
    /// Hunk by hunk, in order of file and line.
    pub hunks: Vec<HunkRow>,
}

/// One hunk of a champion.
#[derive(Debug, Clone, Serialize)]
pub struct HunkRow {
    /// File and lines in the champion.
    pub hunk: String,
    /// The trial without it.
    pub trial: Option<String>,
    /// By how much the champion is better with it, in the metric's unit; absent where it was not measured without.
    pub worth: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// `open`, `earns` (worse without it), `needed` (fails without it), `goes` (not worse by the margin without it),
    /// `unclear` (neither could be shown; it stays).
    pub standing: &'static str,
    /// Whether the simplified champion is without it.
    pub gone: bool,
}

impl AblationStatus {
    /// The last ablation of `study`.
    #[must_use]
    pub fn of(study: &Study) -> Option<Self> {
        let Ablated { champion, margin, hunks, simplified, done } = ablated(study)?;
        Some(Self {
            champion: champion.to_string(),
            margin,
            simplified: simplified.map(|no| no.to_string()),
            done,
            hunks: hunks.into_iter().map(HunkRow::from).collect(),
        })
    }
}

impl HunkRow {
    /// What became of it.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match (self.standing, self.gone) {
            ("goes", true) => "gone",
            ("goes", false) => "could go alone; stays",
            ("earns", _) => "earns its place",
            ("needed", _) => "fails without it",
            ("unclear", _) => "unclear; stays",
            (other, _) => other,
        }
    }
}

impl From<HunkWorth> for HunkRow {
    fn from(found: HunkWorth) -> Self {
        Self {
            hunk: found.hunk.to_string(),
            trial: found.trial.map(|no| no.to_string()),
            worth: found.worth,
            interval: found.interval,
            standing: match found.standing {
                Standing::Open => "open",
                Standing::Earns => "earns",
                Standing::Needed => "needed",
                Standing::Goes => "goes",
                Standing::Unclear => "unclear",
            },
            gone: found.gone,
        }
    }
}

/// A trial that no other one beats on all objectives.
#[derive(Debug, Clone, Serialize)]
pub struct ParetoRow {
    /// The trial.
    pub trial: String,
    /// Its values, the task's metric first.
    pub objectives: Vec<ObjectiveRow>,
}

/// A value on one objective.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectiveRow {
    /// The objective.
    pub metric: String,
    /// Which way is better.
    pub goal: empiric_core::Goal,
    /// The mean over replicates.
    pub mean: f64,
    /// Two standard errors to either side, by the noise of the baseline.
    pub interval: [f64; 2],
    /// Replicates.
    pub replicates: usize,
}

/// The Pareto archive of `study`, by trial; empty where its task has one objective.
#[must_use]
pub fn pareto(study: &Study) -> Vec<ParetoRow> {
    let archive = study.pareto();
    let row = |no| {
        let points = archive.point(no)?;
        let objectives = study.task().all_objectives().zip(points).map(|(metric, point)| {
            let (mean, replicates) = (point.mean, point.n);
            let interval = [point.low, point.high];
            ObjectiveRow {
                metric: metric.name.clone(),
                goal: metric.goal,
                mean,
                interval,
                replicates,
            }
        });
        Some(ParetoRow {
            trial: empiric_core::TrialNo::to_string(&no),
            objectives: objectives.collect(),
        })
    };
    archive.members().filter_map(row).collect()
}
