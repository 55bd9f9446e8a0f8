//! `task.toml` as written: one struct per table. The published schema, the structural check and the reference all
//! come from these definitions; nothing is validated here beyond shape.

use std::{collections::BTreeMap, ops::Range};

use empiric_core::{
    Goal,
    task::{Network, Visible},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use toml::Spanned;

use crate::units::{Bytes, Seconds};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct At<T>(Spanned<T>);

impl<T> At<T> {
    pub(crate) fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub(crate) fn span(&self) -> Option<Range<usize>> {
        Some(self.0.span())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A program and its arguments.
pub(crate) type Argv = At<Vec<At<String>>>;

// Required fields are optional for serde: the structural check has reported those that are missing, and validation
// goes on with the rest.

/// A task: the code under improvement, how it is measured, and what may be changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "task.toml")]
pub(crate) struct Input {
    /// Version of this format.
    #[schemars(required, example = 1)]
    pub(crate) schema: Option<At<i64>>,
    /// Short name: letters, digits, `-` and `_`.
    #[schemars(required, example = &"golf")]
    pub(crate) name: Option<At<String>>,
    /// One line saying what is improved.
    pub(crate) summary: Option<String>,
    /// The code under improvement.
    #[schemars(required)]
    pub(crate) recipe: Option<RecipeTable>,
    /// Named parts of the recipe, each owned by one specialist.
    #[serde(default)]
    pub(crate) surface: Vec<SurfaceTable>,
    /// How programs are run. Without it, programs run with what is installed.
    pub(crate) environment: Option<EnvironmentTable>,
    /// Makes the data, once.
    pub(crate) prepare: Option<PrepareTable>,
    /// Data directories and files; each appears as `$EMPIRIC_DATA/<last component>`.
    #[serde(default)]
    pub(crate) data: Vec<DataTable>,
    /// What counts as part of the artefact beside the files that the last stage leaves in `$EMPIRIC_OUT`.
    pub(crate) artifact: Option<ArtifactTable>,
    /// Commands of the evaluation, cheap ones first; at least one.
    #[serde(default)]
    pub(crate) stage: Vec<StageTable>,
    /// Recipe code that the evaluator questions over a pipe.
    pub(crate) predictor: Option<CommandTable>,
    /// The trusted scorer, run in the task's directory. Without it the metric is read from the last stage's output
    /// and is marked as self-reported.
    pub(crate) evaluator: Option<CommandTable>,
    /// What is improved.
    #[schemars(required)]
    pub(crate) metric: Option<MetricTable>,
    /// What else is worth having: trials that none other beats on all objectives are archived. Verdicts are made on the
    /// metric alone.
    #[serde(default)]
    pub(crate) objective: Vec<At<ObjectiveTable>>,
    /// Splits that Empiric makes, for an evaluator that scores item by item.
    pub(crate) splits: Option<At<SplitsTable>>,
    /// Hard constraints on metrics.
    #[serde(default)]
    pub(crate) gate: Vec<At<GateTable>>,
    /// What can be believed: a trial whose mean of a metric lies beyond one is not measured, it cheats.
    #[serde(default)]
    pub(crate) plausible: Vec<At<GateTable>>,
    /// What recipe code may reach.
    pub(crate) sandbox: Option<SandboxTable>,
}

/// The code under improvement.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeTable {
    /// Its directory, from the task's directory, or from the top of the `git` repository. Default: `recipe`, or the
    /// top of the repository.
    #[schemars(example = &"recipe")]
    pub(crate) root: Option<At<String>>,
    /// Repository to take the recipe from, at `rev`.
    pub(crate) git: Option<At<String>>,
    /// Commit, tag or branch of `git`; fetched once and then kept.
    #[schemars(example = &"v1.0")]
    pub(crate) rev: Option<At<String>>,
    /// Globs of files that proposers may edit, from `root`; everything else is protected. `*` stays within one
    /// directory, `**` crosses them.
    #[schemars(required, example = list("*.py"))]
    pub(crate) edit: Option<At<Vec<At<String>>>>,
    /// Globs of files to keep protected although `edit` names them.
    #[serde(default)]
    #[schemars(example = list("vendor/**"))]
    pub(crate) protect: Vec<At<String>>,
    /// Whether stages may write beside the recipe's files, in a copy that is thrown away. Default: false.
    #[schemars(example = false)]
    pub(crate) writable: Option<bool>,
    /// Largest size of one edited file. Default: 1MiB.
    #[schemars(example = &"1MiB")]
    pub(crate) max_file_size: Option<At<Bytes>>,
    /// Most data that an edit may bring in with the code: long strings, lists of literals, files that are no source.
    /// Beyond, it fails. Default: none, but 2 KiB and more are measured twice before they are kept.
    #[schemars(example = &"2KiB")]
    pub(crate) max_data: Option<At<Bytes>>,
}

/// A named part of the recipe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SurfaceTable {
    /// Its name.
    #[schemars(required, example = &"model")]
    pub(crate) name: Option<At<String>>,
    /// Globs, or `file#Symbol`.
    #[schemars(required, example = list("model.py"))]
    pub(crate) owns: Option<At<Vec<At<String>>>>,
    /// What it is about.
    pub(crate) brief: Option<String>,
}

/// How programs are run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTable {
    /// Version requirement of Python.
    #[schemars(example = &">=3.10")]
    pub(crate) python: Option<At<String>>,
    /// Requirements file, installed once into an environment that trials can only read.
    #[schemars(example = &"requirements.txt")]
    pub(crate) requirements: Option<At<String>>,
    /// Variables set for every command.
    pub(crate) vars: Option<At<BTreeMap<String, String>>>,
}

/// Makes the data, once. Runs in the task's directory and writes below `$EMPIRIC_DATA`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrepareTable {
    /// Program and arguments.
    #[schemars(required, example = python("prepare.py"))]
    pub(crate) run: Option<Argv>,
    /// Limits.
    pub(crate) limits: Option<PrepareLimits>,
}

/// Limits of `[prepare]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrepareLimits {
    /// Wall-clock time. Default: 10m.
    #[schemars(example = &"10m")]
    pub(crate) wall: Option<At<Seconds>>,
}

/// One data directory or file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataTable {
    /// Its path from the task's directory; with `[prepare]`, `data/` stands for `$EMPIRIC_DATA`.
    #[schemars(required, example = &"data/public")]
    pub(crate) path: Option<At<String>>,
    /// Who may read it. Default: all.
    pub(crate) visible: Option<At<Visible>>,
}

/// What counts as part of the artefact.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArtifactTable {
    /// Globs of recipe files whose bytes count towards `artifact_bytes`.
    #[serde(default)]
    #[schemars(example = list("*.py"))]
    pub(crate) code: Vec<At<String>>,
}

/// One named command of the evaluation. It runs in the recipe's directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageTable {
    /// Its name, such as `check`, `smoke` or `train`.
    #[schemars(required, example = &"train")]
    pub(crate) name: Option<At<String>>,
    /// Program and arguments.
    #[schemars(required, example = python("train.py"))]
    pub(crate) run: Option<Argv>,
    /// Limits.
    pub(crate) limits: Option<LimitsTable>,
}

/// A command and its limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandTable {
    /// Program and arguments.
    #[schemars(required, example = python("evaluate.py"))]
    pub(crate) run: Option<Argv>,
    /// Limits.
    pub(crate) limits: Option<LimitsTable>,
}

/// Limits of one command.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsTable {
    /// Wall-clock time. Default: 1h.
    #[schemars(example = &"60s")]
    pub(crate) wall: Option<At<Seconds>>,
    /// CPU time of the whole process tree. Default: none.
    #[schemars(example = &"60s")]
    pub(crate) cpu: Option<At<Seconds>>,
    /// Memory of the whole process tree. Default: none.
    #[schemars(example = &"2GiB")]
    pub(crate) memory: Option<At<Bytes>>,
    /// Processes and threads at one time. Default: 1024.
    #[schemars(example = 64)]
    pub(crate) processes: Option<At<u32>>,
    /// Bytes written below the output directory. Default: 10GiB.
    #[schemars(example = &"1GiB")]
    pub(crate) disk: Option<At<Bytes>>,
    /// Bytes printed. Default: 64MiB.
    #[schemars(example = &"64MiB")]
    pub(crate) output: Option<At<Bytes>>,
    /// GPUs the command needs. Default: 0.
    #[schemars(example = 1)]
    pub(crate) gpus: Option<u32>,
}

/// What is improved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricTable {
    /// Its name: one that the evaluator reports, `artifact_bytes`, or `wall_seconds`, `cpu_seconds` or
    /// `peak_memory_bytes` after a stage or `predictor` and a dot.
    #[schemars(required, example = &"loss")]
    pub(crate) name: Option<At<String>>,
    /// Which way is better.
    #[schemars(required)]
    pub(crate) goal: Option<Goal>,
    /// Unit shown beside values.
    #[schemars(example = &"s")]
    pub(crate) unit: Option<String>,
    /// Without `[evaluator]`: regular expression whose one group is the value, for output that is neither
    /// `METRIC name=value` nor the name followed by `:` or `=` and a number.
    #[schemars(example = &"loss is ([0-9.]+)")]
    pub(crate) pattern: Option<At<String>>,
}

/// Another number worth improving.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectiveTable {
    /// Metric name.
    #[schemars(required, example = &"artifact_bytes")]
    pub(crate) metric: Option<At<String>>,
    /// Which way is better.
    #[schemars(required)]
    pub(crate) goal: Option<Goal>,
    /// Unit shown beside values.
    #[schemars(example = &"bytes")]
    pub(crate) unit: Option<String>,
}

/// How the items of the evaluation are dealt to the splits `search`, `select` and `report`: once, after `[prepare]`.
/// The evaluator alone is told, by the file in `$EMPIRIC_SPLITS`; it may leave the splits alone, score every item in
/// `scores`, and have Empiric take the means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitsTable {
    /// The table of items: CSV (`.tsv`: tabs) with a line of column names, in data with `visible = "evaluator"`.
    #[schemars(required, example = &"data/hidden/items.csv")]
    pub(crate) items: Option<At<String>>,
    /// Column that tells items apart. Default: id.
    #[schemars(example = &"id")]
    pub(crate) id: Option<At<String>>,
    /// Share of the items that proposers see the scores of, in proportion to the others. Default: 1.
    #[schemars(example = 1)]
    pub(crate) search: Option<At<f64>>,
    /// Share that verdicts are made on. Default: 1.
    #[schemars(example = 1)]
    pub(crate) select: Option<At<f64>>,
    /// Share of the closing comparison. Default: 1.
    #[schemars(example = 1)]
    pub(crate) report: Option<At<f64>>,
    /// Column whose values are dealt evenly, such as the class.
    #[schemars(example = &"label")]
    pub(crate) stratify: Option<At<String>>,
    /// Column whose equal values stay in one split, such as the person that a sample is of.
    #[schemars(example = &"person")]
    pub(crate) group: Option<At<String>>,
    /// Column to order by, numbers or ISO dates: the earliest items are for search, the latest for the report.
    #[schemars(example = &"day")]
    pub(crate) time: Option<At<String>>,
    /// Column that names each item's split; nothing is dealt then.
    #[schemars(example = &"split")]
    pub(crate) column: Option<At<String>>,
    /// What the dealing derives from, beside the table itself. Default: 0.
    #[schemars(example = 0)]
    pub(crate) seed: Option<u64>,
}

/// A hard constraint: one of `min` and `max`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateTable {
    /// Metric name.
    #[schemars(required, example = &"artifact_bytes")]
    pub(crate) metric: Option<At<String>>,
    /// The mean must be at least this.
    #[schemars(example = 0.96)]
    pub(crate) min: Option<At<f64>>,
    /// The mean must be at most this.
    #[schemars(example = 16000)]
    pub(crate) max: Option<At<f64>>,
}

/// What recipe code may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxTable {
    /// Over the network. Default: none.
    pub(crate) network: Option<Network>,
    /// Data, visible to the evaluator alone, that list files of Python's installation, one path a line, which recipe
    /// code must not read. Stages and predictor then run in a compiled copy of the environment without these modules
    /// and without any sources and documentation, and see of the system its shared libraries only.
    #[schemars(example = &"data/hidden/sources.txt")]
    pub(crate) hide: Option<At<String>>,
}

fn list(item: &str) -> Vec<&str> {
    vec![item]
}

fn python(script: &str) -> Vec<&str> {
    vec!["python", script]
}

/// JSON Schema of `task.toml`.
#[must_use]
pub fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Input>().to_value();
    forget_null(&mut schema);
    schema
}

/// TOML has no null: what is optional is left out.
fn forget_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let choices = map.get_mut("anyOf").and_then(Value::as_array_mut);
            if let Some(choices) = choices {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &mut choices[..] {
                    let only = std::mem::take(only);
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            map.values_mut().for_each(forget_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
