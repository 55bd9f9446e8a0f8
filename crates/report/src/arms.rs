//! Arms side by side: what each has gained, what it took, and how they compare.

use empiric_core::{Cost, Outcome, Study};
use serde::Serialize;

use crate::status::{Champion, Outcomes};

/// One arm.
#[derive(Debug, Clone, Serialize)]
pub struct ArmStatus {
    /// Its name, as it was asked for.
    pub name: String,
    /// What makes its edits; absent of trials made outside.
    pub proposer: Option<String>,
    /// What chooses operator and parents; absent of trials made outside.
    pub policy: Option<String>,
    /// Trials asked for.
    pub trials: usize,
    /// Those that count against its budget.
    pub spent: u32,
    /// Its trials by outcome.
    pub outcomes: Outcomes,
    /// Its best confirmed trial, if any beats the baseline.
    pub champion: Option<Champion>,
    /// Interquartile mean of its gains over the baseline, seed by seed of the closing comparison.
    pub typical_gain: Option<f64>,
    /// Its 95 % bootstrap interval over seeds.
    pub typical_gain_interval: Option<[f64; 2]>,
    /// What the replicates of its trials cost; wall time is that of slots.
    pub cost: Cost,
    /// CPU seconds for each per cent of the baseline that its champion gains; absent where it gains nothing.
    pub cpu_s_per_percent: Option<f64>,
    /// Trials in a row without a keep.
    pub drought: u32,
}

/// One arm's champion against another's, under the seeds of the closing comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The arm.
    pub arm: String,
    /// The one it is compared with.
    pub than: String,
    /// Mean difference, paired by seed; positive where `arm` is better, whatever the goal.
    pub gain: f64,
    /// Its 95 % interval.
    pub gain_interval: Option<[f64; 2]>,
    /// Probability that a run of the one beats a run of the other; ties count half.
    pub probability: f64,
    /// Its 95 % bootstrap interval.
    pub probability_interval: [f64; 2],
}

/// What an arm had gained, and when.
#[derive(Debug, Clone, Serialize)]
pub struct Anytime {
    /// The arm.
    pub arm: String,
    /// Its trials.
    pub trials: usize,
    /// Its keeps.
    pub steps: Vec<Step>,
}

/// A keep.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The trial.
    pub trial: String,
    /// How many of the arm's trials there were by then, this one among them.
    pub trials: usize,
    /// CPU seconds that those took.
    pub cpu_s: f64,
    /// Confirmed gain over the baseline.
    pub gain: f64,
    /// Its 95 % interval: half widths of the keeps that led here add in quadrature.
    pub interval: Option<[f64; 2]>,
}

impl Anytime {
    /// What it has gained in the end.
    #[must_use]
    pub fn gain(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.gain)
    }
}

/// The confirmed gain of every arm, keep by keep.
#[must_use]
pub fn anytime(study: &Study) -> Vec<Anytime> {
    study.arms().into_iter().map(|arm| curve(&study.of_arm(arm), arm)).collect()
}

fn curve(seen: &Study, arm: &str) -> Anytime {
    let (mut steps, mut squares, mut cpu_s) = (Vec::new(), Some(0.0), 0.0);
    for (place, trial) in seen.trials().iter().enumerate().skip(1) {
        let measured = trial.replicates.iter().filter_map(|held| held.result.as_ref());
        cpu_s += measured.map(|result| result.cost.cpu_s).sum::<f64>();
        let (Some(won), Some(Outcome::Valid { gain_interval, .. })) =
            (seen.won(trial.no), &trial.outcome)
        else {
            continue;
        };
        let half = gain_interval.map(|[low, high]| (high - low) / 2.0);
        squares = squares.zip(half).map(|(sum, half)| sum + half * half);
        steps.push(Step {
            trial: trial.no.to_string(),
            trials: place,
            cpu_s,
            gain: won.gain,
            interval: squares.map(|sum| [won.gain - sum.sqrt(), won.gain + sum.sqrt()]),
        });
    }
    Anytime { arm: arm.to_owned(), trials: seen.trials().len().saturating_sub(1), steps }
}

pub(crate) fn arms(study: &Study) -> Vec<ArmStatus> {
    study.arms().into_iter().filter_map(|name| arm(study, name)).collect()
}

fn arm(study: &Study, name: &str) -> Option<ArmStatus> {
    let own = study.arm(name)?;
    let asked = study.settings().arm(name);
    let summary = empiric_decide::summary(&study.of_arm(name));
    let gain = summary.champion.as_ref().map_or(0.0, |champion| champion.gain);
    let percent = summary.baseline.map_or(0.0, |baseline| 100.0 * gain / baseline.mean.abs());
    let typical = empiric_decide::typical(study, name);
    Some(ArmStatus {
        name: name.to_owned(),
        proposer: asked.map(|arm| arm.proposer.clone()),
        policy: asked.map(|arm| arm.policy.clone()),
        trials: own.trials().len().saturating_sub(1),
        spent: own.spent_trials(),
        outcomes: Outcomes::of(own.counts()),
        champion: summary.champion.map(Champion::from),
        typical_gain: typical.map(|typical| typical.gain.point),
        typical_gain_interval: typical.map(|typical| [typical.gain.low, typical.gain.high]),
        cost: own.cost(),
        cpu_s_per_percent: (percent.is_finite() && percent > 0.0)
            .then(|| own.cost().cpu_s / percent),
        drought: own.course().drought(),
    })
}

pub(crate) fn comparisons(study: &Study) -> Vec<Comparison> {
    let names = study.arms();
    let pairs = names
        .iter()
        .enumerate()
        .flat_map(|(at, one)| names[at + 1..].iter().map(move |other| (*one, *other)));
    let compared = pairs.filter_map(|(one, other)| {
        let found = empiric_decide::versus(study, one, other)?;
        Some(Comparison {
            arm: one.to_owned(),
            than: other.to_owned(),
            gain: found.gain,
            gain_interval: found.interval,
            probability: found.probability.point,
            probability_interval: [found.probability.low, found.probability.high],
        })
    });
    compared.collect()
}
