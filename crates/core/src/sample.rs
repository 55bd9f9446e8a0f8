//! Running sums: what a fold keeps of values so that nobody has to go through them again.

use serde::{Deserialize, Serialize};

/// Count, mean and squared deviations of values that come one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// How many values.
    pub n: usize,
    /// Their mean; 0 for none.
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    pub ss: f64,
}

impl Sample {
    /// The sums of `values`, in two passes.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let ss = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { n, mean, ss }
    }

    /// With one more value (Welford, Note on a method for calculating corrected sums of squares and products,
    /// Technometrics 4, 1962). Equal values leave `ss` at exactly 0.
    #[must_use]
    pub fn with(self, value: f64) -> Self {
        let n = self.n + 1;
        let step = value - self.mean;
        let mean = self.mean + step / n as f64;
        Self { n, mean, ss: self.ss + step * (value - mean) }
    }

    /// Degrees of freedom of the spread: one less than the values, never below 0.
    #[must_use]
    pub fn df(&self) -> f64 {
        self.n.saturating_sub(1) as f64
    }

    /// Standard deviation with `n - 1` in the denominator; none below two values.
    #[must_use]
    pub fn sd(&self) -> Option<f64> {
        (self.n >= 2).then(|| (self.ss / self.df()).sqrt())
    }
}

/// Spread of repeated measurements of one tree, pooled over trees.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Noise {
    /// Sum of squared deviations, each from the mean of its own tree.
    pub ss: f64,
    /// Degrees of freedom.
    pub df: f64,
}

impl Noise {
    /// With the spread within one more tree.
    #[must_use]
    pub fn with(self, sample: &Sample) -> Self {
        Self { ss: self.ss + sample.ss, df: self.df + sample.df() }
    }

    /// Pooled standard deviation of one replicate; 0 when nothing was repeated.
    #[must_use]
    pub fn sd(self) -> f64 {
        if self.df > 0.0 { (self.ss / self.df).sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Noise, Sample};

    fn one_at_a_time(values: &[f64]) -> Sample {
        values.iter().fold(Sample::default(), |sample, value| sample.with(*value))
    }

    #[test]
    fn running_sums_are_those_of_two_passes() {
        let values = [2.10, 2.13, 2.08, 2.11, 2.12, 2.09];
        let (running, whole) = (one_at_a_time(&values), Sample::of(&values));
        assert!((running.mean - whole.mean).abs() < 1e-15, "{running:?}");
        assert!((running.ss - whole.ss).abs() < 1e-15, "{running:?}");
        assert_eq!((running.n, running.df()), (6, 5.0));
        assert_eq!(Sample::of(&[]).sd(), None);
    }

    #[test]
    fn equal_values_have_no_spread_at_all() {
        assert_eq!(one_at_a_time(&[0.1 + 0.2; 7]).ss, 0.0);
    }

    #[test]
    fn pooling_leaves_out_what_differs_between_trees() {
        let noise =
            Noise::default().with(&Sample::of(&[1.0, 3.0])).with(&Sample::of(&[11.0, 13.0]));
        assert_eq!((noise.ss, noise.df, noise.sd()), (4.0, 2.0, 2.0_f64.sqrt()));
    }
}
