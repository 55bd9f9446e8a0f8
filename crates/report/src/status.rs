//! Where a study stands, in the stable JSON shape that scripts read.

use std::collections::BTreeMap;

use empiric_core::{
    Blame, Complexity, Concern, Cost, Measurement, Outcome, Phase, Prediction, Provenance,
    Signature, Study, Trial,
    study::{Counts, State},
};
use empiric_decide::{Basis, ChampionSummary};
use serde::Serialize;

use crate::arms::{self, ArmStatus, Comparison};

use crate::beside::{AblationStatus, ParetoRow};

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
    /// Whether every tree has given one value only, at all its seeds.
    pub deterministic: bool,
    /// What is known of the noise besides its size.
    pub noise: Noise,
    /// The best confirmed trial, if any beats the baseline.
    pub champion: Option<Champion>,
    /// How the search goes, in the champion's arm.
    pub search: Search,
    /// The last ablation of a champion, if there was any.
    pub ablation: Option<AblationStatus>,
    /// Trials that no other one beats on all objectives; empty where the task has one.
    pub pareto: Vec<ParetoRow>,
    /// How often the report split was opened; only the first time nothing had been chosen by it.
    pub report_openings: u32,
    /// The arms, those asked for first.
    pub arms: Vec<ArmStatus>,
    /// Arms against one another, each with each, once the closing comparison is made.
    pub comparisons: Vec<Comparison>,
    /// What was spent.
    pub cost: Cost,
    /// Sandbox level of the last session.
    pub sandbox: String,
}

/// How the search goes.
#[derive(Debug, Clone, Serialize)]
pub struct Search {
    /// The policy's name.
    pub policy: String,
    /// Trials in a row without a keep.
    pub drought: u32,
    /// How plain the next edit of the champion is to be: `simple`, `normal` or `complex`, by how often it was tried.
    pub complexity: &'static str,
    /// Verdicts that came in between a trial's ask and its start.
    pub staleness: Staleness,
    /// How different the edits are.
    pub diversity: Diversity,
    /// Trials whose edit brings back nothing but lines that were measured and dropped.
    pub revisits: usize,
}

/// Verdicts that came in between a trial's ask and its start.
#[derive(Debug, Clone, Serialize)]
pub struct Staleness {
    /// Mean over trials.
    pub mean: f64,
    /// Largest.
    pub most: u32,
}

/// How different the edits are: Shannon entropies, and the families they are of.
#[derive(Debug, Clone, Serialize)]
pub struct Diversity {
    /// Bits over surfaces.
    pub surface_bits: f64,
    /// Surfaces edited.
    pub surfaces: usize,
    /// Bits over kinds of edits: changed lines with their numbers struck out.
    pub content_bits: f64,
    /// Kinds of edits.
    pub contents: usize,
}

impl Search {
    fn of(study: &Study) -> Self {
        let seen = study.in_front();
        let course = seen.course();
        let staleness = course.staleness();
        Self {
            policy: study
                .settings()
                .arm(study.lead())
                .map_or_else(String::new, |arm| arm.policy.clone()),
            drought: course.drought(),
            complexity: match Complexity::of(course.children(seen.champion())) {
                Complexity::Simple => "simple",
                Complexity::Normal => "normal",
                Complexity::Complex => "complex",
            },
            staleness: Staleness { mean: staleness.mean(), most: staleness.most },
            diversity: Diversity {
                surface_bits: course.surfaces().entropy(),
                surfaces: course.surfaces().families(),
                content_bits: course.contents().entropy(),
                contents: course.contents().families(),
            },
            revisits: course.revisited(),
        }
    }
}

/// What is known of the noise, and what can be found in spite of it.
#[derive(Debug, Clone, Serialize)]
pub struct Noise {
    /// Degrees of freedom that `noise_sd` rests on.
    pub df: f64,
    /// Whether repeated measurements of one tree move with time.
    pub drifts: bool,
    /// Whether trials differ in their spread.
    pub uneven: bool,
    /// The smallest gain that a study of `smallest_effect_trials` trials finds with 80 % power, in the metric's unit.
    pub smallest_effect: f64,
    /// The cap on trials, or 200 where there is none.
    pub smallest_effect_trials: u32,
    /// `fdr` or `fwer`: what is held at `level` over the whole study.
    pub error: empiric_core::study::ErrorControl,
    /// The level.
    pub level: f64,
    /// Comparisons on fresh seeds that have spent some of it.
    pub contests: u32,
}

/// Trials when no cap says how many there will be.
const TRIALS: u32 = 200;

impl Noise {
    /// The noise of `study`.
    #[must_use]
    pub fn of(study: &Study) -> Self {
        let noise = empiric_decide::noise::noise(study);
        let rules = &study.settings().rules;
        let trials = study.budget().trials.unwrap_or(TRIALS);
        let sd = noise.sd.unwrap_or(0.0);
        Self {
            df: noise.df,
            drifts: noise.drifts,
            uneven: noise.uneven,
            smallest_effect: empiric_decide::smallest_effect(sd, rules, study.rows(), trials),
            smallest_effect_trials: trials,
            error: rules.error,
            level: rules.level,
            contests: study.contests(),
        }
    }

    /// What `trials` trials can find, in a sentence, given the baseline's mean.
    #[must_use]
    pub fn alarm(&self, deterministic: bool, baseline: f64) -> String {
        if deterministic {
            return "every seed gives the same value: the metric is taken as deterministic, and any gain is found"
                .to_owned();
        }
        let share = 100.0 * self.smallest_effect / baseline.abs();
        let share =
            if share.is_finite() { format!(" ({})", percent(share)) } else { String::new() };
        let mut text = format!(
            "the smallest gain that {} trials find with 80 % power is {}{share}",
            self.smallest_effect_trials,
            significant(self.smallest_effect),
        );
        if self.drifts {
            text.push_str("; repeated measurements drift, so champion and challenger are measured side by side");
        }
        if self.uneven {
            text.push_str("; trials differ in their spread");
        }
        text
    }
}

fn percent(share: f64) -> String {
    format!("{} %", significant(share))
}

/// A number to two significant digits.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let place = 1 - value.abs().log10().floor() as i32;
    format!("{value:.*}", usize::try_from(place).unwrap_or(0))
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

impl Outcomes {
    pub(crate) fn of(counts: &Counts) -> Self {
        Self {
            keep: counts.keep,
            discard: counts.discard,
            inconclusive: counts.inconclusive,
            failed: counts.failed.clone(),
        }
    }
}

impl From<ChampionSummary> for Champion {
    fn from(champion: ChampionSummary) -> Self {
        Self {
            trial: champion.trial.to_string(),
            mean: champion.mean,
            gain: champion.gain,
            gain_interval: champion.gain_interval,
            provenance: champion.provenance,
            basis: match champion.basis {
                Basis::Report => "report",
                Basis::Confirm => "confirm",
            },
        }
    }
}

impl Status {
    /// The status of `study`.
    #[must_use]
    pub fn of(study: &Study) -> Self {
        let task = study.task();
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
            outcomes: Outcomes::of(study.counts()),
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
            noise_sd: summary.noise.sd.unwrap_or(0.0),
            deterministic: summary.noise.deterministic,
            noise: Noise::of(study),
            champion: summary.champion.map(Champion::from),
            search: Search::of(study),
            arms: arms::arms(study),
            comparisons: arms::comparisons(study),
            ablation: AblationStatus::of(study),
            pareto: crate::pareto(study),
            report_openings: study.report_openings(),
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
    /// What the supervisor read out of the edit before anything ran.
    pub concerns: Vec<Concern>,
    /// Why it was measured once more before it could be kept; absent when it was not.
    pub quarantine: Option<Vec<Concern>>,
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
    /// What the replicate was for: `search`, `confirm`, `audit`, `report`.
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
            concerns: edit.map(|edit| edit.inspection.concerns.clone()).unwrap_or_default(),
            quarantine: trial.quarantine.as_ref().map(|held| held.concerns.clone()),
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
        empiric_core::Purpose::Audit { .. } => "audit",
        empiric_core::Purpose::Report => "report",
    }
}
