//! Arms compared with one another, from the closing comparison alone: there every champion and the baseline were measured
//! under the same seeds, and nothing was selected on them.

use empiric_core::{Study, TrialNo};

use crate::{
    aggregate::{self, Interval},
    closing::{Closing, closing},
    compare,
    noise::noise,
    stats::Contrast,
    summary::met,
    words::COVERAGE,
};

/// Draws of a bootstrap.
const DRAWS: u32 = 2000;

/// What an arm gained, seed by seed of the closing comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Typical {
    /// Interquartile mean of the gains over the baseline, in the metric's unit, with its bootstrap interval over seeds.
    pub gain: Interval,
    /// Seeds.
    pub n: usize,
}

/// One arm's champion against another's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Versus {
    /// Mean difference, paired by seed, in the metric's unit; positive where the first is better, whatever the goal.
    pub gain: f64,
    /// Its two-sided 95 % t interval; none where there are too few seeds for one.
    pub interval: Option<[f64; 2]>,
    /// Probability that a run of the first beats one of the second (ties count half), with its bootstrap interval.
    pub probability: Interval,
    /// Seeds.
    pub n: usize,
}

/// What an arm typically gains under one seed; none before the closing comparison is complete. An arm that kept nothing
/// gains nothing.
#[must_use]
pub fn typical(study: &Study, arm: &str) -> Option<Typical> {
    let pairs = scores(study, champion(study, arm)?, TrialNo::BASELINE)?;
    let gains = [compare::differences(&pairs)];
    let gain =
        aggregate::bootstrap(&gains, aggregate::interquartile_mean, DRAWS, COVERAGE, stream(study));
    Some(Typical { gain, n: pairs.len() })
}

/// `one` against `other`; none before the closing comparison is complete.
#[must_use]
pub fn versus(study: &Study, one: &str, other: &str) -> Option<Versus> {
    let (one, other) = (champion(study, one)?, champion(study, other)?);
    let pairs = scores(study, one, other)?;
    let same = one == other || noise(study).deterministic;
    let floor = if same { 0.0 } else { compare::floor(study.noise()) };
    let contrast = Contrast::paired(&compare::differences(&pairs), floor);
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let n = ours.len();
    let mean = ours.iter().zip(&theirs).map(|(own, other)| own - other).sum::<f64>() / n as f64;
    let probability = aggregate::bootstrap_pair(
        &[ours],
        &[theirs],
        aggregate::probability_of_improvement,
        DRAWS,
        COVERAGE,
        stream(study),
    );
    let interval = contrast.and_then(|contrast| contrast.interval(COVERAGE));
    Some(Versus { gain: mean, interval, probability, n })
}

fn champion(study: &Study, arm: &str) -> Option<TrialNo> {
    let own = study.arm(arm)?;
    let champion = own.champion();
    (champion == TrialNo::BASELINE || own.report() == Some(champion)).then_some(champion)
}

/// Scores of both under the seeds of the closing comparison; none before it is complete, or when there are none.
fn scores(study: &Study, one: TrialNo, other: TrialNo) -> Option<Vec<(f64, f64)>> {
    if closing(study) != Closing::Done {
        return None;
    }
    let pairs = met(study, study.trial(one)?, study.trial(other)?);
    (!pairs.is_empty()).then_some(pairs)
}

/// Intervals are the same every time they are asked for.
fn stream(study: &Study) -> u64 {
    study.settings().seed
}
