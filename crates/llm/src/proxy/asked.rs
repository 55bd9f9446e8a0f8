//! What an agent asks of the proxy: which dialect, which model, how much at most.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Wire, gemini};

/// The languages that agents speak with their models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Google's generateContent.
    Gemini,
}

impl Dialect {
    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Gemini => "gemini",
        }
    }

    /// The protocol, where Empiric's own clients speak it too.
    pub(crate) fn wire(self) -> Option<Wire> {
        match self {
            Self::Chat => Some(Wire::Chat),
            Self::Responses => Some(Wire::Responses),
            Self::Messages => Some(Wire::Messages),
            Self::Gemini => None,
        }
    }

    /// An error in the dialect's own shape, so that the agent can show it.
    pub(super) fn error(self, kind: &str, message: &str) -> Value {
        match self {
            Self::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Self::Chat | Self::Responses => {
                json!({"error": {"type": kind, "code": kind, "message": message, "param": null}})
            }
            Self::Gemini => json!({"error": {"code": 400, "status": kind, "message": message}}),
        }
    }
}

/// A request that can be metered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    /// The model, in the provider's words.
    pub(super) model: String,
    pub(super) stream: bool,
    /// What is sent on.
    pub(super) body: Value,
    /// What follows the provider's base URL.
    pub(super) path: String,
    /// The most that it can take.
    pub(super) input: u64,
    pub(super) output: u64,
}

/// Why a request is turned down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmetered {
    /// A route that leads to no model.
    Route,
    /// A body that is no JSON object, or names no model.
    Body,
}

impl Asked {
    /// Reads a request. Whatever it asks for, its output is capped by `most`.
    pub(super) fn read(
        path: &str,
        query: Option<&str>,
        body: &[u8],
        most: u32,
    ) -> Result<Self, Unmetered> {
        let routes = [
            ("/chat/completions", Dialect::Chat),
            ("/responses", Dialect::Responses),
            ("/messages", Dialect::Messages),
        ];
        let named =
            routes.into_iter().find(|(route, _)| path.ends_with(route)).map(|(_, dialect)| dialect);
        let google = gemini::model_in(path);
        let dialect = named.or_else(|| google.map(|_| Dialect::Gemini)).ok_or(Unmetered::Route)?;
        let mut json: Value = serde_json::from_slice(body).map_err(|_| Unmetered::Body)?;
        if !json.is_object() {
            return Err(Unmetered::Body);
        }
        let (model, stream) = match google {
            Some((model, stream)) => (model.to_owned(), stream),
            None => (json["model"].as_str().unwrap_or_default().to_owned(), json["stream"] == true),
        };
        // A name that could step out of the path or the price list is nobody's model.
        let plain = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '+')
        };
        if model.is_empty() || !model.chars().all(plain) || model.contains("..") {
            return Err(Unmetered::Body);
        }
        let output = cap_output(dialect, &mut json, most);
        if dialect == Dialect::Chat && stream {
            // Without it a stream does not say what it billed.
            json["stream_options"] = json!({"include_usage": true});
        }
        // The path is the provider's own, not the agent's.
        let path = match dialect.wire() {
            Some(wire) => wire.path().to_owned(),
            None if stream
                && query.is_some_and(|query| query.split('&').any(|part| part == "alt=sse")) =>
            {
                format!("models/{model}:streamGenerateContent?alt=sse")
            }
            None if stream => format!("models/{model}:streamGenerateContent"),
            None => format!("models/{model}:generateContent"),
        };
        // A token stands for a byte at least; what frames tools and turns is a small part of their JSON.
        let input = json.to_string().len() as u64 + 1_000;
        Ok(Self { dialect, model, stream, body: json, path, input, output })
    }
}

/// Caps a request's output and says at what; several choices count several times.
fn cap_output(dialect: Dialect, body: &mut Value, most: u32) -> u64 {
    let (slot, choices) = match dialect {
        Dialect::Chat => {
            let choices = body["n"].as_u64().unwrap_or(1).max(1);
            let newer = !body["max_completion_tokens"].is_null();
            (&mut body[if newer { "max_completion_tokens" } else { "max_tokens" }], choices)
        }
        Dialect::Responses => (&mut body["max_output_tokens"], 1),
        Dialect::Messages => (&mut body["max_tokens"], 1),
        Dialect::Gemini => {
            let choices = body["generationConfig"]["candidateCount"].as_u64().unwrap_or(1).max(1);
            (gemini::most_output(body), choices)
        }
    };
    let output = slot.as_u64().unwrap_or(u64::MAX).min(most.into());
    *slot = output.into();
    output.saturating_mul(choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, body: &Value) -> Result<Asked, Unmetered> {
        Asked::read(path, Some("beta=true&alt=sse"), body.to_string().as_bytes(), 1_000)
    }

    #[test]
    fn every_dialect_is_known_by_its_route_and_capped() {
        let asked =
            read("/v1/messages", &json!({"model": "m", "max_tokens": 9_000, "stream": true}))
                .unwrap();
        assert_eq!(
            (asked.dialect, asked.output, &asked.body["max_tokens"]),
            (Dialect::Messages, 1_000, &json!(1_000))
        );
        let asked = read("/v1/responses", &json!({"model": "m", "max_output_tokens": 5})).unwrap();
        assert_eq!((asked.dialect, asked.output, asked.stream), (Dialect::Responses, 5, false));
        let asked =
            read("/v1/chat/completions", &json!({"model": "m", "stream": true, "n": 3})).unwrap();
        assert_eq!(
            (asked.output, &asked.body["stream_options"]["include_usage"]),
            (3_000, &json!(true))
        );
        let asked =
            read("/v1beta/models/g:streamGenerateContent", &json!({"contents": []})).unwrap();
        assert_eq!(asked.path, "models/g:streamGenerateContent?alt=sse");
        assert_eq!((asked.model.as_str(), asked.output), ("g", 1_000));
    }

    #[test]
    fn what_cannot_be_metered_is_turned_down() {
        for path in [
            "/",
            "/v1/models",
            "/v1/messages/count_tokens",
            "/v1/files",
            "/v1/responses/resp_1/cancel",
        ] {
            assert_eq!(read(path, &json!({"model": "m"})), Err(Unmetered::Route), "{path}");
        }
        for body in [json!({}), json!([]), json!({"model": "a b"}), json!({"model": "../x"})] {
            assert_eq!(read("/v1/messages", &body), Err(Unmetered::Body), "{body}");
        }
        assert_eq!(Asked::read("/v1/messages", None, b"\xff", 1), Err(Unmetered::Body));
    }
}
