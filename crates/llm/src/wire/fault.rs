//! What a provider's refusal means.

use empiric_core::Usage;
use serde_json::Value;

use crate::Class;

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) message: String,
    pub(crate) bill: Bill,
}

/// What a failed attempt costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bill {
    /// Nothing: it was turned down, or never arrived.
    Nothing,
    /// This.
    Known(Usage),
    /// Nobody said.
    Unknown,
}

impl Fault {
    pub(crate) fn new(class: Class, message: impl Into<String>, bill: Bill) -> Self {
        Self { class, message: message.into(), bill }
    }

    /// A reply that was begun and cannot be used.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Class::Malformed, message, Bill::Unknown)
    }

    /// With what the provider said it bills.
    pub(crate) fn billed(self, usage: Usage) -> Self {
        Self { bill: Bill::Known(usage), ..self }
    }

    /// An error object in the midst of a stream or in a reply that says 200.
    pub(crate) fn in_reply(error: &Value) -> Self {
        let (kind, message) = (kind(error), said(error));
        let class = match kind {
            "overloaded_error" | "api_error" | "server_error" | "timeout_error" => {
                Class::Overloaded { after_ms: None }
            }
            "rate_limit_error" | "rate_limit_exceeded" => Class::RateLimited { after_ms: None },
            "authentication_error" | "permission_error" | "billing_error" => Class::Auth,
            "not_found_error" => Class::Unknown,
            // A stream that broke for a reason nobody names is worth another try.
            "" => Class::Overloaded { after_ms: None },
            _ => of_request(kind, &message),
        };
        Self::new(class, message, Bill::Unknown)
    }
}

/// The fault that a status other than success tells of.
pub(crate) fn of_status(status: u16, after_ms: Option<u64>, body: &str) -> Fault {
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    let error = body.get("error").unwrap_or(&body);
    let (kind, message) = (kind(error), said(error));
    let class = match status {
        401..=403 => Class::Auth,
        404 => Class::Unknown,
        408 => Class::Network,
        413 => Class::ContextOverflow,
        429 if matches!(kind, "insufficient_quota" | "billing_hard_limit_reached") => Class::Auth,
        429 => Class::RateLimited { after_ms },
        500.. => Class::Overloaded { after_ms },
        _ => of_request(kind, &message),
    };
    let message = if message.is_empty() {
        format!("status {status}")
    } else {
        format!("status {status}: {message}")
    };
    Fault::new(class, message, Bill::Nothing)
}

/// What is wrong with a request, by code or, since few servers give one, by their words for it.
fn of_request(kind: &str, message: &str) -> Class {
    const OVERFLOW: [&str; 9] = [
        "maximum context length",
        "context length",
        "context window",
        "prompt is too long",
        "input is too long",
        "exceed context limit",
        "exceeds the available context size",
        "too many tokens",
        "reduce the length",
    ];
    const DECLINED: [&str; 3] = ["content_filter", "content_policy_violation", "content_policy"];
    let lower = message.to_lowercase();
    match kind {
        "context_length_exceeded" | "exceed_context_size_error" | "request_too_large" => {
            Class::ContextOverflow
        }
        "model_not_found" => Class::Unknown,
        "invalid_api_key" | "insufficient_quota" => Class::Auth,
        kind if DECLINED.contains(&kind) => Class::Declined,
        _ if OVERFLOW.iter().any(|words| lower.contains(words)) => Class::ContextOverflow,
        _ => Class::Rejected,
    }
}

/// The most telling of an error's names for itself.
fn kind(error: &Value) -> &str {
    let named = ["code", "type", "status"].into_iter().filter_map(|key| error.get(key)?.as_str());
    named.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

fn said(error: &Value) -> String {
    error.as_str().unwrap_or_else(|| super::text(error, "/message")).to_owned()
}
