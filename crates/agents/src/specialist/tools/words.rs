//! What tools are called with, and how a model is told of them.

use empiric_core::{Reach, Sketch, trial::Direction};
use empiric_llm::Tool;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::digest::Channels;

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// Path within the recipe.
    pub(super) path: String,
    /// First line, from 1.
    #[serde(default)]
    pub(super) from: Option<usize>,
    /// How many lines; at most 400.
    #[serde(default)]
    pub(super) lines: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// A regular expression, matched line by line.
    pub(super) pattern: String,
    /// Only in this file.
    #[serde(default)]
    pub(super) path: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replace {
    /// Path within the recipe.
    pub(super) path: String,
    /// Text that is in the file exactly once.
    pub(super) search: String,
    /// What comes in its place.
    pub(super) replace: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    /// Path within the recipe.
    pub(super) path: String,
    /// The whole file.
    pub(super) text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Path {
    /// Path within the recipe.
    pub(super) path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// A unified or git diff against the files as they are now.
    pub(super) patch: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trials {
    /// Only trials on this surface.
    #[serde(default)]
    pub(super) surface: Option<String>,
    /// Only trials that ended so: `keep`, `discard`, `inconclusive`, or a failure's name such as `exception`.
    #[serde(default)]
    pub(super) outcome: Option<String>,
    /// Only trials whose hypothesis has this word.
    #[serde(default)]
    pub(super) word: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    /// The trial, such as `t17`.
    pub(super) trial: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Two {
    /// The older trial, such as `t0`.
    pub(super) from: String,
    /// The newer trial.
    pub(super) to: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadTrial {
    /// The trial, such as `t17`.
    pub(super) trial: String,
    /// Path within its recipe.
    pub(super) path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddInsight {
    /// What was learnt, in one or two sentences.
    pub(super) text: String,
    /// Trials that ended and show it, such as `t17`.
    pub(super) trials: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fetch {
    /// The address, with https.
    pub(super) url: String,
    /// First line, from 1.
    #[serde(default)]
    pub(super) from: Option<usize>,
}

/// Hands the edit in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit {
    /// What is believed and why it is worth measuring, in one or two sentences.
    pub(super) hypothesis: String,
    /// Which way the metric will move.
    pub(super) direction: Direction,
    /// By how much, in the metric's unit.
    #[serde(default)]
    pub(super) size: Option<f64>,
    /// How far the change reaches.
    pub(super) reach: Reach,
    /// The idea of the library that it tries, such as `i3`.
    #[serde(default)]
    pub(super) idea: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GiveUp {
    /// Why there is nothing worth a trial here.
    pub(super) reason: String,
}

/// The tools that are open to the session, in a fixed order.
pub(in crate::specialist) fn open(channels: &Channels, web: &[String]) -> Vec<Tool> {
    let mut tools = vec![
        tool::<Nothing>(
            "list_files",
            "List the recipe's editable files with their sizes, and which of them you own.",
        ),
        tool::<Read>("read_file", "Read a file of the workspace, with line numbers."),
        tool::<Search>("search", "Find a regular expression in the workspace."),
        tool::<Replace>("replace", "Replace text that is in a file exactly once."),
        tool::<Write>("write_file", "Write a whole file; for new files and complete rewrites."),
        tool::<Path>("delete_file", "Delete a file."),
        tool::<Patch>("apply_patch", "Apply a unified diff to the workspace."),
        tool::<Nothing>("diff", "Show what you have changed so far."),
        tool::<Nothing>(
            "check",
            "Check the edit as handing it in would: syntax, ownership, size, repetition.",
        ),
        tool::<Nothing>(
            "estimate",
            "Say how large the edit is and how near the parent came to limits of size and time.",
        ),
        tool::<Nothing>(
            "smoke",
            "Run the task's first short stage on the edit; a few times a session.",
        ),
    ];
    if !web.is_empty() {
        let hosts = web.join(", ");
        tools.push(tool::<Fetch>("fetch", &format!("Read a page of the web as text, of {hosts}.")));
    }
    if channels.lineage() {
        tools.extend([
            tool::<Trials>("list_trials", "List earlier trials, newest first."),
            tool::<One>(
                "show_trial",
                "Show one trial: hypothesis, prediction, measurements, outcome.",
            ),
            tool::<Two>("diff_trials", "Show what changed between two trials."),
            tool::<ReadTrial>("read_trial", "Read a file as a trial had it."),
            tool::<One>(
                "rebase",
                "Start again from another trial; what you have edited is dropped.",
            ),
            tool::<AddInsight>(
                "add_insight",
                "Write down what trials taught, for everyone after you.",
            ),
        ]);
    }
    tools.extend([
        tool::<Sketch>("add_idea", "Put an idea into the library for a later trial."),
        tool::<Submit>(
            "submit",
            "Hand the edit in with its one hypothesis and prediction. Ends the session.",
        ),
        tool::<GiveUp>("give_up", "End the session without an edit."),
    ]);
    tools
}

fn tool<A: JsonSchema>(name: &str, description: &str) -> Tool {
    let mut parameters = schemars::schema_for!(A).to_value();
    if let Some(object) = parameters.as_object_mut() {
        // Providers want neither, and they are tokens.
        object.remove("$schema");
        object.remove("title");
        object.remove("description");
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    Tool { name: name.to_owned(), description: description.to_owned(), parameters }
}
