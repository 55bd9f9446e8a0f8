//! What passed through the proxy, read again from its record.

use empiric_core::Usage;
use serde_json::Value;

use super::asked::{Asked, Dialect};
use crate::{gemini, wire::Bill};

/// An exchange of somebody else's agent with its model, as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The model that was asked, in its provider's words.
    pub model: String,
    /// What was asked, as it was sent on.
    pub request: Value,
    /// The provider's status; none where the exchange was broken off before it was known.
    pub status: Option<u16>,
    /// What came back.
    pub answer: Value,
    /// What the provider said it billed, if it did.
    pub usage: Option<Usage>,
}

impl Passed {
    /// Reads an exchange from the bytes of its request and its answer; none where they are of another kind of call.
    #[must_use]
    pub fn read(request: &[u8], answer: &[u8]) -> Option<Self> {
        let json = |bytes| serde_json::from_slice::<Value>(bytes).ok();
        let (request, answer) = (json(request)?, json(answer)?);
        let (request, answer) = (request.get("passed")?, answer.get("passed")?);
        let path = request.get("path")?.as_str()?;
        let body = request.get("body")?;
        let (route, query) = path.split_once('?').map_or((path, None), |(r, q)| (r, Some(q)));
        // Providers' own paths have no slash at their beginning.
        let again = Asked::read(&format!("/{route}"), query, body.to_string().as_bytes(), u32::MAX);
        let Asked { dialect, model, .. } = again.ok()?;
        let status = answer.get("status").and_then(Value::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok());
        let told = answer.get("body").cloned().unwrap_or_default();
        let usage = match status {
            Some(200..=299) if answer.get("whole") == Some(&true.into()) => billed(dialect, &told),
            Some(200..=299) | None => None,
            // What was turned down costs nothing.
            Some(_) => Some(Usage::default()),
        };
        Some(Self { model, request: body.clone(), status, answer: told, usage })
    }
}

/// What an answer says it billed. Of a reply that cannot be used, what was billed still counts.
pub(super) fn billed(dialect: Dialect, body: &Value) -> Option<Usage> {
    let Some(wire) = dialect.wire() else { return gemini::usage(body) };
    match wire.decode(body) {
        Ok(decoded) => decoded.metered.then_some(decoded.reply.usage),
        Err(fault) => match fault.bill {
            Bill::Known(usage) => Some(usage),
            Bill::Nothing | Bill::Unknown => None,
        },
    }
}
