//! Evidence that a trial is better: two e-processes over paired differences, and their mean.
//!
//! An e-process starts at 1 and, as long as the trial is no better, is not expected to grow, whenever one stops looking;
//! so it reaches `1 / a` with a probability of at most `a` (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, Game-theoretic
//! statistics and safe anytime-valid inference, Statistical Science 38, 2023). The mean of two e-processes is one again.
//!
//! - [`signs`] asks for nothing but symmetry: where an edit changes nothing, trial and champion can be swapped on every
//!   seed, so a difference and its opposite are equally likely, whatever the noise looks like: heavy tails, a spread that
//!   changes, accuracies in steps. It at most doubles with each difference.
//! - [`student`] asks for normal differences of unknown spread, and is faster where the gain is large.

use empiric_core::Sample;

use crate::stats::tail;

/// Gains that the sign process bets on, in standard deviations of a difference; each twice the one before, from what a
/// full confirmation can just find to what shows at once.
const GAINS: [f64; 5] = [0.35, 0.7, 1.4, 2.8, 5.6];

/// Variances of the normal priors that the t process mixes, in units of a difference's variance: gains of about 1, 2
/// and 4 standard deviations.
const PRIORS: [f64; 3] = [1.0, 4.0, 16.0];

/// How many differences the noise that was known before is worth in the sign process's scale.
const KNOWN: f64 = 4.0;

/// Least spread of differences that the t process believes, as a fraction of what the noise gives independent seeds.
/// Rounded or two-valued differences agree by chance, and a spread of 0 would prove anything. With this fraction the process
/// keeps its level on every noise that `cargo xtask bench decide` knows, two-valued differences included.
const FLOOR: f64 = 0.7;

/// Natural logarithm of the largest value that the mean of both processes has reached over `differences`, in their order;
/// `scale` is the standard deviation of a difference that was known before the first of them.
#[must_use]
pub fn log_evidence(differences: &[f64], scale: f64) -> f64 {
    let floor = FLOOR * scale;
    let mut signs = Signs::new(scale);
    let mut sample = Sample::default();
    let mut most = f64::NEG_INFINITY;
    for difference in differences {
        sample = sample.with(*difference);
        let ss =
            if sample.mean > 0.0 { sample.ss.max(sample.df() * floor * floor) } else { sample.ss };
        let evidence = log_mean(&[signs.bet(*difference), student(&Sample { ss, ..sample })]);
        most = most.max(evidence);
    }
    most
}

/// Natural logarithm of the sign process after `differences`.
///
/// The mean over `GAINS` of the products of `1 + tanh(g d / s)`: each factor is a bet of the fraction `tanh(g |d| / s)` on
/// the sign of the next difference, the best bet against symmetry if it is normal with mean `g` standard deviations (de la
/// Peña, A general class of exponential inequalities for martingales and ratios, Annals of Probability 27, 1999; Ramdas,
/// Ruf, Larsson, Koolen, Admissible anytime-valid sequential inference must rely on nonnegative martingales, 2020). Its
/// scale `s` comes from differences before, so every bet is placed before its outcome.
#[must_use]
pub fn signs(differences: &[f64], scale: f64) -> f64 {
    let mut signs = Signs::new(scale);
    differences.iter().fold(0.0, |_, difference| signs.bet(*difference))
}

struct Signs {
    squares: f64,
    weight: f64,
    logs: [f64; GAINS.len()],
}

impl Signs {
    fn new(scale: f64) -> Self {
        Self { squares: KNOWN * scale * scale, weight: KNOWN, logs: [0.0; GAINS.len()] }
    }

    /// Bets on the next difference; the logarithm of the wealth after it.
    fn bet(&mut self, difference: f64) -> f64 {
        let scale = (self.squares / self.weight).sqrt();
        for (log, gain) in self.logs.iter_mut().zip(GAINS) {
            if difference != 0.0 {
                // ln(1 + tanh x) = ln 2 - ln(1 + exp(-2x))
                let x = -2.0 * gain * difference / scale;
                *log += std::f64::consts::LN_2 - x.max(0.0) - (-x.abs()).exp().ln_1p();
            }
        }
        self.squares += difference * difference;
        self.weight += 1.0;
        log_mean(&self.logs)
    }
}

/// Natural logarithm of the t process of a sample.
///
/// The ratio of the marginal likelihoods of "the gain is `delta` standard deviations, `delta` half-normal with variance
/// g" and "there is none", under the right Haar prior on the standard deviation, averaged over `PRIORS`. With n values,
/// `a = n g` and sums about the mean m it is
///
/// `2 T_n(q) (1 + a)^(-1/2) ((ss + n m²) / (ss + n m² / (1 + a)))^(n/2)`, `q = m n sqrt(g / (1 + a)) / sqrt((ss + n m² / (1 +
/// a)) / n)`,
///
/// T_n the distribution function of Student's t with n degrees of freedom (Rouder, Speckman, Sun, Morey, Iverson, Bayesian
/// t tests for accepting and rejecting the null hypothesis, Psychonomic Bulletin & Review 16, 2009, for the two-sided
/// ratio; Pérez-Ortiz, Lardy, de Heide, Grünwald, E-statistics, group invariance and anytime-valid testing, Annals of
/// Statistics 52, 2024, for its validity at any stopping time).
#[must_use]
pub fn student(sample: &Sample) -> f64 {
    log_mean(&PRIORS.map(|prior| half_normal(sample, prior)))
}

fn half_normal(sample: &Sample, prior: f64) -> f64 {
    let (n, mean) = (sample.n as f64, sample.mean);
    let a = n * prior;
    let whole = sample.ss + n * mean * mean;
    let rest = sample.ss + n * mean * mean / (1.0 + a);
    if !(rest > 0.0 && whole.is_finite()) {
        return 0.0;
    }
    let q = mean * n * (prior / (1.0 + a)).sqrt() / (rest / n).sqrt();
    let better = 2.0 * tail(-q, n);
    better.ln() - 0.5 * a.ln_1p() + 0.5 * n * (whole / rest).ln()
}

/// Logarithm of the mean of numbers given by their logarithms.
fn log_mean(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    most + (sum / logs.len() as f64).ln()
}
