//! The embedded tuner: proposes edits without a model, from what the study has measured.
//!
//! It finds the literals of a recipe, learns from every trial what moving them does to the metric and to the gates, and
//! proposes the next move with a written reason. It is the control arm that a model-driven search has to beat. A
//! proposal is a function of the study and its seed, and costs the same however many trials there are.

mod axis;
mod chance;
mod find;
mod history;
mod knob;
mod memo;
mod model;
mod moves;
mod regression;
mod starve;
mod surrogate;
mod words;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use empiric_core::{
    Cause, Failure, Globs, Operator, Outcome, Phase, Study, TrialNo, seed, task::ARTIFACT_BYTES,
};
use rand_chacha::ChaCha8Rng;

use self::{
    axis::Axis,
    find::{Recipe, parses},
    history::{History, Point},
    knob::Value,
    memo::Memo,
    model::{Frame, Model},
    moves::{Family, Move, Table, back_off},
    words::Story,
};
use crate::{Brief, Proposal, Proposer};

pub use self::{chance::Random, starve::starved};

#[cfg(test)]
mod tests;

/// Moves considered before giving up.
const ATTEMPTS: usize = 32;
/// Generations of failures walked up.
const ANCESTORS: usize = 16;
/// Trials assumed when the study's budget is not counted in trials.
const USUAL_BUDGET: u32 = 60;

/// Proposes edits without a model.
#[derive(Debug, Default)]
pub struct Tuner {
    memo: Mutex<Memo>,
}

impl Proposer for Tuner {
    fn name(&self) -> &str {
        history::NAME
    }

    fn ahead(&self, slots: usize) -> usize {
        ahead(slots)
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        // A poisoned memo holds nothing that cannot be trusted: it is only ever added to.
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        memo.follow(&brief.study);
        let mut desk = Desk::new(brief, &mut memo)?;
        match brief.ask.operator {
            Operator::Draft => desk.draft(),
            Operator::Merge => desk.merge(),
            Operator::Ablate => desk.ablate(),
            Operator::Repair | Operator::Debug => desk.repair(),
            Operator::Improve | Operator::Tune => desk.improve(desk.parent()),
        }
    }
}

/// Everything one proposal is made from.
struct Desk<'a> {
    brief: &'a Brief,
    memo: &'a mut Memo,
    history: History,
    editable: Globs,
    surface: Option<Surface>,
    baseline: Arc<Recipe>,
    rng: ChaCha8Rng,
}

/// Where moves are made from.
struct Stand {
    trial: TrialNo,
    recipe: Arc<Recipe>,
    point: Point,
    defaults: BTreeMap<String, Value>,
    axes: BTreeMap<String, Axis>,
}

impl Stand {
    fn frame(&self) -> Frame<'_> {
        Frame { center: &self.point, axes: &self.axes, defaults: &self.defaults }
    }
}

/// A move as it is proposed.
struct Plan {
    operator: Operator,
    parents: Vec<TrialNo>,
    family: &'static str,
    motive: String,
    made: Move,
}

impl<'a> Desk<'a> {
    fn new(brief: &'a Brief, memo: &'a mut Memo) -> Result<Self, Failure> {
        let task = brief.study.task();
        let editable = globs(&task.recipe.edit)?;
        let surface = match &brief.ask.surface {
            Some(name) => task
                .surfaces
                .iter()
                .find(|surface| surface.name == *name)
                .map(|surface| Surface::new(&surface.owns))
                .transpose()?,
            None => None,
        };
        let baseline = memo.recipe(&*brief.sources, TrialNo::BASELINE, &editable)?;
        let rng = seed::stream(brief.study.settings().seed, "tuner", brief.trial);
        let history = History::read(&brief.study, memo);
        Ok(Self { brief, memo, history, editable, surface, baseline, rng })
    }

    fn study(&self) -> &'a Study {
        &self.brief.study
    }

    /// The first parent asked for, or the champion when that one has no tree.
    fn parent(&self) -> TrialNo {
        self.brief
            .ask
            .parents
            .first()
            .copied()
            .filter(|no| has_tree(self.study(), *no))
            .unwrap_or_else(|| self.study().champion())
    }

    fn stand(&mut self, trial: TrialNo) -> Result<Stand, Failure> {
        let recipe = self.memo.recipe(&*self.brief.sources, trial, &self.editable)?;
        let point = match self.study().trial(trial).and_then(|trial| self.memo.made(trial)) {
            Some(own) => own.point.clone(),
            None => {
                let point = self.locate(&recipe, &[trial.to_string()]);
                self.history.place(self.study(), trial, point.clone());
                point
            }
        };
        Ok(self.stand_at(trial, recipe, point))
    }

    fn stand_at(&self, trial: TrialNo, recipe: Arc<Recipe>, point: Point) -> Stand {
        let mut defaults: BTreeMap<String, Value> =
            recipe.knobs.iter().map(|(id, knob)| (id.clone(), knob.value.clone())).collect();
        let known = self.baseline.knobs.iter().map(|(id, knob)| (id.clone(), knob.value.clone()));
        defaults.extend(known);
        let mut axes = BTreeMap::new();
        for (id, knob) in recipe.knobs.iter().chain(&self.baseline.knobs) {
            if let Some(axis) = Axis::of(&knob.name, &knob.value) {
                axes.insert(id.clone(), axis);
            }
        }
        Stand { trial, recipe, point, defaults, axes }
    }

    /// The point of a tree that the tuner did not make.
    fn locate(&self, recipe: &Recipe, traits: &[String]) -> Point {
        let knobs = recipe
            .knobs
            .iter()
            .filter(|(id, knob)| {
                self.baseline.knobs.get(*id).is_some_and(|base| base.value != knob.value)
            })
            .map(|(id, knob)| (id.clone(), knob.value.clone()))
            .collect();
        Point { knobs, traits: traits.iter().cloned().collect() }
    }

    fn table<'b>(
        &'b self,
        stand: &'b Stand,
        frame: &'b Frame<'b>,
        model: &'b Model<'b>,
    ) -> Table<'b> {
        let within = |file: &str, id: &str| {
            self.surface.as_ref().is_none_or(|surface| surface.owns(file, id))
        };
        let budget = self.study().budget().trials;
        let spent = f64::from(self.study().spent_trials());
        Table {
            history: &self.history,
            frame,
            model,
            knobs: stand.recipe.knobs.values().filter(|k| within(&k.file, &k.id)).collect(),
            cuts: stand.recipe.cuts.iter().filter(|cut| within(&cut.file, &cut.id)).collect(),
            repairing: false,
            moved: self.history.moved(),
            ranges: self.history.ranges(&stand.axes),
            parent: stand.trial,
            complexity: self.brief.complexity(),
            budget: budget.unwrap_or(USUAL_BUDGET),
            progress: budget.map_or(0.5, |budget| spent / f64::from(budget.max(1))),
        }
    }

    fn model<'b>(&'b self, stand: &Stand, frame: &'b Frame<'b>) -> Model<'b> {
        Model::fit(&self.history, frame, self.history.of(stand.trial))
    }

    fn draft(&mut self) -> Result<Proposal, Failure> {
        let stand = self.stand(TrialNo::BASELINE)?;
        let frame = stand.frame();
        let model = self.model(&stand, &frame);
        let table = self.table(&stand, &frame, &model);
        let mut rng = self.rng.clone();
        for _ in 0..ATTEMPTS {
            let made = table.explore(2, &mut rng);
            let plan = Plan {
                operator: Operator::Draft,
                parents: vec![TrialNo::BASELINE],
                family: Family::Explore.name(),
                motive:
                    "nothing is known of these yet, and moving them together tells which matter"
                        .to_owned(),
                made,
            };
            if let Some(proposal) = self.propose(&stand, &model, plan) {
                return Ok(proposal);
            }
        }
        self.improve(TrialNo::BASELINE)
    }

    fn improve(&mut self, parent: TrialNo) -> Result<Proposal, Failure> {
        let stand = self.stand(parent)?;
        let frame = stand.frame();
        let model = self.model(&stand, &frame);
        let table = self.table(&stand, &frame, &model);
        let mut rng = self.rng.clone();
        for attempt in 0..ATTEMPTS {
            // Families that repeat themselves give way to those that cannot.
            let family = match attempt {
                0..8 => table.family(&mut rng),
                _ if attempt % 2 == 0 => Family::Sample,
                _ => Family::Explore,
            };
            let Some(made) = table.make(family, &mut rng) else { continue };
            let operator = if made.cut.is_some() { Operator::Ablate } else { Operator::Tune };
            let plan = Plan {
                operator,
                parents: vec![parent],
                family: family.name(),
                motive: motive(family, parent),
                made,
            };
            if let Some(proposal) = self.propose(&stand, &model, plan) {
                return Ok(proposal);
            }
        }
        Err(exhausted(stand.trial, &stand.recipe))
    }

    fn ablate(&mut self) -> Result<Proposal, Failure> {
        let parent = self.parent();
        let stand = self.stand(parent)?;
        let frame = stand.frame();
        let model = self.model(&stand, &frame);
        let table = self.table(&stand, &frame, &model);
        let mut rng = self.rng.clone();
        for _ in 0..ATTEMPTS {
            let Some(made) = table.make(Family::Ablate, &mut rng) else { break };
            let plan = Plan {
                operator: Operator::Ablate,
                parents: vec![parent],
                family: Family::Ablate.name(),
                motive: motive(Family::Ablate, parent),
                made,
            };
            if let Some(proposal) = self.propose(&stand, &model, plan) {
                return Ok(proposal);
            }
        }
        self.improve(parent)
    }

    /// Brings a failed trial back inside its limit: part of the way back to where it came from, as far as the signed
    /// margins say, and the second time wherever the model sees room.
    fn repair(&mut self) -> Result<Proposal, Failure> {
        let failed = self.parent();
        let champion = self.study().champion();
        let Some(trial) = self.study().trial(failed).cloned() else {
            return self.improve(champion);
        };
        let Some(Outcome::Failed(failure)) = &trial.outcome else {
            return self.improve(failed);
        };
        let before = last_valid(self.study(), failed);
        let stand = self.stand(failed)?;
        let home = self.stand(before)?.point;
        let frame = stand.frame();
        let model = self.model(&stand, &frame);
        let gate = gate_missed(self.study(), &failure.cause);
        let aimed = gate.and_then(|gate| {
            let short = self.history.of(failed)?.margins.get(gate).copied()??;
            let room = self.history.of(before)?.margins.get(gate).copied()??;
            (short < 0.0 && room >= 0.0).then(|| -short / (room - short))
        });
        let operator = self.brief.ask.operator;
        let earlier = self.history.observations.iter().filter(|seen| seen.parent == failed).count();
        let part = aimed.map_or(0.5, |part| (1.25 * part).clamp(0.1, 0.9));
        let parts = [part, (part + 1.0) / 2.0, 0.85];
        let name = if operator == Operator::Debug { "debug" } else { "repair" };
        let mut ways: Vec<(Move, String)> = parts
            .iter()
            .map(|part| {
                let set = back_off(&stand.recipe, &home, &frame, *part);
                (
                    Move { set, cut: None },
                    format!(
                        "{failed} failed with {failure}, so go {:.0} % of the way back to {before}",
                        100.0 * part
                    ),
                )
            })
            .collect();
        if gate.is_some() {
            let mut table = self.table(&stand, &frame, &model);
            table.repairing = true;
            let set = table.best(&model.mean(), &table.knobs, 3, 0.0, 1.0);
            let motive = format!(
                "{failed} failed with {failure}, and these are believed to buy room at the least cost"
            );
            // With hardly any room at home, going back gives up everything else as well.
            let at = usize::from(earlier == 0 && part < 0.8);
            ways.insert(at, (Move { set, cut: None }, motive));
        }
        for (made, motive) in ways {
            let plan = Plan { operator, parents: vec![failed], family: name, motive, made };
            if let Some(proposal) = self.propose(&stand, &model, plan) {
                return Ok(proposal);
            }
        }
        self.improve(champion)
    }

    /// Both parents' changes in one tree: knob by knob where that says it all, else by a merge of the texts.
    fn merge(&mut self) -> Result<Proposal, Failure> {
        let (one, other) = match self.brief.ask.parents.as_slice() {
            [one, other, ..] => (*one, *other),
            _ => return self.improve(self.parent()),
        };
        let stand = self.stand(one)?;
        let second = self.stand(other)?;
        let motive = format!("{one} and {other} each gained on their own, by different changes");
        if second.point.traits.is_subset(&stand.point.traits) {
            let set = second
                .point
                .knobs
                .iter()
                .filter(|(id, _)| !stand.point.knobs.contains_key(*id))
                .map(|(id, value)| (id.clone(), value.clone()))
                .collect();
            let made = Move { set, cut: None };
            let plan = Plan {
                operator: Operator::Merge,
                parents: vec![one, other],
                family: "merge",
                motive,
                made,
            };
            let frame = stand.frame();
            let model = self.model(&stand, &frame);
            return match self.propose(&stand, &model, plan) {
                Some(proposal) => Ok(proposal),
                None => self.improve(one),
            };
        }
        let files = self.brief.sources.merge(one, other)?;
        let edits: BTreeMap<String, Option<String>> = stand
            .recipe
            .files
            .keys()
            .chain(files.keys())
            .filter(|path| files.get(*path) != stand.recipe.files.get(*path))
            .map(|path| (path.clone(), files.get(path).map(|text| text.to_string())))
            .collect();
        let merged = self.memo.parse(files, &self.editable);
        let traits: Vec<String> = stand.point.traits.union(&second.point.traits).cloned().collect();
        let point = self.locate(&merged, &traits);
        let sound =
            edits.iter().all(|(path, text)| text.as_ref().is_none_or(|text| parses(path, text)));
        if edits.is_empty() || !sound || self.memo.tried(self.study(), &point) {
            return self.improve(one);
        }
        let story = self.story(&stand, format!("{motive}, which touch different lines"), None);
        Ok(Proposal {
            operator: Operator::Merge,
            parents: vec![one, other],
            surface: self.brief.ask.surface.clone(),
            hypothesis: story.merged(one, other),
            edits,
            thought: None,
            by: None,
            detail: point.detail("merge"),
        })
    }

    fn story<'b>(&'b self, stand: &'b Stand, motive: String, expected: Option<f64>) -> Story<'b> {
        Story {
            history: &self.history,
            recipe: &stand.recipe,
            defaults: &stand.defaults,
            metric: &self.study().task().metric,
            motive,
            expected,
        }
    }

    /// The proposal of a plan; none when it changes nothing, was tried already, or would not parse.
    fn propose(&self, stand: &Stand, model: &Model<'_>, plan: Plan) -> Option<Proposal> {
        let mut point = stand.point.clone();
        for (id, value) in &plan.made.set {
            if self.baseline.knobs.get(id).is_some_and(|base| base.value == *value) {
                point.knobs.remove(id);
            } else {
                point.knobs.insert(id.clone(), value.clone());
            }
        }
        point.traits.extend(plan.made.cut.iter().map(|cut| cut.id.clone()));
        if self.memo.tried(self.study(), &point) {
            return None;
        }
        let edited = stand.recipe.edit(&plan.made.set, plan.made.cut.as_ref());
        let changes = edited
            .iter()
            .any(|(path, text)| stand.recipe.files.get(path).is_none_or(|old| **old != **text));
        // A literal in the place of a literal always parses.
        let sound = plan.made.cut.is_none() || edited.iter().all(|(path, text)| parses(path, text));
        if !changes || !sound {
            return None;
        }
        let frame = stand.frame();
        let mean = model.mean();
        let gain: f64 = plan
            .made
            .set
            .iter()
            .filter_map(|(id, value)| {
                let knob = stand.recipe.knobs.get(id)?;
                Some(model.effect(&frame, &mean, id, &knob.value, value).gain)
            })
            .sum();
        let story = self.story(stand, plan.motive, Some(gain * model.unit));
        Some(Proposal {
            operator: plan.operator,
            hypothesis: story.tell(&plan.made, plan.operator),
            parents: plan.parents,
            surface: self.brief.ask.surface.clone(),
            edits: edited.into_iter().map(|(path, text)| (path, Some(text))).collect(),
            thought: None,
            by: None,
            detail: point.detail(plan.family),
        })
    }
}

/// Proposals made ahead: few, for one takes milliseconds and is the better for knowing the trials before it.
fn ahead(slots: usize) -> usize {
    slots / 4
}

fn motive(family: Family, parent: TrialNo) -> String {
    match family {
        Family::Explore => "little is known of what moving this does".to_owned(),
        Family::Point => format!("what was measured around {parent} points here"),
        Family::Joint => {
            format!("the trials so far put the best values near here, seen from {parent}")
        }
        Family::Sample => "what is known leaves room for a gain here".to_owned(),
        Family::Line => format!("{parent} came about by a step this way, so take another"),
        Family::Ablate => "it may not be worth what it costs".to_owned(),
    }
}

fn exhausted(trial: TrialNo, recipe: &Recipe) -> Failure {
    let why = if recipe.knobs.is_empty() && recipe.cuts.is_empty() {
        format!("{trial} has no literal or statement that may be moved")
    } else {
        format!("every move found from {trial} has been tried")
    };
    Failure::new(Phase::Propose, Cause::NoProposal).excerpt(why)
}

/// The nearest ancestor that did not fail, looking a bounded way up.
fn last_valid(study: &Study, failed: TrialNo) -> TrialNo {
    let mut at = failed;
    for _ in 0..ANCESTORS {
        let Some(trial) = study.trial(at) else { break };
        if matches!(trial.outcome, Some(Outcome::Valid { .. })) {
            return at;
        }
        let Some(parent) = trial.parents().first() else { break };
        at = *parent;
    }
    TrialNo::BASELINE
}

fn has_tree(study: &Study, no: TrialNo) -> bool {
    no == TrialNo::BASELINE || study.trial(no).is_some_and(|trial| trial.edit.is_some())
}

fn gate_missed(study: &Study, cause: &Cause) -> Option<usize> {
    let metric = if let Cause::GateMiss { metric } = cause {
        metric.as_str()
    } else if *cause == Cause::ArtifactTooLarge {
        ARTIFACT_BYTES
    } else {
        return None;
    };
    study.task().gates.iter().position(|gate| gate.metric == *metric)
}

fn globs<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Globs, Failure> {
    Globs::new(patterns).map_err(|error| {
        Failure::new(Phase::Propose, Cause::ProposerFailed).excerpt(error.to_string())
    })
}

/// A surface of the task: whole files, and symbols of files.
struct Surface {
    files: Globs,
    symbols: Vec<(String, String)>,
}

impl Surface {
    fn new(owns: &[String]) -> Result<Self, Failure> {
        let files = globs(owns.iter().map(String::as_str).filter(|own| !own.contains('#')))?;
        let symbols = owns
            .iter()
            .filter_map(|own| own.split_once('#'))
            .map(|(file, symbol)| (file.to_owned(), symbol.to_owned()))
            .collect();
        Ok(Self { files, symbols })
    }

    fn owns(&self, file: &str, id: &str) -> bool {
        self.files.matches(file)
            || self.symbols.iter().any(|(in_file, symbol)| {
                file == in_file
                    && id
                        .strip_prefix(&format!("{file}:{symbol}"))
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':', '[']))
            })
    }
}
