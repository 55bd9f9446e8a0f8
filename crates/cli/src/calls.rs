//! A trial's conversation with a model, as the ledger keeps it: bounded, without control characters, and data throughout.

use empiric_core::{Call, Trial};
use empiric_ledger::Blobs;
use empiric_llm::{Content, Request, Role};
use serde_json::{Value, json};

use crate::{exit::Failure, out, words};

/// Most characters of one part of a turn.
const PART: usize = 3000;

/// Prints the conversation of `trial`.
pub(crate) fn show(trial: &Trial, blobs: &Blobs) -> Result<(), Failure> {
    let mut shown = 0;
    for call in &trial.calls {
        let fault = call.fault.map(|fault| format!(", {}", fault.name().replace('_', " ")));
        out::line(&format!(
            "\n--- call {} of {} to {}: {} tokens, {}, {} attempts, {}{}",
            call.index,
            clean(&call.role, 60),
            clean(&call.model, 80),
            call.usage.total(),
            call.spend.money,
            call.attempts,
            words::seconds(call.wall_s),
            fault.unwrap_or_default()
        ))?;
        let request = blobs
            .get(call.request)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Request>(&bytes).ok());
        match request {
            Some(request) => {
                // What was shown with the call before is not shown again; a conversation that was made shorter begins anew.
                let from = if request.turns.len() > shown { shown } else { 0 };
                if call.index == 0 {
                    block("system", &request.system)?;
                }
                for turn in request.turns.iter().skip(from) {
                    let who = if turn.role == Role::Model { "model" } else { "harness" };
                    turn.content.iter().try_for_each(|content| part(who, content))?;
                }
                shown = request.turns.len();
            }
            None => out::line("(its request cannot be read; `empiric verify` says why)")?,
        }
        answer(call, blobs)?;
    }
    Ok(())
}

/// What came back; a reply is shown with the request after it, so only the last one and failures are shown here.
fn answer(call: &Call, blobs: &Blobs) -> Result<(), Failure> {
    let answer = blobs.get(call.answer).ok();
    let answer =
        answer.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
    if let Some(error) = answer.get("err") {
        return block("failed", error.get("message").and_then(Value::as_str).unwrap_or("no words"));
    }
    let parts =
        answer.pointer("/ok/content").and_then(Value::as_array).cloned().unwrap_or_default();
    let parts =
        parts.into_iter().filter_map(|content| serde_json::from_value::<Content>(content).ok());
    parts.into_iter().try_for_each(|content| part("reply", &content))
}

fn part(who: &str, content: &Content) -> Result<(), Failure> {
    match content {
        Content::Text { text } => block(who, text),
        Content::Image { media_type, .. } => block(who, &format!("({media_type})")),
        Content::Thinking { .. } => block(who, "(thinking)"),
        Content::Call(call) => block(who, &format!("{} {}", call.name, call.arguments)),
        Content::Result { text, failed, .. } => {
            block(if *failed { "refused" } else { "tool" }, text)
        }
    }
}

fn block(who: &str, text: &str) -> Result<(), Failure> {
    for (at, line) in clean(text, PART).lines().enumerate() {
        let who = if at == 0 { who } else { "" };
        out::line(&format!("{who:>8} | {line}"))?;
    }
    Ok(())
}

fn clean(text: &str, limit: usize) -> String {
    let kept: String =
        text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).take(limit).collect();
    if text.chars().nth(limit).is_some() { format!("{kept}…") } else { kept }
}

/// The calls of a trial as JSON, without what was said.
pub(crate) fn summary(trial: &Trial) -> Value {
    json!(trial.calls)
}
