//! Trials whose true quality is known, and noise of several kinds. Values are functions of (study, seed, trial), so a
//! study can be simulated again.

use std::collections::BTreeMap;

use empiric_core::{Seed, TrialNo};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How repeated measurements of one tree differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Normal.
    Gaussian,
    /// Normal, half of its variance explained by the seed.
    Paired,
    /// Student's t with 3 degrees of freedom, scaled to a standard deviation of 1.
    Heavy,
    /// Normal, with a standard deviation of its own for every trial: between a third and three.
    Uneven,
    /// Two outcomes only, equally likely.
    Twofold,
    /// Share of correct answers to 200 questions, nine in ten of which are.
    Accuracy,
    /// Share of correct answers to 20 questions, one in 100 of which is: most replicates agree, so that the metric often
    /// looks deterministic.
    Rare,
    /// Share of correct answers to the same questions each time.
    Items(Items),
}

/// Questions that stand for all that there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Items {
    /// How many are asked.
    pub(crate) n: u32,
    /// The share of all that is answered correctly without any gain.
    pub(crate) right: f64,
    /// The share that an edit makes wrong; it makes as many right that were wrong, and more where it is better.
    pub(crate) moved: f64,
    /// The share that a seed answers the other way.
    pub(crate) wobble: f64,
}

/// Questions, and the share that is answered correctly without any gain.
const ACCURACY: (u32, f64) = (200, 0.9);
const RARE: (u32, f64) = (20, 0.01);

/// Every kind of noise.
pub(crate) const KINDS: [Kind; 7] = [
    Kind::Gaussian,
    Kind::Paired,
    Kind::Heavy,
    Kind::Uneven,
    Kind::Twofold,
    Kind::Accuracy,
    Kind::Rare,
];

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "Gaussian",
            Self::Paired => "Gaussian, half by seed",
            Self::Heavy => "heavy-tailed (t3)",
            Self::Uneven => "heteroscedastic",
            Self::Twofold => "two-valued",
            Self::Accuracy => "accuracy of 200 items",
            Self::Rare => "accuracy, rarely moving",
            Self::Items(_) => "the same items each time",
        }
    }

    /// Standard deviation of one replicate, in the metric's unit.
    pub(crate) fn sd(self) -> f64 {
        let of = |(items, right): (u32, f64)| (right * (1.0 - right) / f64::from(items)).sqrt();
        match self {
            Self::Accuracy => of(ACCURACY),
            Self::Rare => of(RARE),
            Self::Items(items) => of((items.n, items.right)),
            Self::Gaussian | Self::Paired | Self::Heavy | Self::Uneven | Self::Twofold => 1.0,
        }
    }
}

/// One simulated evaluator.
pub(crate) struct World {
    kind: Kind,
    stream: u64,
    /// True gain of each trial over the baseline, in standard deviations.
    truth: BTreeMap<TrialNo, f64>,
    /// Which questions each trial answers correctly, but for seeds.
    answers: BTreeMap<TrialNo, Vec<bool>>,
}

impl World {
    pub(crate) fn new(kind: Kind, stream: u64) -> Self {
        Self { kind, stream, truth: BTreeMap::new(), answers: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, trial: TrialNo, truth: f64) {
        self.truth.insert(trial, truth);
    }

    /// The true gain of `trial` over the baseline, in standard deviations.
    pub(crate) fn truth(&self, trial: TrialNo) -> f64 {
        self.truth.get(&trial).copied().unwrap_or(0.0)
    }

    /// One replicate.
    pub(crate) fn value(&self, trial: TrialNo, seed: Seed) -> f64 {
        let truth = self.truth(trial);
        let mut own = self.stream(&[u64::from(seed.0), 1 + u64::from(trial.0)]);
        match self.kind {
            Kind::Gaussian => truth + normal(&mut own),
            Kind::Paired => {
                let mut common = self.stream(&[u64::from(seed.0), 0]);
                truth + (normal(&mut common) + normal(&mut own)) * 0.5_f64.sqrt()
            }
            Kind::Heavy => {
                let chi: f64 = (0..3).map(|_| normal(&mut own).powi(2)).sum();
                truth + normal(&mut own) / chi.sqrt()
            }
            Kind::Uneven => {
                let mut trait_of = self.stream(&[u64::MAX, 1 + u64::from(trial.0)]);
                let sd = 3_f64.powf(2.0 * trait_of.random::<f64>() - 1.0);
                truth + sd * normal(&mut own)
            }
            Kind::Twofold => truth + if own.random::<bool>() { 1.0 } else { -1.0 },
            Kind::Accuracy => self.answers(ACCURACY, truth, &mut own),
            Kind::Rare => self.answers(RARE, truth, &mut own),
            Kind::Items(_) => {
                let items = self.items(trial, seed);
                items.iter().map(|item| f64::from(*item)).sum::<f64>() / items.len() as f64
            }
        }
    }

    /// The answers of `trial`, an edit of `parent`: of all questions there are, as many are lost as are won, and its gain
    /// beside.
    pub(crate) fn descend(&mut self, trial: TrialNo, parent: TrialNo) {
        let Kind::Items(items) = self.kind else { return };
        let gain = (self.truth(trial) - self.truth(parent)) * self.kind.sd();
        let mut random = self.stream(&[u64::MAX - 1, 1 + u64::from(trial.0)]);
        let right = (items.right + self.truth(parent) * self.kind.sd()).clamp(0.01, 0.99);
        let (lose, win) = (items.moved / right, (items.moved + gain) / (1.0 - right));
        let before = self.answered(parent);
        let after = before.into_iter().map(|held| {
            let moves = random.random::<f64>() < if held { lose } else { win };
            held != moves
        });
        let after = after.collect();
        self.answers.insert(trial, after);
    }

    fn answered(&self, trial: TrialNo) -> Vec<bool> {
        let Kind::Items(items) = self.kind else { return Vec::new() };
        self.answers.get(&trial).cloned().unwrap_or_else(|| {
            let mut random = self.stream(&[u64::MAX - 1, 0]);
            (0..items.n).map(|_| random.random::<f64>() < items.right).collect()
        })
    }

    /// Scores by item of one replicate; beyond 512 items, means over runs of neighbours, as of a real evaluator.
    pub(crate) fn items(&self, trial: TrialNo, seed: Seed) -> Vec<f32> {
        let Kind::Items(items) = self.kind else { return Vec::new() };
        let mut own = self.stream(&[u64::from(seed.0), 1 + u64::from(trial.0)]);
        let mut told = |held: bool| held != (own.random::<f64>() < items.wobble);
        let scores: Vec<f32> =
            self.answered(trial).into_iter().map(|held| f32::from(u8::from(told(held)))).collect();
        let runs = scores.len().min(512);
        let bounds = (0..=runs).map(|run| run * scores.len() / runs).collect::<Vec<_>>();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        bounds.windows(2).map(|ends| mean(&scores[ends[0]..ends[1]])).collect()
    }

    fn answers(&self, (items, right): (u32, f64), truth: f64, random: &mut ChaCha8Rng) -> f64 {
        let right = (right + truth * self.kind.sd()).min(1.0);
        let count = (0..items).filter(|_| random.random::<f64>() < right).count();
        count as f64 / f64::from(items)
    }

    fn stream(&self, key: &[u64]) -> ChaCha8Rng {
        let mut seed = [0; 32];
        let words = std::iter::once(self.stream).chain(key.iter().copied());
        for (part, word) in seed.chunks_exact_mut(8).zip(words) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

/// A standard normal number (Box, Muller, A note on the generation of random normal deviates, 1958).
pub(crate) fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
