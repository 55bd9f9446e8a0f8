//! What the measurements say about whole points: a Gaussian process over the knobs that were moved, which sees what the
//! additive model cannot, namely bends, plateaus and knobs that only help together.
//!
//! Covariance is Matern 5/2 with a length per knob, noise that of the replicates plus a misfit; lengths and misfit
//! maximise the marginal likelihood times a log-normal prior (Rasmussen and Williams, Gaussian Processes for Machine
//! Learning, 5.4), by a coordinate search of fixed size. The prior's median length grows with the square root of the
//! number of knobs (Hvarfner, Hellsten and Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, ICML
//! 2024). Trials under way are believed to come out as predicted (Ginsbourger, Le Riche and Carraro 2010), so that
//! parallel proposals spread out.

use std::f64::consts::{PI, SQRT_2};

use rand::{Rng, RngExt, seq::IndexedRandom};

use super::{
    history::{History, Point},
    knob::{Assignment, Knob, Value},
    model::Frame,
    regression::{cholesky, dot, normal},
};

/// Knobs that get a coordinate; those moved most often first.
const COORDINATES: usize = 32;
/// Observations taken in, those nearest to the center first, which bounds the cost of a fit.
const OBSERVATIONS: usize = 48;
/// Those of them, the nearest, that lengths and misfit are judged by, some fifty times for each fit.
const JUDGED: usize = 32;
/// Least observations that a fit is worth.
const LEAST: usize = 6;
/// Sweeps of the coordinate search over lengths, amplitude and misfit.
const SWEEPS: usize = 2;
/// Candidates drawn, and how many of the best are improved step by step.
const CANDIDATES: usize = 160;
const REFINED: usize = 3;
const REFINEMENTS: usize = 24;

/// One knob as a coordinate.
struct Coordinate<'a> {
    knob: &'a Knob,
    /// Settings of a switch or a word; the coordinate is the place in this list. Empty for numbers.
    settings: Vec<Value>,
    /// Positions that may be proposed.
    reach: (f64, f64),
}

/// Logarithms of what the covariance depends on.
#[derive(Debug, Clone)]
struct Hyper {
    lengths: Vec<f64>,
    amplitude: f64,
    misfit: f64,
}

/// A fitted process.
pub(crate) struct Surrogate<'a> {
    frame: &'a Frame<'a>,
    coordinates: Vec<Coordinate<'a>>,
    points: Vec<Vec<f64>>,
    /// The same in units of the lengths.
    scaled: Vec<Vec<f64>>,
    hyper: Hyper,
    /// Lower factor of the covariance of the points, and its solution for their values.
    factor: Vec<f64>,
    weights: Vec<f64>,
    mean: f64,
    /// Largest posterior mean at a measured point.
    best: f64,
    center: Vec<f64>,
}

/// A point as measured.
struct Seen {
    at: Vec<f64>,
    y: f64,
    noise: f64,
}

impl<'a> Surrogate<'a> {
    /// Fits what is known of these knobs around the frame's center; none while there is too little.
    pub(crate) fn fit(
        history: &History,
        frame: &'a Frame<'a>,
        knobs: &[&'a Knob],
        ranges: &std::collections::BTreeMap<String, (f64, f64)>,
        beyond: f64,
    ) -> Option<Self> {
        let coordinates = coordinates(history, frame, knobs, ranges, beyond);
        if coordinates.is_empty() {
            return None;
        }
        let place = |point: &Point| -> Vec<f64> {
            coordinates.iter().map(|one| one.position(frame, point)).collect()
        };
        let center = place(frame.center);
        // A tree with something cut out or brought in is another function.
        let alike = |point: &Point| point.traits == frame.center.traits;
        let mut seen: Vec<Seen> = history
            .observations
            .iter()
            .filter(|one| alike(&one.made.point))
            .filter_map(|one| {
                let (y, count) = one.gain.or(one.failed.then_some((f64::NEG_INFINITY, 1)))?;
                Some(Seen {
                    at: place(&one.made.point),
                    y,
                    noise: history.noise.powi(2) / count.max(1) as f64,
                })
            })
            .collect();
        let far =
            |at: &[f64]| -> f64 { at.iter().zip(&center).map(|(a, b)| (a - b).powi(2)).sum() };
        seen.sort_by(|a, b| far(&a.at).total_cmp(&far(&b.at)));
        seen.truncate(OBSERVATIONS);
        if seen.len() < LEAST {
            return None;
        }
        let unit = tame(&mut seen, history.noise)?;
        let mean = seen.iter().map(|one| one.y).sum::<f64>() / seen.len() as f64;
        let hyper = search(&seen[..seen.len().min(JUDGED)], mean, coordinates.len());
        let running: Vec<Vec<f64>> =
            history.running().filter(|point| alike(point)).map(place).collect();
        let mut fitted = Self {
            frame,
            coordinates,
            points: Vec::new(),
            scaled: Vec::new(),
            hyper,
            factor: Vec::new(),
            weights: Vec::new(),
            mean,
            best: f64::NEG_INFINITY,
            center,
        };
        fitted.solve(&seen)?;
        fitted.best =
            seen.iter().map(|one| fitted.predict(&one.at).0).fold(f64::NEG_INFINITY, f64::max);
        if !running.is_empty() {
            let noise = (history.noise / unit).powi(2);
            let believed = running.into_iter().map(|at| {
                let y = fitted.predict(&at).0;
                Seen { at, y, noise }
            });
            seen.extend(believed.collect::<Vec<_>>());
            fitted.solve(&seen)?;
        }
        Some(fitted)
    }

    fn solve(&mut self, seen: &[Seen]) -> Option<()> {
        self.points = seen.iter().map(|one| one.at.clone()).collect();
        self.scaled = seen.iter().map(|one| self.hyper.scale(&one.at)).collect();
        let squares = Apart::new(seen, self.coordinates.len()).squares(&self.hyper);
        let fitted = factorise(seen, self.mean, &self.hyper, &squares)?;
        (self.weights, self.factor) = (fitted.weights(), fitted.factor);
        Some(())
    }

    /// Mean and standard deviation at a point.
    fn predict(&self, at: &[f64]) -> (f64, f64) {
        let (at, variance) = (self.hyper.scale(at), self.hyper.variance());
        let near: Vec<f64> =
            self.scaled.iter().map(|other| variance * correlation(squared(&at, other))).collect();
        let mean = self.mean + dot(&near, &self.weights);
        let half = forward(&self.factor, &near);
        let explained = dot(&half, &half);
        (mean, (variance - explained).max(1e-12).sqrt())
    }

    /// Expected improvement over the best known mean (Mockus 1978), or the mean alone.
    fn worth(&self, at: &[f64], curious: bool) -> f64 {
        let (mean, deviation) = self.predict(at);
        if !curious {
            return mean;
        }
        let z = (mean - self.best) / deviation;
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        deviation * (density + z * below(z))
    }

    /// What to change of the center to come to the most promising point that `holds`; empty when that is the center.
    pub(crate) fn propose(
        &self,
        rng: &mut impl Rng,
        holds: impl Fn(&Assignment) -> bool,
    ) -> Assignment {
        let curious = rng.random_bool(0.7);
        let mut starts: Vec<&[f64]> = vec![&self.center];
        let mut known: Vec<(f64, &[f64])> =
            self.points.iter().map(|at| (self.predict(at).0, at.as_slice())).collect();
        known.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        starts.extend(known.iter().take(4).map(|(_, at)| *at));
        let mut drawn: Vec<(f64, Vec<f64>)> = (0..CANDIDATES)
            .filter_map(|n| {
                let from = starts.choose(rng)?;
                let size = [0.15, 0.4, 0.9, 1.6][n % 4];
                let at = self.near(from, size, rng);
                Some((self.worth(&at, curious), at))
            })
            .collect();
        drawn.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        drawn.truncate(REFINED);
        for (worth, at) in &mut drawn {
            for n in 0..REFINEMENTS {
                let size = 0.5 * 0.88_f64.powi(n as i32);
                let next = self.near(at, size, rng);
                let other = self.worth(&next, curious);
                if other > *worth {
                    (*worth, *at) = (other, next);
                }
            }
        }
        drawn.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let sets = drawn.iter().map(|(_, at)| self.changes(at));
        sets.into_iter().find(|set| !set.is_empty() && holds(set)).unwrap_or_default()
    }

    /// A point about `size` away in a few coordinates.
    fn near(&self, from: &[f64], size: f64, rng: &mut impl Rng) -> Vec<f64> {
        let mut at = from.to_vec();
        let share = (4.0 / at.len() as f64).clamp(0.15, 1.0);
        let sure = rng.random_range(0..at.len());
        for (i, coordinate) in self.coordinates.iter().enumerate() {
            if i != sure && !rng.random_bool(share) {
                continue;
            }
            if coordinate.settings.is_empty() {
                let (low, high) = coordinate.reach;
                at[i] = (at[i] + size * normal(rng)).clamp(low, high);
            } else if i == sure || rng.random_bool(0.3) {
                at[i] = rng.random_range(0..coordinate.settings.len()) as f64;
            }
        }
        at
    }

    /// The settings that lead from the center's recipe to a point.
    fn changes(&self, to: &[f64]) -> Assignment {
        let mut set = Assignment::new();
        for ((coordinate, at), here) in self.coordinates.iter().zip(to).zip(&self.center) {
            let knob = coordinate.knob;
            let value = if coordinate.settings.is_empty() {
                let axis = self.frame.axes.get(&knob.id);
                let step = at - here;
                // What nobody would notice is left alone.
                axis.zip(knob.value.number())
                    .filter(|_| step.abs() > 0.04)
                    .and_then(|(axis, now)| axis.step(now, step))
            } else {
                coordinate.settings.get(*at as usize).filter(|value| **value != knob.value).cloned()
            };
            if let Some(value) = value {
                set.insert(knob.id.clone(), value);
            }
        }
        set
    }
}

impl Coordinate<'_> {
    fn position(&self, frame: &Frame<'_>, point: &Point) -> f64 {
        let id = &self.knob.id;
        let value = point.knobs.get(id).or_else(|| frame.defaults.get(id));
        let Some(value) = value else { return 0.0 };
        if self.settings.is_empty() {
            let axis = frame.axes.get(id);
            axis.zip(value.number()).map_or(0.0, |(axis, value)| axis.position(value))
        } else {
            let at = self.settings.iter().position(|setting| setting == value);
            at.unwrap_or(self.settings.len()) as f64
        }
    }
}

/// The knobs moved most, as coordinates.
fn coordinates<'a>(
    history: &History,
    frame: &Frame<'_>,
    knobs: &[&'a Knob],
    ranges: &std::collections::BTreeMap<String, (f64, f64)>,
    beyond: f64,
) -> Vec<Coordinate<'a>> {
    let moved = history.moved();
    let count = |knob: &Knob| moved.get(&knob.id).copied().unwrap_or(0);
    let mut tried: Vec<&Knob> = knobs.iter().copied().filter(|knob| count(knob) > 0).collect();
    tried.sort_by(|a, b| count(b).cmp(&count(a)).then_with(|| a.id.cmp(&b.id)));
    tried.truncate(COORDINATES);
    let coordinate = |knob: &'a Knob| {
        let settings = match &knob.value {
            Value::Bool(_) => vec![Value::Bool(false), Value::Bool(true)],
            Value::Text(_) => knob.choices.iter().cloned().map(Value::Text).collect(),
            Value::Int(_) | Value::Float(_) => Vec::new(),
        };
        let (low, high) = ranges.get(&knob.id).copied().unwrap_or((0.0, 0.0));
        Coordinate { knob, settings, reach: (low - beyond, high + beyond) }
    };
    let known = |knob: &&Knob| {
        !matches!(knob.value, Value::Int(_) | Value::Float(_)) || frame.axes.contains_key(&knob.id)
    };
    tried.into_iter().filter(known).map(coordinate).collect()
}

/// Puts values on a scale of order one and bounds the bad ones: far below the rest, only that they are bad matters.
/// The scale, unless there is nothing to tell apart.
fn tame(seen: &mut [Seen], noise: f64) -> Option<f64> {
    let mut values: Vec<f64> = seen.iter().map(|one| one.y).filter(|y| y.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let (best, middle) = (*values.last()?, values[values.len() / 2]);
    let floor = middle - 2.0 * (best - middle).max(noise);
    let bounded: Vec<f64> = values.iter().map(|y| y.max(floor)).collect();
    let mean = bounded.iter().sum::<f64>() / bounded.len() as f64;
    let variance = bounded.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / bounded.len() as f64;
    let unit = variance.sqrt();
    if unit.is_nan() || unit <= 0.0 {
        return None;
    }
    for one in seen {
        one.y = one.y.max(floor) / unit;
        one.noise /= unit * unit;
    }
    Some(unit)
}

/// Lengths, amplitude and misfit by a coordinate search.
fn search(seen: &[Seen], mean: f64, coordinates: usize) -> Hyper {
    let middle = (1.2 * (coordinates as f64).sqrt()).ln();
    let prior = |hyper: &Hyper| {
        let lengths: f64 = hyper.lengths.iter().map(|l| -0.5 * ((l - middle) / 0.9).powi(2)).sum();
        lengths - 0.5 * hyper.amplitude.powi(2) - 0.5 * ((hyper.misfit + 3.0) / 1.0).powi(2)
    };
    let apart = Apart::new(seen, coordinates);
    let score = |hyper: &Hyper, squares: &[f64]| {
        factorise(seen, mean, hyper, squares).map_or(f64::NEG_INFINITY, |fitted| fitted.likelihood)
            + prior(hyper)
    };
    let mut best = Hyper { lengths: vec![middle; coordinates], amplitude: 0.0, misfit: -3.0 };
    let mut squares = apart.squares(&best);
    let mut reached = score(&best, &squares);
    for sweep in 0..SWEEPS {
        let step = [0.7, 0.35][sweep.min(1)];
        for i in 0..coordinates + 2 {
            for sign in [1.0, -1.0] {
                let mut next = best.clone();
                let mut moved = None;
                match i.checked_sub(coordinates) {
                    None => {
                        next.lengths[i] += sign * step;
                        moved = Some(apart.moved(&squares, i, &best, &next));
                    }
                    Some(0) => next.amplitude += sign * step,
                    Some(_) => next.misfit += sign * step,
                }
                let other = score(&next, moved.as_deref().unwrap_or(&squares));
                if other > reached {
                    (best, reached) = (next, other);
                    squares = moved.unwrap_or(squares);
                    break;
                }
            }
        }
    }
    best
}

/// How far points are apart along each coordinate: squares, for the pairs of the lower triangle, row by row. They are
/// what a search over lengths has to look at again and again.
struct Apart(Vec<Vec<f64>>);

impl Apart {
    fn new(seen: &[Seen], coordinates: usize) -> Self {
        let along = |k: usize| {
            let pairs = seen.iter().enumerate().flat_map(|(i, one)| {
                seen[..i].iter().map(move |other| (one.at[k] - other.at[k]).powi(2))
            });
            pairs.collect()
        };
        Self((0..coordinates).map(along).collect())
    }

    /// Squared distances in units of the lengths.
    fn squares(&self, hyper: &Hyper) -> Vec<f64> {
        let mut sums = vec![0.0; self.0.first().map_or(0, Vec::len)];
        for (along, length) in self.0.iter().zip(&hyper.lengths) {
            let weight = (-2.0 * length).exp();
            sums.iter_mut().zip(along).for_each(|(sum, square)| *sum += weight * square);
        }
        sums
    }

    /// The same where only the length of coordinate `k` is another than before.
    fn moved(&self, squares: &[f64], k: usize, before: &Hyper, after: &Hyper) -> Vec<f64> {
        let change = (-2.0 * after.lengths[k]).exp() - (-2.0 * before.lengths[k]).exp();
        let pairs = squares.iter().zip(&self.0[k]);
        pairs.map(|(sum, square)| (sum + change * square).max(0.0)).collect()
    }
}

/// A covariance taken apart.
struct Factorised {
    /// Its lower factor.
    factor: Vec<f64>,
    /// `L x = y` solved for the values.
    half: Vec<f64>,
    /// The log marginal likelihood without its constant.
    likelihood: f64,
}

impl Factorised {
    /// The covariance's solution for the values.
    fn weights(&self) -> Vec<f64> {
        let size = self.half.len();
        let mut weights = self.half.clone();
        for i in (0..size).rev() {
            let rest: f64 = (i + 1..size).map(|k| self.factor[k * size + i] * weights[k]).sum();
            weights[i] = (weights[i] - rest) / self.factor[i * size + i];
        }
        weights
    }
}

/// Takes the covariance of points apart that lie so far from each other, in units of the lengths.
fn factorise(seen: &[Seen], mean: f64, hyper: &Hyper, squares: &[f64]) -> Option<Factorised> {
    let size = seen.len();
    let misfit = (2.0 * hyper.misfit).exp();
    let variance = hyper.variance();
    let mut matrix = vec![0.0; size * size];
    let mut pairs = squares.iter();
    for (i, one) in seen.iter().enumerate() {
        let row = &mut matrix[i * size..=i * size + i];
        for (cell, square) in row.iter_mut().zip(pairs.by_ref().take(i)) {
            *cell = variance * correlation(*square);
        }
        row[i] = variance + one.noise + misfit + 1e-6;
    }
    let factor = cholesky(matrix, size);
    let values: Vec<f64> = seen.iter().map(|one| one.y - mean).collect();
    let half = forward(&factor, &values);
    let volume: f64 = (0..size).map(|i| factor[i * size + i].ln()).sum();
    let likelihood = -0.5 * dot(&half, &half) - volume;
    likelihood.is_finite().then_some(Factorised { factor, half, likelihood })
}

/// Solves `L x = b`.
fn forward(factor: &[f64], values: &[f64]) -> Vec<f64> {
    let size = values.len();
    let mut solved = values.to_vec();
    for i in 0..size {
        let row = &factor[i * size..i * size + i];
        solved[i] = (solved[i] - dot(row, &solved[..i])) / factor[i * size + i];
    }
    solved
}

impl Hyper {
    /// Variance of the function itself.
    fn variance(&self) -> f64 {
        (2.0 * self.amplitude).exp()
    }

    /// A point in units of the lengths.
    fn scale(&self, at: &[f64]) -> Vec<f64> {
        at.iter().zip(&self.lengths).map(|(at, length)| at * (-length).exp()).collect()
    }
}

/// Squared distance of two scaled points.
fn squared(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Correlation of two points at this squared distance, in units of the lengths: Matern 5/2.
fn correlation(squared: f64) -> f64 {
    let r = (5.0 * squared).sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// The standard normal distribution function (Abramowitz and Stegun 7.1.26; absolute error below 1.5e-7).
fn below(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let upper = 0.5 * series * (-x * x).exp();
    if z > 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use empiric_core::{TrialNo, seed};

    use super::*;

    #[test]
    fn the_distribution_function_is_that_of_the_normal() {
        // scipy.stats.norm.cdf
        for (z, p) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.959_964, 0.025), (3.0, 0.998_650_102)]
        {
            assert!((below(z) - p).abs() < 2e-7, "{z}: {}", below(z));
        }
    }

    /// Points of the plane, of which the value depends on the first coordinate alone.
    fn seen() -> Vec<Seen> {
        let mut rng = seed::stream(5, "surrogate", TrialNo(0));
        (0..40)
            .map(|_| {
                let at = vec![rng.random_range(-2.0..2.0), rng.random_range(-2.0..2.0_f64)];
                let y = (1.5 * at[0]).sin() + 0.05 * normal(&mut rng);
                Seen { at, y, noise: 0.0025 }
            })
            .collect()
    }

    #[test]
    fn a_knob_that_does_not_matter_gets_a_long_length() {
        let hyper = search(&seen(), 0.0, 2);
        assert!(hyper.lengths[1] > hyper.lengths[0] + 0.5, "{:?}", hyper.lengths);
    }

    #[test]
    fn what_was_measured_is_predicted_and_far_away_nothing_is_known() {
        let seen = seen();
        let hyper = search(&seen, 0.0, 2);
        let apart = Apart::new(&seen, 2);
        let fitted = factorise(&seen, 0.0, &hyper, &apart.squares(&hyper)).unwrap();
        let (weights, factor) = (fitted.weights(), fitted.factor);
        let predict = |at: [f64; 2]| {
            let at = hyper.scale(&at);
            let near: Vec<f64> = seen
                .iter()
                .map(|one| hyper.variance() * correlation(squared(&at, &hyper.scale(&one.at))))
                .collect();
            let mean: f64 = near.iter().zip(&weights).map(|(k, w)| k * w).sum();
            let half = forward(&factor, &near);
            let explained = dot(&half, &half);
            (mean, hyper.variance() - explained)
        };
        for x in [-1.5, -0.5, 0.7, 1.6_f64] {
            let (mean, variance) = predict([x, 0.3]);
            assert!((mean - (1.5 * x).sin()).abs() < 0.15, "{x}: {mean}");
            assert!(variance < 0.1 * hyper.variance(), "{x}: {variance}");
        }
        let (mean, variance) = predict([40.0, 0.0]);
        assert!(mean.abs() < 0.05 && variance > 0.9 * hyper.variance(), "{mean} {variance}");
    }
}
