//! Statistics over many runs: what a bench or a report may say of methods compared on several tasks with several seeds.
//!
//! Definitions follow rliable (Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
//! NeurIPS 2021): interquartile mean over all runs of all tasks, percentile bootstrap intervals stratified by task,
//! run-score performance profiles, and probability of improvement.

#[cfg(test)]
mod tests;

/// Scores of one method: for each task, the score of every run. Larger is better.
pub type Scores = [Vec<f64>];

/// A number with its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate from all runs.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Mean of the middle half of all runs: a quarter, rounded down, is left out at either end, as by SciPy's
/// `trim_mean(x, 0.25, axis=None)`. NaN without runs.
#[must_use]
pub fn interquartile_mean(scores: &Scores) -> f64 {
    let mut all: Vec<f64> = scores.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let cut = all.len() / 4;
    let middle = &all[cut..all.len() - cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// Share of runs above each threshold, over all tasks (run-score distribution).
#[must_use]
pub fn performance_profile(scores: &Scores, thresholds: &[f64]) -> Vec<f64> {
    let runs = scores.iter().map(Vec::len).sum::<usize>() as f64;
    let above = |threshold: &f64| scores.iter().flatten().filter(|s| *s > threshold).count();
    thresholds.iter().map(|threshold| above(threshold) as f64 / runs).collect()
}

/// Probability that a run of `ours` beats one of `theirs` on a task chosen at random: the mean over tasks of the
/// Mann-Whitney statistic divided by the number of pairs, ties counting half. Tasks are those that both have, in order.
#[must_use]
pub fn probability_of_improvement(ours: &Scores, theirs: &Scores) -> f64 {
    let tasks = ours.len().min(theirs.len());
    let task = |(ours, theirs): (&Vec<f64>, &Vec<f64>)| {
        let points: f64 = ours
            .iter()
            .flat_map(|own| theirs.iter().map(move |other| (own, other)))
            .map(|(own, other)| match own.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                _ if own == other => 0.5,
                std::cmp::Ordering::Equal | std::cmp::Ordering::Less => 0.0,
            })
            .sum();
        points / (ours.len() * theirs.len()) as f64
    };
    ours.iter().zip(theirs).map(task).sum::<f64>() / tasks as f64
}

/// Percentile bootstrap of a statistic of one method: runs are drawn anew with replacement within each task, `draws`
/// times; the interval covers `coverage`. The same `stream` gives the same interval.
#[must_use]
pub fn bootstrap(
    scores: &Scores,
    statistic: impl Fn(&Scores) -> f64,
    draws: u32,
    coverage: f64,
    stream: u64,
) -> Interval {
    bootstrap_pair(scores, &[], |own, _| statistic(own), draws, coverage, stream)
}

/// The same of a statistic of two methods, both drawn anew.
#[must_use]
pub fn bootstrap_pair(
    ours: &Scores,
    theirs: &Scores,
    statistic: impl Fn(&Scores, &Scores) -> f64,
    draws: u32,
    coverage: f64,
    stream: u64,
) -> Interval {
    let mut state = stream;
    let mut values: Vec<f64> = (0..draws)
        .map(|_| {
            let own = resample(ours, &mut state);
            let other = resample(theirs, &mut state);
            statistic(&own, &other)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - coverage) / 2.0;
    Interval {
        point: statistic(ours, theirs),
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
    }
}

fn resample(scores: &Scores, state: &mut u64) -> Vec<Vec<f64>> {
    let task = |runs: &Vec<f64>| {
        let mut draw = || runs[(next(state) % runs.len() as u64) as usize];
        (0..runs.len()).map(|_| draw()).collect()
    };
    scores.iter().map(task).collect()
}

/// The quantile of sorted values by linear interpolation, as NumPy's default; NaN without values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len().max(1) - 1) as f64;
    match (sorted.get(at.floor() as usize), sorted.get(at.ceil() as usize)) {
        (Some(below), Some(above)) => below + (above - below) * at.fract(),
        _ => f64::NAN,
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): enough for drawing places in a list, and the same everywhere.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 16
}
