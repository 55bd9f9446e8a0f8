//! What an edit does to the recipe, read from the baseline's tree and its own.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Concern, Inspection, RedLine, Severity, Task,
    task::{Data, Visible},
};

use crate::{concern, source::Source};

/// The files of a tree, by path.
pub type Files = BTreeMap<String, Arc<[u8]>>;

/// What an evaluator is told and a recipe is not: whoever names it reaches for it.
const EVALUATORS: [&str; 2] = ["EMPIRIC_RESULT", "EMPIRIC_RECIPE"];

/// Data beyond this, in a task that does not say how much may come with the code, are a reason for a quarantine.
const MUCH_DATA: u64 = 2048;

/// Reads what `trial` does that `baseline` does not.
///
/// Against the baseline rather than the parent, so that nothing is carried in piece by piece.
#[must_use]
pub fn inspect(task: &Task, baseline: &Files, trial: &Files) -> Inspection {
    let commands = task.stages.iter().map(|stage| &stage.command).chain(&task.predictor);
    let words: Vec<&str> = commands.flat_map(|command| &command.run).map(String::as_str).collect();
    let (before, after) = (Source::of(baseline, &words), Source::of(trial, &words));
    let mut concerns = Vec::new();
    concerns.extend(evaluator(&before, &after));
    concerns.extend(protected(task, &before, &after));
    concerns.extend(seed(&before, &after));
    concerns.extend(carried(task, &before, &after));
    Inspection { concerns, random: after.draws }
}

fn evaluator(before: &Source, after: &Source) -> Option<Concern> {
    let named = EVALUATORS
        .iter()
        .find(|name| after.strings.contains(**name) && !before.strings.contains(**name))?;
    let why = format!("the edit names `{named}`, which only the evaluator is given");
    Some(concern(RedLine::Evaluator, Severity::Fail, why))
}

fn protected(task: &Task, before: &Source, after: &Source) -> Option<Concern> {
    let hidden = task.data.iter().filter(|data| data.visible == Visible::Evaluator);
    let found = hidden.into_iter().find_map(|data| {
        let as_path = after.strings.difference(&before.strings).find(|text| leads_to(text, data));
        let as_component = || {
            let name = last(&data.path);
            after.components.difference(&before.components).find(|text| *text == name)
        };
        Some((as_path.or_else(as_component)?, &data.path))
    });
    let (text, path) = found?;
    let why = format!("the edit names `{text}`, which leads to `{path}`: the evaluator's alone");
    Some(concern(RedLine::ProtectedData, Severity::Fail, why))
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether `text` is a path to `data`. Its last component alone may be anything: `hidden` is also a layer.
fn leads_to(text: &str, data: &Data) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let own: Vec<&str> = data.path.split('/').collect();
    let name = last(&data.path);
    let whole = own.len() > 1 && parts.windows(own.len()).any(|window| window == own);
    let file = parts.last().is_some_and(|last| last.contains('.') && *last != "..");
    let place = parts.len() > 1 && (text.starts_with('/') || parts.contains(&"..") || file);
    whole || (place && parts.contains(&name))
}

fn seed(before: &Source, after: &Source) -> Vec<Concern> {
    let draws = after.draws == Some(true);
    let fresh = |found: &BTreeMap<String, String>, known: &BTreeMap<String, String>| {
        found
            .iter()
            .find(|(text, _)| !known.contains_key(*text))
            .map(|(text, path)| (text.clone(), path.clone()))
    };
    let mut concerns = Vec::new();
    if let Some((text, path)) = fresh(&after.chosen_seeds, &before.chosen_seeds) {
        let why = format!("{path} makes a few of all seeds: `{}`", clip(&text));
        concerns.push(concern(RedLine::Seed, Severity::Fail, why));
    }
    let written = fresh(&after.written_seeds, &before.written_seeds);
    let lost = before.reads_seed() && !after.reads_seed() && draws;
    match (written, lost) {
        (Some((text, path)), true) => {
            let why = format!(
                "{path} starts a generator from a seed of its own, `{}`, and EMPIRIC_SEED is read no more",
                clip(&text)
            );
            concerns.push(concern(RedLine::Seed, Severity::Fail, why));
        }
        (Some((text, path)), false) => {
            let why =
                format!("{path} starts a generator from a seed of its own: `{}`", clip(&text));
            concerns.push(concern(RedLine::Seed, Severity::Quarantine, why));
        }
        (None, true) => {
            let why = "random numbers are drawn, and EMPIRIC_SEED is read no more".to_owned();
            concerns.push(concern(RedLine::Seed, Severity::Quarantine, why));
        }
        (None, false) => {}
    }
    concerns
}

fn carried(task: &Task, before: &Source, after: &Source) -> Option<Concern> {
    let added = after.data.saturating_sub(before.data);
    let (most, severity) = match task.recipe.max_data_bytes {
        Some(most) => (most, Severity::Fail),
        None => (MUCH_DATA, Severity::Quarantine),
    };
    let why = format!("{added} bytes of data come with the code; {most} pass without question");
    (added > most).then(|| concern(RedLine::CarriedData, severity, why))
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
