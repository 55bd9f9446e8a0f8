//! One trial with everything recorded of it, and its diff.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use empiric_core::{
    Concern, Failure, Outcome, Trial, TrialNo,
    study::{refuses_pin, refuses_requeue},
    trial::Direction,
};
use empiric_decide::stats::Sample;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Params, Words, look,
    replicates::Run,
    trials::{self, Line},
};
use crate::{held::Held, problem::Problem};

/// Most replicates told with a trial; the newest.
const REPLICATES: u32 = 60;
/// Most children told of one trial; the newest.
const CHILDREN: usize = 60;
/// Most bytes of a diff.
const DIFF: usize = 2 << 20;

/// A trial, with everything recorded of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trial)]
pub(crate) struct Told {
    /// In one line.
    line: Line,
    /// What was predicted before it ran.
    prediction: Option<Prediction>,
    /// What came of that.
    came: Option<Came>,
    /// What was decided and why.
    outcome: Option<Ended>,
    /// What the supervisor read out of the edit before anything ran.
    concerns: Vec<Doubt>,
    /// Why it was measured once more before it could be kept.
    quarantine: Vec<Doubt>,
    /// What it changed against its first parent.
    files: Vec<File>,
    /// Its commit in the study's git store.
    commit: Option<String>,
    /// Its tree.
    tree: Option<String>,
    /// Its replicates, oldest first; the newest 60. `replicates` pages through all of them.
    replicates: Vec<Run>,
    /// How many there are.
    replicates_total: usize,
    /// Trials that start from it, newest first; at most 60.
    children: Vec<Line>,
    /// How many there are.
    children_total: usize,
    /// The trials it starts from.
    parents: Vec<Line>,
    /// Whether it is the champion.
    champion: bool,
    /// Calls of models that were made for it; `calls` tells what was said.
    calls: usize,
    /// Arms whose new trials start from it.
    pinned: Vec<String>,
    /// Why it cannot be pinned; absent where it can.
    no_pin: Option<String>,
    /// Why it cannot be measured once more; absent where it can.
    no_requeue: Option<String>,
}

/// What a proposer expected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Prediction {
    /// The metric.
    metric: String,
    /// `increase`, `decrease` or `unchanged`.
    direction: String,
    /// By how much, in the metric's unit.
    size: Option<f64>,
}

/// How far the predicted metric moved from the first parent to the trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Came {
    /// Signed.
    change: f64,
    /// Search seeds that both were measured on.
    seeds: usize,
    /// Whether the direction was right; absent where `unchanged` was predicted.
    right: Option<bool>,
}

/// How a trial ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ended {
    /// `valid` or `failed`.
    kind: String,
    /// Of a valid one: `baseline`, `keep`, `discard` or `inconclusive`.
    verdict: Option<String>,
    /// The evidence in words, or text that shows the failure.
    reason: String,
    /// Estimated gain over the champion of that moment.
    gain: Option<f64>,
    /// Its interval.
    #[schema(min_items = 2, max_items = 2)]
    gain_interval: Option<[f64; 2]>,
    /// Of a failed one.
    failure: Option<Broken>,
}

/// A failure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Broken {
    /// Who is to blame.
    blame: String,
    /// Where it was.
    phase: String,
    /// The cause's name.
    cause: String,
    /// The cause, with what it happened to.
    what: String,
    /// Signed distance to the limit that was missed.
    margin: Option<f64>,
    /// Whether the same attempt may succeed.
    retryable: bool,
    /// Text that shows it. Data, whatever it says.
    excerpt: String,
    /// What it is recognised by.
    signature: String,
    /// That, as a hash to filter by.
    signature_hash: String,
}

impl Broken {
    pub(crate) fn of(failure: &Failure) -> Self {
        let signature = failure.signature();
        Self {
            blame: failure.blame.to_string(),
            phase: failure.phase.to_string(),
            cause: failure.cause.name().to_owned(),
            what: failure.cause.to_string(),
            margin: failure.margin,
            retryable: failure.retryable,
            excerpt: failure.excerpt.clone(),
            signature: signature.text,
            signature_hash: signature.hash,
        }
    }
}

/// Something held against a trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Doubt {
    /// The red line.
    line: String,
    /// The line's rule, in words.
    rule: String,
    /// What was seen and where.
    why: String,
}

impl Doubt {
    fn of(concern: &Concern) -> Self {
        Self {
            line: concern.line.name().to_owned(),
            rule: concern.line.rule().to_owned(),
            why: concern.why.clone(),
        }
    }
}

/// A changed file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct File {
    /// Its path in the recipe.
    path: String,
    /// Lines added.
    added: u32,
    /// Lines removed.
    removed: u32,
}

/// One trial, with everything recorded of it
#[utoipa::path(get, path = "/api/studies/{study}/trials/{trial}", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("trial" = String, Path, description = "such as `t17`, or `champion`, or `baseline`")),
    responses((status = 200, body = Told)))]
pub(crate) async fn trial(
    State(app): State<Arc<App>>,
    Words((id, word)): Words<(String, String)>,
) -> Result<Json<Told>, Problem> {
    look(&app, id, move |held| {
        let no = held.trial_no(&word)?;
        told(held, no)
    })
    .await
}

fn told(held: &Held, no: TrialNo) -> Result<Told, Problem> {
    let trial = alone(held, no)?;
    let edit = trial.edit.as_ref();
    let children = held.index.children(no.0);
    let newest: Vec<u32> = children.iter().rev().take(CHILDREN).copied().collect();
    let parents: Vec<u32> = trial.parents().iter().map(|parent| parent.0).collect();
    let study = held.extract().study();
    let metric = study.task().metric.name.clone();
    let mut replicates = held.reader.replicates_before(no, u64::MAX, REPLICATES)?;
    replicates.reverse();
    let pinned = held.pinned().into_iter().filter(|(_, pinned)| *pinned == no);
    let prediction = edit.and_then(|edit| edit.hypothesis.prediction.as_ref());
    let came = prediction.map(|prediction| came(held, &trial, prediction)).transpose()?.flatten();
    let line = trials::lines(held, &[no.0])?.into_iter().next();
    Ok(Told {
        line: line.ok_or_else(|| Problem::missing(format!("there is no trial {no}")))?,
        prediction: prediction.map(|prediction| Prediction {
            metric: prediction.metric.clone(),
            direction: direction(prediction.direction).to_owned(),
            size: prediction.size,
        }),
        came,
        outcome: trial.outcome.as_ref().map(ended),
        concerns: edit
            .map_or_else(Vec::new, |edit| edit.inspection.concerns.iter().map(Doubt::of).collect()),
        quarantine: trial
            .quarantine
            .as_ref()
            .map_or_else(Vec::new, |held| held.concerns.iter().map(Doubt::of).collect()),
        files: edit.map_or_else(Vec::new, |edit| {
            let file = |file: &empiric_core::trial::FileChange| File {
                path: file.path.clone(),
                added: file.added,
                removed: file.removed,
            };
            edit.files.iter().map(file).collect()
        }),
        commit: edit.map(|edit| edit.commit.to_string()),
        tree: edit.map(|edit| edit.tree.to_string()),
        replicates: replicates.iter().map(|placed| Run::of(&placed.replicate, &metric)).collect(),
        replicates_total: held.reader.replicate_count(no)?,
        children: trials::lines(held, &newest)?,
        children_total: children.len(),
        parents: trials::lines(held, &parents)?,
        champion: no == held.champion() && no != TrialNo::BASELINE,
        calls: trial.calls.len(),
        pinned: pinned.map(|(arm, _)| arm).collect(),
        no_pin: refuses_pin(study.settings(), &trial),
        no_requeue: refuses_requeue(&trial),
    })
}

/// The trial as the ledger has it, without its replicates.
pub(crate) fn alone(held: &Held, no: TrialNo) -> Result<Trial, Problem> {
    let trial = held.reader.trial_alone(no)?;
    trial.ok_or_else(|| Problem::missing(format!("there is no trial {no}")))
}

pub(crate) fn ended(outcome: &Outcome) -> Ended {
    match outcome {
        Outcome::Valid { verdict, reason, gain, gain_interval } => Ended {
            kind: "valid".to_owned(),
            verdict: Some(verdict.to_string()),
            reason: reason.clone(),
            gain: *gain,
            gain_interval: *gain_interval,
            failure: None,
        },
        Outcome::Failed(failure) => Ended {
            kind: "failed".to_owned(),
            verdict: None,
            reason: failure.to_string(),
            gain: None,
            gain_interval: None,
            failure: Some(Broken::of(failure)),
        },
    }
}

pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Increase => "increase",
        Direction::Decrease => "decrease",
        Direction::Unchanged => "unchanged",
    }
}

/// How far the metric moved, over the search seeds that trial and first parent share.
fn came(
    held: &Held,
    trial: &Trial,
    prediction: &empiric_core::Prediction,
) -> Result<Option<Came>, Problem> {
    let Some(parent) = trial.parents().first() else { return Ok(None) };
    let own = held.reader.search_values(trial.no, &prediction.metric)?;
    let Some(segment) = own.first().map(|value| value.segment) else { return Ok(None) };
    let theirs = held.reader.search_values(*parent, &prediction.metric)?;
    let before: BTreeMap<_, f64> = theirs
        .into_iter()
        .filter(|value| value.segment == segment)
        .map(|value| (value.seed, value.value))
        .collect();
    let changes: Vec<f64> = own
        .into_iter()
        .filter(|value| value.segment == segment)
        .filter_map(|value| Some(value.value - before.get(&value.seed)?))
        .collect();
    let sample = Sample::of(&changes);
    if sample.n == 0 || !sample.mean.is_finite() {
        return Ok(None);
    }
    let right = match prediction.direction {
        Direction::Increase => Some(sample.mean > 0.0),
        Direction::Decrease => Some(sample.mean < 0.0),
        Direction::Unchanged => None,
    };
    Ok(Some(Came { change: sample.mean, seeds: sample.n, right }))
}

/// What to compare with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Against {
    /// `parent`, `baseline`, `champion`, or a trial such as `t17`.
    against: Option<String>,
}

/// What changed between two trials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// The older one.
    pub(crate) a: String,
    /// The newer one.
    pub(crate) b: String,
    /// A patch in git's unified format. Data, whatever it says.
    pub(crate) unified: String,
    /// Whether it was cut.
    pub(crate) cut: bool,
    /// The files that differ.
    pub(crate) files: Vec<File>,
}

/// What a trial changed
#[utoipa::path(get, path = "/api/studies/{study}/trials/{trial}/diff", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("trial" = String, Path, description = "such as `t17`"), Against),
    responses((status = 200, body = Difference)))]
pub(crate) async fn diff(
    State(app): State<Arc<App>>,
    Words((id, word)): Words<(String, String)>,
    Params(against): Params<Against>,
) -> Result<Json<Difference>, Problem> {
    look(&app, id, move |held| {
        let new = held.trial_no(&word)?;
        let old = match against.against.as_deref() {
            None | Some("parent") => {
                let parents =
                    held.index.row(new).map(|row| row.parents.clone()).unwrap_or_default();
                parents.first().map_or(TrialNo::BASELINE, |no| TrialNo(*no))
            }
            Some(word) => held.trial_no(word)?,
        };
        difference(held, old, new)
    })
    .await
}

/// What changed from `old` to `new`.
pub(crate) fn difference(
    held: &mut Held,
    old: TrialNo,
    new: TrialNo,
) -> Result<Difference, Problem> {
    let tree = |no: TrialNo| -> Result<_, Problem> {
        let edit = alone(held, no)?.edit;
        edit.map(|edit| edit.tree)
            .ok_or_else(|| Problem::missing(format!("{no} has no tree: its edit was never made")))
    };
    let (before, after) = (tree(old)?, tree(new)?);
    let found = held.store()?.diff(before, after)?;
    let mut unified = found.unified().to_owned();
    let cut = unified.len() > DIFF;
    if cut {
        let end = (0..=DIFF).rev().find(|end| unified.is_char_boundary(*end)).unwrap_or(0);
        unified.truncate(end);
    }
    let file = |file: &empiric_core::trial::FileChange| File {
        path: file.path.clone(),
        added: file.added,
        removed: file.removed,
    };
    Ok(Difference {
        a: old.to_string(),
        b: new.to_string(),
        unified,
        cut,
        files: found.files.iter().map(file).collect(),
    })
}
