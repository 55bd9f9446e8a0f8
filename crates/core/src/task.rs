//! What is asked: the validated form of `task.toml`, with every default filled in.
//!
//! Paths are relative to the task's directory and use `/`. Reading and diagnostics live in `empiric-tasks`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Gate, Metric, Provenance, Splits};

/// A task: recipe, evaluator, data, metric, gates, limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Short name.
    pub name: String,
    /// One line saying what is improved.
    pub summary: String,
    /// The code under improvement.
    pub recipe: Recipe,
    /// Named parts of the recipe; may be empty.
    pub surfaces: Vec<Surface>,
    /// How programs are run.
    pub environment: Environment,
    /// Makes the data, once.
    pub prepare: Option<Vec<String>>,
    /// Data directories.
    pub data: Vec<Data>,
    /// Globs of recipe files that count as part of the artefact (`artifact_bytes`).
    pub artifact_code: Vec<String>,
    /// Commands of the evaluation, cheap ones first; at least one.
    pub stages: Vec<Stage>,
    /// Recipe code that the evaluator questions over a pipe.
    pub predictor: Option<Command>,
    /// The trusted scorer. Without one the metric is read from the last stage's output and is self-reported.
    pub evaluator: Option<Command>,
    /// What is improved.
    pub metric: Metric,
    /// What else is worth having: trials that no other one beats on all of these and the metric are archived. Verdicts are
    /// made on the metric alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<Metric>,
    /// Splits that Empiric makes; without it they are the evaluator's business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<Splits>,
    /// Regular expression with one group, for a self-reported metric that is printed in another form.
    pub pattern: Option<String>,
    /// Hard constraints.
    pub gates: Vec<Gate>,
    /// Bounds of what can be believed: a trial beyond one crosses [`RedLine::Jump`](crate::RedLine::Jump).
    #[serde(default)]
    pub plausible: Vec<Gate>,
    /// What recipe code may reach.
    pub network: Network,
    /// Data listing files of the installation that recipe code must not read; it then runs in a compiled copy of the
    /// environment, without sources.
    #[serde(default)]
    pub hide: Option<String>,
}

impl Task {
    /// GPUs that a slot needs: the most that any of its units asks for.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        let stages = self.stages.iter().map(|stage| &stage.command);
        let others = self.evaluator.iter().chain(&self.predictor);
        stages.chain(others).map(|command| command.limits.gpus).max().unwrap_or(0)
    }

    /// Who vouches for the task's metric: the harness for resource metrics, else the evaluator, else the recipe.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        if self.is_harness_metric(&self.metric.name) {
            Provenance::Harness
        } else if self.evaluator.is_some() {
            Provenance::Evaluator
        } else {
            Provenance::Recipe
        }
    }

    /// Whether `name` is measured by Empiric itself: `artifact_bytes`, or `<unit>.wall_seconds`, `<unit>.cpu_seconds`,
    /// `<unit>.peak_memory_bytes` of a declared stage or of the predictor.
    #[must_use]
    pub fn is_harness_metric(&self, name: &str) -> bool {
        name == ARTIFACT_BYTES
            || name.split_once('.').is_some_and(|(unit, resource)| {
                UNIT_RESOURCES.contains(&resource) && self.units().any(|name| name == unit)
            })
    }

    /// Names of the units that run recipe code: the stages, then the predictor.
    pub fn units(&self) -> impl Iterator<Item = &str> {
        let predictor = self.predictor.as_ref().map(|_| PREDICTOR);
        self.stages.iter().map(|stage| stage.name.as_str()).chain(predictor)
    }
}

/// The harness metric counting the bytes of the artefact.
pub const ARTIFACT_BYTES: &str = "artifact_bytes";
/// The name of the unit that the predictor is.
pub const PREDICTOR: &str = "predictor";
/// The harness metrics of each stage and of the predictor, after its name and a dot.
pub const UNIT_RESOURCES: [&str; 3] = ["wall_seconds", "cpu_seconds", "peak_memory_bytes"];

/// The code under improvement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// Its directory.
    pub root: String,
    /// [`Globs`](crate::Globs) that proposers may edit; everything else is protected.
    pub edit: Vec<String>,
    /// Whether stages may write beside the recipe's files (into a copy that is thrown away).
    pub writable: bool,
    /// Largest size of one edited file, bytes.
    pub max_file_bytes: u64,
    /// Most bytes of data that an edit may bring in with the code; beyond, it fails. Without it, much data is a reason
    /// for a quarantine.
    #[serde(default)]
    pub max_data_bytes: Option<u64>,
}

/// A named part of the recipe that one specialist owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Surface {
    /// Its name.
    pub name: String,
    /// Globs, or `file#Symbol`.
    pub owns: Vec<String>,
    /// What it is about.
    pub brief: String,
}

/// How programs are run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Version requirement of Python, such as `>=3.10`.
    pub python: Option<String>,
    /// Requirements file.
    pub requirements: Option<String>,
    /// Variables set for every command.
    pub vars: BTreeMap<String, String>,
}

/// One data directory or file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    /// Its path; it appears as `$EMPIRIC_DATA/<last component>`.
    pub path: String,
    /// Who may read it.
    pub visible: Visible,
}

/// Who may read a piece of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visible {
    /// Recipe and evaluator.
    All,
    /// The evaluator alone.
    Evaluator,
}

/// One named command of the evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Its name: `check`, `smoke`, `train`, or another.
    pub name: String,
    /// What runs.
    #[serde(flatten)]
    pub command: Command,
}

/// A command and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Program and arguments.
    pub run: Vec<String>,
    /// Limits.
    pub limits: Limits,
}

/// Limits of one command. Absent ones do not bind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Wall-clock seconds.
    pub wall_s: f64,
    /// CPU seconds of the whole process tree.
    pub cpu_s: Option<f64>,
    /// Bytes of memory of the whole process tree.
    pub memory: Option<u64>,
    /// Processes and threads at one time.
    pub processes: Option<u32>,
    /// Bytes written below the output directory.
    pub disk: Option<u64>,
    /// Bytes printed to standard output and error together.
    pub output: u64,
    /// GPUs the command needs.
    pub gpus: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_s: 3600.0,
            cpu_s: None,
            memory: None,
            processes: Some(1024),
            disk: Some(10 << 30),
            output: 64 << 20,
            gpus: 0,
        }
    }
}

/// What recipe code may reach over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// The sandbox's own loopback.
    Loopback,
    /// The host's network.
    Full,
}
