//! The three protocols: a request as the body that a provider expects, and what it answers as a reply. Pure; bytes come
//! and go in `http`.
//!
//! A streamed answer is first put together into the body that the same provider would have sent at once, so that there
//! is one reading of replies a protocol.

mod chat;
mod fault;
mod messages;
mod responses;

use bytes::Bytes;
use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::Value;

pub(crate) use fault::{Bill, Fault, of_status};

use crate::{Content, Error, Reply, Request, Stop, ToolCall, Wire};

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

/// Where servers of one protocol differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Whether the answer is streamed.
    pub(crate) stream: bool,
    /// Chat: whether the cap on output is called `max_completion_tokens`, as OpenAI's newer models demand.
    pub(crate) completion_tokens: bool,
}

/// A reply, and whether the provider said what it billed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) reply: Reply,
    pub(crate) metered: bool,
}

impl Wire {
    /// What follows the base URL.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The body of a request.
    pub(crate) fn encode(self, request: &Request, manner: Manner) -> Value {
        match self {
            Self::Chat => chat::encode(request, manner),
            Self::Responses => responses::encode(request, manner),
            Self::Messages => messages::encode(request, manner),
        }
    }

    /// The reply in a body.
    pub(crate) fn decode(self, body: &Value) -> Result<Decoded, Fault> {
        let decoded = match self {
            Self::Chat => chat::decode(body),
            Self::Responses => responses::decode(body),
            Self::Messages => messages::decode(body),
        }?;
        checked(decoded)
    }

    /// The reply in all that a provider sent, as a stream of events or at once.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(self, streamed: bool, bytes: &[u8]) -> Result<Reply, Error> {
        let body = if streamed {
            self.put_together(bytes)
        } else {
            serde_json::from_slice(bytes).map_err(|_| Fault::malformed("the reply is no JSON"))
        };
        let decoded = body.and_then(|body| self.decode(&body));
        decoded
            .map(|decoded| decoded.reply)
            .map_err(|fault| Error::new(fault.class, "it", fault.message))
    }

    /// The body that a stream of events amounts to.
    pub(crate) fn put_together(self, bytes: &[u8]) -> Result<Value, Fault> {
        let mut assembler = self.assembler();
        let all = [Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(bytes))];
        let mut events = futures_util::stream::iter(all).eventsource();
        // All of it is there, so nothing is ever waited for.
        while let Some(event) = events.next().now_or_never().flatten() {
            let event = event.map_err(|_| Fault::malformed("the stream is no stream of events"))?;
            if assembler.take(&event.event, &event.data)? {
                break;
            }
        }
        assembler.body()
    }

    /// Puts a stream together.
    pub(crate) fn assembler(self) -> Box<dyn Assembler> {
        match self {
            Self::Chat => Box::<chat::Chunks>::default(),
            Self::Responses => Box::<responses::Events>::default(),
            Self::Messages => Box::<messages::Events>::default(),
        }
    }
}

/// Takes the events of a stream until it is complete.
pub(crate) trait Assembler: Send {
    /// Takes one event; says whether it was the last.
    fn take(&mut self, event: &str, data: &str) -> Result<bool, Fault>;

    /// The body, once the stream has ended.
    fn body(self: Box<Self>) -> Result<Value, Fault>;
}

/// A reply that says nothing is none.
fn checked(decoded: Decoded) -> Result<Decoded, Fault> {
    let Reply { content, stop, usage, .. } = &decoded.reply;
    let says = content.iter().any(|part| match part {
        Content::Text { text } => !text.trim().is_empty(),
        Content::Call(_) => true,
        Content::Thinking { .. } | Content::Image { .. } | Content::Result { .. } => false,
    });
    if says || *stop == Stop::Length {
        return Ok(decoded);
    }
    let fault = Fault::malformed("the reply is empty");
    Err(if decoded.metered { fault.billed(*usage) } else { fault })
}

/// A tool call as its parts came; arguments that are no JSON object stay the text that they are.
fn tool_call(id: Option<&str>, n: usize, name: &str, arguments: &str) -> Result<ToolCall, Fault> {
    if name.is_empty() {
        return Err(Fault::malformed("a tool call names no tool"));
    }
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    let read = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    Ok(ToolCall {
        // Some servers give none, and then pair by order.
        id: id.filter(|id| !id.is_empty()).map_or_else(|| format!("call_{n}"), str::to_owned),
        name: name.to_owned(),
        arguments: read.unwrap_or_else(|| Value::String(arguments.to_owned())),
    })
}

/// Arguments as the text that providers of OpenAI's protocols want back.
fn arguments_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

fn event(data: &str) -> Result<Value, Fault> {
    serde_json::from_str(data).map_err(|_| Fault::malformed("an event of the stream is no JSON"))
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
