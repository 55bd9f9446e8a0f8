//! The library of ideas: what waits to be tried and what became of the rest, and one more idea for it.

use empiric_core::{
    Sketch,
    idea::{self, IdeaStatus, Level, Reach},
    quote,
};
use empiric_ledger::Request;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    answer::{Answer, Refusal},
    tools::Caller,
    trials,
};

/// Ideas that are told where nothing is said, and most of them.
const LISTED: (usize, usize) = (40, 200);

/// Which ideas.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct List {
    /// Only those that stand so; all where nothing is said.
    status: Option<IdeaStatus>,
    /// At most so many: 40 where nothing is said, at most 200.
    limit: Option<usize>,
}

/// An idea.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    /// What to do, and why it should help, in one or two sentences.
    text: String,
    /// How far it reaches.
    reach: Reach,
    /// The surface that it is for, where it is for one.
    #[serde(default)]
    surface: Option<String>,
    /// How soon it should be tried; medium where nothing is said.
    #[serde(default)]
    priority: Level,
    /// How likely it is to break something; medium where nothing is said.
    #[serde(default)]
    risk: Level,
}

/// The library, newest first.
pub(crate) fn list(caller: &Caller, asked: &List) -> Result<Answer, Refusal> {
    let study = caller.desk.study()?;
    let all = study.library().ideas();
    let wanted = all.values().rev().filter(|idea| asked.status.is_none_or(|it| it == idea.status));
    let rows = wanted.take(asked.limit.unwrap_or(LISTED.0).min(LISTED.1)).map(|idea| {
        let sketch = &idea.sketch;
        json!({
            "idea": idea.no, "status": idea.status, "text": quote::line(&sketch.text, idea::WORDS),
            "reach": sketch.reach, "surface": sketch.surface.as_deref().map(|name| quote::line(name, 60)),
            "priority": sketch.priority, "risk": sketch.risk, "by": quote::line(&idea.by, 60),
            "arm": idea.arm, "trials": idea.trials, "reason": quote::line(&idea.reason, 200),
        })
    });
    Ok(Answer::Json(json!({"ideas": rows.collect::<Vec<_>>(), "in_all": all.len()})))
}

/// Puts an idea into it, for every arm.
pub(crate) fn add(caller: &Caller, asked: Add) -> Result<Answer, Refusal> {
    let Add { text, reach, surface, priority, risk } = asked;
    let text = idea::worded(&quote::clean(&text));
    if text.is_empty() {
        return Err(Refusal::new("the idea says nothing"));
    }
    let study = caller.desk.study()?;
    let known: Vec<&str> =
        study.task().surfaces.iter().map(|surface| surface.name.as_str()).collect();
    if let Some(name) = surface.as_deref().filter(|name| !known.contains(name)) {
        let what = format!("there is no surface `{}` in this task", quote::line(name, 60));
        return Err(Refusal::new(what).remedy(match known.is_empty() {
            true => "it has none: leave `surface` out".to_owned(),
            false => format!("there are {}", known.join(", ")),
        }));
    }
    let sketch = Sketch { text, reach, surface, priority, risk };
    let request = caller.desk.post(&caller.by, Request::IdeaAdd { sketch })?;
    let answered = trials::answered(caller, request)?;
    Ok(Answer::Json(json!({"request": request.to_string(), "written": answered})))
}
