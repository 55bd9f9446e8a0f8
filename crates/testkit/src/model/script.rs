//! What the model server is asked and what it says, by rules that tests write as values and programs read as JSON.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Mind;

/// The protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// `/chat/completions`.
    Chat,
    /// `/responses`.
    Responses,
    /// `/messages`.
    Messages,
}

/// A request, as far as rules care.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// How it was asked.
    pub protocol: Protocol,
    /// The model's name.
    pub model: String,
    /// Everything that is said in it, in order: instructions, turns, tool results; one text each.
    pub texts: Vec<String>,
    /// How many of these are tool results.
    pub results: usize,
    /// The names of the tools on offer.
    pub tools: Vec<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: Value,
}

impl Asked {
    pub(super) fn read(path: &str, headers: BTreeMap<String, String>, body: &[u8]) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        let routes = [
            ("/chat/completions", Protocol::Chat),
            ("/responses", Protocol::Responses),
            ("/messages", Protocol::Messages),
        ];
        let (_, protocol) = routes.into_iter().find(|(route, _)| path.ends_with(route))?;
        let body: Value = serde_json::from_slice(body).ok()?;
        let (mut texts, mut results) = (Vec::new(), 0);
        for top in ["system", "instructions", "messages", "input"] {
            gather(&body[top], &mut texts, &mut results);
        }
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools =
            tools.filter_map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()));
        Some(Self {
            protocol,
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            texts,
            results,
            tools: tools.map(str::to_owned).collect(),
            stream: body["stream"] == true,
            headers,
            body,
        })
    }

    /// A number below 100,000 that stays the same through this conversation and is hardly that of another: which trial
    /// it is for.
    #[must_use]
    pub fn number(&self) -> u64 {
        let bytes = self.texts.iter().take(2).flat_map(|text| text.bytes());
        bytes.fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 100_000
    }

    /// All texts in one.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts.join("\n")
    }

    /// The last text: the latest tool result, or what the user said last.
    #[must_use]
    pub fn last(&self) -> &str {
        self.texts.last().map_or("", String::as_str)
    }
}

/// Collects what is said in a piece of a conversation.
fn gather(value: &Value, texts: &mut Vec<String>, results: &mut usize) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| gather(item, texts, results)),
        Value::Object(item) => {
            let of = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
            let result = of("role") == "tool"
                || matches!(of("type"), "tool_result" | "function_call_output");
            *results += usize::from(result);
            for part in ["text", "content", "output"] {
                if let Some(part) = item.get(part) {
                    gather(part, texts, results);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// It answers.
    Reply(Said),
    /// It fails.
    Fault(Fault),
}

impl Say {
    /// A reply of text alone.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Reply(Said { text: text.into(), ..Said::default() })
    }

    /// A reply that calls one tool.
    #[must_use]
    pub fn tool(name: &str, arguments: Value) -> Self {
        Self::tools([(name, arguments)])
    }

    /// A reply that calls several tools, by their names and arguments.
    #[must_use]
    pub fn tools<'a>(calls: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let call = |(name, arguments): (&str, Value)| ToolUse { name: name.to_owned(), arguments };
        Self::Reply(Said { calls: calls.into_iter().map(call).collect(), ..Said::default() })
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Said {
    /// What it thought, if it shows that.
    pub thinking: String,
    /// What it says.
    pub text: String,
    /// The tools it calls.
    pub calls: Vec<ToolUse>,
    /// Tokens read that came from a cache.
    pub cached: u64,
    /// Tokens read that went into a cache; Messages alone tells of them.
    pub written: u64,
    /// Tokens read besides; a quarter of the request's bytes where not given.
    pub input: Option<u64>,
    /// Tokens produced; a quarter of the reply's bytes where not given.
    pub output: Option<u64>,
    /// Whether it ran into the cap on output.
    pub cut_short: bool,
    /// Whether it says what it bills.
    pub unmetered: bool,
}

/// A call of a tool. Arguments that are a string are sent as that text, which need not be JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolUse {
    /// The tool.
    pub name: String,
    /// With what.
    pub arguments: Value,
}

/// The ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429, with a wait in milliseconds in the headers.
    RateLimited {
        /// The wait.
        after_ms: u64,
    },
    /// 429 that no waiting cures.
    OutOfQuota,
    /// 500.
    Broken,
    /// 529.
    Overloaded,
    /// An error in the midst of a stream, or, unstreamed, 529.
    OverloadedLate,
    /// 401.
    BadKey,
    /// 404 for the model.
    UnknownModel,
    /// 400 for a request too long, in the provider's words.
    ContextOverflow,
    /// A reply that declines.
    Declines,
    /// The connection closes in the midst of the reply.
    Truncated,
    /// The reply begins, and nothing more comes.
    Stalled,
    /// Nothing comes at all.
    Silent,
    /// A reply that says nothing.
    Empty,
    /// 200, and what comes is no JSON and no stream of events.
    Garbage,
    /// A tool call whose arguments are not JSON.
    MalformedCall,
    /// The connection closes instead of an answer.
    Reset,
    /// 302 to somewhere else.
    Redirect,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::RateLimited { after_ms: 20 },
        Self::OutOfQuota,
        Self::Broken,
        Self::Overloaded,
        Self::OverloadedLate,
        Self::BadKey,
        Self::UnknownModel,
        Self::ContextOverflow,
        Self::Declines,
        Self::Truncated,
        Self::Stalled,
        Self::Silent,
        Self::Empty,
        Self::Garbage,
        Self::MalformedCall,
        Self::Reset,
        Self::Redirect,
    ];
}

/// Which requests a rule answers; all that is named must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Texts that are in it.
    pub contains: Vec<String>,
    /// Texts that are not.
    pub lacks: Vec<String>,
    /// Texts that are in the last thing said.
    pub last_contains: Vec<String>,
    /// The model.
    pub model: Option<String>,
    /// How many tool results it carries.
    pub results: Option<usize>,
    /// A tool on offer.
    pub tool: Option<String>,
}

impl When {
    fn holds(&self, asked: &Asked) -> bool {
        let text = asked.text();
        self.contains.iter().all(|part| text.contains(part))
            && !self.lacks.iter().any(|part| text.contains(part))
            && self.last_contains.iter().all(|part| asked.last().contains(part))
            && self.model.as_ref().is_none_or(|model| *model == asked.model)
            && self.results.is_none_or(|results| results == asked.results)
            && self.tool.as_ref().is_none_or(|tool| asked.tools.contains(tool))
    }
}

/// A rule: what is said when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// When it answers.
    #[serde(default)]
    pub when: When,
    /// What, in turn; the last is repeated.
    pub say: Vec<Say>,
    /// How often it answers before it is passed over.
    #[serde(default)]
    pub times: Option<usize>,
}

/// Rules in order of precedence. A request that none answers is told that there is no such model.
#[derive(Debug, Default)]
pub struct Script {
    rules: Vec<Rule>,
    used: Mutex<BTreeMap<usize, usize>>,
}

impl Script {
    /// A script of these rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().collect(), used: Mutex::default() }
    }

    /// Answers everything by these, in turn; the last is repeated.
    #[must_use]
    pub fn always(say: impl IntoIterator<Item = Say>) -> Self {
        Self::new([Rule { when: When::default(), say: say.into_iter().collect(), times: None }])
    }
}

impl Mind for Script {
    fn answer(&self, asked: &Asked) -> Say {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for (n, rule) in self.rules.iter().enumerate() {
            let used = used.entry(n).or_default();
            if rule.when.holds(asked) && rule.times.is_none_or(|times| *used < times) {
                let say = rule.say.get(*used).or(rule.say.last());
                *used += 1;
                return say.cloned().unwrap_or(Say::Fault(Fault::Empty));
            }
        }
        Say::Fault(Fault::UnknownModel)
    }
}
