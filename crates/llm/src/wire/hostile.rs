//! Servers that answer anything at all: every part of an honest answer replaced by every other kind of thing.

use serde_json::{Value, json};

use crate::Wire;

/// Events of an honest stream, by protocol.
fn stream(wire: Wire) -> Vec<Value> {
    match wire {
        Wire::Chat => vec![
            json!({"model": "m", "choices": [{"delta": {"role": "assistant", "content": "a", "reasoning": "b",
                "reasoning_details": [{"text": "c"}]}, "finish_reason": null}]}),
            json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "i",
                "function": {"name": "n", "arguments": "{}"}}]}, "finish_reason": null}]}),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}}),
        ],
        Wire::Messages => vec![
            json!({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1,
                "content_block": {"type": "tool_use", "id": "i", "name": "n", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
            json!({"type": "message_stop"}),
        ],
        Wire::Responses => vec![json!({"type": "response.completed", "response": {"model": "m",
            "status": "completed", "incomplete_details": {"reason": "max_output_tokens"}, "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                {"type": "function_call", "call_id": "i", "name": "n", "arguments": "{}"}],
            "usage": {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 2}}}})],
    }
}

/// The paths of all that is in `value`.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| paths(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            let each = items.iter().enumerate();
            each.for_each(|(n, value)| paths(value, &format!("{at}/{n}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a protocol makes of a stream; whether it is a reply.
fn read(wire: Wire, events: &[Value]) -> bool {
    let mut assembler = wire.assembler();
    for event in events {
        match assembler.take("", &event.to_string()) {
            Ok(false) => {}
            Ok(true) => break,
            Err(_) => return false,
        }
    }
    assembler.body().is_ok_and(|body| wire.decode(&body).is_ok())
}

#[test]
fn whatever_a_server_says_is_a_reply_or_a_fault() {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("x"),
        json!([]),
        json!([[1]]),
        json!({}),
        json!({"x": {}}),
    ];
    for wire in [Wire::Chat, Wire::Responses, Wire::Messages] {
        let honest = stream(wire);
        assert!(read(wire, &honest), "{wire:?}");
        for at in 0..honest.len() {
            let mut without = honest.clone();
            let event = without.remove(at);
            read(wire, &without);
            let mut places = Vec::new();
            paths(&event, "", &mut places);
            for place in &places {
                for other in &others {
                    let mut stream = honest.clone();
                    *stream[at].pointer_mut(place).unwrap() = other.clone();
                    read(wire, &stream);
                    // The same twice, and after its end.
                    stream.insert(at, stream[at].clone());
                    read(wire, &stream);
                    if let Some(body) = stream[at].pointer(place) {
                        wire.decode(body).ok();
                    }
                }
            }
        }
    }
}
