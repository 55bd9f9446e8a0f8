//! Trials from a client's side: handed in, looked up, waited for.

use std::{collections::BTreeMap, time::Duration};

use empiric_agents::Replacement;
use empiric_core::{Cause, Study, TrialNo, quote, study::State};
use empiric_engine::{Desk, Draft, Fitting, Form, Handle, Standing, named};
use empiric_ledger::RequestId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Refusal},
    tools::Caller,
    view,
};

/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(100);
/// Looks for whoever is at work to take what was handed in, before an answer goes without its number; and fewer of them
/// where the last session could not measure anything.
const PATIENCE: (u32, u32) = (50, 5);
/// Seconds of waiting where nothing is said, shorter than most clients' patience, and the most.
const WAIT: (u32, u32) = (45, 600);
/// Longest hypothesis, bytes.
const HYPOTHESIS: usize = 2000;
/// Most characters of a request's name.
const REQUEST: usize = 60;

/// Which trial.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Get {
    /// `t17`, `champion` or `baseline`.
    trial: Option<String>,
    /// The request that propose_trial answered with, where it had no number yet.
    request: Option<String>,
}

/// Which trial, and how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wait {
    /// `t17`.
    trial: Option<String>,
    /// The request that propose_trial answered with, where it had no number yet.
    request: Option<String>,
    /// At most so many seconds: 45 where nothing is said, at most 600. Mind how long your client waits for an answer.
    seconds: Option<u32>,
}

/// A trial. Exactly one of `edits`, `patch` and `files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Propose {
    /// Why the edit is worth measuring, in a sentence or two: what changes and by which mechanism that helps. One idea.
    hypothesis: String,
    /// How far the metric will move, signed, in its unit, such as -0.02. Registered before the run and compared with what
    /// comes; it decides nothing.
    #[serde(default)]
    predict: Option<f64>,
    /// The trial that the edit starts from: `t17`, `champion`, `baseline`. The champion where none is named.
    #[serde(default)]
    parent: Option<String>,
    /// Texts to find and what comes in their places, in turn.
    #[serde(default)]
    edits: Option<Vec<Replacement>>,
    /// A unified diff against the parent's files, with `--- a/path` and `+++ b/path` lines.
    #[serde(default)]
    patch: Option<String>,
    /// Whole new contents by path; null deletes the file. Files that are not named stay as they are.
    #[serde(default)]
    files: Option<BTreeMap<String, Option<String>>>,
    /// Only say whether the edit fits and passes the static checks; nothing is handed in.
    #[serde(default)]
    check_only: bool,
    /// Wait for the outcome, at most so many seconds, as wait_trial does.
    #[serde(default)]
    wait_seconds: Option<u32>,
}

pub(crate) fn get(caller: &Caller, asked: &Get) -> Result<Answer, Refusal> {
    let handle = handle(&caller.desk, asked.trial.as_deref(), asked.request.as_deref())?;
    told(caller, handle)
}

pub(crate) fn wait(caller: &Caller, asked: &Wait) -> Result<Answer, Refusal> {
    let handle = handle(&caller.desk, asked.trial.as_deref(), asked.request.as_deref())?;
    ended(caller, handle, asked.seconds.unwrap_or(WAIT.0))?;
    told(caller, handle)
}

pub(crate) fn propose(caller: &Caller, asked: Propose) -> Result<Answer, Refusal> {
    let form = match (asked.edits, asked.patch, asked.files) {
        (Some(edits), None, None) => Form::Replacements(edits),
        (None, Some(patch), None) => Form::Patch(patch),
        (None, None, Some(files)) => Form::Files(files),
        _ => {
            return Err(Refusal::new(
                "give the edit as exactly one of `edits`, `patch` and `files`",
            ));
        }
    };
    let study = caller.desk.study()?;
    let parent = asked.parent.as_deref().map(|word| named(&study, word)).transpose()?;
    let draft = Draft {
        form,
        parent: parent.map(|trial| trial.no),
        hypothesis: quote::bounded(asked.hypothesis.trim(), HYPOTHESIS, quote::Keep::Head),
        predict: asked.predict,
    };
    let fitting = caller.desk.fit(&study, draft)?;
    passes(caller, &study, &fitting)?;
    let changes: Vec<Value> = fitting.changes.iter().map(view::change).collect();
    let parent = fitting.parent;
    if asked.check_only {
        return Ok(Answer::Json(json!({"ok": true, "parent": parent, "files": changes})));
    }
    let request = caller.desk.submit(&caller.by, fitting)?;
    let handle = Handle::Request(request);
    let taken = answered(caller, request)?;
    if let Some(seconds) = asked.wait_seconds.filter(|_| taken) {
        ended(caller, handle, seconds)?;
        return told(caller, handle);
    }
    let mut answer = json!({
        "state": "waiting", "request": request.to_string(), "parent": parent, "files": changes,
    });
    if let Standing::Taken(trial) = caller.desk.standing(handle)? {
        answer["trial"] = json!(trial.no);
        answer["state"] = json!(view::state(&trial));
    }
    answer["next"] = json!(
        waits_for(caller, &caller.desk.study()?)
            .unwrap_or_else(|| { "wait_trial tells the outcome".to_owned() })
    );
    Ok(Answer::Json(answer))
}

/// Refuses what the static checks would end, before it becomes a trial.
fn passes(caller: &Caller, study: &Study, fitting: &Fitting) -> Result<(), Refusal> {
    let Some(failure) = caller.desk.check(study, fitting)? else { return Ok(()) };
    let cause = &failure.cause;
    let refusal = if let Cause::DuplicateTree { of } = cause {
        Refusal::new(format!("the edit leads to the tree of {of}, which was measured already"))
            .remedy(format!("get_trial tells what came of {of}; change something else"))
    } else {
        let shown = match failure.excerpt.as_str() {
            "" => String::new(),
            text => {
                format!("\n{}", quote::quote("what was found", text, 600, quote::Keep::Head))
            }
        };
        let refusal = Refusal::new(format!("the static checks fail: {cause}{shown}"));
        refusal.remedy(view::remedy(&failure))
    };
    Err(refusal)
}

/// What a trial waits for, if it does not simply run.
fn waits_for(caller: &Caller, study: &Study) -> Option<String> {
    if study.state() == State::Paused {
        return Some("the study is paused; trials wait until `empiric resume`".to_owned());
    }
    if caller.desk.at_work() {
        return None;
    }
    Some(match caller.measurer.as_ref().map(|measurer| measurer.trouble()) {
        None => "no process is at work on the study; `empiric run` measures what waits".to_owned(),
        Some(Some(why)) => {
            format!("nothing can be measured here: {}", quote::line(&why, 600))
        }
        Some(None) => "a session is about to begin".to_owned(),
    })
}

/// Wakes whoever measures, if nobody is at work.
fn nudge(caller: &Caller) {
    if !caller.desk.at_work()
        && let Some(measurer) = &caller.measurer
    {
        measurer.wake();
    }
}

/// Whether a request is taken within some seconds. It stays in the inbox if not.
pub(crate) fn answered(caller: &Caller, request: RequestId) -> Result<bool, Refusal> {
    for look in 0..PATIENCE.0 {
        if caller.desk.answer(request)?.is_some() {
            return Ok(true);
        }
        nudge(caller);
        let hopeless = match &caller.measurer {
            Some(measurer) => look >= PATIENCE.1 && measurer.trouble().is_some(),
            None => true,
        };
        if hopeless && !caller.desk.at_work() {
            break;
        }
        if pause(caller) {
            break;
        }
    }
    Ok(false)
}

/// Waits until a trial has ended, at most so long.
fn ended(caller: &Caller, handle: Handle, seconds: u32) -> Result<(), Refusal> {
    let looks = u128::from(seconds.min(WAIT.1)) * 1000 / POLL.as_millis();
    for _ in 0..looks {
        match caller.desk.standing(handle)? {
            Standing::Taken(trial) if trial.outcome.is_some() => return Ok(()),
            Standing::Refused(_) => return Ok(()),
            Standing::Waiting | Standing::Taken(_) => nudge(caller),
        }
        if pause(caller) {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits a moment; true when the call was given up meanwhile.
fn pause(caller: &Caller) -> bool {
    std::thread::sleep(POLL);
    caller.cancel.is_cancelled()
}

fn handle(desk: &Desk, trial: Option<&str>, request: Option<&str>) -> Result<Handle, Refusal> {
    match (trial, request) {
        (Some(word), _) => match word.parse::<TrialNo>() {
            Ok(no) => Ok(Handle::Trial(no)),
            Err(_) => Ok(Handle::Trial(named(&desk.study()?, word)?.no)),
        },
        (None, Some(word)) => word.parse().map(Handle::Request).map_err(|_| {
            Refusal::new(format!("`{}` is no request", quote::line(word, REQUEST)))
                .remedy("propose_trial answers with the request")
        }),
        (None, None) => Err(Refusal::new("name the trial, or the request that handed it in")),
    }
}

/// A trial as of now.
fn told(caller: &Caller, handle: Handle) -> Result<Answer, Refusal> {
    let study = caller.desk.study()?;
    Ok(Answer::Json(match caller.desk.standing(handle)? {
        Standing::Waiting => {
            let next = waits_for(caller, &study);
            json!({"state": "waiting", "next": next})
        }
        Standing::Refused(why) => {
            return Err(Refusal::new(format!("it was not taken: {}", quote::line(&why, 600))));
        }
        Standing::Taken(trial) => {
            let mut told = view::trial(&study, &trial);
            if trial.outcome.is_none() {
                told["next"] = json!(waits_for(caller, &study));
            }
            told
        }
    }))
}
