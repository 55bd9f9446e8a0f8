//! What a call is answered with: text or JSON, bounded and cleaned here and nowhere else, or a refusal with a remedy.

use empiric_core::quote;
use empiric_engine::DeskError;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

/// Most bytes of an answer. What can be longer is cut where it is made, with words; this is the last wall.
pub(crate) const MOST: usize = 96 << 10;

/// An answer to a call that was understood.
pub(crate) enum Answer {
    /// Structured, and the same as text.
    Json(Value),
    /// Text to be read as it is: files and diffs.
    Text(String),
}

/// Why a call is not done, and what to do about it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    pub(crate) remedy: Option<String>,
}

impl Refusal {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), remedy: None }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(more) = cause {
            let words = more.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = more.source();
        }
        Self { error: text, remedy: error.remedy() }
    }
}

impl From<empiric_ledger::Error> for Refusal {
    fn from(error: empiric_ledger::Error) -> Self {
        DeskError::from(error).into()
    }
}

/// An answer or a refusal as the protocol carries it. A refusal is a result too: clients show results to their models,
/// and protocol errors often to nobody.
pub(crate) fn result(answer: Result<Answer, Refusal>) -> CallToolResult {
    match answer {
        Ok(Answer::Json(value)) => {
            let value = cleaned(value);
            let text = serde_json::to_string(&value).unwrap_or_default();
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(value);
            result
        }
        Ok(Answer::Text(text)) => {
            let text = quote::bounded(&text, MOST, quote::Keep::Head);
            CallToolResult::success(vec![ContentBlock::text(text)])
        }
        Err(Refusal { error, remedy }) => {
            let remedy = remedy.map(|remedy| format!("\nremedy: {remedy}")).unwrap_or_default();
            let text = quote::bounded(&format!("{error}{remedy}"), 4096, quote::Keep::Head);
            CallToolResult::error(vec![ContentBlock::text(text)])
        }
    }
}

/// The text of an answer, for resources.
pub(crate) fn text(answer: Answer) -> String {
    match answer {
        Answer::Json(value) => serde_json::to_string_pretty(&cleaned(value)).unwrap_or_default(),
        Answer::Text(text) => quote::bounded(&text, MOST, quote::Keep::Head),
    }
}

/// A value without anything that is not seen, in keys as well, and without members that say nothing.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(quote::clean(&text)),
        Value::Array(all) => Value::Array(all.into_iter().map(cleaned).collect()),
        Value::Object(all) => {
            let told = all.into_iter().filter(|(_, value)| !value.is_null());
            let all: Map<String, Value> =
                told.map(|(key, value)| (quote::clean(&key), cleaned(value))).collect();
            Value::Object(all)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
