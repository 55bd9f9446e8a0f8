//! Pinned to SciPy 1.17 and NumPy 2.4; the definitions are rliable's.

use super::*;

const RUNS: [f64; 10] = [0.11, 0.52, 0.37, 0.93, 0.64, 0.25, 0.78, 0.41, 0.06, 0.88];

fn tasks() -> Vec<Vec<f64>> {
    vec![vec![0.1, 0.2, 0.3, 0.15], vec![0.5, 0.4, 0.6, 0.55], vec![0.9, 0.8, 0.7, 0.95]]
}

#[test]
fn the_interquartile_mean_is_scipys_trimmed_mean() {
    // scipy.stats.trim_mean(x, 0.25, axis=None)
    assert!((interquartile_mean(&[RUNS.to_vec()]) - 0.495).abs() < 1e-12);
    assert!((interquartile_mean(&tasks()) - 0.508_333_333_333_333_3).abs() < 1e-12);
}

#[test]
fn quantiles_are_numpys() {
    let mut sorted = RUNS.to_vec();
    sorted.sort_by(f64::total_cmp);
    // numpy.quantile(x, [0.025, 0.5, 0.975])
    for (q, value) in [(0.025, 0.07125), (0.5, 0.465), (0.975, 0.91875)] {
        assert!((quantile(&sorted, q) - value).abs() < 1e-12, "{q}");
    }
}

#[test]
fn improvement_is_the_mann_whitney_share() {
    let (a, b) = (vec![0.3, 0.5, 0.7, 0.9, 0.5], vec![0.2, 0.5, 0.6, 0.4]);
    let (ours, theirs) = ([a.clone()], [b.clone()]);
    // scipy.stats.mannwhitneyu(a, b).statistic / (5 * 4)
    assert!((probability_of_improvement(&ours, &theirs) - 0.7).abs() < 1e-12);
    // The mean over tasks, not over pairs.
    let both = probability_of_improvement(&[a, vec![1.0]], &[b, vec![0.0, 2.0]]);
    assert!((both - 0.6).abs() < 1e-12);
    let (there, back) =
        (probability_of_improvement(&ours, &theirs), probability_of_improvement(&theirs, &ours));
    assert!((there + back - 1.0).abs() < 1e-12);
}

#[test]
fn a_profile_is_the_share_of_runs_above() {
    // [(y > t).mean() for t in (0.1, 0.5, 0.6)]
    let profile = performance_profile(&tasks(), &[0.1, 0.5, 0.6]);
    for (share, expected) in profile.iter().zip([11.0 / 12.0, 0.5, 1.0 / 3.0]) {
        assert!((share - expected).abs() < 1e-12);
    }
}

#[test]
fn draws_stay_within_their_task() {
    let mut state = 3;
    for _ in 0..50 {
        for (drawn, runs) in resample(&tasks(), &mut state).iter().zip(tasks()) {
            assert_eq!(drawn.len(), runs.len());
            assert!(drawn.iter().all(|score| runs.contains(score)));
        }
    }
}

#[test]
fn the_interval_covers_the_truth_as_often_as_it_says() {
    // Uniform runs on three tasks; the interquartile mean of each sample estimates 1/2.
    let mut state = 11;
    let mut uniform = || next(&mut state) as f64 / (1_u64 << 48) as f64;
    let covered = (0..300)
        .filter(|study| {
            let scores: Vec<Vec<f64>> =
                (0..3).map(|_| (0..20).map(|_| uniform()).collect()).collect();
            let found = bootstrap(&scores, interquartile_mean, 400, 0.95, *study);
            found.low <= 0.5 && 0.5 <= found.high
        })
        .count();
    let share = covered as f64 / 300.0;
    assert!((0.89..=0.99).contains(&share), "{share}");
}

#[test]
fn equal_streams_give_equal_intervals() {
    let twice = [7, 7, 8].map(|s| bootstrap(&tasks(), interquartile_mean, 20, 0.95, s));
    assert_eq!(twice[0], twice[1]);
    assert_ne!(twice[0], twice[2]);
    assert!(twice[0].low <= twice[0].point && twice[0].point <= twice[0].high);
}

#[test]
fn figures_are_those_of_rliable() {
    // rliable 1.2.0: metrics.aggregate_iqm, metrics.probability_of_improvement, and
    // library.create_performance_profile(use_score_distribution=True) at (0, 0.2, 0.4, 0.6, 0.8).
    let theirs =
        [vec![0.12, 0.05, 0.2, 0.25], vec![0.3, 0.45, 0.2, 0.5], vec![0.6, 0.85, 0.75, 0.65]];
    assert!((interquartile_mean(&theirs) - 0.383_333_333_333_333_3).abs() < 1e-12);
    assert!((probability_of_improvement(&tasks(), &theirs) - 0.75).abs() < 1e-12);
    let thresholds = [0.0, 0.2, 0.4, 0.6, 0.8];
    for (scores, shares) in [
        (tasks(), [1.0, 0.75, 7.0 / 12.0, 1.0 / 3.0, 1.0 / 6.0]),
        (theirs.to_vec(), [1.0, 2.0 / 3.0, 0.5, 0.25, 1.0 / 12.0]),
    ] {
        for (share, expected) in performance_profile(&scores, &thresholds).iter().zip(shares) {
            assert!((share - expected).abs() < 1e-12, "{share} {expected}");
        }
    }
}
