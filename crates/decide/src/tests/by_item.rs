//! Keeps where the evaluator scores item by item.

use empiric_core::{Goal, Outcome, Seed, TrialNo, Verdict, study::Rules, trial::Measured};

use super::lab::{Lab, normal, value};
use crate::Wanted;

/// Accuracy on `items` by whether each is right, less noise of the seed.
fn scored(items: &[f32], noise: f64) -> Measured {
    let mean = items.iter().map(|item| f64::from(*item)).sum::<f64>() / items.len() as f64;
    Measured { items: items.to_vec(), ..value(mean + noise) }
}

/// What becomes of a trial that wins and loses so many of 200 items against a baseline that has half of them.
fn verdict(won: usize, lost: usize, noise: f64) -> (Verdict, String) {
    let mut lab = Lab::new(Goal::Maximize, Rules::default());
    let base: Vec<f32> = (0..200).map(|i| f32::from(u8::from(i % 2 == 0))).collect();
    let mut other = base.clone();
    other.iter_mut().filter(|item| **item == 0.0).take(won).for_each(|item| *item = 1.0);
    let mut left = lost;
    for (item, was) in other.iter_mut().zip(&base) {
        if left > 0 && *was == 1.0 {
            *item = 0.0;
            left -= 1;
        }
    }
    let mut machine = |wanted: Wanted, seed: Seed| {
        let items = if wanted.trial == TrialNo(0) { &base } else { &other };
        let jitter = normal(&[u64::from(seed.0), u64::from(wanted.trial.0)]);
        scored(items, noise * jitter)
    };
    lab.settle(TrialNo(0), &mut machine);
    let trial = lab.propose(1);
    match lab.settle(trial, &mut machine) {
        Outcome::Valid { verdict, reason, .. } => (verdict, reason),
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

#[test]
fn a_deterministic_accuracy_must_stand_out_from_the_luck_of_the_items() {
    // One more right answer is better on these items, and says nothing of others.
    assert_eq!(verdict(1, 0, 0.0).0, Verdict::Inconclusive);
    assert_eq!(verdict(12, 8, 0.0).0, Verdict::Inconclusive);
    assert_eq!(verdict(20, 2, 0.0).0, Verdict::Keep);
    assert_eq!(verdict(2, 20, 0.0).0, Verdict::Discard);
}

#[test]
fn a_noisy_one_as_well() {
    // Five more of 200 are far above the noise of seeds, and not above that of items.
    let (decided, reason) = verdict(15, 10, 0.002);
    assert_ne!(decided, Verdict::Keep, "{reason}");
    let (decided, reason) = verdict(30, 2, 0.002);
    assert_eq!(decided, Verdict::Keep, "{reason}");
}
