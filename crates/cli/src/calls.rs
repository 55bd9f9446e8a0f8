//! A trial's conversation with a model, as the ledger keeps it: bounded, without control characters, and data throughout.

use empiric_core::{Trial, quote};
use empiric_ledger::Blobs;
use empiric_llm::{Said, said};
use serde_json::{Value, json};

use crate::{exit::Failure, out, words};

/// Most bytes of one part of a turn.
const PART: usize = 3000;

/// Prints the conversation of `trial`.
pub(crate) fn show(trial: &Trial, blobs: &Blobs) -> Result<(), Failure> {
    let mut shown = 0;
    for call in &trial.calls {
        let fault = call.fault.map(|fault| format!(", {}", fault.name().replace('_', " ")));
        out::line(&format!(
            "\n--- call {} of {} to {}: {} tokens, {}, {} attempts, {}{}",
            call.index,
            quote::line(&call.role, 60),
            quote::line(&call.model, 80),
            call.usage.total(),
            call.spend.money,
            call.attempts,
            words::seconds(call.wall_s),
            fault.unwrap_or_default()
        ))?;
        let (request, answer) = (blobs.get(call.request).ok(), blobs.get(call.answer).ok());
        let (said, turns) = said(request.as_deref(), answer.as_deref(), shown, PART);
        shown = turns;
        for Said { who, text } in said {
            for (at, line) in text.lines().enumerate() {
                let who = if at == 0 { who.name() } else { "" };
                out::line(&format!("{who:>8} | {line}"))?;
            }
        }
    }
    Ok(())
}

/// The calls of a trial as JSON, without what was said.
pub(crate) fn summary(trial: &Trial) -> Value {
    json!(trial.calls)
}
