//! OpenAI's Responses.

use empiric_core::Usage;
use serde_json::{Value, json};

use super::{
    Assembler, Decoded, Fault, Manner, arguments_text, chat, data_url, event, items, number, text,
    tool_call,
};
use crate::{Class, Content, Reply, Request, Role, Stop, Wire};

pub(super) fn encode(request: &Request, manner: Manner) -> Value {
    let input: Vec<Value> = request.turns.iter().flat_map(turn).collect();
    let mut body = json!({
        "model": request.model.model(),
        "input": input,
        "max_output_tokens": request.max_output,
        // The conversation is kept here and nowhere else.
        "store": false,
    });
    if !request.system.is_empty() {
        body["instructions"] = request.system.clone().into();
    }
    if manner.stream {
        body["stream"] = true.into();
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::Tool| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.parameters, "strict": false,
            })
        };
        body["tools"] = request.tools.iter().map(tool).collect();
        body["tool_choice"] = chat::choice(request.choice).into();
    }
    if let Some(format) = &request.format {
        body["text"] = json!({"format": {
            "type": "json_schema", "name": format.name, "schema": format.schema, "strict": true,
        }});
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(thinking) = request.thinking {
        body["reasoning"] = json!({"effort": chat::effort(thinking)});
        // Without it thoughts cannot be handed back, since they are not stored.
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    body
}

fn turn(turn: &crate::Turn) -> Vec<Value> {
    let (mut items, mut parts) = (Vec::new(), Vec::new());
    for part in &turn.content {
        match part {
            Content::Text { text } if turn.role == Role::User => {
                parts.push(json!({"type": "input_text", "text": text}));
            }
            Content::Text { text } => items.push(json!({
                "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}],
            })),
            Content::Image { media_type, data } => {
                parts.push(json!({"type": "input_image", "image_url": data_url(media_type, data)}));
            }
            // A thought that is neither stored nor carried along would be refused.
            Content::Thinking { wire: Wire::Responses, block } if block["encrypted_content"].is_string() => {
                items.push(block.clone());
            }
            Content::Thinking { .. } => {}
            Content::Call(call) => items.push(json!({
                "type": "function_call", "call_id": call.id, "name": call.name,
                "arguments": arguments_text(&call.arguments),
            })),
            Content::Result { call, text, .. } => items.push(json!({
                "type": "function_call_output", "call_id": call, "output": text,
            })),
        }
    }
    if !parts.is_empty() {
        items.push(json!({"type": "message", "role": "user", "content": parts}));
    }
    items
}

pub(super) fn decode(body: &Value) -> Result<Decoded, Fault> {
    let usage = usage(body);
    let bill = |fault: Fault| match usage {
        Some(usage) => fault.billed(usage),
        None => fault,
    };
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(bill(Fault::in_reply(error)));
    }
    let declined =
        |message: &str| bill(Fault { class: Class::Declined, ..Fault::malformed(message) });
    let Some(output) = body["output"].as_array() else {
        return Err(Fault::malformed("the reply has no output"));
    };
    let mut content = Vec::new();
    for (n, item) in output.iter().enumerate() {
        match text(item, "/type") {
            "message" => {
                for part in items(item, "/content") {
                    match text(part, "/type") {
                        "refusal" => return Err(declined(text(part, "/refusal"))),
                        "output_text" => {
                            content.push(Content::Text { text: text(part, "/text").to_owned() })
                        }
                        _ => {}
                    }
                }
            }
            "reasoning" => {
                content.push(Content::Thinking { wire: Wire::Responses, block: item.clone() })
            }
            "function_call" => {
                let call = tool_call(
                    item["call_id"].as_str(),
                    n,
                    text(item, "/name"),
                    text(item, "/arguments"),
                );
                content.push(Content::Call(call.map_err(bill)?));
            }
            _ => {}
        }
    }
    let called = content.iter().any(|part| matches!(part, Content::Call(_)));
    let stop = match (text(body, "/status"), text(body, "/incomplete_details/reason")) {
        ("incomplete", "content_filter") => {
            return Err(declined("the provider filtered the reply"));
        }
        ("incomplete", _) => Stop::Length,
        _ if called => Stop::Tools,
        _ => Stop::Done,
    };
    let model = text(body, "/model").to_owned();
    let reply = Reply { content, stop, usage: usage.unwrap_or_default(), model };
    Ok(Decoded { reply, metered: usage.is_some() })
}

fn usage(body: &Value) -> Option<Usage> {
    let usage = body.get("usage").filter(|usage| usage.is_object())?;
    let read = number(usage, "/input_tokens")?;
    let cached = number(usage, "/input_tokens_details/cached_tokens").unwrap_or(0).min(read);
    let output = number(usage, "/output_tokens").unwrap_or(0);
    Some(Usage { input: read - cached, cached, written: 0, output })
}

/// A stream of events, the last of which holds the whole response.
#[derive(Debug, Default)]
pub(super) struct Events {
    response: Option<Value>,
}

impl Assembler for Events {
    fn take(&mut self, name: &str, data: &str) -> Result<bool, Fault> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let data = event(data)?;
        let kind = data["type"].as_str().unwrap_or(name);
        match kind {
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.response = Some(data["response"].clone());
                Ok(true)
            }
            "error" => Err(Fault::in_reply(data.get("error").unwrap_or(&data))),
            _ => Ok(false),
        }
    }

    fn body(self: Box<Self>) -> Result<Value, Fault> {
        self.response.ok_or_else(|| Fault::malformed("the stream is cut off"))
    }
}
