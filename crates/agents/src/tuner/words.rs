//! The written hypothesis of a move: what changes, what measured trials say about it, what is expected.

use std::collections::BTreeMap;

use empiric_core::{Goal, Hypothesis, Metric, Operator, Prediction, TrialNo, trial::Direction};

use super::{
    find::Recipe,
    history::{History, Point},
    knob::{Assignment, Value},
    moves::Move,
};

/// Changes spelt out; the rest is counted.
const SPELT: usize = 3;

/// What a hypothesis is written from.
pub(crate) struct Story<'a> {
    pub(crate) history: &'a History,
    pub(crate) recipe: &'a Recipe,
    /// Values that points leave unsaid.
    pub(crate) defaults: &'a BTreeMap<String, Value>,
    pub(crate) metric: &'a Metric,
    /// Why this move, before the evidence.
    pub(crate) motive: String,
    /// Expected gain in the metric's unit, where the model has seen enough to say.
    pub(crate) expected: Option<f64>,
}

impl Story<'_> {
    /// The hypothesis of a move.
    pub(crate) fn tell(&self, made: &Move, operator: Operator) -> Hypothesis {
        let mut text = self.changes(&made.set);
        if let Some(cut) = &made.cut {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&format!("Take out `{}` in {}", cut.code, cut.file));
        }
        text.push_str(": ");
        text.push_str(&self.motive);
        if let Some(evidence) = self.evidence(&made.set) {
            text.push_str("; ");
            text.push_str(&evidence);
        }
        text.push('.');
        Hypothesis { text, prediction: self.prediction(operator) }
    }

    /// The hypothesis of a merge of texts.
    pub(crate) fn merged(&self, one: TrialNo, other: TrialNo) -> Hypothesis {
        let gain = |no| {
            let seen = self.history.of(no)?;
            Some(format!("{no} {}", self.amount(self.history.over_parent(seen)?)))
        };
        let gains: Vec<String> = [one, other].into_iter().filter_map(gain).collect();
        let mut text = format!("Merge {one} and {other}: {}", self.motive);
        if !gains.is_empty() {
            text.push_str(&format!(" ({})", gains.join(", ")));
        }
        text.push('.');
        Hypothesis { text, prediction: None }
    }

    fn changes(&self, set: &Assignment) -> String {
        let mut parts: Vec<String> = set
            .iter()
            .filter_map(|(id, value)| Some((self.recipe.knobs.get(id)?, value)))
            .take(SPELT)
            .map(|(knob, value)| {
                let verb = match (knob.value.number(), value.number()) {
                    (Some(from), Some(to)) if to > from => "raise",
                    (Some(_), Some(_)) => "lower",
                    _ => "turn",
                };
                format!(
                    "{verb} {} {}→{} in {}",
                    knob.name,
                    knob.value.words(),
                    value.words(),
                    knob.file
                )
            })
            .collect();
        if set.len() > SPELT {
            parts.push(format!("and {} more", set.len() - SPELT));
        }
        let mut text = parts.join(", ");
        if let Some(first) = text.get(..1).map(str::to_uppercase) {
            text.replace_range(..1, &first);
        }
        text
    }

    /// The most telling earlier trial that moved one of these knobs, and which way.
    fn evidence(&self, set: &Assignment) -> Option<String> {
        let mut telling: Option<(f64, String)> = None;
        let nothing = Point::default();
        for seen in &self.history.observations {
            let Some(gain) = self.history.over_parent(seen) else { continue };
            let parent = self.history.of(seen.parent).map_or(&nothing, |parent| &parent.made.point);
            for (id, value) in set {
                let value_at =
                    |point: &Point| point.knobs.get(id).or_else(|| self.defaults.get(id)).cloned();
                let (Some(from), Some(to)) = (value_at(parent), value_at(&seen.made.point)) else {
                    continue;
                };
                let Some(knob) = self.recipe.knobs.get(id).filter(|_| from != to) else { continue };
                let same_way =
                    match (from.number(), to.number(), knob.value.number(), value.number()) {
                        (Some(a), Some(b), Some(c), Some(d)) => (b > a) == (d > c),
                        _ => to == *value,
                    };
                // Only what speaks for the move: gains this way, losses the other way.
                let moved = seen.made.point.differing(parent).len()
                    + seen.made.point.traits.difference(&parent.traits).count();
                let weight = if same_way { gain } else { -gain } / moved.max(1) as f64;
                if weight <= telling.as_ref().map_or(0.0, |(best, _)| *best) {
                    continue;
                }
                let others = if moved > 1 { " along with others" } else { "" };
                let way = if same_way { "" } else { ", the other way" };
                telling = Some((
                    weight,
                    format!(
                        "{} moved {} {}→{}{others}{way}, and {}",
                        seen.no,
                        knob.name,
                        from.words(),
                        to.words(),
                        self.amount(gain),
                    ),
                ));
            }
        }
        telling.map(|(_, text)| text)
    }

    fn amount(&self, gain: f64) -> String {
        let verb = if gain > 0.0 { "gained" } else { "lost" };
        let share = gain.abs() / self.history.baseline.abs();
        if share.is_finite() && share < 10.0 {
            format!("{verb} {:.2} %", 100.0 * share)
        } else {
            format!("{verb} {:.3e} {}", gain.abs(), self.metric.name)
        }
    }

    fn prediction(&self, operator: Operator) -> Option<Prediction> {
        let better = match self.metric.goal {
            Goal::Minimize => Direction::Decrease,
            Goal::Maximize => Direction::Increase,
        };
        let (direction, size) = match self.expected {
            Some(gain) if gain > 0.0 => (better, Some(gain)),
            _ if operator == Operator::Ablate => (Direction::Unchanged, None),
            _ => return None,
        };
        Some(Prediction { metric: self.metric.name.clone(), direction, size })
    }
}
