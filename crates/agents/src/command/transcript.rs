//! What agents print, read for people and for the record: their last words, how many steps they took, what failed.
//!
//! Every form is read with indulgence: a line or member that is not understood is passed over, since what counts is the
//! tree that an agent leaves.

use empiric_core::trial::{Direction, Prediction};
use serde_json::Value;

/// Most characters of a hypothesis, and of an error.
const LONGEST: usize = 600;

/// What an agent said and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// Its last message.
    pub text: String,
    /// Tools it used.
    pub steps: u32,
    /// What it calls this run.
    pub session: Option<String>,
    /// What it says went wrong.
    pub error: Option<String>,
}

impl Transcript {
    /// The hypothesis that it ends with: the line that says so, or its first words.
    #[must_use]
    pub fn hypothesis(&self) -> (String, Option<Prediction>) {
        let marked = |mark: &'static str| {
            let mut lines = self.text.lines().rev();
            lines
                .find_map(|line| line.split_once(mark))
                .map(|(_, said)| said.trim().trim_matches('*').trim())
        };
        let said =
            marked("HYPOTHESIS:").map(|said| said.split("PREDICTION:").next().unwrap_or(said));
        let first = || self.text.lines().map(str::trim).find(|line| !line.is_empty());
        let said = said.filter(|said| !said.trim().is_empty()).or_else(first);
        let text = bounded(said.unwrap_or("the agent does not say why"));
        (text, marked("PREDICTION:").and_then(prediction))
    }

    /// The end of its last message.
    #[must_use]
    pub fn last_words(&self) -> String {
        bounded(self.text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default())
    }
}

/// `loss decrease 0.02`, the number optional.
fn prediction(said: &str) -> Option<Prediction> {
    let mut words = said.split_whitespace();
    let metric = words.next()?.trim_matches('`').to_owned();
    let direction =
        match words.next()?.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().as_str() {
            "increase" | "increases" | "up" | "rise" => Direction::Increase,
            "decrease" | "decreases" | "down" | "fall" => Direction::Decrease,
            _ => return None,
        };
    let number =
        words.find_map(|word| word.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().ok());
    Some(Prediction {
        metric,
        direction,
        size: number.filter(|size| size.is_finite() && *size > 0.0),
    })
}

fn bounded(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// The lines that are JSON objects.
fn lines(stdout: &str) -> impl Iterator<Item = Value> {
    stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok())
        .filter(Value::is_object)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// `claude -p --output-format stream-json`: one JSON object a line, `system`, `assistant`, `user`, and at the end `result`.
pub(super) fn claude(stdout: &str) -> Transcript {
    let mut found = Transcript::default();
    for line in lines(stdout) {
        if found.session.is_none() {
            found.session = text(&line, "/session_id").map(str::to_owned);
        }
        match text(&line, "/type") {
            Some("assistant") => {
                for part in
                    line.pointer("/message/content").and_then(Value::as_array).into_iter().flatten()
                {
                    match text(part, "/type") {
                        Some("text") => {
                            found.text = text(part, "/text").unwrap_or_default().to_owned()
                        }
                        Some("tool_use") => found.steps += 1,
                        _ => {}
                    }
                }
            }
            Some("result") => {
                let said = text(&line, "/result").unwrap_or_default();
                let subtype = text(&line, "/subtype").unwrap_or("error");
                if line["is_error"] == true || subtype != "success" {
                    let why = if said.is_empty() { subtype } else { said };
                    found.error = Some(bounded(why));
                } else if !said.is_empty() {
                    found.text = said.to_owned();
                }
            }
            _ => {}
        }
    }
    found
}

/// `codex exec --json`: one event a line.
pub(super) fn codex(stdout: &str) -> Transcript {
    let mut found = Transcript::default();
    for line in lines(stdout) {
        match text(&line, "/type") {
            Some("thread.started") => found.session = text(&line, "/thread_id").map(str::to_owned),
            Some("item.completed") => match text(&line, "/item/type") {
                Some("agent_message") => {
                    found.text = text(&line, "/item/text").unwrap_or_default().to_owned()
                }
                Some("command_execution" | "file_change" | "mcp_tool_call" | "web_search") => {
                    found.steps += 1
                }
                _ => {}
            },
            Some("turn.failed") => found.error = text(&line, "/error/message").map(bounded),
            Some("error") => found.error = text(&line, "/message").map(bounded),
            // A connection that broke and was made again is told as an error, too.
            Some("turn.completed") => found.error = None,
            _ => {}
        }
    }
    found
}

/// `gemini --output-format json`: one JSON object, perhaps after words for people.
pub(super) fn gemini(stdout: &str) -> Transcript {
    let start = stdout.find('{').unwrap_or(stdout.len());
    let Ok(all) = serde_json::from_str::<Value>(stdout[start..].trim()) else {
        return Transcript::default();
    };
    Transcript {
        text: text(&all, "/response").unwrap_or_default().to_owned(),
        steps: all
            .pointer("/stats/tools/totalCalls")
            .and_then(Value::as_u64)
            .unwrap_or(0)
            .try_into()
            .unwrap_or(u32::MAX),
        session: text(&all, "/session_id").map(str::to_owned),
        error: text(&all, "/error/message").map(bounded),
    }
}

/// `opencode run --format json`: one event a line.
pub(super) fn opencode(stdout: &str) -> Transcript {
    let mut found = Transcript::default();
    for line in lines(stdout) {
        if found.session.is_none() {
            found.session = text(&line, "/sessionID").map(str::to_owned);
        }
        match text(&line, "/type") {
            Some("text") => found.text = text(&line, "/part/text").unwrap_or_default().to_owned(),
            Some("tool_use") => found.steps += 1,
            Some("error") => {
                let why = text(&line, "/error/data/message").or_else(|| text(&line, "/error/name"));
                found.error = why.map(bounded);
            }
            _ => {}
        }
    }
    found
}

/// `aider --no-pretty --no-stream`: words for people.
pub(super) fn aider(stdout: &str) -> Transcript {
    // What it says of itself, and the blocks of its edits, are not what its model says.
    const OWN: [&str; 12] = [
        "Aider v",
        "Main model:",
        "Weak model:",
        "Model:",
        "Git repo:",
        "Repo-map:",
        "Tokens:",
        "Applied edit to ",
        "Added ",
        "Using ",
        "Cost:",
        "Warning",
    ];
    let mut found = Transcript::default();
    let (mut said, mut fenced) = (Vec::new(), false);
    for line in stdout.lines() {
        if line.starts_with("Applied edit to ") {
            found.steps += 1;
        }
        if line.starts_with("litellm.") || line.starts_with("The API provider") {
            found.error = Some(bounded(line));
        }
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced && !OWN.iter().any(|own| line.starts_with(own)) {
            said.push(line);
        }
    }
    found.text = said.join("\n").trim().to_owned();
    if found.steps > 0 {
        found.error = None;
    }
    found
}
