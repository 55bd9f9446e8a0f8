//! The control of the tuner: the same literals, moved by chance. It learns nothing; what a search with it gains, the policy
//! and the verdicts have gained.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{Failure, Hypothesis, Operator, TrialNo, seed};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Surface,
    axis::Axis,
    find::{Recipe, find},
    globs, has_tree,
    knob::{Assignment, Knob, Value},
};
use crate::{Brief, Proposal, Proposer};

/// Most literals moved at once.
const MOST: usize = 3;
/// Farthest that one is moved at once, in doublings.
const FARTHEST: f64 = 2.0;
/// Moves considered before giving up.
const ATTEMPTS: usize = 16;

/// Moves literals by chance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Proposer for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn ahead(&self, slots: usize) -> usize {
        super::ahead(slots)
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        let study = &brief.study;
        let asked = brief.ask.parents.first().copied().filter(|no| has_tree(study, *no));
        let parent = asked.unwrap_or_else(|| study.champion());
        let editable = globs(&study.task().recipe.edit)?;
        let surfaces = &study.task().surfaces;
        let surface = brief
            .ask
            .surface
            .as_ref()
            .and_then(|name| surfaces.iter().find(|surface| surface.name == *name))
            .map(|surface| Surface::new(&surface.owns))
            .transpose()?;
        let mut files = brief.sources.files(parent)?;
        files.retain(|path, _| editable.matches(path));
        let found: Vec<_> = files.iter().map(|(path, text)| Arc::new(find(path, text))).collect();
        let recipe = Recipe::new(files, &found);
        let within = |knob: &&Knob| {
            surface.as_ref().is_none_or(|surface| surface.owns(&knob.file, &knob.id))
        };
        let knobs: Vec<&Knob> = recipe.knobs.values().filter(within).collect();
        let mut rng = seed::stream(study.settings().seed, "random", brief.trial);
        for _ in 0..ATTEMPTS {
            let set = draw(&knobs, &mut rng);
            let edits = recipe.edit(&set, None);
            if !edits.is_empty() {
                return Ok(proposal(brief, parent, &recipe, &set, edits));
            }
        }
        Err(super::exhausted(parent, &recipe))
    }
}

/// One to [`MOST`] of the knobs, each somewhere else.
fn draw(knobs: &[&Knob], rng: &mut ChaCha8Rng) -> Assignment {
    let most = rng.random_range(1..=MOST);
    let chosen = knobs.sample(rng, most);
    let moved = chosen.filter_map(|knob| Some((knob.id.clone(), elsewhere(knob, rng)?)));
    moved.collect()
}

fn elsewhere(knob: &Knob, rng: &mut ChaCha8Rng) -> Option<Value> {
    match &knob.value {
        Value::Bool(on) => Some(Value::Bool(!on)),
        Value::Text(now) => {
            let others: Vec<&String> = knob.choices.iter().filter(|word| *word != now).collect();
            others.choose(rng).map(|word| Value::Text((*word).clone()))
        }
        Value::Int(_) | Value::Float(_) => {
            let axis = Axis::of(&knob.name, &knob.value)?;
            axis.step(knob.value.number()?, rng.random_range(-FARTHEST..FARTHEST))
        }
    }
}

fn proposal(
    brief: &Brief,
    parent: TrialNo,
    recipe: &Recipe,
    set: &Assignment,
    edits: BTreeMap<String, String>,
) -> Proposal {
    let moves = set.iter().filter_map(|(id, value)| {
        let knob = recipe.knobs.get(id)?;
        Some(format!("{} {}→{} in {}", knob.name, knob.value.words(), value.words(), knob.file))
    });
    let moves: Vec<String> = moves.collect();
    Proposal {
        operator: Operator::Tune,
        parents: vec![parent],
        surface: brief.ask.surface.clone(),
        hypothesis: Hypothesis {
            text: format!("{}, by chance", moves.join(", ")),
            prediction: None,
        },
        edits: edits.into_iter().map(|(path, text)| (path, Some(text))).collect(),
        thought: None,
        by: None,
        detail: serde_json::Value::Null,
    }
}
