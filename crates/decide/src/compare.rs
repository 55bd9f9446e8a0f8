//! The rulings of both doors: numbers in, a ruling out. What counts as evidence is in [`crate::evidence`], how much of it
//! is needed in [`crate::spending`].
//!
//! All values here are scores: larger is better, whatever the task's goal.

use empiric_core::{Noise, Sample, Verdict};

use crate::{
    evidence,
    stats::{Contrast, normal_below, normal_point, normal_tail},
};

/// Level at which the last search look calls a trial promising. Earlier looks spend it as O'Brien and Fleming do (A
/// multiple testing procedure for clinical trials, Biometrics 35, 1979): the critical z at look `n` of `N` is
/// `z sqrt(N / n)`, so that only an overwhelming gain goes to confirmation after one replicate.
pub const PROMISE: f64 = 0.05;

/// A trial stops after its first replicate when a gain like that would be seen this often without any: about a fifth of
/// neutral trials go on, four fifths of those better by two noise standard deviations do. It falls evenly to
/// [`PROMISE`] at the last look.
pub const HOPE: f64 = 0.2;

/// A confirmation stops when the probability that it ends in a keep, as predicted from its pairs so far, is below this.
pub const FUTILE: f64 = 0.05;

/// Two values of a deterministic metric closer than this fraction are the same number, summed in another order.
pub const RESOLUTION: f64 = 1e-12;

/// Least spread of paired differences, as a fraction of what the noise gives independent seeds: seeds that agree
/// better than this look rounded, not paired. It bounds intervals and the search look; evidence has its own.
const FLOOR: f64 = 0.1;

/// How many differences the noise known before is worth in the spread that predicts.
const KNOWN: f64 = 4.0;

/// What follows from one look at the evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ruling {
    /// This door is passed.
    Pass,
    /// More replicates are wanted.
    More,
    /// It ends here.
    End(Verdict),
}

/// A ruling on a search look with the numbers it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ruled {
    /// What follows.
    pub ruling: Ruling,
    /// The estimated gain.
    pub contrast: Contrast,
    /// One-sided p value of "no gain".
    pub p: f64,
}

/// The evidence of a search look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search<'a> {
    /// The trial's scores.
    pub own: &'a [f64],
    /// Scores of trial and champion on the search seeds that both have; none where measurements of different times are
    /// not comparable.
    pub pairs: &'a [(f64, f64)],
    /// The champion's level: scores that it was not selected for; at least one.
    pub level: Sample,
    /// All scores of the champion on search seeds, those of `pairs` among them.
    pub searched: Sample,
    /// Noise of repeated measurement, without the trial's own.
    pub noise: Noise,
    /// Replicates of the trial at the last look.
    pub last: usize,
}

impl Search<'_> {
    /// Rules on this look.
    ///
    /// Two tests share the level (Bonferroni). The first compares with pooled noise and so works from one replicate on;
    /// the second is the paired t test, from three on, for seeds that explain most of the noise.
    #[must_use]
    pub fn rule(&self) -> Ruled {
        let half = self.half_paired();
        let (contrast, p) = match self.paired() {
            Some(paired) if paired.p() < half.p() => (paired, (2.0 * paired.p()).min(1.0)),
            Some(_) => (half, (2.0 * half.p()).min(1.0)),
            None => (half, half.p()),
        };
        let share = (self.own.len() as f64 / self.last.max(1) as f64).min(1.0);
        let promising = p <= normal_tail(normal_point(PROMISE) / share.sqrt());
        let ruling = if promising && contrast.gain > 0.0 {
            Ruling::Pass
        } else if self.own.len() >= self.last {
            Ruling::End(if p <= HOPE { Verdict::Inconclusive } else { Verdict::Discard })
        } else if p <= self.hope() {
            Ruling::More
        } else {
            Ruling::End(Verdict::Discard)
        };
        Ruled { ruling, contrast, p }
    }

    /// The p value above which this look ends the trial.
    fn hope(&self) -> f64 {
        let way =
            self.own.len().saturating_sub(1) as f64 / self.last.saturating_sub(1).max(1) as f64;
        HOPE + (PROMISE - HOPE) * way
    }

    /// The trial's mean against the champion's level, moved half way by what the trial's seeds are known to do to the
    /// champion.
    ///
    /// The level is the mean of m scores that the champion was not selected for, so a lucky draw that made it champion
    /// is not held against its challengers. With k seeds in common and s search scores of the champion, the move is half of
    /// its mean on the k minus its mean on the s. Moving by all of it would be best when scores of one seed are closely
    /// correlated, by none when they are not; half is the minimum-variance choice at a correlation of 1/2 and never far
    /// from the better of the two. The standard error is taken at correlation 0, the largest: v (1/n + 1/m + (1/k -
    /// 1/s) / 4) with n scores of the trial and noise variance v.
    fn half_paired(&self) -> Contrast {
        let own = Sample::of(self.own);
        let noise = self.noise.with(&own);
        let same: Vec<f64> = self.pairs.iter().map(|(_, champion)| *champion).collect();
        let same = Sample::of(&same);
        let (n, m, k, s) =
            (own.n as f64, self.level.n as f64, same.n as f64, self.searched.n as f64);
        let (shift, variance) = if same.n == 0 {
            (0.0, 0.0)
        } else {
            ((same.mean - self.searched.mean) / 2.0, (1.0 / k - 1.0 / s).max(0.0) / 4.0)
        };
        let factor = 1.0 / n + 1.0 / m + variance;
        let gain = own.mean - self.level.mean - shift;
        Contrast { gain, se: noise.sd() * factor.sqrt(), df: noise.df }
    }

    fn paired(&self) -> Option<Contrast> {
        if self.pairs.len() < 3 {
            return None;
        }
        Contrast::paired(&differences(self.pairs), floor(self.noise))
    }
}

/// The evidence of a confirmation, all of it from seeds that selection did not see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confirm<'a> {
    /// Scores of the trial minus those of its champion, seed by seed.
    pub differences: &'a [f64],
    /// Noise of repeated measurement known when the contest began.
    pub noise: Noise,
    /// The level that this contest may spend.
    pub level: f64,
    /// Most pairs.
    pub most: usize,
}

/// A ruling on a confirmation with the numbers it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// What follows.
    pub ruling: Ruling,
    /// The gain as the pairs so far show it; selected where the ruling is to pass.
    pub gain: f64,
    /// Evidence against "no better", to 1.
    pub evidence: f64,
    /// Evidence that is needed.
    pub needed: f64,
}

impl Confirm<'_> {
    /// Rules; none without a pair. It may be asked after any pair: the level holds at every stopping time.
    #[must_use]
    pub fn rule(&self) -> Option<Weighed> {
        if self.differences.is_empty() {
            return None;
        }
        let scale = std::f64::consts::SQRT_2 * self.noise.sd();
        let evidence = evidence::log_evidence(self.differences, scale);
        let needed = -self.level.ln();
        let gain = Sample::of(self.differences).mean;
        let ruling = if evidence >= needed {
            Ruling::Pass
        } else if self.differences.len() >= self.most {
            Ruling::End(if gain > 0.0 { Verdict::Inconclusive } else { Verdict::Discard })
        } else if self.predicted() < FUTILE {
            Ruling::End(Verdict::Discard)
        } else {
            Ruling::More
        };
        Some(Weighed { ruling, gain, evidence: evidence.exp(), needed: needed.exp() })
    }

    /// Predictive probability of a keep: that the z statistic of all `most` pairs, given those so far and a flat prior on
    /// the gain, reaches what the level needs there (Choi, Smith, Becker, Early decision in clinical trials when the
    /// treatment differences are small, Controlled Clinical Trials 6, 1985; Jennison, Turnbull, Group Sequential Methods,
    /// 2000, chapter 10). What it steers, a stop that cannot keep anything, costs no level.
    #[must_use]
    pub fn predicted(&self) -> f64 {
        let sample = Sample::of(self.differences);
        let (n, most) = (sample.n as f64, self.most as f64);
        let known = 2.0 * self.noise.sd().powi(2);
        let sd = ((KNOWN * known + sample.ss) / (KNOWN + sample.df())).sqrt();
        if sd == 0.0 {
            return f64::from(u8::from(sample.mean > 0.0));
        }
        let expected = sample.mean * most / sd;
        let spread = (most * (most - n) / n).sqrt();
        normal_below((expected - reach(self.level, self.most) * most.sqrt()) / spread)
    }
}

/// About the z statistic at which the evidence of `pairs` pairs is enough for `level`: that of a normal mixture with a
/// prior variance of 1, `sqrt((1 + 1 / n) (ln(1 + n) - 2 ln level))` (Robbins, Statistical methods related to the law of the
/// iterated logarithm, Annals of Mathematical Statistics 41, 1970).
#[must_use]
pub fn reach(level: f64, pairs: usize) -> f64 {
    let n = pairs.max(1) as f64;
    ((1.0 + 1.0 / n) * (n.ln_1p() - 2.0 * level.ln())).sqrt()
}

/// Whether one value of a deterministic metric is better than another.
#[must_use]
pub fn surely(own: f64, champion: f64) -> bool {
    own - champion > RESOLUTION * own.abs().max(champion.abs())
}

/// Least standard deviation believed of paired differences under this noise.
#[must_use]
pub fn floor(noise: Noise) -> f64 {
    FLOOR * std::f64::consts::SQRT_2 * noise.sd()
}

/// Own minus champion, pair by pair.
#[must_use]
pub fn differences(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(own, champion)| own - champion).collect()
}
