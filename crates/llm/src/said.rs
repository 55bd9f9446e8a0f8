//! A call as what was said in it, for people to read: bounded, without control characters, and data throughout.

use empiric_core::quote::{self, Keep};
use serde_json::Value;

use crate::{Content, Passed, Request, Role};

/// Who says something in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The instructions above it.
    System,
    /// Whoever asks.
    Harness,
    /// The model, in an earlier turn.
    Model,
    /// A tool that was called.
    Tool,
    /// A tool that refused.
    Refused,
    /// The model, in answer to this call.
    Reply,
    /// Nobody: the call gave nothing, and this is why.
    Failed,
}

impl Speaker {
    /// The name, in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Harness => "harness",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Refused => "refused",
            Self::Reply => "reply",
            Self::Failed => "failed",
        }
    }
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub who: Speaker,
    /// What.
    pub text: String,
}

/// What was said in a call, by the canonical bytes of request and answer, where they are known; no part longer than `most`
/// bytes. The first `shown` turns were told with the call before and are left out, unless the conversation was made shorter
/// since. Also says how many turns the request has.
#[must_use]
pub fn said(
    request: Option<&[u8]>,
    answer: Option<&[u8]>,
    shown: usize,
    most: usize,
) -> (Vec<Said>, usize) {
    let part = |who, text: &str| Said { who, text: quote::bounded(text, most, Keep::Head) };
    if let Some(passed) = request.zip(answer).and_then(|(asked, told)| Passed::read(asked, told)) {
        return other(&passed, shown, &part);
    }
    let mut all = Vec::new();
    let mut turns = 0;
    match request.map(|bytes| (bytes, serde_json::from_slice::<Request>(bytes))) {
        Some((_, Ok(request))) => {
            turns = request.turns.len();
            let from = if turns > shown { shown } else { 0 };
            if from == 0 && !request.system.is_empty() {
                all.push(part(Speaker::System, &request.system));
            }
            for turn in request.turns.iter().skip(from) {
                let who = if turn.role == Role::Model { Speaker::Model } else { Speaker::Harness };
                all.extend(turn.content.iter().map(|content| told(who, content, &part)));
            }
        }
        // In no language that is known: as it came.
        Some((bytes, Err(_))) => all.push(part(Speaker::Harness, &String::from_utf8_lossy(bytes))),
        None => all.push(part(
            Speaker::Failed,
            "what was asked cannot be read; `empiric verify` says why",
        )),
    }
    let answer =
        answer.map(|bytes| (bytes, serde_json::from_slice::<Value>(bytes).unwrap_or_default()));
    let Some((bytes, answer)) = answer else {
        all.push(part(Speaker::Failed, "what came back cannot be read; `empiric verify` says why"));
        return (all, turns);
    };
    let parts = answer.pointer("/ok/content").and_then(Value::as_array);
    let parts: Option<Vec<Content>> = parts.map(|parts| {
        parts.iter().filter_map(|part| serde_json::from_value(part.clone()).ok()).collect()
    });
    match (answer.pointer("/err/message").and_then(Value::as_str), parts) {
        (Some(why), _) => all.push(part(Speaker::Failed, why)),
        (None, Some(parts)) => {
            all.extend(parts.iter().map(|content| told(Speaker::Reply, content, &part)));
        }
        (None, None) => all.push(part(Speaker::Reply, &String::from_utf8_lossy(bytes))),
    }
    (all, turns)
}

/// What somebody else's agent asked and was told, in its own protocol.
fn other(
    passed: &Passed,
    shown: usize,
    part: &impl Fn(Speaker, &str) -> Said,
) -> (Vec<Said>, usize) {
    let turns = ["messages", "input", "contents"];
    let turns = turns.into_iter().find_map(|name| passed.request.get(name)?.as_array());
    let turns = turns.map_or(&[][..], Vec::as_slice);
    let from = if turns.len() > shown { shown } else { 0 };
    let mut all = Vec::new();
    for turn in turns.iter().skip(from) {
        let who = match turn.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => Speaker::System,
            Some("assistant" | "model") => Speaker::Model,
            Some("tool") => Speaker::Tool,
            Some(_) | None => Speaker::Harness,
        };
        all.push(part(who, &words(turn)));
    }
    all.push(match passed.status {
        Some(200..=299) => part(Speaker::Reply, &words(&passed.answer)),
        Some(status) => part(Speaker::Failed, &format!("{status}: {}", words(&passed.answer))),
        None => part(Speaker::Failed, "broken off"),
    });
    (all, turns.len())
}

/// The words in a piece of a conversation in any protocol; all of it where there are none.
fn words(value: &Value) -> String {
    fn gather(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
            Value::Object(members) => {
                let words =
                    ["text", "content", "parts", "message", "choices", "output", "candidates"];
                words.iter().filter_map(|name| members.get(*name)).for_each(|it| gather(it, found));
                let calls = ["input", "arguments", "functionCall", "tool_calls"];
                let calls = calls.iter().filter_map(|name| members.get(*name));
                found.extend(calls.filter(|it| !it.is_null()).map(ToString::to_string));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    gather(value, &mut found);
    if found.is_empty() { value.to_string() } else { found.join("\n") }
}

fn told(who: Speaker, content: &Content, part: &impl Fn(Speaker, &str) -> Said) -> Said {
    match content {
        Content::Text { text } => part(who, text),
        Content::Image { media_type, .. } => part(who, &format!("({media_type})")),
        Content::Thinking { .. } => part(who, "(thinking)"),
        Content::Call(call) => part(who, &format!("{} {}", call.name, call.arguments)),
        Content::Result { text, failed, .. } => {
            part(if *failed { Speaker::Refused } else { Speaker::Tool }, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{ToolCall, Turn};

    fn request(turns: Vec<Turn>) -> Vec<u8> {
        let model = "test/one".parse().unwrap();
        let request = Request { turns, ..Request::new(model, "be brief", "", 100) };
        serde_json::to_vec(&request).unwrap()
    }

    fn texts(said: &[Said]) -> Vec<(&str, &str)> {
        said.iter().map(|one| (one.who.name(), one.text.as_str())).collect()
    }

    #[test]
    fn a_conversation_is_told_once_however_often_it_is_sent() {
        let call = ToolCall { id: "1".to_owned(), name: "read".to_owned(), arguments: json!({}) };
        let asked = Turn::user("improve it");
        let called = Turn { role: Role::Model, content: vec![Content::Call(call)], cache: false };
        let refused = Content::Result {
            call: "1".to_owned(),
            text: "no \u{1b}[31msuch\u{7} file".to_owned(),
            failed: true,
        };
        let reply = serde_json::to_vec(
            &json!({"ok": {"content": [{"type": "text", "text": "done"}], "stop": "end"}}),
        )
        .unwrap();
        let first = request(vec![asked.clone()]);
        let (told, turns) = said(Some(&first), Some(&reply), 0, 100);
        let expected = [("system", "be brief"), ("harness", "improve it"), ("reply", "done")];
        assert_eq!((&texts(&told)[..], turns), (&expected[..], 1));
        let second = request(vec![asked, called, Turn::results([refused])]);
        let failed = br#"{"err": {"message": "overloaded"}}"#;
        let (told, turns) = said(Some(&second), Some(failed), turns, 100);
        assert_eq!(turns, 3);
        let expected =
            [("model", "read {}"), ("refused", "no such file"), ("failed", "overloaded")];
        assert_eq!(texts(&told), expected);
        // A conversation that was made shorter begins anew.
        assert_eq!(said(Some(&first), Some(&reply), turns, 100).0.len(), 3);
    }

    #[test]
    fn whatever_the_bytes_are_they_are_told_bounded() {
        let long = "x".repeat(10_000);
        for (request, answer) in [(None, None), (Some(long.as_bytes()), Some(&b"\xff{"[..]))] {
            let (told, turns) = said(request, answer, 5, 64);
            assert_eq!((told.len(), turns), (2, 0));
            assert!(told.iter().all(|one| one.text.len() <= 200), "{told:?}");
        }
    }
}
