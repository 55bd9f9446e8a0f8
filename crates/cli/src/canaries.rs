//! Edits whose outcome is known before they are measured: what a task must refuse, survive, or not be impressed by.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use empiric_agents::{Files, starved};
use empiric_core::{
    Blame, Failure as Ended, Outcome, Split, Study, Trial, TrialNo, Verdict, task::Task,
};
use empiric_engine::Edited;
use empiric_lineage::Rules;

use crate::exit::{Failure, Kind};

mod misbehaviours;

use misbehaviours::{PYTHON, SHELL, first};

/// Longest wall limit of a stage, seconds, that a canary may run into.
const PATIENCE: f64 = 60.0;

/// An edit whose outcome is known.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    pub(crate) files: Edited,
    /// Whether it ends by itself within moments, so that it can be tried before every study.
    pub(crate) quick: bool,
}

/// What must become of a canary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Anything but a keep.
    NotKept,
    /// Measured as worse than the unedited recipe, or a failure that is not the evaluator's or the machine's.
    Worse,
    /// A failure that the edit or the recipe answers for.
    OwnFailure,
    /// This cause of failure.
    Cause(&'static str),
}

impl Expected {
    /// As it is shown.
    pub(crate) fn words(self) -> String {
        match self {
            Self::NotKept => "not kept".to_owned(),
            Self::Worse => "worse".to_owned(),
            Self::OwnFailure => "failure of its own".to_owned(),
            Self::Cause(name) => name.replace('_', " "),
        }
    }

    /// Whether `trial` ended so.
    pub(crate) fn met(self, study: &Study, trial: &Trial) -> bool {
        match (&trial.outcome, self) {
            (None, _) => false,
            (Some(Outcome::Failed(failure)), _) => self.met_by(failure),
            (Some(Outcome::Valid { verdict, .. }), Self::NotKept) => *verdict != Verdict::Keep,
            (Some(Outcome::Valid { verdict, .. }), Self::Worse) => {
                *verdict != Verdict::Keep && is_worse(study, trial)
            }
            (Some(Outcome::Valid { .. }), Self::OwnFailure | Self::Cause(_)) => false,
        }
    }

    /// Whether `failure` is such an end.
    pub(crate) fn met_by(self, failure: &Ended) -> bool {
        match self {
            Self::NotKept => true,
            Self::Worse => !failure.blame.spares_the_trial(),
            Self::OwnFailure => matches!(failure.blame, Blame::Edit | Blame::Recipe),
            Self::Cause(name) => failure.cause.name() == name,
        }
    }
}

/// Whether `trial` was measured as worse than the unedited recipe, on the mean of what proposers see.
fn is_worse(study: &Study, trial: &Trial) -> bool {
    let metric = &study.task().metric;
    let mean = |trial: &Trial| {
        let values = trial.replicates.iter().filter_map(|r| r.value(&metric.name, Split::Search));
        let values: Vec<f64> = values.collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let baseline = study.trial(TrialNo::BASELINE).and_then(|trial| mean(trial));
    mean(trial).zip(baseline).is_some_and(|(value, baseline)| metric.goal.better(baseline, value))
}

/// The canaries that this recipe allows. Those that misbehave as they run need an editable Python or shell program.
pub(crate) fn canaries(task: &Task, recipe: &Path) -> Result<Vec<Canary>, Failure> {
    let files = editable(task, recipe)?;
    let (file, text) =
        files.iter().find(|(name, _)| name.ends_with(".py")).or(files.first()).ok_or_else(
            || {
                Failure::say(
                    Kind::Input,
                    "no file of the recipe matches [recipe] edit, so nothing can be tried",
                )
            },
        )?;
    let comment =
        if ["py", "sh", "toml", "yaml"].iter().any(|end| file.ends_with(end)) { "#" } else { "//" };
    let python = file.ends_with(".py");
    let canary = |name, expected, quick, text: String| Canary {
        name,
        expected,
        quick,
        files: Edited::from([(file.clone(), Some(text))]),
    };
    let mut all = vec![canary(
        "no-op",
        Expected::NotKept,
        false,
        format!("{text}\n{comment} nothing changes\n"),
    )];
    let texts: Files =
        files.iter().map(|(name, text)| (name.clone(), Arc::from(text.as_str()))).collect();
    let worse: BTreeMap<String, String> = starved(&texts);
    if !worse.is_empty() {
        let files = worse.into_iter().map(|(path, text)| (path, Some(text))).collect();
        all.push(Canary { name: "worse", expected: Expected::Worse, files, quick: false });
    }
    // What is no program may be read by one that does not mind.
    let broken = if python { Expected::OwnFailure } else { Expected::NotKept };
    all.push(canary("broken", broken, python, format!("{text}\n)]}} this is no program (\n")));
    all.push(canary("empty", Expected::Cause("empty_edit"), true, text.clone()));
    let forbidden = "empiric-canary.forbidden";
    if !Rules::new(task)?.editable(forbidden) {
        all.push(Canary {
            name: "protected",
            expected: Expected::Cause("protected_path"),
            files: Edited::from([(forbidden.to_owned(), Some("not editable\n".to_owned()))]),
            quick: true,
        });
    }
    all.extend(running(task, &files));
    Ok(all)
}

/// Those that misbehave as they run.
fn running(task: &Task, files: &[(String, String)]) -> Vec<Canary> {
    let program = |(name, _): &&(String, String)| {
        task.stages.iter().any(|stage| stage.command.run.contains(name))
    };
    let Some((file, text)) = files.iter().find(program) else { return Vec::new() };
    let language = match file.rsplit('.').next() {
        Some("py") => PYTHON,
        Some("sh") => SHELL,
        Some(_) | None => &[],
    };
    let short = task.stages.iter().all(|stage| stage.command.limits.wall_s <= PATIENCE);
    let bounded = task.stages.iter().any(|stage| stage.command.limits.memory.is_some());
    let possible = |name: &str| match name {
        "hang" => short,
        "memory" => bounded,
        // What a recipe says of itself is believed: there is nobody to notice.
        "nan" | "constant" => task.evaluator.is_some(),
        _ => true,
    };
    language
        .iter()
        .filter(|canary| possible(canary.name))
        .map(|canary| Canary {
            name: canary.name,
            expected: canary.expected,
            quick: canary.quick,
            files: Edited::from([(file.clone(), Some(first(text, canary.code)))]),
        })
        .collect()
}

/// The recipe's editable text files, sorted by path.
fn editable(task: &Task, recipe: &Path) -> Result<Vec<(String, String)>, Failure> {
    let rules = Rules::new(task)?;
    let mut files = Vec::new();
    let mut pending = vec![recipe.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.strip_prefix(recipe).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') {
                pending.push(path);
            } else if rules.editable(&name)
                && let Ok(text) = fs_err::read_to_string(&path)
            {
                files.push((name, text));
            }
        }
    }
    files.sort();
    Ok(files)
}
