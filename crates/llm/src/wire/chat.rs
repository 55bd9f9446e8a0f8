//! OpenAI's Chat Completions, as OpenAI, vLLM, Ollama, llama.cpp, OpenRouter and many others speak it.

use empiric_core::Usage;
use serde_json::{Map, Value, json};

use super::{
    Assembler, Decoded, Fault, Manner, arguments_text, data_url, event, items, number, text,
    tool_call,
};
use crate::{Choice, Class, Content, Reply, Request, Role, Stop, Thinking, Turn, Wire};

/// Members of a message in which servers put what the model thought.
const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning_details", "reasoning"];

pub(super) fn encode(request: &Request, manner: Manner) -> Value {
    let mut messages = Vec::new();
    if !request.system.is_empty() {
        messages.push(json!({"role": "system", "content": request.system}));
    }
    for turn in &request.turns {
        match turn.role {
            Role::User => user(turn, &mut messages),
            Role::Model => messages.push(model(turn)),
        }
    }
    let mut body = json!({"model": request.model.model(), "messages": messages});
    let most = if manner.completion_tokens { "max_completion_tokens" } else { "max_tokens" };
    body[most] = request.max_output.into();
    if manner.stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::Tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            }})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
        body["tool_choice"] = choice(request.choice).into();
    }
    if let Some(format) = &request.format {
        body["response_format"] = json!({"type": "json_schema", "json_schema": {
            "name": format.name, "schema": format.schema, "strict": true,
        }});
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(thinking) = request.thinking {
        body["reasoning_effort"] = effort(thinking).into();
    }
    body
}

pub(super) fn choice(choice: Choice) -> &'static str {
    match choice {
        Choice::Auto => "auto",
        Choice::Required => "required",
        Choice::None => "none",
    }
}

pub(super) fn effort(thinking: Thinking) -> &'static str {
    match thinking {
        Thinking::Low => "low",
        Thinking::Medium => "medium",
        Thinking::High => "high",
    }
}

/// A user's turn: tool results are messages of their own, before the rest.
fn user(turn: &Turn, messages: &mut Vec<Value>) {
    let mut parts = Vec::new();
    for part in &turn.content {
        match part {
            Content::Result { call, text, .. } => {
                messages.push(json!({"role": "tool", "tool_call_id": call, "content": text}));
            }
            Content::Text { text } => parts.push(json!({"type": "text", "text": text})),
            Content::Image { media_type, data } => {
                let url = data_url(media_type, data);
                parts.push(json!({"type": "image_url", "image_url": {"url": url}}));
            }
            Content::Thinking { .. } | Content::Call(_) => {}
        }
    }
    match parts.as_slice() {
        [] => {}
        // Many small servers know only the plain form.
        [one] if one["type"] == "text" => {
            messages.push(json!({"role": "user", "content": one["text"]}))
        }
        _ => messages.push(json!({"role": "user", "content": parts})),
    }
}

/// The model's own turn, its thoughts in the members that they came in.
fn model(turn: &Turn) -> Value {
    let mut message = json!({"role": "assistant"});
    let (mut said, mut calls) = (String::new(), Vec::new());
    for part in &turn.content {
        match part {
            Content::Text { text } => said.push_str(text),
            Content::Call(call) => {
                calls.push(json!({"id": call.id, "type": "function", "function": {
                    "name": call.name, "arguments": arguments_text(&call.arguments),
                }}))
            }
            Content::Thinking { wire: Wire::Chat, block } => {
                for (member, thought) in block.as_object().into_iter().flatten() {
                    message[member] = thought.clone();
                }
            }
            Content::Thinking { .. } | Content::Image { .. } | Content::Result { .. } => {}
        }
    }
    message["content"] =
        if said.is_empty() && !calls.is_empty() { Value::Null } else { said.into() };
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

pub(super) fn decode(body: &Value) -> Result<Decoded, Fault> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(Fault::in_reply(error));
    }
    let Some(choice) = body.pointer("/choices/0") else {
        return Err(Fault::malformed("the reply has no choice"));
    };
    let usage = usage(body);
    let bill = |fault: Fault| match usage {
        Some(usage) => fault.billed(usage),
        None => fault,
    };
    let message = &choice["message"];
    let mut content = Vec::new();
    let thoughts: Map<String, Value> = THOUGHTS
        .into_iter()
        .filter_map(|member| Some((member.to_owned(), message.get(member)?.clone())))
        .filter(|(_, thought)| !thought.is_null() && *thought != "" && *thought != json!([]))
        .collect();
    if !thoughts.is_empty() {
        content.push(Content::Thinking { wire: Wire::Chat, block: thoughts.into() });
    }
    let refusal = text(message, "/refusal");
    let whole = message["content"].as_str().unwrap_or_default().to_owned();
    let parts = items(message, "/content").iter().map(|part| text(part, "/text"));
    let said = parts.fold(whole, |said, part| said + part);
    if !said.is_empty() {
        content.push(Content::Text { text: said });
    }
    for (n, call) in items(message, "/tool_calls").iter().enumerate() {
        let given = &call["function"]["arguments"];
        let arguments = if given.is_null() { String::new() } else { arguments_text(given) };
        let call = tool_call(call["id"].as_str(), n, text(call, "/function/name"), &arguments);
        content.push(Content::Call(call.map_err(bill)?));
    }
    let called = content.iter().any(|part| matches!(part, Content::Call(_)));
    let stop = match text(choice, "/finish_reason") {
        "content_filter" => {
            return Err(declined(bill(Fault::malformed("the provider filtered the reply"))));
        }
        _ if !refusal.is_empty() => return Err(declined(bill(Fault::malformed(refusal)))),
        "length" => Stop::Length,
        _ if called => Stop::Tools,
        _ => Stop::Done,
    };
    let model = text(body, "/model").to_owned();
    let reply = Reply { content, stop, usage: usage.unwrap_or_default(), model };
    Ok(Decoded { reply, metered: usage.is_some() })
}

fn declined(fault: Fault) -> Fault {
    Fault { class: Class::Declined, ..fault }
}

/// What was billed; `prompt_tokens` has what came from the cache in it.
fn usage(body: &Value) -> Option<Usage> {
    let usage = body.get("usage").filter(|usage| usage.is_object())?;
    let read = number(usage, "/prompt_tokens")?;
    let cached = number(usage, "/prompt_tokens_details/cached_tokens")
        .or_else(|| number(usage, "/prompt_cache_hit_tokens"))
        .unwrap_or(0)
        .min(read);
    let output = number(usage, "/completion_tokens").unwrap_or(0);
    Some(Usage { input: read - cached, cached, written: 0, output })
}

/// A stream of chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    message: Map<String, Value>,
    calls: Vec<Value>,
    finish: Value,
    usage: Value,
    model: Value,
    done: bool,
}

impl Chunks {
    /// Adds a piece of text to a text member.
    fn append(into: &mut Value, piece: &str) {
        if let Value::String(text) = into {
            text.push_str(piece);
        } else {
            *into = piece.into();
        }
    }

    fn delta(&mut self, delta: &Map<String, Value>) {
        for (member, piece) in delta {
            match (member.as_str(), piece) {
                ("tool_calls", Value::Array(pieces)) => {
                    pieces.iter().for_each(|piece| self.call(piece))
                }
                (_, Value::String(piece)) if member != "role" => {
                    Self::append(self.message.entry(member).or_insert(Value::Null), piece);
                }
                ("reasoning_details", Value::Array(pieces)) => {
                    let held = self.message.entry(member).or_insert_with(|| json!([]));
                    if let Value::Array(held) = held {
                        held.extend(pieces.iter().cloned());
                    }
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, piece: &Value) {
        // Most of the calls that a reply may make; an index beyond is nobody's honest mistake.
        const MOST: usize = 256;
        let named = !text(piece, "/id").is_empty();
        let next = if named { self.calls.len() } else { self.calls.len().saturating_sub(1) };
        let at =
            number(piece, "/index").and_then(|index| usize::try_from(index).ok()).unwrap_or(next);
        if at >= MOST {
            return;
        }
        while self.calls.len() <= at {
            self.calls.push(json!({"id": "", "function": {"name": "", "arguments": ""}}));
        }
        let call = &mut self.calls[at];
        for (from, to) in
            [("/id", "id"), ("/function/name", "name"), ("/function/arguments", "arguments")]
        {
            let into = if to == "id" { &mut call["id"] } else { &mut call["function"][to] };
            let piece = text(piece, from);
            // Some servers repeat id and name with every piece.
            if to == "arguments" || into.as_str().is_some_and(str::is_empty) {
                Self::append(into, piece);
            }
        }
    }
}

impl Assembler for Chunks {
    fn take(&mut self, _: &str, data: &str) -> Result<bool, Fault> {
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(true);
        }
        let chunk = event(data)?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(Fault::in_reply(error));
        }
        if self.model.is_null() {
            self.model = chunk["model"].clone();
        }
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].clone();
        }
        if let Some(choice) = chunk.pointer("/choices/0") {
            if let Some(delta) = choice["delta"].as_object() {
                self.delta(delta);
            }
            if choice["finish_reason"].is_string() {
                self.finish = choice["finish_reason"].clone();
            }
        }
        Ok(false)
    }

    fn body(self: Box<Self>) -> Result<Value, Fault> {
        if self.finish.is_null() {
            return Err(Fault::malformed(if self.done {
                "the stream ends without a reason"
            } else {
                "the stream is cut off"
            }));
        }
        let mut message = Value::Object(self.message);
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.into();
        }
        Ok(json!({
            "model": self.model,
            "choices": [{"message": message, "finish_reason": self.finish}],
            "usage": self.usage,
        }))
    }
}
