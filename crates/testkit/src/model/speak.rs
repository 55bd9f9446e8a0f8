//! Answers in the three protocols, whole or as the events of a stream.

use std::{io, net::TcpStream};

use serde_json::{Value, json};

use super::{
    http,
    script::{Asked, Fault, Protocol, Said, Say, ToolUse},
};

/// Characters of a piece of streamed text.
const PIECE: usize = 7;

/// Says it; whether the connection can be used again.
pub(super) fn answer(connection: &mut TcpStream, asked: &Asked, say: Say) -> io::Result<bool> {
    match say {
        Say::Reply(said) => reply(connection, asked, &said).map(|()| true),
        Say::Fault(fault) => fail(connection, asked, fault),
    }
}

fn reply(connection: &mut TcpStream, asked: &Asked, said: &Said) -> io::Result<()> {
    if !asked.stream {
        return http::answer(connection, 200, &[], whole(asked, said).to_string().as_bytes());
    }
    http::begin_stream(connection)?;
    let stream = text_of(&events(asked, said));
    // Cut without regard to where events or even characters end.
    for piece in stream.as_bytes().chunks(stream.len() / 5 + 1) {
        http::chunk(connection, piece)?;
    }
    http::end_stream(connection)
}

fn fail(connection: &mut TcpStream, asked: &Asked, fault: Fault) -> io::Result<bool> {
    let mut refuse = |status, headers: &[(&str, String)], kind: &str, message: &str| {
        let body = error(asked.protocol, kind, message);
        http::answer(connection, status, headers, body.to_string().as_bytes()).map(|()| true)
    };
    let usual = || Said { text: "half of this is never said".to_owned(), ..Said::default() };
    match fault {
        Fault::RateLimited { after_ms } => {
            let seconds = after_ms.div_ceil(1000).to_string();
            let headers = [("retry-after", seconds), ("retry-after-ms", after_ms.to_string())];
            refuse(429, &headers, "rate_limit_error", "slow down")
        }
        Fault::OutOfQuota => refuse(429, &[], "insufficient_quota", "you have run out of credits"),
        Fault::Broken => refuse(500, &[], "api_error", "internal server error"),
        Fault::Overloaded => refuse(529, &[], "overloaded_error", "Overloaded"),
        Fault::BadKey => refuse(401, &[], "authentication_error", "invalid x-api-key"),
        Fault::UnknownModel => {
            refuse(404, &[], "not_found_error", &format!("model `{}` does not exist", asked.model))
        }
        Fault::ContextOverflow => {
            let (kind, message) = match asked.protocol {
                Protocol::Chat | Protocol::Responses => (
                    "context_length_exceeded",
                    "This model's maximum context length is 8192 tokens; your messages have 9000.",
                ),
                Protocol::Messages => {
                    ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
                }
            };
            refuse(400, &[], kind, message)
        }
        Fault::Redirect => {
            let elsewhere = [("location", "http://127.0.0.1:9/elsewhere".to_owned())];
            refuse(302, &elsewhere, "", "")
        }
        Fault::OverloadedLate if !asked.stream => {
            refuse(529, &[], "overloaded_error", "Overloaded")
        }
        Fault::OverloadedLate => {
            http::begin_stream(connection)?;
            let mut some = half(asked, &usual());
            some.push(late_error(asked.protocol));
            http::chunk(connection, text_of(&some).as_bytes())?;
            http::end_stream(connection).map(|()| true)
        }
        Fault::Declines => {
            let mut body = whole(asked, &Said::default());
            match asked.protocol {
                Protocol::Chat => body["choices"][0]["message"]["refusal"] = "I will not".into(),
                Protocol::Responses => {
                    body["output"] = json!([{"type": "message", "role": "assistant", "content": [
                        {"type": "refusal", "refusal": "I will not"},
                    ]}]);
                }
                Protocol::Messages => body["stop_reason"] = "refusal".into(),
            }
            http::answer(connection, 200, &[], body.to_string().as_bytes()).map(|()| true)
        }
        Fault::Truncated | Fault::Stalled if asked.stream => {
            http::begin_stream(connection)?;
            http::chunk(connection, text_of(&half(asked, &usual())).as_bytes())?;
            if fault == Fault::Stalled {
                http::linger(connection)?;
            }
            Ok(false)
        }
        Fault::Truncated => {
            let body = whole(asked, &usual()).to_string();
            http::answer(connection, 200, &[], &body.as_bytes()[..body.len() / 2]).map(|()| false)
        }
        Fault::Stalled | Fault::Silent => http::linger(connection).map(|()| false),
        Fault::Empty => reply(connection, asked, &Said::default()).map(|()| true),
        Fault::Garbage => {
            http::answer(connection, 200, &[], b"<html><body>It works!</body></html>")
                .map(|()| true)
        }
        Fault::MalformedCall => {
            let name = asked.tools.first().cloned().unwrap_or_else(|| "edit".to_owned());
            let arguments = Value::String("{\"path\": \"model.py\", \"tex".to_owned());
            let said = Said { calls: vec![ToolUse { name, arguments }], ..Said::default() };
            reply(connection, asked, &said).map(|()| true)
        }
        Fault::Reset => Ok(false),
    }
}

fn error(protocol: Protocol, kind: &str, message: &str) -> Value {
    match protocol {
        Protocol::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
        Protocol::Chat | Protocol::Responses => {
            json!({"error": {"type": kind, "code": kind, "message": message, "param": null}})
        }
    }
}

fn late_error(protocol: Protocol) -> Event {
    match protocol {
        Protocol::Chat => {
            Event("", json!({"error": {"type": "server_error", "message": "overloaded"}}))
        }
        Protocol::Responses => Event(
            "error",
            json!({"type": "error", "code": "server_error", "message": "overloaded"}),
        ),
        Protocol::Messages => {
            Event("error", error(Protocol::Messages, "overloaded_error", "Overloaded"))
        }
    }
}

/// Tokens read, from the cache and into it, and produced.
fn tokens(asked: &Asked, said: &Said) -> [u64; 4] {
    let quarter = |bytes: usize| (bytes as u64 / 4).max(1);
    let calls = said.calls.iter().map(|call| call.name.len() + call.arguments.to_string().len());
    let spoken = said.thinking.len() + said.text.len() + calls.sum::<usize>();
    [
        said.input.unwrap_or_else(|| quarter(asked.body.to_string().len())),
        said.cached,
        said.written,
        said.output.unwrap_or_else(|| quarter(spoken)),
    ]
}

fn usage(asked: &Asked, said: &Said) -> Value {
    let [input, cached, written, output] = tokens(asked, said);
    if said.unmetered {
        return Value::Null;
    }
    match asked.protocol {
        Protocol::Chat => json!({
            "prompt_tokens": input + cached, "completion_tokens": output, "total_tokens": input + cached + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }),
        Protocol::Responses => json!({
            "input_tokens": input + cached, "output_tokens": output, "total_tokens": input + cached + output,
            "input_tokens_details": {"cached_tokens": cached},
        }),
        Protocol::Messages => json!({
            "input_tokens": input, "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written, "output_tokens": output,
        }),
    }
}

/// Arguments as the text that carries them.
fn arguments(call: &ToolUse) -> String {
    call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned)
}

fn finish(said: &Said, words: [&'static str; 3]) -> &'static str {
    match said {
        Said { cut_short: true, .. } => words[2],
        Said { calls, .. } if !calls.is_empty() => words[1],
        Said { .. } => words[0],
    }
}

/// The whole body.
fn whole(asked: &Asked, said: &Said) -> Value {
    match asked.protocol {
        Protocol::Chat => {
            let mut message = json!({"role": "assistant", "content": said.text, "refusal": null});
            if !said.thinking.is_empty() {
                message["reasoning_content"] = said.thinking.clone().into();
            }
            if !said.calls.is_empty() {
                let call = |(n, call): (usize, &ToolUse)| {
                    json!({"id": format!("call_{n}"), "type": "function", "function": {
                        "name": call.name, "arguments": arguments(call),
                    }})
                };
                message["tool_calls"] = said.calls.iter().enumerate().map(call).collect();
            }
            let finish = finish(said, ["stop", "tool_calls", "length"]);
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "model": asked.model,
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": usage(asked, said),
            })
        }
        Protocol::Responses => {
            let mut output = Vec::new();
            if !said.thinking.is_empty() {
                output.push(json!({
                    "type": "reasoning", "id": "rs_1", "encrypted_content": format!("sealed:{}", said.thinking),
                    "summary": [{"type": "summary_text", "text": said.thinking}],
                }));
            }
            if !said.text.is_empty() {
                output.push(
                    json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [
                        {"type": "output_text", "text": said.text, "annotations": []},
                    ]}),
                );
            }
            for (n, call) in said.calls.iter().enumerate() {
                output.push(json!({
                    "type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"),
                    "name": call.name, "arguments": arguments(call),
                }));
            }
            let status = if said.cut_short { "incomplete" } else { "completed" };
            let details =
                if said.cut_short { json!({"reason": "max_output_tokens"}) } else { Value::Null };
            json!({
                "id": "resp_1", "object": "response", "model": asked.model, "status": status, "error": null,
                "incomplete_details": details, "output": output, "usage": usage(asked, said),
            })
        }
        Protocol::Messages => {
            let mut content = Vec::new();
            if !said.thinking.is_empty() {
                let signature = format!("signed:{}", said.thinking.len());
                content.push(
                    json!({"type": "thinking", "thinking": said.thinking, "signature": signature}),
                );
            }
            if !said.text.is_empty() {
                content.push(json!({"type": "text", "text": said.text}));
            }
            for (n, call) in said.calls.iter().enumerate() {
                content.push(json!({
                    "type": "tool_use", "id": format!("toolu_{n}"), "name": call.name, "input": call.arguments,
                }));
            }
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": asked.model, "content": content,
                "stop_reason": finish(said, ["end_turn", "tool_use", "max_tokens"]), "usage": usage(asked, said),
            })
        }
    }
}

/// One event of a stream: its name, where it has one, and its data.
struct Event(&'static str, Value);

fn text_of(events: &[Event]) -> String {
    let event = |Event(name, data): &Event| match (*name, data.as_str()) {
        ("", Some(plain)) => format!("data: {plain}\n\n"),
        ("", None) => format!("data: {data}\n\n"),
        (name, _) => format!("event: {name}\ndata: {data}\n\n"),
    };
    events.iter().map(event).collect()
}

/// The first half of a stream.
fn half(asked: &Asked, said: &Said) -> Vec<Event> {
    let mut all = events(asked, said);
    all.truncate(all.len() / 2);
    all
}

/// The whole stream.
fn events(asked: &Asked, said: &Said) -> Vec<Event> {
    match asked.protocol {
        Protocol::Chat => chat(asked, said),
        Protocol::Responses => responses(asked, said),
        Protocol::Messages => messages(asked, said),
    }
}

fn pieces(text: &str) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(PIECE).map(|piece| piece.iter().collect()).collect()
}

fn chat(asked: &Asked, said: &Said) -> Vec<Event> {
    let chunk = |delta: Value, finish: Value| {
        Event(
            "",
            json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": asked.model, "usage": null,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }),
        )
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    let deltas = |member: &'static str, text: &str| {
        pieces(text).into_iter().map(move |piece| json!({ (member): piece })).collect::<Vec<_>>()
    };
    for delta in
        deltas("reasoning_content", &said.thinking).into_iter().chain(deltas("content", &said.text))
    {
        events.push(chunk(delta, Value::Null));
    }
    for (n, call) in said.calls.iter().enumerate() {
        let begun = json!({"tool_calls": [{"index": n, "id": format!("call_{n}"), "type": "function", "function": {
            "name": call.name, "arguments": "",
        }}]});
        events.push(chunk(begun, Value::Null));
        for piece in pieces(&arguments(call)) {
            let more = json!({"tool_calls": [{"index": n, "function": {"arguments": piece}}]});
            events.push(chunk(more, Value::Null));
        }
    }
    events.push(chunk(json!({}), finish(said, ["stop", "tool_calls", "length"]).into()));
    if asked.body["stream_options"]["include_usage"] == true {
        events.push(Event("", json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": asked.model, "choices": [],
            "usage": usage(asked, said),
        })));
    }
    events.push(Event("", "[DONE]".into()));
    events
}

fn responses(asked: &Asked, said: &Said) -> Vec<Event> {
    let event = |name: &'static str, mut data: Value| {
        data["type"] = name.into();
        Event(name, data)
    };
    let body = whole(asked, said);
    let mut begun = body.clone();
    (begun["status"], begun["output"], begun["usage"]) =
        ("in_progress".into(), json!([]), Value::Null);
    let mut events = vec![event("response.created", json!({ "response": begun }))];
    for (n, item) in body["output"].as_array().into_iter().flatten().enumerate() {
        events.push(event("response.output_item.added", json!({"output_index": n, "item": item})));
        if item["type"] == "message" {
            for piece in pieces(&said.text) {
                let delta = json!({"output_index": n, "delta": piece});
                events.push(event("response.output_text.delta", delta));
            }
        }
        events.push(event("response.output_item.done", json!({"output_index": n, "item": item})));
    }
    let last = if said.cut_short { "response.incomplete" } else { "response.completed" };
    events.push(event(last, json!({ "response": body })));
    events
}

fn messages(asked: &Asked, said: &Said) -> Vec<Event> {
    let event = |name: &'static str, mut data: Value| {
        data["type"] = name.into();
        Event(name, data)
    };
    let body = whole(asked, said);
    let mut begun = body.clone();
    (begun["content"], begun["stop_reason"]) = (json!([]), Value::Null);
    begun["usage"]["output_tokens"] = 1.into();
    let mut events =
        vec![event("message_start", json!({ "message": begun })), event("ping", json!({}))];
    for (n, block) in body["content"].as_array().into_iter().flatten().enumerate() {
        let kind = block["type"].as_str().unwrap_or_default();
        let mut empty = block.clone();
        let (member, delta, text) = match kind {
            "thinking" => ("thinking", "thinking_delta", said.thinking.clone()),
            "text" => ("text", "text_delta", said.text.clone()),
            _ => ("partial_json", "input_json_delta", String::new()),
        };
        let text = if kind == "tool_use" {
            empty["input"] = json!({});
            block["input"].as_str().map_or_else(|| block["input"].to_string(), str::to_owned)
        } else {
            empty[member] = "".into();
            text
        };
        if kind == "thinking" {
            empty["signature"] = "".into();
        }
        events.push(event("content_block_start", json!({"index": n, "content_block": empty})));
        for piece in pieces(&text) {
            let piece = json!({"type": delta, (member): piece});
            events.push(event("content_block_delta", json!({"index": n, "delta": piece})));
        }
        if kind == "thinking" {
            let signature = json!({"type": "signature_delta", "signature": block["signature"]});
            events.push(event("content_block_delta", json!({"index": n, "delta": signature})));
        }
        events.push(event("content_block_stop", json!({ "index": n })));
    }
    let usage = json!({"output_tokens": body["usage"]["output_tokens"]});
    let delta = json!({"stop_reason": body["stop_reason"], "stop_sequence": null});
    events.push(event("message_delta", json!({"delta": delta, "usage": usage})));
    events.push(event("message_stop", json!({})));
    events
}
