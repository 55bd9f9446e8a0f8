//! What verdicts are compared with: the published rule, and a fixed number of replicates with Welch's test.

use empiric_core::{Purpose, Sample, TrialNo};
use empiric_decide::stats::Contrast;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    studies::{Found, Plan},
    world::{World, normal},
};

/// One study under the rule of the published systems: a trial is kept when its one run is strictly better than the best
/// run recorded so far. The baseline is run once.
pub(crate) fn published(plan: &Plan, stream: u64) -> Found {
    let mut world = World::new(plan.kind, stream);
    let value = |world: &World, no: TrialNo| world.value(no, Purpose::Search.seed(stream, no.0));
    let mut found = Found { replicates: 1, ..Found::default() };
    let (mut champion, mut best) = (TrialNo::BASELINE, value(&world, TrialNo::BASELINE));
    for no in 1..=plan.trials {
        let trial = TrialNo(no);
        let better = plan.every > 0 && no.is_multiple_of(plan.every);
        let effect = if better { plan.effect } else { 0.0 };
        found.better += u32::from(better);
        found.replicates += 1;
        world.set(trial, world.truth(champion) + effect);
        let score = value(&world, trial);
        if score > best {
            found.errors.push(((score - best) / plan.kind.sd() - effect, false));
            *if better { &mut found.true_keeps } else { &mut found.false_keeps } += 1;
            (champion, best) = (trial, score);
        }
    }
    found
}

/// Share of trials better by `effect` standard deviations that `n` normal replicates of trial and champion each show at
/// one-sided level `alpha` in Welch's test, from `draws` simulated comparisons.
pub(crate) fn welch_power(effect: f64, n: usize, alpha: f64, draws: u32) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(n as u64);
    let mut sample = |shift: f64| {
        let values: Vec<f64> = (0..n).map(|_| shift + normal(&mut random)).collect();
        Sample::of(&values)
    };
    let shown = (0..draws)
        .filter(|_| {
            let (own, champion) = (sample(effect), sample(0.0));
            Contrast::welch(&own, &champion).is_some_and(|contrast| contrast.p() <= alpha)
        })
        .count();
    shown as f64 / f64::from(draws)
}
