//! Moves: ways to turn what is known into the next point.

use std::collections::BTreeMap;

use empiric_core::{Complexity, TrialNo};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    find::{Cut, Recipe},
    history::{History, Point},
    knob::{Assignment, Knob, Value},
    model::{Effect, Frame, Model, Weights},
    surrogate::Surrogate,
};

/// Steps tried along a numeric axis.
const STEPS: [f64; 6] = [0.15, 0.3, 0.5, 0.8, 1.2, 1.7];
/// How far beyond what was measured a knob may go.
const BEYOND: f64 = 1.3;
/// Most knobs in a joint move.
const JOINT: usize = 8;

/// Kinds of moves that improve a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Knobs moved least so far, several at once while many are left.
    Explore,
    /// The most promising point by what is known of whole points.
    Point,
    /// Every knob that is believed to help, to where it is believed best.
    Joint,
    /// As joint, by a draw from what is believed instead of its mean.
    Sample,
    /// The step that led to the parent, once more.
    Line,
    /// Something taken out.
    Ablate,
}

impl Family {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Explore, Self::Point, Self::Joint, Self::Sample, Self::Line, Self::Ablate];

    /// Its name in a trial's detail.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Explore => "explore",
            Self::Point => "point",
            Self::Joint => "joint",
            Self::Sample => "sample",
            Self::Line => "line",
            Self::Ablate => "ablate",
        }
    }

    /// Successes and failures it starts with.
    fn prior(self) -> (f64, f64) {
        match self {
            Self::Explore => (0.3, 5.0),
            Self::Point => (6.0, 4.0),
            Self::Joint => (5.0, 4.0),
            Self::Sample => (1.5, 4.0),
            Self::Line => (0.4, 4.0),
            Self::Ablate => (0.3, 5.0),
        }
    }
}

/// A move: what to set, and what to cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct Move {
    /// New values by knob.
    pub(crate) set: Assignment,
    /// Code taken out.
    pub(crate) cut: Option<Cut>,
}

/// Everything a move is chosen from.
pub(crate) struct Table<'a> {
    pub(crate) history: &'a History,
    pub(crate) frame: &'a Frame<'a>,
    pub(crate) model: &'a Model<'a>,
    /// Knobs within the surface that was asked for.
    pub(crate) knobs: Vec<&'a Knob>,
    /// Cut sites within that surface.
    pub(crate) cuts: Vec<&'a Cut>,
    /// Whether moves must bring a parent that misses its gates inside them.
    pub(crate) repairing: bool,
    /// How often each knob has been moved, running trials included.
    pub(crate) moved: BTreeMap<String, u32>,
    /// Positions measured along each axis.
    pub(crate) ranges: BTreeMap<String, (f64, f64)>,
    /// The trial that moves start from.
    pub(crate) parent: TrialNo,
    /// How much a move may do at once.
    pub(crate) complexity: Complexity,
    /// Trials the study may spend.
    pub(crate) budget: u32,
    /// Share of them that is spent.
    pub(crate) progress: f64,
}

impl Table<'_> {
    /// A family to improve the parent with: while knobs are left that nobody has moved, mostly those; then by a draw
    /// from each family's measured success.
    pub(crate) fn family(&self, rng: &mut ChaCha8Rng) -> Family {
        let untouched = self.untouched();
        let screening = if self.progress < 0.6 { 0.6 } else { 0.1 };
        if untouched > 0 && rng.random_bool(screening) {
            return Family::Explore;
        }
        if rng.random_bool(0.08) {
            return Family::ALL[rng.random_range(0..Family::ALL.len())];
        }
        let mut best = (Family::Sample, f64::NEG_INFINITY);
        for family in Family::ALL {
            let (mut wins, mut losses) = family.prior();
            for seen in
                self.history.observations.iter().filter(|seen| seen.made.family == family.name())
            {
                let gained =
                    self.history.over_parent(seen).is_some_and(|gain| gain > self.history.noise);
                let credit = if seen.kept {
                    1.0
                } else if gained && !seen.failed {
                    0.3
                } else {
                    0.0
                };
                // Old successes fade, so that a family that has run dry is left.
                wins = wins * 0.97 + credit;
                losses = losses * 0.97 + (1.0 - credit);
            }
            let total = wins + losses;
            let mean = wins / total;
            let draw = mean
                + super::regression::normal(rng) * (mean * (1.0 - mean) / (total + 1.0)).sqrt();
            if draw > best.1 {
                best = (family, draw);
            }
        }
        best.0
    }

    /// Knobs worth screening that nobody has moved.
    fn untouched(&self) -> usize {
        self.knobs
            .iter()
            .filter(|knob| knob.tier <= 1 && !self.moved.contains_key(&knob.id))
            .count()
    }

    /// A move of a family; none when it has nothing to offer.
    pub(crate) fn make(&self, family: Family, rng: &mut ChaCha8Rng) -> Option<Move> {
        let made = match family {
            Family::Explore => self.explore(1, rng),
            Family::Point => self.point(rng)?,
            Family::Joint => self.joint(rng),
            Family::Sample => self.sample(rng),
            Family::Line => self.line(rng)?,
            Family::Ablate => Move { cut: Some(self.ablate(rng)?), ..Move::default() },
        };
        (!made.set.is_empty() || made.cut.is_some()).then_some(made)
    }

    /// Moves the knobs that were moved least. Several at once when the budget is too small to take them one by one: the
    /// model tells their effects apart (group screening; Watson 1961). `boldness` scales group and steps.
    pub(crate) fn explore(&self, boldness: usize, rng: &mut ChaCha8Rng) -> Move {
        let weights = self.model.draw(rng, 1.0);
        let moved = |knob: &Knob| self.moved.get(&knob.id).copied().unwrap_or(0);
        // A switch has two sides; once it was moved the model knows what is to be known.
        let enough = |knob: &Knob| if self.frame.axes.contains_key(&knob.id) { 2 } else { 1 };
        let mut order: Vec<&Knob> =
            self.knobs.iter().copied().filter(|knob| moved(knob) < enough(knob)).collect();
        if order.is_empty() {
            order = self.knobs.clone();
        }
        order.shuffle(rng);
        order.sort_by_key(|knob| (moved(knob) + 2 * u32::from(knob.tier), knob.tier));
        let trials = (f64::from(self.budget) * 0.2).max(2.0);
        let group = ((self.untouched() as f64 / trials).ceil() as usize).clamp(1, 4) * boldness;
        let mut made = Move::default();
        let mut switches = 0;
        for knob in order {
            if made.set.len() >= group.min(6) {
                break;
            }
            let number = self.frame.axes.contains_key(&knob.id);
            if !number && switches > 0 {
                continue;
            }
            let size = rng.random_range(0.5..1.3);
            let side = if rng.random::<bool>() { size } else { -size };
            let choices = self.choices(knob, &[side, -side]);
            let best = choices.into_iter().max_by(|a, b| {
                self.effect(&weights, knob, a).gain.total_cmp(&self.effect(&weights, knob, b).gain)
            });
            if let Some(value) = best {
                switches += usize::from(!number);
                made.set.insert(knob.id.clone(), value);
            }
        }
        made
    }

    fn point(&self, rng: &mut ChaCha8Rng) -> Option<Move> {
        let fitted = Surrogate::fit(self.history, self.frame, &self.knobs, &self.ranges, BEYOND)?;
        let mean = self.model.mean();
        let start = self.model.safe_margins();
        let holds = |set: &Assignment| {
            let changed = self.knobs.iter().filter_map(|knob| Some((*knob, set.get(&knob.id)?)));
            let effects: Vec<Effect> =
                changed.map(|(knob, value)| self.effect(&mean, knob, value)).collect();
            start.iter().enumerate().all(|(gate, start)| {
                let moved: f64 = effects.iter().map(|effect| effect.margins[gate]).sum();
                start + moved >= start.min(0.0)
            })
        };
        Some(Move { set: fitted.propose(rng, holds), cut: None })
    }

    fn joint(&self, rng: &mut ChaCha8Rng) -> Move {
        // How much doubt a change may carry and how far it goes vary, so that joint moves differ while nothing is
        // learned in between.
        let doubt = rng.random_range(0.0..0.6);
        let stretch = rng.random_range(0.7..1.3);
        let mean = self.model.mean();
        let set = self.best(&mean, &self.knobs, JOINT, doubt, stretch);
        let gain: f64 = self
            .knobs
            .iter()
            .filter_map(|knob| Some(self.effect(&mean, knob, set.get(&knob.id)?).gain))
            .sum();
        // A gain nobody could measure is not worth a trial, unless it buys back a gate.
        let short = self.model.safe_margins().iter().any(|margin| *margin < 0.0);
        if gain < self.model.visible(self.history.noise) && !short {
            return Move::default();
        }
        Move { set, cut: None }
    }

    fn sample(&self, rng: &mut ChaCha8Rng) -> Move {
        let heat = rng.random_range(0.4..1.0);
        let weights = self.model.draw(rng, heat);
        let most = rng.random_range(
            2..=match self.complexity {
                Complexity::Simple => 3,
                Complexity::Normal => 5,
                Complexity::Complex => JOINT,
            },
        );
        let stretch = rng.random_range(0.8..1.25);
        Move { set: self.best(&weights, &self.knobs, most, 0.0, stretch), cut: None }
    }

    fn line(&self, rng: &mut ChaCha8Rng) -> Option<Move> {
        let here = self.history.of(self.parent)?;
        let before = &self.history.of(here.parent)?.made.point;
        let again = [0.5, 1.0, 1.5][rng.random_range(0..3)];
        let mut made = Move::default();
        for knob in &self.knobs {
            let was = before.knobs.get(&knob.id).or_else(|| self.frame.defaults.get(&knob.id));
            if let (Some(axis), Some(was), Some(now)) =
                (self.frame.axes.get(&knob.id), was.and_then(Value::number), knob.value.number())
                && was != now
                && let Some(value) =
                    axis.step(now, again * (axis.position(now) - axis.position(was)))
            {
                made.set.insert(knob.id.clone(), value);
            }
        }
        Some(made)
    }

    pub(crate) fn ablate(&self, rng: &mut ChaCha8Rng) -> Option<Cut> {
        let tried: Vec<&String> =
            self.history.observations.iter().flat_map(|seen| &seen.made.point.traits).collect();
        let fresh: Vec<&Cut> =
            self.cuts.iter().copied().filter(|cut| !tried.contains(&&cut.id)).collect();
        let any = if fresh.is_empty() { self.cuts.clone() } else { fresh };
        (!any.is_empty()).then(|| any[rng.random_range(0..any.len())].clone())
    }

    /// The assignment of at most `most` changes with the largest gain that is believed to hold the gates. A change must
    /// be worth more than `doubt` times its standard deviation. Gates enter by a common multiplier on their margins,
    /// searched over a small grid.
    pub(crate) fn best(
        &self,
        weights: &Weights,
        knobs: &[&Knob],
        most: usize,
        doubt: f64,
        stretch: f64,
    ) -> Assignment {
        let steps: Vec<f64> =
            STEPS.iter().flat_map(|step| [step * stretch, -step * stretch]).collect();
        let effects: Vec<(&Knob, Vec<(Value, Effect)>)> = knobs
            .iter()
            .map(|knob| {
                let choices = self.choices(knob, &steps).into_iter();
                (
                    *knob,
                    choices
                        .map(|value| {
                            let effect = self.effect(weights, knob, &value);
                            (value, effect)
                        })
                        .collect(),
                )
            })
            .collect();
        let start = self.model.safe_margins();
        let prices: &[f64] =
            if self.model.gates() == 0 { &[0.0] } else { &[0.0, 0.1, 0.3, 1.0, 3.0, 10.0] };
        let mut best: Option<(bool, f64, Assignment)> = None;
        for price in prices {
            let mut chosen: Vec<(f64, &Knob, &Value, &Effect)> = effects
                .iter()
                .filter_map(|(knob, choices)| {
                    let worth = |effect: &Effect| {
                        effect.gain - doubt * effect.deviation
                            + price * effect.margins.iter().map(|m| m.min(1.0)).sum::<f64>()
                    };
                    let (value, effect) =
                        choices.iter().max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)))?;
                    (worth(effect) > 0.02).then(|| (worth(effect), *knob, value, effect))
                })
                .collect();
            chosen.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
            chosen.truncate(most);
            let short: f64 = start
                .iter()
                .enumerate()
                .map(|(gate, start)| {
                    let moved: f64 =
                        chosen.iter().map(|(_, _, _, effect)| effect.margins[gate]).sum();
                    // Unless it is being repaired, a center that is short already is just not made worse.
                    let floor = if self.repairing { 0.0 } else { start.min(0.0) };
                    (floor - start - moved).max(0.0)
                })
                .sum();
            let gain: f64 = chosen.iter().map(|(_, _, _, effect)| effect.gain).sum();
            let holds = short <= 0.0;
            let score = if holds { gain } else { -short };
            let better = best.as_ref().is_none_or(|(held, old, _)| (holds, score) > (*held, *old));
            if better && !chosen.is_empty() {
                let set =
                    chosen.iter().map(|(_, knob, value, _)| (knob.id.clone(), (*value).clone()));
                best = Some((holds, score, set.collect()));
            }
        }
        best.map(|(_, _, set)| set).unwrap_or_default()
    }

    /// What a change does under `weights`.
    pub(crate) fn effect(&self, weights: &Weights, knob: &Knob, to: &Value) -> Effect {
        self.model.effect(self.frame, weights, &knob.id, &knob.value, to)
    }

    /// Values that `knob` may be set to: along its axis by these steps, or the other settings of a switch.
    fn choices(&self, knob: &Knob, steps: &[f64]) -> Vec<Value> {
        match &knob.value {
            Value::Bool(on) => vec![Value::Bool(!on)],
            Value::Text(now) => {
                knob.choices.iter().filter(|word| *word != now).cloned().map(Value::Text).collect()
            }
            Value::Int(_) | Value::Float(_) => {
                let (Some(axis), Some(now)) = (self.frame.axes.get(&knob.id), knob.value.number())
                else {
                    return Vec::new();
                };
                let (low, high) = self.ranges.get(&knob.id).copied().unwrap_or((0.0, 0.0));
                let within = |value: &Value| {
                    let at = value.number().map_or(f64::NAN, |value| axis.position(value));
                    (low - BEYOND..=high + BEYOND).contains(&at)
                };
                let stride = axis.stride(now);
                let values = steps.iter().filter_map(|step| axis.step(now, stride * step));
                let mut values: Vec<Value> = values.filter(within).collect();
                values.dedup();
                values
            }
        }
    }
}

/// Part of the way from one point back to another; switches go all the way back when the part is more than half.
pub(crate) fn back_off(from: &Recipe, to: &Point, frame: &Frame<'_>, part: f64) -> Assignment {
    let mut set = Assignment::new();
    for knob in from.knobs.values() {
        let Some(goal) = to.knobs.get(&knob.id).or_else(|| frame.defaults.get(&knob.id)) else {
            continue;
        };
        if *goal == knob.value {
            continue;
        }
        let value = match (frame.axes.get(&knob.id), knob.value.number(), goal.number()) {
            (Some(axis), Some(now), Some(then)) => {
                let way = axis.position(then) - axis.position(now);
                axis.step(now, part * way)
            }
            _ => (part > 0.5).then(|| goal.clone()),
        };
        if let Some(value) = value {
            set.insert(knob.id.clone(), value);
        }
    }
    set
}
