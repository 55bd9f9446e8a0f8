//! One request and one reply, whatever the provider. Passive data; their JSON is what is recorded.

use empiric_core::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelId;

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which model.
    pub model: ModelId,
    /// Instructions that stand above the conversation.
    pub system: String,
    /// Whether system text and tools are worth keeping in the provider's prompt cache.
    pub cache: bool,
    /// The conversation; it begins with the user's turn.
    pub turns: Vec<Turn>,
    /// Tools that may be called.
    pub tools: Vec<Tool>,
    /// Whether a tool has to be.
    pub choice: Choice,
    /// The shape that the text of the reply must have.
    pub format: Option<Format>,
    /// Most tokens of the reply, thinking included.
    pub max_output: u32,
    /// Sampling temperature; the provider's own where none.
    pub temperature: Option<f64>,
    /// How much to think first; the provider's own measure where none.
    pub thinking: Option<Thinking>,
}

impl Request {
    /// A request with one user turn, no tools, and at most `max_output` tokens of reply.
    #[must_use]
    pub fn new(
        model: ModelId,
        system: impl Into<String>,
        user: impl Into<String>,
        max_output: u32,
    ) -> Self {
        Self {
            model,
            system: system.into(),
            cache: false,
            turns: vec![Turn::user(user)],
            tools: Vec::new(),
            choice: Choice::Auto,
            format: None,
            max_output,
            temperature: None,
            thinking: None,
        }
    }

    /// A bound on the tokens that a provider counts as its input. Every token of a byte-level tokenizer stands for at
    /// least one byte, so bytes bound them; what frames turns and tools adds [`FRAME`] each, and an image at most
    /// [`IMAGE`].
    #[must_use]
    pub fn input_bound(&self) -> u64 {
        let json = |value: &Value| value.to_string().len();
        let content = |content: &Content| match content {
            Content::Text { text } => text.len(),
            Content::Image { .. } => IMAGE,
            Content::Thinking { block, .. } => json(block),
            Content::Call(call) => call.id.len() + call.name.len() + json(&call.arguments),
            Content::Result { call, text, .. } => call.len() + text.len(),
        };
        let turns =
            self.turns.iter().flat_map(|turn| &turn.content).map(|part| content(part) + FRAME);
        let tools = self
            .tools
            .iter()
            .map(|tool| tool.name.len() + tool.description.len() + json(&tool.parameters) + FRAME);
        let format =
            self.format.iter().map(|format| format.name.len() + json(&format.schema) + FRAME);
        // Providers put instructions of their own before tools: Anthropic's are below 600 tokens.
        let preamble = FRAME + if self.tools.is_empty() { 0 } else { 1_000 };
        let bytes: usize =
            turns.chain(tools).chain(format).sum::<usize>() + self.system.len() + preamble;
        bytes as u64
    }
}

/// Tokens that the frame of a turn, part or tool is counted as.
pub const FRAME: usize = 32;
/// Tokens that an image is counted as; providers scale images down to fewer.
pub const IMAGE: usize = 6_000;

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Whose.
    pub role: Role,
    /// What was said, in order.
    pub content: Vec<Content>,
    /// Whether the prompt up to here is worth keeping in the provider's cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cache: bool,
}

impl Turn {
    /// A user's text.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, content: vec![Content::Text { text: text.into() }], cache: false }
    }

    /// The answers to a turn's tool calls.
    #[must_use]
    pub fn results(results: impl IntoIterator<Item = Content>) -> Self {
        Self { role: Role::User, content: results.into_iter().collect(), cache: false }
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ours, tool results among it.
    User,
    /// The model's.
    Model,
}

/// A part of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, for models that see.
    Image {
        /// Such as `image/png`.
        media_type: String,
        /// Its bytes in base64.
        data: String,
    },
    /// What a model thought; goes back to the same provider as it came, or not at all.
    Thinking {
        /// The wire that it came by.
        wire: Wire,
        /// As it came, signatures and encrypted parts included.
        block: Value,
    },
    /// The model calls a tool.
    Call(ToolCall),
    /// What the tool answered.
    Result {
        /// The id of the call.
        call: String,
        /// What it answered.
        text: String,
        /// Whether it failed.
        failed: bool,
    },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The provider's id of the call, repeated by its result.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments; not checked against the tool's schema. A JSON object, or where the model wrote none that can be
    /// read, its text as a string: the caller answers that with a failed result.
    pub arguments: Value,
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// Whether a tool has to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// As the model sees fit.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// None.
    None,
}

/// The shape of a structured reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// What it is called.
    pub name: String,
    /// Its JSON Schema.
    pub schema: Value,
}

/// How much a model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What it said: text, thinking and tool calls in order. Appended to the conversation as it is.
    pub content: Vec<Content>,
    /// Why it ended.
    pub stop: Stop,
    /// What was billed.
    pub usage: Usage,
    /// The model that answered, in the provider's words.
    pub model: String,
}

impl Reply {
    /// Its text parts as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|part| match part {
            Content::Text { text } => Some(text.as_str()),
            Content::Image { .. }
            | Content::Thinking { .. }
            | Content::Call(_)
            | Content::Result { .. } => None,
        });
        texts.collect()
    }

    /// The tools it calls.
    pub fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|part| match part {
            Content::Call(call) => Some(call),
            Content::Text { .. }
            | Content::Image { .. }
            | Content::Thinking { .. }
            | Content::Result { .. } => None,
        })
    }

    /// Its turn, for the conversation to go on from.
    #[must_use]
    pub fn turn(&self) -> Turn {
        Turn { role: Role::Model, content: self.content.clone(), cache: false }
    }
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model had said everything.
    Done,
    /// It waits for the results of its tool calls.
    Tools,
    /// It reached `max_output`; the last part may be cut off.
    Length,
}

/// The protocols spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// OpenAI's Chat Completions, which most servers speak.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}
