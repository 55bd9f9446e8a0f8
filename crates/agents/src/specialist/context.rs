//! What a session is told at its start: the digest, what is asked, and as much of the past as the operator needs.
//!
//! Memory is scoped by operator, after the published ones (AIDE, AIRA, arXiv 2507.02554) where they agree. A draft sees what
//! everyone tried; an improvement also its siblings; a repair of code sees its ancestors back to the first that ran, and
//! no sibling; a merge sees both sides. Where they contradict each other (all good nodes or siblings alone), the digest
//! stands for the nodes: it is bounded.

use std::fmt::Write as _;

use empiric_core::{Complexity, Operator, Outcome, Role, Trial, TrialNo, lore::surface};
use empiric_search::schedule::{self, Mood};

use super::quoted;
use crate::{
    Brief,
    digest::{Channel, Channels, digest, number, one_line, signed},
    prompts::{self, Prompts},
};

/// Ideas below which a session is asked for more.
const FEW: usize = 4;
/// Ancestors shown of a failure.
const ANCESTORS: usize = 6;

/// Instructions that stand above the conversation.
pub(super) fn system(brief: &Brief, role: &Role, prompts: &Prompts) -> String {
    let task = brief.study.task();
    let goal =
        format!("{} {} ({})", task.metric.goal, task.metric.name, one_line(&task.metric.unit, 30));
    let gates: Vec<String> =
        task.gates.iter().map(|gate| format!("It counts only while {gate}.")).collect();
    let surface =
        task.surfaces.iter().find(|surface| role.surface.as_deref() == Some(surface.name.as_str()));
    let owns = surface.map_or_else(
        || "every file that may be edited".to_owned(),
        |surface| format!("surface `{}`: {}", surface.name, surface.owns.join(", ")),
    );
    let radius = role
        .radius
        .map(|lines| format!("An edit of yours may change at most {lines} lines."))
        .unwrap_or_default();
    let off_limits =
        if role.off_limits.is_empty() { "nothing in particular" } else { &role.off_limits };
    prompts.say(
        "system",
        &[
            ("role", &format!("the {} researcher", role.name)),
            ("task", &format!("{}: {}", task.name, one_line(&task.summary, 400))),
            ("goal", goal.trim_end_matches(" ()")),
            ("gates", &gates.join(" ")),
            ("owns", &owns),
            ("brief", &role.brief),
            ("off_limits", off_limits),
            ("radius", &radius),
        ],
    )
}

/// The first turn.
pub(super) fn opening(
    brief: &Brief,
    role: &Role,
    prompts: &Prompts,
    channels: &Channels,
) -> String {
    let study = &brief.study;
    let arm = study.trial(brief.trial).map_or("", |trial| trial.arm.as_str());
    let mut text = digest(study, arm, Some(brief.trial), channels);
    text.push_str("\n# This trial\n");
    let parents: Vec<String> = brief.ask.parents.iter().map(|no| named(brief, *no)).collect();
    let parent = brief.ask.parents.first().and_then(|no| study.trial(*no)).map(AsRef::as_ref);
    let lineage = channels.lineage();
    let siblings = if lineage { siblings(brief, arm) } else { String::new() };
    let partners = brief.ask.parents.get(1).map(|no| partner(brief, *no)).unwrap_or_default();
    let said = prompts.say(
        prompts::of(brief.ask.operator),
        &[
            ("parents", &parents.join(" and ")),
            ("complexity", complexity(brief.complexity())),
            ("siblings", &siblings),
            ("failure", &parent.map(failure).unwrap_or_default()),
            ("ancestors", &ancestors(brief)),
            ("partners", &partners),
        ],
    );
    text.push_str(&said);
    if channels.open(Channel::Ideas)
        && matches!(brief.ask.operator, Operator::Improve | Operator::Draft)
    {
        text.push_str(&schedule(brief, role, prompts, arm));
    }
    text
}

/// How bold to be, and which idea is next.
fn schedule(brief: &Brief, role: &Role, prompts: &Prompts, arm: &str) -> String {
    let study = &brief.study;
    let mood = schedule::mood(study, arm);
    let mut text = match mood {
        Mood::Normal => String::new(),
        Mood::Leap => prompts.say("leap", &[]),
        Mood::Honeymoon { of, left } => {
            prompts.say("honeymoon", &[("leap", &of.to_string()), ("left", &left.to_string())])
        }
    };
    // Those asked for before this one have claimed the ideas before.
    let before =
        study.open_trials().iter().filter(|no| **no < brief.trial && **no != TrialNo::BASELINE);
    let place = before
        .filter_map(|no| study.trial(*no))
        .filter(|trial| trial.arm == arm && trial.edit.is_none())
        .count();
    if let Some(no) = schedule::idea(study, arm, role.surface.as_deref(), mood, place)
        && let Some(idea) = study.library().idea(no)
    {
        let shown = format!(
            "{no} ({}, by {}) «{}»",
            idea.sketch.reach,
            one_line(&idea.by, 40),
            one_line(&idea.sketch.text, 500)
        );
        text.push_str(&prompts.say("idea", &[("idea", &shown)]));
    }
    if study.library().pending(arm).take(FEW).count() < FEW {
        text.push_str(&prompts.say("ideate", &[]));
    }
    text
}

fn named(brief: &Brief, no: TrialNo) -> String {
    match no {
        TrialNo::BASELINE => "t0 (the unedited recipe)".to_owned(),
        no if no == brief.study.champion() => format!("{no} (the champion)"),
        no => no.to_string(),
    }
}

fn complexity(complexity: Complexity) -> &'static str {
    match complexity {
        Complexity::Simple => {
            "Little was tried from here: make the plainest change that could work."
        }
        Complexity::Normal => {
            "Some was tried from here: make the change that a careful practitioner would try next."
        }
        Complexity::Complex => {
            "The plain things were tried from here: think of what nobody has tried."
        }
    }
}

/// Other attempts from the same parent, among those that ended lately.
fn siblings(brief: &Brief, arm: &str) -> String {
    let study = &brief.study;
    let Some(parent) = brief.ask.parents.first() else { return String::new() };
    let recent = study.library().lore(arm).recent().clone();
    let from = recent
        .iter()
        .rev()
        .filter_map(|no| study.trial(*no))
        .filter(|trial| trial.parents().first() == Some(parent));
    let lines: String = from.take(6).map(|trial| line(brief, trial)).collect();
    if lines.is_empty() { lines } else { format!("Tried from the same parent lately:\n{lines}") }
}

/// The chain of failed parents, up to and with the first that ran.
fn ancestors(brief: &Brief) -> String {
    let mut lines = String::new();
    let mut at = brief.ask.parents.first().copied();
    for _ in 0..ANCESTORS {
        let Some(trial) = at.and_then(|no| brief.study.trial(no)) else { break };
        lines.push_str(&line(brief, trial));
        if matches!(trial.outcome, Some(Outcome::Valid { .. })) {
            break;
        }
        at = trial.parents().first().copied();
    }
    if lines.is_empty() { lines } else { format!("How it came about, newest first:\n{lines}") }
}

fn line(brief: &Brief, trial: &Trial) -> String {
    let metric = &brief.study.task().metric.name;
    let score = trial.search_score(metric).map(|score| format!(", score {}", number(score)));
    let became = match &trial.outcome {
        None => "running".to_owned(),
        Some(Outcome::Valid { verdict, gain, .. }) => {
            format!("{verdict} {}", gain.map(signed).unwrap_or_default())
        }
        Some(Outcome::Failed(failure)) => failure.cause.name().to_owned(),
    };
    let words = trial.edit.as_ref().map_or("", |edit| &edit.hypothesis.text);
    format!(
        "- {} {}{} on {}: «{}»\n",
        trial.no,
        became.trim_end(),
        score.unwrap_or_default(),
        one_line(surface(trial), 40),
        one_line(words, 200)
    )
}

fn failure(parent: &Trial) -> String {
    let Some(Outcome::Failed(failure)) = &parent.outcome else { return String::new() };
    let mut text = format!("{} ended with {failure}.\n", parent.no);
    if !failure.excerpt.is_empty() {
        text.push_str(&quoted("the failure", &failure.excerpt, 1500));
    }
    text
}

/// The second side of a merge: what it says, and what it changed.
fn partner(brief: &Brief, no: TrialNo) -> String {
    let Some(trial) = brief.study.trial(no) else { return String::new() };
    let mut text = line(brief, trial);
    let base = trial.parents().first().copied().unwrap_or(TrialNo::BASELINE);
    if let (Ok(old), Ok(new)) = (brief.sources.files(base), brief.sources.files(no)) {
        let diff = brief.errands.diff(&old, &new);
        let _ = write!(text, "{}", quoted(&format!("the change of {no} to {base}"), &diff, 6000));
    }
    text
}
