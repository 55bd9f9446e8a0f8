//! Where a study stands, in the stable JSON shape that scripts read.

use std::collections::BTreeMap;

use empiric_core::{
    Blame, Cost, Measurement, Outcome, Phase, Prediction, Provenance, Signature, Study, Trial,
    study::State,
};
use empiric_decide::Basis;
use serde::Serialize;

#[cfg(test)]
mod tests;

/// `empiric status --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The study's id.
    pub study: String,
    /// The task's name.
    pub task: String,
    /// `running`, `paused`, `finished` or `stopped`.
    pub state: State,
    /// Trials asked for, the baseline apart.
    pub trials: usize,
    /// Finished replicates.
    pub replicates: usize,
    /// Trials by outcome.
    pub outcomes: Outcomes,
    /// Failed trials by what they are recognised by, the most frequent first; at most 20 kinds.
    pub failures: Vec<FailureKind>,
    /// What is improved.
    pub metric: MetricName,
    /// The unedited recipe.
    pub baseline: Baseline,
    /// Standard deviation of one replicate; 0 until something was repeated.
    pub noise_sd: f64,
    /// Whether every baseline replicate gave the same value.
    pub deterministic: bool,
    /// The best confirmed trial, if any beats the baseline.
    pub champion: Option<Champion>,
    /// What was spent.
    pub cost: Cost,
    /// Sandbox level of the last session.
    pub sandbox: String,
}

/// Trials by outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Outcomes {
    /// Kept.
    pub keep: u32,
    /// Discarded.
    pub discard: u32,
    /// Undecided.
    pub inconclusive: u32,
    /// Failed, by cause.
    pub failed: BTreeMap<String, u32>,
}

/// Failed trials that are recognised by the same signature.
#[derive(Debug, Clone, Serialize)]
pub struct FailureKind {
    /// What they are recognised by.
    #[serde(flatten)]
    pub signature: Signature,
    /// Who is to blame.
    pub blame: Blame,
    /// Where they failed.
    pub phase: Phase,
    /// How many there are.
    pub trials: u32,
    /// The last of them.
    pub last: String,
}

/// What is improved.
#[derive(Debug, Clone, Serialize)]
pub struct MetricName {
    /// Its name.
    pub name: String,
    /// `minimize` or `maximize`.
    pub goal: empiric_core::Goal,
    /// Its unit; may be empty.
    pub unit: String,
}

/// The unedited recipe.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// Mean; absent before the first replicate.
    pub mean: Option<f64>,
    /// 95 % interval of the mean; absent before the second replicate.
    pub interval: Option<[f64; 2]>,
    /// Replicates it rests on.
    pub replicates: usize,
}

/// The best confirmed trial.
#[derive(Debug, Clone, Serialize)]
pub struct Champion {
    /// Its number.
    pub trial: String,
    /// Mean on data and seeds that selection did not see.
    pub mean: f64,
    /// Gain over the baseline, positive when better.
    pub gain: f64,
    /// 95 % interval of the gain.
    pub gain_interval: Option<[f64; 2]>,
    /// Who vouches for the metric.
    pub provenance: Provenance,
    /// `report` after the closing comparison, `confirm` before it.
    pub basis: &'static str,
}

impl Status {
    /// The status of `study`.
    #[must_use]
    pub fn of(study: &Study) -> Self {
        let task = study.task();
        let counts = study.counts();
        let summary = empiric_decide::summary(study);
        let finished = study
            .trials()
            .iter()
            .flat_map(|trial| &trial.replicates)
            .filter(|r| r.result.is_some())
            .count();
        Self {
            study: study.id().to_string(),
            task: task.name.clone(),
            state: study.state(),
            trials: study.trials().len().saturating_sub(1),
            replicates: finished,
            outcomes: Outcomes {
                keep: counts.keep,
                discard: counts.discard,
                inconclusive: counts.inconclusive,
                failed: counts.failed.clone(),
            },
            failures: failures(study),
            metric: MetricName {
                name: task.metric.name.clone(),
                goal: task.metric.goal,
                unit: task.metric.unit.clone(),
            },
            baseline: Baseline {
                mean: summary.baseline.map(|estimate| estimate.mean),
                interval: summary.baseline.and_then(|estimate| estimate.interval),
                replicates: summary.baseline.map_or(0, |estimate| estimate.n),
            },
            noise_sd: summary.noise_sd.unwrap_or(0.0),
            deterministic: summary.deterministic,
            champion: summary.champion.map(|champion| Champion {
                trial: champion.trial.to_string(),
                mean: champion.mean,
                gain: champion.gain,
                gain_interval: champion.gain_interval,
                provenance: task.provenance(),
                basis: match champion.basis {
                    Basis::Report => "report",
                    Basis::Confirm => "confirm",
                },
            }),
            cost: study.cost(),
            sandbox: study.sandbox().to_owned(),
        }
    }
}

/// Most kinds of failure in a status.
const KINDS: usize = 20;

fn failures(study: &Study) -> Vec<FailureKind> {
    let mut kinds: BTreeMap<Signature, FailureKind> = BTreeMap::new();
    for trial in study.trials() {
        let Some(Outcome::Failed(failure)) = &trial.outcome else { continue };
        let signature = failure.signature();
        let kind = kinds.entry(signature.clone()).or_insert_with(|| FailureKind {
            signature,
            blame: failure.blame,
            phase: failure.phase,
            trials: 0,
            last: String::new(),
        });
        kind.trials += 1;
        kind.last = trial.no.to_string();
    }
    let mut kinds: Vec<FailureKind> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.trials));
    kinds.truncate(KINDS);
    kinds
}

/// One line of `empiric trials --json`.
#[derive(Debug, Clone, Serialize)]
pub struct TrialRow {
    /// Its number.
    pub trial: String,
    /// The trials it starts from.
    pub parents: Vec<String>,
    /// The arm that asked for it.
    pub arm: String,
    /// Who made the edit.
    pub proposer: Option<String>,
    /// The surface it lies in.
    pub surface: Option<String>,
    /// How the edit came about.
    pub operator: empiric_core::Operator,
    /// Why.
    pub hypothesis: Option<String>,
    /// What was predicted.
    pub prediction: Option<Prediction>,
    /// How it ended; absent while it is open.
    pub outcome: Option<OutcomeRow>,
    /// Every value of every finished replicate, with its seed; proposers see the `search` split alone.
    pub measurements: Vec<MeasurementRow>,
    /// Its commit.
    pub commit: Option<String>,
    /// Its tree.
    pub tree: Option<String>,
    /// When it was asked for.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// An outcome, flat.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OutcomeRow {
    /// `valid` or `failed`.
    pub kind: &'static str,
    /// Of a valid trial.
    pub verdict: Option<String>,
    /// Who is to blame.
    pub blame: Option<String>,
    /// Where it failed.
    pub phase: Option<String>,
    /// What happened.
    pub cause: Option<String>,
    /// Signed distance to the limit that was missed.
    pub margin: Option<f64>,
    /// What the failure is recognised by; the same for the same failure with other numbers and in other places.
    pub signature: Option<Signature>,
    /// Whether the same attempt may succeed.
    pub retryable: bool,
    /// The evidence, or text that shows the failure.
    pub reason: String,
    /// Estimated gain over the champion of that moment.
    pub gain: Option<f64>,
    /// Its 95 % interval.
    pub gain_interval: Option<[f64; 2]>,
}

/// One value.
#[derive(Debug, Clone, Serialize)]
pub struct MeasurementRow {
    /// Seed of its replicate.
    pub seed: u32,
    /// What the replicate was for: `search`, `confirm`, `report`.
    pub purpose: &'static str,
    /// The value and its provenance.
    #[serde(flatten)]
    pub measurement: Measurement,
}

impl From<&Trial> for TrialRow {
    fn from(trial: &Trial) -> Self {
        let edit = trial.edit.as_ref();
        let measurements = trial.replicates.iter().flat_map(|replicate| {
            let measured = replicate.result.iter().flat_map(|result| &result.measurements);
            measured.map(|measurement| MeasurementRow {
                seed: replicate.seed.0,
                purpose: purpose(replicate.purpose),
                measurement: measurement.clone(),
            })
        });
        Self {
            trial: trial.no.to_string(),
            parents: trial.parents().iter().map(ToString::to_string).collect(),
            arm: trial.arm.clone(),
            proposer: edit.map(|edit| edit.proposer.clone()),
            surface: edit.and_then(|edit| edit.surface.clone()),
            operator: edit.map_or(trial.ask.operator, |edit| edit.operator),
            hypothesis: edit.map(|edit| edit.hypothesis.text.clone()),
            prediction: edit.and_then(|edit| edit.hypothesis.prediction.clone()),
            outcome: trial.outcome.as_ref().map(OutcomeRow::from),
            measurements: measurements.collect(),
            commit: edit.map(|edit| edit.commit.to_string()),
            tree: edit.map(|edit| edit.tree.to_string()),
            started_at: trial.asked_at.to_string(),
            ended_at: trial.ended_at.map(|at| at.to_string()),
        }
    }
}

impl From<&Outcome> for OutcomeRow {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Valid { verdict, reason, gain, gain_interval } => Self {
                kind: "valid",
                verdict: Some(verdict.to_string()),
                reason: reason.clone(),
                gain: *gain,
                gain_interval: *gain_interval,
                ..Self::default()
            },
            Outcome::Failed(failure) => Self {
                kind: "failed",
                blame: Some(failure.blame.to_string()),
                phase: Some(failure.phase.to_string()),
                cause: Some(failure.cause.name().to_owned()),
                margin: failure.margin,
                signature: Some(failure.signature()),
                retryable: failure.retryable,
                reason: failure.excerpt.clone(),
                ..Self::default()
            },
        }
    }
}

fn purpose(purpose: empiric_core::Purpose) -> &'static str {
    match purpose {
        empiric_core::Purpose::Search => "search",
        empiric_core::Purpose::Confirm { .. } => "confirm",
        empiric_core::Purpose::Report => "report",
    }
}
