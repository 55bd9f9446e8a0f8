//! A trial's conversation with a model, as the ledger keeps it: bounded, without control characters, and data throughout.

use empiric_core::Trial;
use empiric_ledger::Blobs;
use empiric_llm::{Content, Passed, Request, Role};
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
        let read = |id| blobs.get(id).unwrap_or_default();
        let (request, back) = (read(call.request), read(call.answer));
        if let Some(passed) = Passed::read(&request, &back) {
            shown = other(&passed, shown)?;
            continue;
        }
        match serde_json::from_slice::<Request>(&request) {
            Ok(request) => {
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
            Err(_) => out::line("(its request cannot be read; `empiric verify` says why)")?,
        }
        answer(&back)?;
    }
    Ok(())
}

/// What somebody else's agent asked and was told, as far as it was not shown before; how many turns are shown by now.
fn other(passed: &Passed, shown: usize) -> Result<usize, Failure> {
    let turns = ["messages", "input", "contents"];
    let turns = turns.into_iter().find_map(|name| passed.request.get(name)?.as_array());
    let turns = turns.map_or(&[][..], Vec::as_slice);
    let from = if turns.len() > shown { shown } else { 0 };
    for turn in &turns[from..] {
        let who = turn.get("role").and_then(Value::as_str).unwrap_or("agent");
        block(&clean(who, 8), &said(turn))?;
    }
    match passed.status {
        Some(status) => block(&status.to_string(), &said(&passed.answer))?,
        None => block("broken", "off")?,
    }
    Ok(turns.len())
}

/// The words in a piece of a conversation in any language; all of it where there are none.
fn said(value: &Value) -> String {
    fn gather(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
            Value::Object(members) => {
                let words =
                    ["text", "content", "parts", "message", "choices", "output", "candidates"];
                words.iter().filter_map(|name| members.get(*name)).for_each(|it| gather(it, found));
                let calls = ["input", "arguments", "functionCall", "tool_calls"];
                let calls = calls.iter().filter_map(|name| members.get(*name));
                found.extend(calls.filter(|it| !it.is_null()).map(ToString::to_string));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    gather(value, &mut found);
    if found.is_empty() { value.to_string() } else { found.join("\n") }
}

/// What came back; a reply is shown with the request after it, so only the last one and failures are shown here.
fn answer(back: &[u8]) -> Result<(), Failure> {
    let answer = serde_json::from_slice::<Value>(back).unwrap_or_default();
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
