//! Bayesian linear regression with sparse rows, and with prior variances learned per feature.
//!
//! Posterior precision `A = diag(1/v) + sum x x' / s`, mean `A^-1 (m0/v + sum x y / s)`. The prior variance of each
//! feature and the misfit added to every row's noise are re-estimated by a few steps of expectation-maximisation
//! (automatic relevance determination; Bishop, Pattern Recognition and Machine Learning, 7.2), each shrunk towards where
//! it started.

use rand::Rng;

/// Steps of expectation-maximisation.
const STEPS: usize = 3;
/// Weight of a prior variance's starting value, in observations.
const STUBBORN: f64 = 2.0;

/// One observation.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Features that are not zero.
    pub(crate) x: Vec<(usize, f64)>,
    pub(crate) y: f64,
    /// Variance of `y` by replicate noise.
    pub(crate) noise: f64,
    /// How little this row counts, at least 1: factor on its whole variance.
    pub(crate) far: f64,
}

/// Normal prior of one weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// What is believed of the weights.
#[derive(Debug, Clone)]
pub(crate) struct Posterior {
    pub(crate) mean: Vec<f64>,
    /// Lower Cholesky factor of the precision, row by row.
    factor: Vec<f64>,
    /// Marginal variances.
    pub(crate) variance: Vec<f64>,
}

impl Posterior {
    /// Fits the rows.
    pub(crate) fn fit(rows: &[Row], priors: &[Prior], misfit: f64) -> Self {
        let mut variances: Vec<f64> = priors.iter().map(|prior| prior.variance).collect();
        let mut extra = misfit;
        let mut posterior = solve(rows, priors, &variances, extra);
        for _ in 0..STEPS {
            for (i, prior) in priors.iter().enumerate() {
                let second = (posterior.mean[i] - prior.mean).powi(2) + posterior.variance[i];
                variances[i] = (STUBBORN * prior.variance + second) / (STUBBORN + 1.0);
            }
            let unexplained: f64 = rows
                .iter()
                .map(|row| {
                    ((row.y - posterior.predict(&row.x)).powi(2) / row.far - row.noise).max(0.0)
                })
                .sum();
            extra = ((4.0 * misfit + unexplained) / (4.0 + rows.len() as f64)).max(0.05 * misfit);
            posterior = solve(rows, priors, &variances, extra);
        }
        posterior
    }

    /// Mean of the response.
    pub(crate) fn predict(&self, x: &[(usize, f64)]) -> f64 {
        x.iter().map(|(i, value)| self.mean[*i] * value).sum()
    }

    /// Weights drawn from the posterior, their standard deviations scaled by `heat`.
    pub(crate) fn sample(&self, rng: &mut impl Rng, heat: f64) -> Vec<f64> {
        let size = self.mean.len();
        let mut weights: Vec<f64> = (0..size).map(|_| heat * normal(rng)).collect();
        // Back substitution with the transposed factor.
        for i in (0..size).rev() {
            let below: f64 = weights
                .iter()
                .enumerate()
                .skip(i + 1)
                .map(|(k, weight)| self.factor[k * size + i] * weight)
                .sum();
            weights[i] = (weights[i] - below) / self.factor[i * size + i];
        }
        weights.iter_mut().zip(&self.mean).for_each(|(weight, mean)| *weight += mean);
        weights
    }
}

fn solve(rows: &[Row], priors: &[Prior], variances: &[f64], misfit: f64) -> Posterior {
    let size = priors.len();
    let mut precision = vec![0.0; size * size];
    let mut right: Vec<f64> = priors.iter().zip(variances).map(|(p, v)| p.mean / v).collect();
    for (i, variance) in variances.iter().enumerate() {
        precision[i * size + i] = 1.0 / variance;
    }
    for row in rows {
        let weight = 1.0 / ((row.noise + misfit) * row.far);
        for (i, a) in &row.x {
            right[*i] += weight * a * row.y;
            for (j, b) in row.x.iter().filter(|(j, _)| j <= i) {
                precision[i * size + j] += weight * a * b;
            }
        }
    }
    let factor = cholesky(precision, size);
    let inverse = invert_lower(&factor, size);
    let column = |i: usize| &inverse[i * size + i..(i + 1) * size];
    let variance: Vec<f64> = (0..size).map(|i| dot(column(i), column(i))).collect();
    // mean = L'^-1 L^-1 right
    let mut half = vec![0.0; size];
    for (k, right) in right.iter().enumerate() {
        half[k..].iter_mut().zip(column(k)).for_each(|(half, value)| *half += value * right);
    }
    let mean = (0..size).map(|i| dot(column(i), &half[i..])).collect();
    Posterior { mean, factor, variance }
}

/// Lower factor of a symmetric positive definite matrix, of which the lower half is read; pivots are kept positive.
pub(crate) fn cholesky(mut matrix: Vec<f64>, size: usize) -> Vec<f64> {
    for i in 0..size {
        for j in 0..=i {
            let (before, row) = matrix.split_at(i * size);
            let row_j = if i == j { row } else { &before[j * size..] };
            let rest = row[j] - dot(&row[..j], &row_j[..j]);
            matrix[i * size + j] =
                if i == j { rest.max(1e-12).sqrt() } else { rest / matrix[j * size + j] };
        }
        for j in i + 1..size {
            matrix[i * size + j] = 0.0;
        }
    }
    matrix
}

/// The inverse of a lower factor, transposed: row `i` holds its column `i`, so that what is read together lies together.
fn invert_lower(factor: &[f64], size: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; size * size];
    for column in 0..size {
        let own = &mut inverse[column * size..(column + 1) * size];
        own[column] = 1.0 / factor[column * size + column];
        for i in column + 1..size {
            let row = &factor[i * size..(i + 1) * size];
            own[i] = -dot(&row[column..i], &own[column..i]) / row[i];
        }
    }
    inverse
}

/// The inner product, summed in four lanes: one sum would wait for itself at every step.
pub(crate) fn dot(one: &[f64], other: &[f64]) -> f64 {
    let (fours, rest) = one.as_chunks::<4>();
    let (other_fours, other_rest) = other.as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for (a, b) in fours.iter().zip(other_fours) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f64 = rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

/// A standard normal draw (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    use rand::RngExt;
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
