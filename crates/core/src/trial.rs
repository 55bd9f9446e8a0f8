//! A trial: hypothesis, prediction, edit, parents, and what was measured.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Call, CommitId, Cost, Failure, Fetch, Inspection, Lines, Measurement, Outcome, Purpose,
    Quarantine, Rehearsal, ReplicateId, Seed, Split, Thought, TreeId, TrialNo,
};

/// What a proposer believes and why the edit is worth measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// One or two sentences.
    pub text: String,
    /// Registered before the run; compared with what came.
    pub prediction: Option<Prediction>,
}

/// A registered prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// The metric it speaks of.
    pub metric: String,
    /// Where it will move.
    pub direction: Direction,
    /// By how much, in the metric's unit; positive.
    pub size: Option<f64>,
}

/// Where a metric is expected to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up.
    Increase,
    /// Down.
    Decrease,
    /// Nowhere: the change is believed not to matter.
    Unchanged,
}

/// How an edit comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// A fresh start from the baseline.
    Draft,
    /// A change of a good trial.
    Improve,
    /// A fix of a trial that failed.
    Debug,
    /// Two trials made one (crossover).
    Merge,
    /// Something taken away.
    Ablate,
    /// Literals moved, structure unchanged.
    Tune,
    /// A near miss brought inside its limit.
    Repair,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Draft => "draft",
            Self::Improve => "improve",
            Self::Debug => "debug",
            Self::Merge => "merge",
            Self::Ablate => "ablate",
            Self::Tune => "tune",
            Self::Repair => "repair",
        })
    }
}

/// What a policy asks of a proposer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The kind of edit.
    pub operator: Operator,
    /// The trials it starts from; two for a merge.
    pub parents: Vec<TrialNo>,
    /// The surface to stay within, where the policy chose one.
    pub surface: Option<String>,
}

/// A proposal that became a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Who made it.
    pub proposer: String,
    /// What it turned out to be; it may be narrower than what was asked.
    pub operator: Operator,
    /// The trials it starts from.
    pub parents: Vec<TrialNo>,
    /// The surface it lies in, where it lies in one.
    pub surface: Option<String>,
    /// Why.
    pub hypothesis: Hypothesis,
    /// The recipe's whole tree after the edit.
    pub tree: TreeId,
    /// The commit that holds it.
    pub commit: CommitId,
    /// What changed against the first parent, computed from trees.
    pub files: Vec<FileChange>,
    /// What it comes from, where its proposer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<Thought>,
    /// What the supervisor read out of it, against the baseline's tree.
    #[serde(default)]
    pub inspection: Inspection,
    /// The proposer's own record of the move, for its next proposals; nothing is decided from it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl Edit {
    /// Equal for edits that change the same lines in the same way but for their numbers; 0 where no lines are known.
    #[must_use]
    pub fn shape(&self) -> u32 {
        self.files.iter().fold(0, |shape: u32, file| {
            shape.wrapping_mul(0x9E37_79B1).wrapping_add(file.lines.shape)
        })
    }
}

/// One file that differs from the parent's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// Path within the recipe.
    pub path: String,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// The changed lines as hashes, by which what was tried before is known again.
    #[serde(default, skip_serializing_if = "Lines::is_empty")]
    pub lines: Lines,
}

/// One execution of a trial under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replicate {
    /// Its id.
    pub id: ReplicateId,
    /// The trial whose tree ran.
    pub trial: TrialNo,
    /// What it is for.
    pub purpose: Purpose,
    /// Place in the purpose's seed stream, from 0.
    pub index: u32,
    /// The seed.
    pub seed: Seed,
    /// The slot it runs in.
    pub slot: String,
    /// The segment it belongs to; values of different segments are never compared.
    pub segment: u32,
    /// What was measured, or why nothing was; absent while it runs.
    pub result: Option<Measured>,
}

/// What one replicate yielded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Finite values, also those measured before a failure.
    pub measurements: Vec<Measurement>,
    /// Why it is not usable, if it is not.
    pub failure: Option<Failure>,
    /// How each unit ended, in order.
    pub units: Vec<UnitRecord>,
    /// What it cost.
    pub cost: Cost,
    /// The evaluator's words for proposers: bounded, control characters removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub feedback: String,
    /// Where the evaluator scores item by item, the metric's scores of the select split's items in the order they were
    /// dealt; beyond [`MAX_ITEMS`], means over as many runs of neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<f32>,
    /// What the evaluator says of its own work, for the supervisor.
    #[serde(default, skip_serializing_if = "Testimony::is_empty")]
    pub testimony: Testimony,
}

/// Most scores of items that one replicate is remembered by.
pub const MAX_ITEMS: usize = 512;

/// What an evaluator says of how it scored: optional, and compared with what it said of the baseline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Testimony {
    /// How many samples were scored, by split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<Split, u64>,
    /// Share of the outputs that equal the hidden answers, by split, 0 to 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agreement: BTreeMap<Split, f64>,
    /// Digest of everything that the recipe answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
    /// Digest of what the evaluator was parametrised with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
}

impl Testimony {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How one unit of a replicate ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitRecord {
    /// Stage name, `predictor` or `evaluator`.
    pub name: String,
    /// How it ended, in words: `exit 0`, `signal 9`, `wall limit`.
    pub ending: String,
    /// The sandbox level it ran at.
    pub sandbox: String,
    /// Wall-clock seconds.
    pub wall_s: f64,
    /// CPU seconds.
    pub cpu_s: f64,
    /// Peak memory, bytes; 0 when it could not be measured.
    pub peak_memory_bytes: u64,
    /// Bounded output, as a blob's id; absent when it printed nothing.
    pub log: Option<String>,
}

/// One trial, with everything recorded of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number.
    pub no: TrialNo,
    /// The arm that asked for it.
    pub arm: String,
    /// What was asked.
    pub ask: Ask,
    /// The edit, once made.
    pub edit: Option<Edit>,
    /// Model calls made for it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Smoke stages run for its proposer, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rehearsals: Vec<Rehearsal>,
    /// Pages of the web that its proposer asked for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetches: Vec<Fetch>,
    /// Its replicates, in the order they were leased.
    pub replicates: Vec<Replicate>,
    /// Why it may be kept only after a second measurement, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Trial {
    /// The trials it starts from.
    #[must_use]
    pub fn parents(&self) -> &[TrialNo] {
        self.edit.as_ref().map_or(&self.ask.parents, |edit| &edit.parents)
    }

    /// Its values of `metric` on `split` from finished replicates of `purpose` in `segment`, in seed order.
    #[must_use]
    pub fn values(
        &self,
        metric: &str,
        split: Split,
        purpose: Purpose,
        segment: u32,
    ) -> Vec<(Seed, f64)> {
        let mut values: Vec<_> = self
            .replicates
            .iter()
            .filter(|replicate| replicate.purpose == purpose && replicate.segment == segment)
            .filter_map(|replicate| {
                Some((replicate.index, replicate.seed, replicate.value(metric, split)?))
            })
            .collect();
        values.sort_by_key(|(index, ..)| *index);
        values.into_iter().map(|(_, seed, value)| (seed, value)).collect()
    }

    /// Mean of `metric` on the search split over all its usable search replicates: what proposers see.
    #[must_use]
    pub fn search_score(&self, metric: &str) -> Option<f64> {
        let values: Vec<f64> = self
            .replicates
            .iter()
            .filter(|replicate| replicate.purpose == Purpose::Search)
            .filter_map(|replicate| replicate.value(metric, Split::Search))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

impl Replicate {
    /// Whether it has finished and yielded a usable measurement.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.failure.is_none())
    }

    /// Its value of `metric` on `split`, falling back to the search split where the evaluator gives no such split;
    /// none while it runs or when it failed.
    #[must_use]
    pub fn value(&self, metric: &str, split: Split) -> Option<f64> {
        self.result.as_ref()?.value(metric, split)
    }
}

impl Measured {
    /// Its value of `metric` on `split`, falling back to the search split where the evaluator gives no such split; none
    /// when it failed.
    #[must_use]
    pub fn value(&self, metric: &str, split: Split) -> Option<f64> {
        let on = |wanted| {
            let mut all = self.measurements.iter();
            all.find(|m| m.metric == metric && m.split == wanted).map(|m| m.value)
        };
        if self.failure.is_some() { None } else { on(split).or_else(|| on(Split::Search)) }
    }
}
