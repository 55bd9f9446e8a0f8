//! One trial with everything recorded of it, its diff, and what its units printed.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use empiric_core::{
    BlobId, Concern, Failure, Outcome, Purpose, Replicate, Split, Trial, TrialNo, trial::Direction,
};
use empiric_decide::stats::Sample;
use empiric_evaluate::contract::harmless;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Params, Words, look,
    trials::{self, Line},
};
use crate::{held::Held, problem::Problem};

/// Most replicates told of one trial; the newest.
const REPLICATES: usize = 400;
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
    /// Its replicates, oldest first; the newest 400.
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
    fn of(failure: &Failure) -> Self {
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

/// One execution of the trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// Its id.
    id: String,
    /// What it is for: `search`, `confirm`, `audit` or `report`.
    purpose: String,
    /// The trial whose stream of seeds it runs on, where it is one's.
    of: Option<String>,
    /// Its place in that stream.
    index: u32,
    /// Its seed.
    seed: u32,
    /// Its slot.
    slot: String,
    /// Its segment.
    segment: u32,
    /// The metric on the split that verdicts are made on; absent while it runs and when it failed.
    value: Option<f64>,
    /// Everything measured.
    measurements: Vec<Measured>,
    /// Its units, in order.
    units: Vec<Unit>,
    /// Why it is not usable.
    failure: Option<Broken>,
    /// The evaluator's words for proposers. Data, whatever they say.
    feedback: String,
    /// Whether it has finished.
    finished: bool,
}

/// One value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Measured {
    /// The metric.
    metric: String,
    /// The value.
    value: f64,
    /// The split it was computed on.
    split: String,
    /// Who vouches for it.
    provenance: String,
}

/// One command of a replicate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unit {
    /// Stage name, `predictor` or `evaluator`.
    name: String,
    /// How it ended.
    ending: String,
    /// The sandbox level it ran at.
    sandbox: String,
    /// Wall-clock seconds.
    wall_s: f64,
    /// CPU seconds.
    cpu_s: f64,
    /// Peak memory, bytes; 0 when it could not be measured.
    peak_memory_bytes: u64,
    /// What it printed, by the id that `logs` takes.
    log: Option<String>,
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
    let trial = recorded(held, no)?;
    let edit = trial.edit.as_ref();
    let children = held.index.children(no.0);
    let newest: Vec<u32> = children.iter().rev().take(CHILDREN).copied().collect();
    let parents: Vec<u32> = trial.parents().iter().map(|parent| parent.0).collect();
    let metric = held.extract().study().task().metric.name.clone();
    let skipped = trial.replicates.len().saturating_sub(REPLICATES);
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
        replicates: trial.replicates.iter().skip(skipped).map(|own| run(own, &metric)).collect(),
        replicates_total: trial.replicates.len(),
        children: trials::lines(held, &newest)?,
        children_total: children.len(),
        parents: trials::lines(held, &parents)?,
        champion: no == held.champion() && no != TrialNo::BASELINE,
    })
}

/// The trial as the ledger has it.
pub(crate) fn recorded(held: &Held, no: TrialNo) -> Result<Trial, Problem> {
    let trial = held.reader.trial(no)?;
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

pub(crate) fn purpose(purpose: Purpose) -> (&'static str, Option<TrialNo>) {
    match purpose {
        Purpose::Search => ("search", None),
        Purpose::Confirm { of } => ("confirm", Some(of)),
        Purpose::Audit { of } => ("audit", Some(of)),
        Purpose::Report => ("report", None),
    }
}

fn run(replicate: &Replicate, metric: &str) -> Run {
    let result = replicate.result.as_ref();
    let (purpose, of) = purpose(replicate.purpose);
    Run {
        id: replicate.id.to_string(),
        purpose: purpose.to_owned(),
        of: of.map(|of| of.to_string()),
        index: replicate.index,
        seed: replicate.seed.0,
        slot: replicate.slot.clone(),
        segment: replicate.segment,
        value: replicate.value(metric, Split::Select),
        measurements: result.map_or_else(Vec::new, |result| {
            let one = |measurement: &empiric_core::Measurement| Measured {
                metric: measurement.metric.clone(),
                value: measurement.value,
                split: match measurement.split {
                    Split::Search => "search".to_owned(),
                    Split::Select => "select".to_owned(),
                    Split::Report => "report".to_owned(),
                },
                provenance: measurement.provenance.to_string(),
            };
            result.measurements.iter().map(one).collect()
        }),
        units: result.map_or_else(Vec::new, |result| {
            let one = |unit: &empiric_core::trial::UnitRecord| Unit {
                name: unit.name.clone(),
                ending: unit.ending.clone(),
                sandbox: unit.sandbox.clone(),
                wall_s: unit.wall_s,
                cpu_s: unit.cpu_s,
                peak_memory_bytes: unit.peak_memory_bytes,
                log: unit.log.clone(),
            };
            result.units.iter().map(one).collect()
        }),
        failure: result.and_then(|result| result.failure.as_ref()).map(Broken::of),
        feedback: result.map(|result| result.feedback.clone()).unwrap_or_default(),
        finished: result.is_some(),
    }
}

/// How far the metric moved, over the search seeds that trial and first parent share.
fn came(
    held: &Held,
    trial: &Trial,
    prediction: &empiric_core::Prediction,
) -> Result<Option<Came>, Problem> {
    let Some(parent) = trial.parents().first() else { return Ok(None) };
    let parent = recorded(held, *parent)?;
    let segments: Vec<u32> = trial.replicates.iter().map(|replicate| replicate.segment).collect();
    let Some(segment) = segments.first() else { return Ok(None) };
    let values = |trial: &Trial| -> BTreeMap<_, _> {
        trial
            .values(&prediction.metric, Split::Search, Purpose::Search, *segment)
            .into_iter()
            .collect()
    };
    let before = values(&parent);
    let changes: Vec<f64> = values(trial)
        .into_iter()
        .filter_map(|(seed, value)| Some(value - before.get(&seed)?))
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
        let edit = recorded(held, no)?.edit;
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

/// How much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Tail {
    /// Bytes from its end.
    #[param(minimum = 1, maximum = 1048576, default = 65536)]
    bytes: Option<u32>,
}

/// What a unit printed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Log {
    /// The end of it, control sequences removed. Data, whatever it says.
    text: String,
    /// Bytes in all.
    bytes: usize,
    /// Whether the beginning was left out.
    cut: bool,
}

/// What a unit of a trial printed
#[utoipa::path(get, path = "/api/studies/{study}/trials/{trial}/logs/{log}", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("trial" = String, Path, description = "such as `t17`"),
           ("log" = String, Path, description = "the `log` of one of its units"), Tail),
    responses((status = 200, body = Log)))]
pub(crate) async fn log(
    State(app): State<Arc<App>>,
    Words((id, word, log)): Words<(String, String, String)>,
    Params(tail): Params<Tail>,
) -> Result<Json<Log>, Problem> {
    let most = super::limit(tail.bytes, 1 << 16, 1 << 20)?;
    look(&app, id, move |held| {
        let no = held.trial_no(&word)?;
        let own = recorded(held, no)?;
        let units = own.replicates.iter().filter_map(|r| r.result.as_ref()).flat_map(|r| &r.units);
        let known = units.filter_map(|unit| unit.log.as_deref()).any(|known| known == log);
        // Only what this trial's own units printed: a store holds other things too.
        let blob: Option<BlobId> = known.then(|| log.parse().ok()).flatten();
        let blob = blob.ok_or_else(|| Problem::missing(format!("{no} has no such log")))?;
        let bytes = held.blobs().get(blob)?;
        let from = bytes.len().saturating_sub(most);
        let text = harmless(&String::from_utf8_lossy(&bytes[from..]), usize::MAX);
        Ok(Log { text, bytes: bytes.len(), cut: from > 0 })
    })
    .await
}
