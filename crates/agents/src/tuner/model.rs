//! What the measurements say about each knob, seen from the trial that the next move starts from.
//!
//! The gain over that trial, and the margin to each gate, are modelled as sums over knobs: a slope and a bend for a
//! number (in the coordinate of its axis), a level for a switch, a constant for a cut. Every valid trial counts, also
//! the discarded ones; trials far away count less. Recipes are taken to be near reasonable already: bends are believed
//! to be negative until measured otherwise, which keeps moves within reach of what was seen.

use std::collections::BTreeMap;

use rand::Rng;

use super::{
    axis::Axis,
    history::{History, Observation, Point},
    knob::Value,
    regression::{Posterior, Prior, Row},
};

/// Numeric knobs, switches and traits that get columns; those seen most often first.
const COLUMNS: usize = 48;
/// Worst gain and margin that a row may claim, in units; beyond it a bad trial is just bad.
const WORST: f64 = -4.0;
/// What a crash counts as, in units.
const CRASH: f64 = -2.5;
/// Squared distance at which a row's variance doubles.
const NEARBY: f64 = 9.0;

/// A weight of the model. Levels and traits come with their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Column<'a> {
    Slope(&'a str),
    Bend(&'a str),
    Level(&'a str, String),
    Trait(&'a str),
}

type Columns<'a> = BTreeMap<Column<'a>, usize>;

/// Additive model of gain and margins around a point.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    columns: Columns<'a>,
    gain: Posterior,
    margins: Vec<Posterior>,
    /// Metric units per model unit.
    pub(crate) unit: f64,
    /// The same of each gate.
    margin_units: Vec<f64>,
    margin_noise: Vec<f64>,
}

/// One possible weighting of the model's columns: the mean, or a draw from the posterior.
#[derive(Debug)]
pub(crate) struct Weights {
    gain: Vec<f64>,
    margins: Vec<Vec<f64>>,
}

/// What a change of one knob is believed to do, in model units.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) gain: f64,
    pub(crate) deviation: f64,
    pub(crate) margins: Vec<f64>,
}

/// What the model is built over.
pub(crate) struct Frame<'a> {
    /// Where moves start.
    pub(crate) center: &'a Point,
    /// Axes of the numeric knobs.
    pub(crate) axes: &'a BTreeMap<String, Axis>,
    /// Values that points leave unsaid.
    pub(crate) defaults: &'a BTreeMap<String, Value>,
}

impl Frame<'_> {
    /// How `point` differs from the center: columns with their values.
    fn differences<'b>(&'b self, point: &'b Point) -> Vec<(Column<'b>, f64)> {
        let mut columns = Vec::new();
        for (id, to, from) in point.differing(self.center) {
            let value = |set: Option<&'b Value>| set.or_else(|| self.defaults.get(id));
            if let (Some(to), Some(from)) = (value(to), value(from)) {
                self.change(id, from, to, &mut columns);
            }
        }
        for name in point.traits.symmetric_difference(&self.center.traits) {
            let sign = if point.traits.contains(name) { 1.0 } else { -1.0 };
            columns.push((Column::Trait(name), sign));
        }
        columns
    }

    fn change<'b>(
        &self,
        id: &'b str,
        from: &Value,
        to: &Value,
        columns: &mut Vec<(Column<'b>, f64)>,
    ) {
        if from == to {
            return;
        }
        if let (Some(axis), Some(from), Some(to)) = (self.axes.get(id), from.number(), to.number())
        {
            let step = (axis.position(to) - axis.position(from)).clamp(-4.0, 4.0);
            columns.push((Column::Slope(id), step));
            columns.push((Column::Bend(id), step * step));
        } else {
            columns.push((Column::Level(id, to.to_json().to_string()), 1.0));
        }
    }
}

/// An observation in the model's columns.
struct Seen<'a> {
    observation: &'a Observation,
    x: Vec<(usize, f64)>,
    far: f64,
}

impl Seen<'_> {
    fn margin(&self, gate: usize) -> Option<f64> {
        self.observation.margins.get(gate).copied().flatten()
    }

    fn row(&self, y: f64, noise: f64) -> Row {
        Row { x: self.x.clone(), y, noise, far: self.far }
    }
}

impl<'a> Model<'a> {
    /// Fits the model to the history.
    pub(crate) fn fit(
        history: &'a History,
        frame: &'a Frame<'a>,
        center: Option<&Observation>,
    ) -> Self {
        let differences: Vec<_> = history
            .observations
            .iter()
            .map(|seen| (seen, frame.differences(&seen.made.point)))
            .collect();
        let columns = choose_columns(differences.iter().flat_map(|(_, x)| x));
        let rows: Vec<Seen<'_>> = differences
            .iter()
            .filter_map(|(observation, differences)| {
                let mut x = vec![(0, 1.0)];
                for (column, value) in differences {
                    x.push((*columns.get(column)?, *value));
                }
                Some(Seen { observation, x, far: 1.0 + distance(differences) / NEARBY })
            })
            .collect();

        let origin = center.and_then(|seen| seen.gain).map_or(0.0, |(gain, _)| gain);
        let mut spreads: Vec<f64> = rows
            .iter()
            .filter_map(|seen| Some((seen.observation.gain?.0 - origin).abs()))
            .filter(|spread| *spread > 0.0)
            .collect();
        let unit = scale_of(&mut spreads, history.noise);
        let priors = priors(&columns);
        let gains = rows.iter().filter_map(|seen| {
            let (y, noise) = match seen.observation.gain {
                Some((gain, count)) => (
                    ((gain - origin) / unit).max(WORST),
                    (history.noise / unit).powi(2) / count as f64,
                ),
                None if seen.observation.failed => (CRASH, 1.0),
                None => return None,
            };
            Some(seen.row(y, noise))
        });
        let gain = Posterior::fit(&gains.collect::<Vec<_>>(), &priors, 0.1);

        let mut margins = Vec::new();
        let mut margin_units = Vec::new();
        for (gate, noise) in history.margin_noise.iter().enumerate() {
            let at_center = center.and_then(|seen| seen.margins.get(gate).copied().flatten());
            let origin = at_center.unwrap_or(0.0);
            let mut spreads: Vec<f64> = rows
                .iter()
                .filter_map(|seen| Some((seen.margin(gate)? - origin).abs()))
                .filter(|spread| *spread > 0.0)
                .collect();
            let unit = scale_of(&mut spreads, *noise);
            let mut priors = priors_flat(&columns);
            priors[0] = Prior { mean: origin / unit, variance: 4.0 };
            let rows = rows.iter().filter_map(|seen| {
                let margin = seen.margin(gate)?;
                let count = seen.observation.gain.map_or(1, |(_, count)| count);
                let y =
                    (margin / unit).clamp(origin / unit + 3.0 * WORST, origin / unit - 3.0 * WORST);
                Some(seen.row(y, (noise / unit).powi(2) / count as f64))
            });
            margins.push(Posterior::fit(&rows.collect::<Vec<_>>(), &priors, 0.05));
            margin_units.push(unit);
        }
        let margin_noise = history
            .margin_noise
            .iter()
            .zip(&margin_units)
            .map(|(noise, unit)| noise / unit)
            .collect();
        Self { columns, gain, margins, unit, margin_units, margin_noise }
    }

    /// The posterior mean.
    pub(crate) fn mean(&self) -> Weights {
        Weights {
            gain: self.gain.mean.clone(),
            margins: self.margins.iter().map(|posterior| posterior.mean.clone()).collect(),
        }
    }

    /// A draw from the posterior (Thompson 1933), its spread scaled by `heat`.
    pub(crate) fn draw(&self, rng: &mut impl Rng, heat: f64) -> Weights {
        Weights {
            gain: self.gain.sample(rng, heat),
            margins: self.margins.iter().map(|margin| margin.sample(rng, heat)).collect(),
        }
    }

    /// Expected margin to each gate at the center, less one standard error of a replicate's noise, in model units.
    pub(crate) fn safe_margins(&self) -> Vec<f64> {
        self.margins
            .iter()
            .zip(&self.margin_noise)
            .map(|(posterior, noise)| posterior.mean[0] - 0.7 * noise)
            .collect()
    }

    /// A gain that replicates could tell from nothing, in model units.
    pub(crate) fn visible(&self, noise: f64) -> f64 {
        0.4 * noise / self.unit
    }

    /// Number of gates.
    pub(crate) fn gates(&self) -> usize {
        self.margin_units.len()
    }

    /// What setting a knob from `from` to `to` does under `weights`. A knob without a column does nothing.
    pub(crate) fn effect(
        &self,
        frame: &Frame<'_>,
        weights: &Weights,
        id: &str,
        from: &Value,
        to: &Value,
    ) -> Effect {
        let mut changes = Vec::new();
        frame.change(id, from, to, &mut changes);
        let x: Vec<(usize, f64)> = changes
            .iter()
            .filter_map(|(column, value)| Some((*self.columns.get(column)?, *value)))
            .collect();
        let dot = |weights: &[f64]| x.iter().map(|(i, value)| weights[*i] * value).sum::<f64>();
        let variance: f64 = x.iter().map(|(i, value)| self.gain.variance[*i] * value * value).sum();
        // An unseen level is as likely good as bad.
        let variance = if x.is_empty() { 0.5 } else { variance };
        Effect {
            gain: dot(&weights.gain),
            deviation: variance.sqrt(),
            margins: weights.margins.iter().map(|weights| dot(weights)).collect(),
        }
    }
}

/// Squared distance from the center.
fn distance(differences: &[(Column<'_>, f64)]) -> f64 {
    differences
        .iter()
        .map(|(column, value)| match column {
            Column::Slope(_) | Column::Level(..) | Column::Trait(_) => value.abs().min(3.0).powi(2),
            Column::Bend(_) => 0.0,
        })
        .sum()
}

/// Columns of what was varied most; column 0 is the center itself.
fn choose_columns<'a: 'b, 'b>(varied: impl Iterator<Item = &'b (Column<'a>, f64)>) -> Columns<'a> {
    let mut counts: BTreeMap<&Column<'a>, u32> = BTreeMap::new();
    for (column, _) in varied.filter(|(column, _)| !matches!(column, Column::Bend(_))) {
        *counts.entry(column).or_default() += 1;
    }
    let mut often: Vec<(&Column<'a>, u32)> = counts.into_iter().collect();
    often.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    often.truncate(COLUMNS);
    let mut columns = BTreeMap::new();
    for (column, _) in often {
        if let Column::Slope(id) = column {
            columns.insert(Column::Bend(id), columns.len() + 1);
        }
        columns.insert(column.clone(), columns.len() + 1);
    }
    columns
}

/// Priors of gain: the center as measured; slopes either way; bends down; switches and cuts slightly harmful.
fn priors(columns: &Columns<'_>) -> Vec<Prior> {
    let mut priors = vec![Prior { mean: 0.0, variance: 1.0 }; columns.len() + 1];
    for (column, i) in columns {
        priors[*i] = match column {
            Column::Slope(_) => Prior { mean: 0.0, variance: 1.5 },
            Column::Bend(_) => Prior { mean: -0.3, variance: 0.15 },
            Column::Level(..) | Column::Trait(_) => Prior { mean: -0.1, variance: 1.0 },
        };
    }
    priors
}

/// Priors of margins: nothing is known.
fn priors_flat(columns: &Columns<'_>) -> Vec<Prior> {
    let mut priors = vec![Prior { mean: 0.0, variance: 1.0 }; columns.len() + 1];
    for (column, i) in columns {
        let variance = if matches!(column, Column::Bend(_)) { 0.1 } else { 0.7 };
        priors[*i] = Prior { mean: 0.0, variance };
    }
    priors
}

/// A scale on which effects are of order one: the median of what was seen, and no less than the noise.
fn scale_of(spreads: &mut [f64], noise: f64) -> f64 {
    spreads.sort_by(f64::total_cmp);
    let median = spreads.get(spreads.len() / 2).copied().unwrap_or(0.0);
    let unit = median.max(noise);
    if unit > 0.0 && unit.is_finite() { unit } else { 1.0 }
}
