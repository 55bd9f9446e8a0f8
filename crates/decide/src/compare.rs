//! The statistical tests, and nothing else: numbers in, a ruling out. A sequential test that holds its level over the
//! whole study takes the place of [`Search::rule`] and [`Confirm::rule`]; the rest of the crate stays.
//!
//! All values here are scores: larger is better, whatever the task's goal.

use empiric_core::Verdict;

use crate::stats::{Contrast, Noise, Sample, normal_point, normal_tail};

/// Level at which the last search look calls a trial promising. Earlier looks spend it as O'Brien and Fleming do (A
/// multiple testing procedure for clinical trials, Biometrics 35, 1979): the critical z at look `n` of `N` is
/// `z sqrt(N / n)`, so that only an overwhelming gain goes to confirmation after one replicate.
pub const PROMISE: f64 = 0.05;

/// A trial stops after its first replicate when a gain like that would be seen this often without any: about a fifth of
/// neutral trials go on, four fifths of those better by two noise standard deviations do. It falls evenly to
/// [`PROMISE`] at the last look.
pub const HOPE: f64 = 0.2;

/// Two values of a deterministic metric closer than this fraction are the same number, summed in another order.
pub const RESOLUTION: f64 = 1e-12;

/// Least spread of paired differences, as a fraction of what the noise gives independent seeds: seeds that agree
/// better than this look rounded, not paired.
const FLOOR: f64 = 0.1;

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

/// A ruling with the numbers it rests on.
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
    /// Scores of trial and champion on the seeds that both have.
    pub pairs: &'a [(f64, f64)],
    /// All scores of the champion, those of `pairs` among them; at least one.
    pub champion: &'a [f64],
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

    /// The trial's mean against the middle of two references: the champion's mean on the same seeds, and its mean on
    /// all seeds. With noise variance v, n seeds in common and m champion scores the first has variance 2v(1 - r)/n,
    /// best when scores of one seed are closely correlated (r near 1); the second v(1/n + 1/m), best when they are not.
    /// r is not known after one replicate, and champion's one score on the first seed would tilt every trial alike. The
    /// middle, which is the minimum-variance choice at r = 1/2, is never far from the better of the two. Its standard
    /// error is taken at r = 0, the largest.
    fn half_paired(&self) -> Contrast {
        let own = Sample::of(self.own);
        let all = Sample::of(self.champion);
        let noise = self.noise.with(&own);
        let same: Vec<f64> = self.pairs.iter().map(|(_, champion)| *champion).collect();
        let same = Sample::of(&same);
        let (n, m, k) = (own.n as f64, all.n as f64, same.n as f64);
        let (reference, factor) = if same.n == 0 {
            (all.mean, 1.0 / n + 1.0 / m)
        } else {
            ((same.mean + all.mean) / 2.0, 1.0 / n + 0.25 / k + 0.75 / m)
        };
        Contrast { gain: own.mean - reference, se: noise.sd() * factor.sqrt(), df: noise.df }
    }

    fn paired(&self) -> Option<Contrast> {
        if self.pairs.len() < 3 {
            return None;
        }
        Contrast::paired(&differences(self.pairs), floor(self.noise))
    }
}

/// The evidence of a confirmation, all of it from fresh seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confirm<'a> {
    /// Scores of trial and champion, seed by seed.
    pub pairs: &'a [(f64, f64)],
    /// Noise of repeated measurement; it only bounds the spread from below.
    pub noise: Noise,
    /// One-sided level.
    pub alpha: f64,
    /// Whether no more replicates will come.
    pub last: bool,
}

impl Confirm<'_> {
    /// Rules; none where there are fewer than two pairs.
    ///
    /// Before the last look the only way out is to stop when the mean is not above zero, which cannot raise the level.
    /// At the last it is the paired one-sided t test with `pairs - 1` degrees of freedom: exact for normal differences,
    /// whatever the trial does to the noise and however the seeds correlate.
    #[must_use]
    pub fn rule(&self) -> Option<Ruled> {
        let contrast = Contrast::paired(&differences(self.pairs), floor(self.noise))?;
        let p = contrast.p();
        let ruling = if contrast.gain.is_nan() || contrast.gain <= 0.0 {
            Ruling::End(Verdict::Discard)
        } else if !self.last {
            Ruling::More
        } else if p <= self.alpha {
            Ruling::Pass
        } else {
            Ruling::End(Verdict::Inconclusive)
        };
        Some(Ruled { ruling, contrast, p })
    }
}

/// Rules on one comparison of a deterministic metric: better, or not.
#[must_use]
pub fn surely(own: f64, champion: f64) -> Ruled {
    let gain = own - champion;
    let better = gain > RESOLUTION * own.abs().max(champion.abs());
    let (ruling, p) =
        if better { (Ruling::Pass, 0.0) } else { (Ruling::End(Verdict::Discard), 1.0) };
    Ruled { ruling, contrast: Contrast { gain, se: 0.0, df: 1.0 }, p }
}

/// Least standard deviation believed of paired differences under this noise.
#[must_use]
pub fn floor(noise: Noise) -> f64 {
    FLOOR * std::f64::consts::SQRT_2 * noise.sd()
}

fn differences(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(own, champion)| own - champion).collect()
}
