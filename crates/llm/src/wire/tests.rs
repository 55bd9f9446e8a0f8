//! What providers send is other people's input: it is understood, or it is a fault, and never a panic.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Class;

const WIRES: [Wire; 3] = [Wire::Chat, Wire::Responses, Wire::Messages];

#[test]
fn refusals_mean_what_servers_mean_by_them() {
    let body = |kind: &str, message: &str| {
        json!({"error": {"type": kind, "message": message}}).to_string()
    };
    for (status, body, class) in [
        (
            400,
            body(
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 9 + 2 > 10",
            ),
            Class::ContextOverflow,
        ),
        (400, body("exceed_context_size_error", "too big"), Class::ContextOverflow),
        (
            400,
            "the request exceeds the available context size (4096 tokens)".to_owned(),
            Class::ContextOverflow,
        ),
        (413, String::new(), Class::ContextOverflow),
        (400, body("content_policy_violation", "no"), Class::Declined),
        (400, body("invalid_request_error", "temperature: unknown"), Class::Rejected),
        (422, "{\"detail\": []}".to_owned(), Class::Rejected),
        (403, body("permission_error", "not yours"), Class::Auth),
        (429, body("insufficient_quota", "pay first"), Class::Auth),
        (429, body("rate_limit_error", "slow down"), Class::RateLimited { after_ms: Some(7) }),
        (503, "<html>".to_owned(), Class::Overloaded { after_ms: Some(7) }),
    ] {
        let fault = of_status(status, Some(7), &body);
        assert_eq!((fault.class, fault.bill), (class, Bill::Nothing), "{status} {body}");
    }
}

#[test]
fn newer_models_measure_their_thoughts_themselves() {
    for (model, adapts) in [
        ("claude-opus-4-6", true),
        ("claude-opus-4-7-20260401", true),
        ("claude-sonnet-5", true),
        ("claude-fable-5-1", true),
        ("claude-sonnet-4-5-20250929", false),
        ("claude-3-7-sonnet-20250219", false),
        ("claude-opus-4-20250514", false),
        ("something", false),
    ] {
        assert_eq!(messages::adapts(model), adapts, "{model}");
    }
}

#[test]
fn small_servers_leave_things_out() {
    // No ids, no usage, arguments as an object, whole calls in one piece.
    let body = json!({"choices": [{"finish_reason": "stop", "message": {"content": null, "tool_calls": [
        {"function": {"name": "edit", "arguments": {"path": "a"}}},
        {"function": {"name": "edit", "arguments": ""}},
    ]}}]});
    let Decoded { reply, metered } = Wire::Chat.decode(&body).unwrap();
    let calls: Vec<_> = reply.calls().map(|call| (call.id.as_str(), &call.arguments)).collect();
    assert_eq!(calls, [("call_0", &json!({"path": "a"})), ("call_1", &json!({}))]);
    assert_eq!((reply.stop, metered), (Stop::Tools, false));
    let mut stream = Wire::Chat.assembler();
    let piece = json!({"choices": [{"delta": {"tool_calls": [{"id": "x", "function": {"name": "edit", "arguments": "{}"}}]}}]});
    stream.take("", &piece.to_string()).unwrap();
    stream
        .take("", &json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}).to_string())
        .unwrap();
    let reply = Wire::Chat.decode(&stream.body().unwrap()).unwrap().reply;
    assert_eq!(
        reply.calls().count(),
        1,
        "a stream that ends without [DONE] but with its reason is whole"
    );
}

/// JSON whose members are those that the protocols look for.
fn hostile() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "choices",
        "message",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "index",
        "delta",
        "type",
        "text",
        "output",
        "error",
        "usage",
        "prompt_tokens",
        "finish_reason",
        "content_block",
        "response",
        "status",
        "input",
        "thinking",
        "reasoning_details",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "response.completed",
        "tool_use",
        "input_json_delta",
        "partial_json",
        "stop_reason",
        "output_text",
        "function_call",
        "call_id",
        "refusal",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_and_no_stream_makes_anything_panic(
        body in hostile(),
        events in prop::collection::vec(hostile(), 0..8),
        text in ".{0,40}",
    ) {
        for wire in WIRES {
            wire.decode(&body).ok();
            wire.decode(&json!({"choices": [{"message": body}], "content": [body], "output": [body]})).ok();
            let mut stream = wire.assembler();
            for event in &events {
                stream.take(event["type"].as_str().unwrap_or_default(), &event.to_string()).ok();
            }
            stream.take("", &text).ok();
            if let Ok(body) = stream.body() {
                wire.decode(&body).ok();
            }
        }
        of_status(400, None, &body.to_string());
        of_status(500, None, &text);
    }
}
