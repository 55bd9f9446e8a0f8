//! Anthropic's Messages.

use empiric_core::Usage;
use serde_json::{Value, json};

use super::{Assembler, Decoded, Fault, Manner, event, number, text, tool_call};
use crate::{Choice, Class, Content, Reply, Request, Role, Stop, Thinking, Turn, Wire};

/// Tokens of thought, for models that want a number: the least that is taken, and by measure.
const LEAST_THOUGHT: u32 = 1_024;
const THOUGHT: [(Thinking, u32); 3] =
    [(Thinking::Low, 2_048), (Thinking::Medium, 8_192), (Thinking::High, 24_576)];

pub(super) fn encode(request: &Request, manner: Manner) -> Value {
    let messages: Vec<Value> = request.turns.iter().map(turn).collect();
    let mut body = json!({
        "model": request.model.model(),
        "max_tokens": request.max_output,
        "messages": messages,
    });
    if !request.system.is_empty() {
        let mut block = json!({"type": "text", "text": request.system});
        mark(&mut block, request.cache);
        body["system"] = json!([block]);
    }
    if manner.stream {
        body["stream"] = true.into();
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::Tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters});
        let mut tools: Vec<Value> = request.tools.iter().map(tool).collect();
        // Tools come before the system text, whose mark covers them where there is one.
        if let Some(last) = tools.last_mut() {
            mark(last, request.cache && request.system.is_empty());
        }
        body["tools"] = tools.into();
        body["tool_choice"] = json!({"type": match request.choice {
            Choice::Auto => "auto",
            Choice::Required => "any",
            Choice::None => "none",
        }});
    }
    if let Some(format) = &request.format {
        body["output_config"]["format"] = json!({"type": "json_schema", "schema": format.schema});
    }
    match request.thinking {
        // A temperature and thinking exclude each other.
        Some(thinking) if adapts(request.model.model()) => {
            body["thinking"] = json!({"type": "adaptive"});
            body["output_config"]["effort"] = super::chat::effort(thinking).into();
        }
        Some(thinking) if request.max_output > LEAST_THOUGHT => {
            let wanted = THOUGHT.into_iter().find(|(measure, _)| *measure == thinking);
            let most = request.max_output - 1;
            let tokens =
                wanted.map_or(LEAST_THOUGHT, |(_, tokens)| tokens).min(most).max(LEAST_THOUGHT);
            body["thinking"] = json!({"type": "enabled", "budget_tokens": tokens});
        }
        Some(_) | None => {
            if let Some(temperature) = request.temperature {
                body["temperature"] = temperature.into();
            }
        }
    }
    body
}

/// Whether a model measures its thoughts itself: those from version 4.6 on, of which the newest take no number any more.
/// Versions stand in names as `claude-opus-4-7`, `claude-3-7-sonnet-20250219`, `claude-sonnet-5`.
pub(super) fn adapts(model: &str) -> bool {
    let numbers = model.split(['-', '.', '@', ':']).filter_map(|word| word.parse::<u32>().ok());
    // What is longer than two digits is a date.
    let mut version = numbers.skip_while(|n| *n >= 100).take_while(|n| *n < 100);
    let Some(major) = version.next() else { return false };
    (major, version.next().unwrap_or(0)) >= (4, 6)
}

/// Marks a block as the end of what is worth caching.
fn mark(block: &mut Value, cache: bool) {
    if cache {
        block["cache_control"] = json!({"type": "ephemeral"});
    }
}

fn turn(turn: &Turn) -> Value {
    let mut blocks: Vec<Value> = turn.content.iter().filter_map(block).collect();
    // A thought may not be marked.
    let last = blocks.iter_mut().rev().find(|block| !text(block, "/type").ends_with("thinking"));
    if let Some(last) = last {
        mark(last, turn.cache);
    }
    let role = match turn.role {
        Role::User => "user",
        Role::Model => "assistant",
    };
    json!({"role": role, "content": blocks})
}

fn block(part: &Content) -> Option<Value> {
    Some(match part {
        // Empty text is refused.
        Content::Text { text } if text.is_empty() => return None,
        Content::Text { text } => json!({"type": "text", "text": text}),
        Content::Image { media_type, data } => json!({"type": "image", "source": {
            "type": "base64", "media_type": media_type, "data": data,
        }}),
        Content::Thinking { wire: Wire::Messages, block } => block.clone(),
        Content::Thinking { .. } => return None,
        Content::Call(call) => {
            let input = if call.arguments.is_object() {
                call.arguments.clone()
            } else {
                json!({"unreadable": call.arguments})
            };
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
        }
        Content::Result { call, text, failed } => json!({
            "type": "tool_result", "tool_use_id": call, "content": text, "is_error": failed,
        }),
    })
}

pub(super) fn decode(body: &Value) -> Result<Decoded, Fault> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(Fault::in_reply(error));
    }
    let Some(blocks) = body["content"].as_array() else {
        return Err(Fault::malformed("the reply has no content"));
    };
    let usage = usage(&body["usage"]);
    let bill = |fault: Fault| match usage {
        Some(usage) => fault.billed(usage),
        None => fault,
    };
    let mut content = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        match text(block, "/type") {
            "text" => content.push(Content::Text { text: text(block, "/text").to_owned() }),
            "thinking" | "redacted_thinking" => {
                content.push(Content::Thinking { wire: Wire::Messages, block: block.clone() });
            }
            "tool_use" => {
                let arguments = super::arguments_text(&block["input"]);
                let call = tool_call(block["id"].as_str(), n, text(block, "/name"), &arguments);
                content.push(Content::Call(call.map_err(bill)?));
            }
            _ => {}
        }
    }
    let fault = |class, message| Err(bill(Fault { class, ..Fault::malformed(message) }));
    let stop = match text(body, "/stop_reason") {
        "refusal" => return fault(Class::Declined, "the model declines"),
        "model_context_window_exceeded" => {
            return fault(
                Class::ContextOverflow,
                "the reply ran into the end of the context window",
            );
        }
        "max_tokens" => Stop::Length,
        "tool_use" => Stop::Tools,
        _ if content.iter().any(|part| matches!(part, Content::Call(_))) => Stop::Tools,
        _ => Stop::Done,
    };
    let model = text(body, "/model").to_owned();
    let reply = Reply { content, stop, usage: usage.unwrap_or_default(), model };
    Ok(Decoded { reply, metered: usage.is_some() })
}

fn usage(usage: &Value) -> Option<Usage> {
    let input = number(usage, "/input_tokens")?;
    let count = |pointer| number(usage, pointer).unwrap_or(0);
    Some(Usage {
        input,
        cached: count("/cache_read_input_tokens"),
        written: count("/cache_creation_input_tokens"),
        output: count("/output_tokens"),
    })
}

/// What a stream begins with: an object, to which the rest is added.
fn object(begun: &Value) -> Result<Value, Fault> {
    if begun.is_object() {
        return Ok(begun.clone());
    }
    Err(Fault::malformed("the stream begins something that is no object"))
}

/// A stream of events: a message, its blocks piece by piece, what ended it.
#[derive(Debug, Default)]
pub(super) struct Events {
    message: Option<Value>,
    /// The block under way: its place, and the text of its input as far as it came.
    input: Option<(usize, String)>,
    over: bool,
}

impl Events {
    fn block(&mut self, at: usize) -> Result<&mut Value, Fault> {
        let blocks = self.message.as_mut().and_then(|message| message["content"].as_array_mut());
        blocks
            .and_then(|blocks| blocks.get_mut(at))
            .ok_or_else(|| Fault::malformed("the stream speaks of a block that it did not begin"))
    }

    fn delta(&mut self, at: usize, delta: &Value) -> Result<(), Fault> {
        let member = match text(delta, "/type") {
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "signature_delta" => "signature",
            "input_json_delta" => {
                let piece = text(delta, "/partial_json");
                match &mut self.input {
                    Some((held, input)) if *held == at => input.push_str(piece),
                    _ => self.input = Some((at, piece.to_owned())),
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let piece = text(delta, &format!("/{member}")).to_owned();
        let into = &mut self.block(at)?[member];
        if let Value::String(text) = into {
            text.push_str(&piece);
        } else {
            *into = piece.into();
        }
        Ok(())
    }
}

impl Assembler for Events {
    fn take(&mut self, name: &str, data: &str) -> Result<bool, Fault> {
        let data = event(data)?;
        let at = number(&data, "/index").and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        match data["type"].as_str().unwrap_or(name) {
            "message_start" => {
                let mut message = object(&data["message"])?;
                message["content"] = json!([]);
                self.message = Some(message);
            }
            "content_block_start" => {
                let blocks =
                    self.message.as_mut().and_then(|message| message["content"].as_array_mut());
                let Some(blocks) = blocks else {
                    return Err(Fault::malformed("the stream begins a block before its message"));
                };
                blocks.push(object(&data["content_block"])?);
            }
            "content_block_delta" => self.delta(at, &data["delta"])?,
            "content_block_stop" => {
                if let Some((at, input)) = self.input.take() {
                    let read = serde_json::from_str(&input).unwrap_or(Value::String(input));
                    self.block(at)?["input"] = read;
                }
            }
            "message_delta" => {
                let Some(message) = &mut self.message else {
                    return Err(Fault::malformed(
                        "the stream ends a message that it did not begin",
                    ));
                };
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                let usage = &mut message["usage"];
                if !usage.is_object() {
                    *usage = json!({});
                }
                // Counts are of all so far, and those that are not repeated stay.
                for (member, count) in data["usage"].as_object().into_iter().flatten() {
                    if !count.is_null() {
                        usage[member] = count.clone();
                    }
                }
            }
            "message_stop" => {
                self.over = true;
                return Ok(true);
            }
            "error" => return Err(Fault::in_reply(&data["error"])),
            _ => {}
        }
        Ok(false)
    }

    fn body(self: Box<Self>) -> Result<Value, Fault> {
        match self.message {
            Some(message) if self.over => Ok(message),
            Some(_) | None => Err(Fault::malformed("the stream is cut off")),
        }
    }
}
