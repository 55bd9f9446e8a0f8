//! Who is given the next trial: a bandit over operators or surfaces on confirmed gain per cost.
//!
//! The rate of confirmed gain per unit of cost of each arm has a gamma posterior, shape `prior + gains`, rate
//! `1 + costs`; an ask draws from each and takes the largest (Thompson 1933; for rates, as in Chapelle and Li, An
//! Empirical Evaluation of Thompson Sampling, NIPS 2011). Gains count in noise standard deviations, at most
//! [`LARGEST`], so that one windfall does not decide a study; cost is what replicates took, in units of the mean trial.
//! Both fade, because what helped early may have run dry. A floor of plain chance keeps every arm tried.

use std::collections::BTreeMap;

use empiric_core::{Cost, Trial};
use rand::{Rng, RngExt};

/// Largest gain that one trial is credited with, in noise standard deviations.
const LARGEST: f64 = 4.0;
/// What is kept of an arm's gains and costs with every trial of that arm.
const FADE: f64 = 0.97;

/// Gain and cost by arm.
#[derive(Debug, Clone)]
pub struct Allocation {
    floor: f64,
    arms: BTreeMap<String, Tally>,
    /// Sum and number of trials' costs, in seconds or replicates.
    total: (f64, f64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    gain: f64,
    cost: f64,
    running: f64,
}

impl Allocation {
    /// With this probability of choosing by plain chance.
    #[must_use]
    pub fn new(floor: f64) -> Self {
        Self { floor, arms: BTreeMap::new(), total: (0.0, 0.0) }
    }

    /// An arm as it stands: gains as shares of the largest that counts, cost in units of the mean trial.
    pub fn stands(&mut self, arm: &str, gain: f64, cost: f64, running: f64) {
        self.arms.insert(arm.to_owned(), Tally { gain, cost, running });
    }

    /// A trial of `arm` is under way.
    pub fn begins(&mut self, arm: &str) {
        self.arms.entry(arm.to_owned()).or_default().running += 1.0;
    }

    /// A trial of `arm` has ended with this confirmed gain, in noise standard deviations; none where it gained nothing.
    pub fn ends(&mut self, arm: &str, gain: Option<f64>, cost: f64) {
        self.total = (self.total.0 + cost, self.total.1 + 1.0);
        let usual = self.total.0 / self.total.1;
        let tally = self.arms.entry(arm.to_owned()).or_default();
        tally.running = (tally.running - 1.0).max(0.0);
        tally.gain = FADE * tally.gain + gain.unwrap_or(0.0).clamp(0.0, LARGEST) / LARGEST;
        tally.cost = FADE * tally.cost + if usual > 0.0 { cost / usual } else { 1.0 };
    }

    /// A trial of `arm` was lost by the machine or the evaluator: nothing is learnt.
    pub fn lost(&mut self, arm: &str) {
        let tally = self.arms.entry(arm.to_owned()).or_default();
        tally.running = (tally.running - 1.0).max(0.0);
    }

    /// One of `options`, which come with how promising each is before anything was measured; the place in the list.
    ///
    /// Trials under way count as a unit of cost without a gain, so that parallel asks spread out.
    pub fn choose(&self, options: &[(&str, f64)], rng: &mut impl Rng) -> usize {
        if options.len() > 1 && rng.random_bool(self.floor) {
            return rng.random_range(0..options.len());
        }
        let mut best = (0, f64::NEG_INFINITY);
        for (at, (arm, prior)) in options.iter().enumerate() {
            let tally = self.arms.get(*arm).copied().unwrap_or_default();
            let rate = gamma(prior + tally.gain, rng) / (1.0 + tally.cost + tally.running);
            if rate > best.1 {
                best = (at, rate);
            }
        }
        best.0
    }
}

/// What a trial cost: seconds of CPU and GPU where they were measured, else replicates.
pub(crate) fn cost(trial: &Trial) -> f64 {
    let measured = trial.replicates.iter().filter_map(|replicate| replicate.result.as_ref());
    let sum: Cost = measured.fold(Cost::default(), |sum, result| sum + result.cost);
    let seconds = sum.cpu_s + sum.gpu_s;
    if seconds > 0.0 { seconds } else { trial.replicates.len() as f64 }
}

/// A standard normal draw (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// A draw from the gamma distribution of this shape and rate 1 (Marsaglia and Tsang, ACM TOMS 26, 2000).
fn gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - rng.random::<f64>()).powf(1.0 / shape.max(1e-3));
        return gamma(shape + 1.0, rng) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 {
            let u = 1.0 - rng.random::<f64>();
            if u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use empiric_core::{TrialNo, seed};

    use super::*;

    #[test]
    fn gamma_draws_have_the_mean_and_variance_of_their_shape() {
        let mut rng = seed::stream(1, "gamma", TrialNo(0));
        for shape in [0.3, 1.0, 4.5] {
            let draws: Vec<f64> = (0..20_000).map(|_| gamma(shape, &mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance =
                draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((mean / shape - 1.0).abs() < 0.05, "{shape} {mean}");
            assert!((variance / shape - 1.0).abs() < 0.15, "{shape} {variance}");
        }
    }

    #[test]
    fn what_gains_per_cost_is_chosen_and_nothing_is_given_up() {
        let mut allocation = Allocation::new(0.1);
        for n in 0..40 {
            for (arm, gain, cost) in
                [("dear", Some(2.0), 8.0), ("cheap", Some(2.0), 1.0), ("idle", None, 1.0)]
            {
                allocation.begins(arm);
                allocation.ends(arm, gain.filter(|_| n % 2 == 0), cost);
            }
        }
        let options = [("dear", 0.1), ("cheap", 0.1), ("idle", 0.1)];
        let mut counts = [0; 3];
        for n in 0..1000 {
            counts[allocation.choose(&options, &mut seed::stream(n, "a", TrialNo(0)))] += 1;
        }
        assert!(counts[1] > 800 && counts[0] >= 20 && counts[2] >= 20, "{counts:?}");
    }
}
