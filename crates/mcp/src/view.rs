//! A study as a proposer sees it: compact, bounded, other people's words quoted, and of measurements only what the
//! `search` split gave. Verdicts and gains rest on more; they are told, their values are not.

use std::collections::BTreeMap;

use empiric_core::{
    Bound, Cause, Failure, Gate, Outcome, Prediction, Purpose, Split, Study, Trial, TrialNo,
    quote::{self, Keep},
    task::Limits,
    trial::FileChange,
};
use empiric_report::Status;
use serde_json::{Map, Value, json};

/// Most characters of a hypothesis in a list, and where a trial is told whole.
const SAID: (usize, usize) = (200, 2000);
/// Longest quotation, bytes.
const QUOTED: usize = 2000;
/// Notes that are told.
const NOTES: usize = 40;
/// Changed files that are told.
const FILES: usize = 50;

/// The task, its rules, and what is left to spend.
pub(crate) fn task(study: &Study, at_work: bool) -> Value {
    let task = study.task();
    let status = Status::of(study);
    let surfaces = task.surfaces.iter().map(|surface| {
        json!({"name": surface.name, "owns": surface.owns, "about": quote::line(&surface.brief, 400)})
    });
    let stages = task
        .stages
        .iter()
        .map(|stage| json!({"name": stage.name, "run": stage.command.run, "limits": limits(&stage.command.limits)}));
    let predictor = task.predictor.as_ref().map(
        |command| json!({"run": command.run, "limits": limits(&command.limits), "about": "recipe code that the evaluator questions"}),
    );
    let rules = &study.settings().rules;
    json!({
        "task": task.name,
        "summary": quote::line(&task.summary, 400),
        "metric": {"name": task.metric.name, "goal": task.metric.goal, "unit": task.metric.unit,
                   "provenance": task.provenance()},
        "editable": task.recipe.edit,
        "max_file_bytes": task.recipe.max_file_bytes,
        "surfaces": surfaces.collect::<Vec<_>>(),
        "gates": task.gates.iter().map(gate).collect::<Vec<_>>(),
        "not_believed_beyond": task.plausible.iter().map(gate).collect::<Vec<_>>(),
        "size_counts_code": (!task.artifact_code.is_empty()).then_some(&task.artifact_code),
        "stages": stages.collect::<Vec<_>>(),
        "predictor": predictor,
        "network": task.network,
        "baseline": status.baseline,
        "champion": status.champion,
        "noise": {"sd_of_one_replicate": status.noise_sd, "deterministic": status.deterministic,
                  "smallest_gain_found": status.noise.smallest_effect, "drifts": status.noise.drifts},
        "budget": study.budget(),
        "spent": {"trials": study.spent_trials(), "cost": status.cost},
        "state": status.state,
        "at_work": at_work,
        "rules": [
            format!("a trial is measured on one shared seed first, promising ones on up to {}, and then against the champion on \
                     fresh seeds", rules.search_replicates),
            format!("a keep must beat the champion on fresh seeds; false keeps are held at {} ({:?}) over the whole study, so \
                     many idle trials make each keep harder", rules.level, rules.error).to_lowercase(),
            "NaN, a missed gate or limit is a failure; a near miss tells its signed margin".to_owned(),
            "everything random must derive from $EMPIRIC_SEED; fixed seeds, clocks, reads outside the recipe's data and answers in \
             code are red lines".to_owned(),
            "only files that match `editable` may change; the diff is computed from trees".to_owned(),
        ],
    })
}

fn limits(limits: &Limits) -> Value {
    json!({"wall_s": limits.wall_s, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory, "gpus": limits.gpus})
}

fn gate(gate: &Gate) -> Value {
    match gate.bound {
        Bound::Min(min) => json!({"metric": gate.metric, "min": min}),
        Bound::Max(max) => json!({"metric": gate.metric, "max": max}),
    }
}

/// Where a trial stands, in a word.
pub(crate) fn state(trial: &Trial) -> &'static str {
    match (&trial.outcome, &trial.edit) {
        (Some(_), _) => "ended",
        (None, Some(_)) => "measuring",
        (None, None) => "proposing",
    }
}

/// One file of an edit.
pub(crate) fn change(file: &FileChange) -> Value {
    json!({"path": quote::line(&file.path, 200), "added": file.added, "removed": file.removed})
}

/// One line of a list.
pub(crate) fn row(study: &Study, trial: &Trial) -> Value {
    let edit = trial.edit.as_ref();
    let gain = match &trial.outcome {
        Some(Outcome::Valid { gain, .. }) => *gain,
        Some(Outcome::Failed(_)) | None => None,
    };
    json!({
        "trial": trial.no,
        "parents": trial.parents(),
        "by": edit.map(|edit| quote::line(&edit.proposer, 60)),
        "arm": trial.arm,
        "hypothesis": edit.map(|edit| quote::line(&edit.hypothesis.text, SAID.0)),
        "outcome": word(trial),
        "margin": failure(trial).and_then(|failure| failure.margin),
        "score": trial.search_score(&study.task().metric.name),
        "gain": gain,
    })
}

/// The outcome in a word.
fn word(trial: &Trial) -> String {
    match &trial.outcome {
        Some(Outcome::Valid { verdict, .. }) => verdict.to_string(),
        Some(Outcome::Failed(failure)) => quote::line(&failure.cause.to_string(), 120),
        None => state(trial).to_owned(),
    }
}

fn failure(trial: &Trial) -> Option<&Failure> {
    match &trial.outcome {
        Some(Outcome::Failed(failure)) => Some(failure),
        Some(Outcome::Valid { .. }) | None => None,
    }
}

/// A trial, whole.
pub(crate) fn trial(study: &Study, trial: &Trial) -> Value {
    let metric = &study.task().metric.name;
    let edit = trial.edit.as_ref();
    let outcome = match &trial.outcome {
        None => Value::Null,
        Some(Outcome::Valid { verdict, reason, gain, gain_interval }) => json!({
            "verdict": verdict, "reason": quote::line(reason, 600), "gain": gain, "gain_interval": gain_interval,
        }),
        Some(Outcome::Failed(failure)) => failed(failure),
    };
    let measured = trial.replicates.iter().filter_map(|replicate| replicate.result.as_ref());
    let feedback =
        measured.clone().rev().map(|result| &result.feedback).find(|said| !said.is_empty());
    let units = measured.clone().next_back().map(|result| {
        let unit = |unit: &empiric_core::trial::UnitRecord| {
            json!({"unit": unit.name, "ending": unit.ending, "wall_s": unit.wall_s, "cpu_s": unit.cpu_s,
                   "peak_memory_bytes": unit.peak_memory_bytes})
        };
        result.units.iter().map(unit).collect::<Vec<_>>()
    });
    json!({
        "trial": trial.no,
        "state": state(trial),
        "parents": trial.parents(),
        "operator": edit.map_or(trial.ask.operator, |edit| edit.operator),
        "by": edit.map(|edit| quote::line(&edit.proposer, 60)),
        "arm": trial.arm,
        "surface": edit.and_then(|edit| edit.surface.as_ref()),
        "hypothesis": edit.map(|edit| quote::line(&edit.hypothesis.text, SAID.1)),
        "prediction": edit.and_then(|edit| edit.hypothesis.prediction.as_ref()).map(predicted),
        "files": edit.map(|edit| edit.files.iter().take(FILES).map(change).collect::<Vec<_>>()),
        "outcome": outcome,
        "score": trial.search_score(metric),
        "scores_by_seed": scores(trial, metric),
        "better_than_its_parent": against_parent(study, trial),
        "metrics": metrics(trial, metric),
        "replicates": trial.replicates.len(),
        "supervisor": edit.map(|edit| &edit.inspection.concerns).filter(|all| !all.is_empty()).map(|all| {
            all.iter().map(|concern| quote::line(&concern.to_string(), 300)).collect::<Vec<_>>()
        }),
        "quarantine": trial.quarantine.as_ref().map(|held| {
            held.concerns.iter().map(|concern| quote::line(&concern.to_string(), 300)).collect::<Vec<_>>()
        }),
        "feedback": feedback.map(|said| quote::quote("the evaluator's feedback", said, QUOTED, Keep::Head)),
        "units_of_the_last_replicate": units,
        "champion": study.champion(),
        "is_champion": (trial.no == study.champion()).then_some(true),
    })
}

fn failed(failure: &Failure) -> Value {
    let said = (!failure.excerpt.is_empty()).then(|| {
        quote::quote(&format!("output in {}", failure.phase), &failure.excerpt, QUOTED, Keep::Tail)
    });
    json!({
        "failed": failure.cause.name(),
        "what": quote::line(&failure.cause.to_string(), 200),
        "blame": failure.blame,
        "phase": failure.phase,
        "margin": failure.margin,
        "counts_against_the_budget": !failure.blame.spares_the_trial(),
        "remedy": remedy(failure),
        "output": said,
    })
}

fn predicted(prediction: &Prediction) -> Value {
    json!({"metric": prediction.metric, "direction": prediction.direction, "size": prediction.size})
}

/// Values of the study's metric on the shared seeds, in seed order: comparable with those of every other trial.
fn scores(trial: &Trial, metric: &str) -> Vec<f64> {
    let mut values: Vec<(u32, f64)> = searched(trial)
        .filter_map(|replicate| Some((replicate.index, replicate.value(metric, Split::Search)?)))
        .collect();
    values.sort_by_key(|(index, _)| *index);
    values.into_iter().map(|(_, value)| value).collect()
}

/// How much better its values are than its parent's on the shared seeds that both have been measured on. Verdicts compare
/// with the champion; what an edit did is told by its parent.
fn against_parent(study: &Study, trial: &Trial) -> Option<Value> {
    let metric = &study.task().metric;
    let parent = study.trial(*trial.parents().first()?)?;
    let values = |trial: &Trial| -> BTreeMap<u32, f64> {
        let value = |replicate: &empiric_core::Replicate| {
            Some((replicate.index, replicate.value(&metric.name, Split::Search)?))
        };
        searched(trial)
            .filter(|replicate| replicate.segment == study.segment())
            .filter_map(value)
            .collect()
    };
    let (ours, theirs) = (values(trial), values(parent));
    let pairs: Vec<f64> = ours
        .iter()
        .filter_map(|(index, ours)| Some(metric.goal.gain(*ours, *theirs.get(index)?)))
        .collect();
    let n = pairs.len();
    (n > 0).then(|| {
        json!({"parent": parent.no, "by": pairs.iter().sum::<f64>() / n as f64, "seeds": n,
               "note": "not confirmed; verdicts compare with the champion"})
    })
}

fn searched(trial: &Trial) -> impl Iterator<Item = &empiric_core::Replicate> {
    trial.replicates.iter().filter(|replicate| replicate.purpose == Purpose::Search)
}

/// Means of the other metrics over the same replicates, those of failed ones too.
fn metrics(trial: &Trial, but: &str) -> Map<String, Value> {
    let mut sums: BTreeMap<&str, (f64, u32)> = BTreeMap::new();
    for result in searched(trial).filter_map(|replicate| replicate.result.as_ref()) {
        for one in &result.measurements {
            if one.split == Split::Search && one.metric != but {
                let sum = sums.entry(&one.metric).or_default();
                *sum = (sum.0 + one.value, sum.1 + 1);
            }
        }
    }
    let mean =
        |(name, (sum, n)): (&str, (f64, u32))| (quote::line(name, 120), json!(sum / f64::from(n)));
    sums.into_iter().take(FILES).map(mean).collect()
}

/// What to do about a failure, in general.
pub(crate) fn remedy(failure: &Failure) -> &'static str {
    match &failure.cause {
        Cause::PatchDoesNotApply | Cause::MergeConflict => {
            "read the parent's files again and make the edit against them"
        }
        Cause::OutsideSurface { .. } | Cause::ProtectedPath { .. } => {
            "only files that get_task lists as editable may change"
        }
        Cause::ForbiddenFile { .. } => "plain text files within the size limit only",
        Cause::EmptyEdit | Cause::DuplicateTree { .. } => {
            "change something that was not measured yet"
        }
        Cause::Syntax { .. } => {
            "mend the line that is named; `check_only` tries an edit for nothing"
        }
        Cause::Exception { .. } | Cause::Signal { .. } => {
            "the output says where; mend the code and hand it in again"
        }
        Cause::OutOfMemory | Cause::WallLimit | Cause::CpuLimit => {
            "make it cheaper; get_task tells the limits, and a trial its units' times and memory"
        }
        Cause::OutputFlood | Cause::DiskLimit | Cause::ProcessLimit => "print, write or start less",
        Cause::Denied => "the sandbox allows no such call; do without it",
        Cause::NonFiniteMetric { .. } => {
            "look for a division by zero, an overflow, or a diverging loss"
        }
        Cause::MetricMissing { .. } => "the recipe must leave, or print, what is scored",
        Cause::GateMiss { .. } | Cause::ArtifactTooLarge => {
            "the margin says by how much; a repair that wins it back may be all that is missing"
        }
        Cause::BadArtifact => {
            "the artefact or the predictor's answers must keep to the evaluator's protocol"
        }
        Cause::RedLine { .. } => {
            "this way of gaining is not allowed, however it is written; leave it"
        }
        Cause::NoProposal
        | Cause::ProposerFailed
        | Cause::EvaluatorCrash
        | Cause::EvaluatorLimit
        | Cause::MalformedResult
        | Cause::SandboxFailed
        | Cause::HarnessFailed
        | Cause::Cancelled => {
            "not the edit's fault; it costs no trial, and the same edit may be handed in again"
        }
    }
}

/// Failures by what they are recognised by.
pub(crate) fn failures(study: &Study) -> Value {
    let kinds = Status::of(study).failures;
    let rows = kinds.iter().map(|kind| {
        let last = kind.last.parse().ok().and_then(|no: TrialNo| study.trial(no));
        let failure = last.and_then(|trial| failure(trial));
        json!({
            "trials": kind.trials,
            "last": kind.last,
            "blame": kind.blame,
            "phase": kind.phase,
            "cause": failure.map(|failure| failure.cause.name()),
            "margin_of_the_last": failure.and_then(|failure| failure.margin),
            "recognised_by": quote::quote("failure", &kind.signature.text, 300, Keep::Head),
            "remedy": failure.map(remedy),
        })
    });
    json!({"failures": rows.collect::<Vec<_>>()})
}

/// Notes, newest first.
pub(crate) fn notes(study: &Study) -> Value {
    let rows = study.notes().iter().rev().take(NOTES).map(|(by, text)| {
        json!({"by": quote::line(by, 60), "text": quote::quote("note", text, 600, Keep::Head)})
    });
    json!({"notes": rows.collect::<Vec<_>>(), "in_all": study.notes().len()})
}
