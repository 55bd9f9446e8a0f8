//! What a study knows about its noise: how large it is, whether there is any, whether it drifts, whether it is the same in
//! all trials.

use empiric_core::{Purpose, Replicate, Sample, Split, Study, Task, Trial, TrialNo};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::{stats::normal_tail, step::MIN_BASELINE};

/// Level at which a trend in time is called drift, and differing spreads uneven.
pub const ALARM: f64 = 0.001;

/// Least values for a statement about drift.
const SERIES: usize = 10;

/// The noise of one replicate of the task's metric in the segment in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseModel {
    /// Standard deviation, pooled over the baseline and all that was kept; none until something was repeated.
    pub sd: Option<f64>,
    /// Degrees of freedom that it rests on.
    pub df: f64,
    /// Whether every tree has given one value only at all its seeds, the baseline at least [`MIN_BASELINE`].
    pub deterministic: bool,
    /// Whether repeated measurements of one tree move with time (p < [`ALARM`]): another host, heat, other load. Champion
    /// and challenger are then measured side by side, on fresh replicates of both.
    pub drifts: bool,
    /// Whether trials differ in their spread (p < [`ALARM`]).
    pub uneven: bool,
}

/// The noise of `study`.
#[must_use]
pub fn noise(study: &Study) -> NoiseModel {
    let pooled = study.noise();
    NoiseModel {
        sd: (pooled.df > 0.0).then(|| pooled.sd()),
        df: pooled.df,
        deterministic: deterministic(study),
        drifts: drifts(study),
        uneven: bartlett(study.spreads().map(|(_, spread)| spread)) < ALARM,
    }
}

/// Whether the metric has shown no noise: no tree gave two values, and there were enough to tell.
pub(crate) fn deterministic(study: &Study) -> bool {
    study.spread(TrialNo::BASELINE).n >= MIN_BASELINE as usize && !study.varied()
}

/// Whether measurements of different times are not comparable: the metric is a time that the harness takes, or has been
/// seen to drift.
pub(crate) fn unsteady(study: &Study) -> bool {
    is_time(study.task()) || drifts(study)
}

/// Whether the metric is wall or CPU time of a stage.
fn is_time(task: &Task) -> bool {
    let name = &task.metric.name;
    task.is_harness_metric(name)
        && [".wall_seconds", ".cpu_seconds"].iter().any(|resource| name.ends_with(resource))
}

/// Whether the longest series of measurements of one tree, baseline or champion, moves with time.
fn drifts(study: &Study) -> bool {
    let longest =
        [TrialNo::BASELINE, study.champion()].into_iter().max_by_key(|no| study.spread(*no).n);
    let Some(trial) = longest.and_then(|no| study.trial(no)) else { return false };
    if study.spread(trial.no).n < SERIES {
        return false;
    }
    let values: Vec<f64> = in_time(study, trial).filter_map(|(_, value)| value).collect();
    trend(&values) < ALARM
}

/// The values that verdicts see of `trial` in the segment in force, in the order they were leased.
pub(crate) fn in_time<'a>(
    study: &'a Study,
    trial: &'a Trial,
) -> impl DoubleEndedIterator<Item = (&'a Replicate, Option<f64>)> {
    let metric = &study.task().metric.name;
    trial
        .replicates
        .iter()
        .filter(|replicate| {
            replicate.segment == study.segment() && replicate.purpose != Purpose::Report
        })
        .map(|replicate| (replicate, replicate.value(metric, Split::Select)))
}

/// One-sided p value of "no trend or slow swing": the mean square successive difference over the variance is 2 for
/// independent values and smaller where neighbours resemble each other; normal approximation with variance `4 (n - 2) /
/// (n² - 1)` (von Neumann, Distribution of the ratio of the mean square successive difference to the variance, Annals of
/// Mathematical Statistics 12, 1941). 1 where the values allow no statement.
#[must_use]
pub fn trend(values: &[f64]) -> f64 {
    let sample = Sample::of(values);
    if sample.n < SERIES || sample.ss <= 0.0 || !sample.ss.is_finite() {
        return 1.0;
    }
    let steps: f64 = values
        .windows(2)
        .map(|pair| match pair {
            [before, after] => (after - before).powi(2),
            _ => 0.0,
        })
        .sum();
    let n = sample.n as f64;
    let sd = (4.0 * (n - 2.0) / (n * n - 1.0)).sqrt();
    normal_tail((2.0 - steps / sample.ss) / sd)
}

/// p value of "all spreads are equal" (Bartlett, Properties of sufficiency and statistical tests, Proceedings of the Royal
/// Society A 160, 1937). Samples without any spread say nothing to it; 1 for fewer than two others.
#[must_use]
pub fn bartlett(samples: impl Iterator<Item = Sample>) -> f64 {
    let (mut k, mut df, mut ss, mut logs, mut inverses) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for sample in samples.filter(|sample| sample.n >= 2 && sample.ss > 0.0) {
        k += 1.0;
        df += sample.df();
        ss += sample.ss;
        logs += sample.df() * (sample.ss / sample.df()).ln();
        inverses += 1.0 / sample.df();
    }
    if k < 2.0 {
        return 1.0;
    }
    let correction = 1.0 + (inverses - 1.0 / df) / (3.0 * (k - 1.0));
    let statistic = (df * (ss / df).ln() - logs) / correction;
    ChiSquared::new(k - 1.0).map_or(1.0, |chi| chi.sf(statistic))
}
