//! Means, spreads and t statistics, pinned to SciPy's values in the tests.

pub use empiric_core::{Noise, Sample};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A mean, how sure it is, and how many values it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean, in the metric's unit.
    pub mean: f64,
    /// Two-sided t interval; none where one value, or values beyond what a float can average, give none.
    pub interval: Option<[f64; 2]>,
    /// Replicates.
    pub n: usize,
}

impl Estimate {
    /// The mean of `sample` with its two-sided t interval of `coverage`.
    #[must_use]
    pub fn of(sample: &Sample, coverage: f64) -> Self {
        let interval = sample.sd().and_then(|sd| {
            let se = sd / (sample.n as f64).sqrt();
            Contrast { gain: sample.mean, se, df: sample.df() }.interval(coverage)
        });
        Self { mean: sample.mean, interval, n: sample.n }
    }
}

/// An estimated gain, positive when better, with the standard error that a t statistic needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// The estimate.
    pub gain: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom of the standard error.
    pub df: f64,
}

impl Contrast {
    /// From paired differences, none below two. `floor` is the least standard deviation that the differences are
    /// believed to have: values that are coarsely rounded can agree by chance, and a spread of 0 would prove anything.
    /// A floor only ever makes the test more cautious.
    #[must_use]
    pub fn paired(differences: &[f64], floor: f64) -> Option<Self> {
        let sample = Sample::of(differences);
        let sd = sample.sd()?.max(floor);
        Some(Self { gain: sample.mean, se: sd / (sample.n as f64).sqrt(), df: sample.df() })
    }

    /// Of two independent samples whose spreads may differ (Welch 1947, with Satterthwaite's degrees of freedom); none
    /// when one has fewer than two values.
    #[must_use]
    pub fn welch(better: &Sample, reference: &Sample) -> Option<Self> {
        let share = |sample: &Sample| Some(sample.sd()?.powi(2) / sample.n as f64);
        let (a, b) = (share(better)?, share(reference)?);
        let total = a + b;
        let df = if total > 0.0 {
            total.powi(2) / (a.powi(2) / better.df() + b.powi(2) / reference.df())
        } else {
            better.df() + reference.df()
        };
        Some(Self { gain: better.mean - reference.mean, se: total.sqrt(), df })
    }

    /// One-sided p value of "no gain"; 1 where the numbers allow no statement.
    #[must_use]
    pub fn p(&self) -> f64 {
        if self.gain.is_nan() || self.se.is_nan() {
            1.0
        } else if self.se == 0.0 {
            if self.gain > 0.0 { 0.0 } else { 1.0 }
        } else {
            tail(self.gain / self.se, self.df)
        }
    }

    /// Two-sided interval of `coverage`; none where it is not finite.
    #[must_use]
    pub fn interval(&self, coverage: f64) -> Option<[f64; 2]> {
        let reach = quantile(0.5 + coverage / 2.0, self.df) * self.se;
        let interval = [self.gain - reach, self.gain + reach];
        interval.iter().all(|end| end.is_finite()).then_some(interval)
    }
}

/// P(T >= t) for Student's t with `df` degrees of freedom; 1 where `t` is not a number.
#[must_use]
pub fn tail(t: f64, df: f64) -> f64 {
    if t.is_nan() {
        1.0
    } else if t.is_infinite() {
        if t > 0.0 { 0.0 } else { 1.0 }
    } else {
        StudentsT::new(0.0, 1.0, df).map_or(1.0, |t_df| t_df.sf(t))
    }
}

/// The `p` quantile of Student's t with `df` degrees of freedom, `p` in (0, 1); not a number otherwise.
#[must_use]
pub fn quantile(p: f64, df: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |t_df| t_df.inverse_cdf(p))
}

/// P(Z >= z) for a standard normal Z.
#[must_use]
pub fn normal_tail(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// The z with P(Z >= z) = `p`, `p` in (0, 1); not a number otherwise.
#[must_use]
pub fn normal_point(p: f64) -> f64 {
    if p > 0.0 && p < 1.0 { -Normal::standard().inverse_cdf(p) } else { f64::NAN }
}

/// P(Z <= z) for a standard normal Z.
#[must_use]
pub fn normal_below(z: f64) -> f64 {
    Normal::standard().cdf(z)
}
