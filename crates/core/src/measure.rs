//! Measurements, the metric that a task declares, and gates on any of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way is better. Declared by the task, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller is better.
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Goal {
    /// How much better `value` is than `reference`: positive when better, whatever the goal.
    #[must_use]
    pub fn gain(self, value: f64, reference: f64) -> f64 {
        match self {
            Self::Minimize => reference - value,
            Self::Maximize => value - reference,
        }
    }

    /// Whether `value` is strictly better than `reference`.
    #[must_use]
    pub fn better(self, value: f64, reference: f64) -> bool {
        self.gain(value, reference) > 0.0
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        })
    }
}

/// The number a study improves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its name, as the evaluator or the harness reports it.
    pub name: String,
    /// Which way is better.
    pub goal: Goal,
    /// Unit shown beside values; empty when there is none.
    #[serde(default)]
    pub unit: String,
}

/// Which part of the evaluation data a value was computed on.
///
/// Proposers see `Search`; verdicts are made on `Select` where the evaluator gives it; `Report` is read once, at the
/// end of a study.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What proposers see.
    Search,
    /// What verdicts are made on.
    Select,
    /// What the final gain is reported on.
    Report,
}

impl Split {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Select => "select",
            Self::Report => "report",
        }
    }
}

/// Who vouches for a value.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Printed by recipe code: believed only as far as the recipe is.
    Recipe,
    /// Returned by the evaluator, apart from the recipe.
    Evaluator,
    /// Measured by Empiric itself.
    Harness,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Recipe => "recipe",
            Self::Evaluator => "evaluator",
            Self::Harness => "harness",
        })
    }
}

/// One finite value of one metric from one replicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// Metric name.
    pub metric: String,
    /// The value; always finite.
    pub value: f64,
    /// Data it was computed on.
    pub split: Split,
    /// Who vouches for it.
    pub provenance: Provenance,
}

/// One side of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The mean must be at most this.
    Max(f64),
    /// The mean must be at least this.
    Min(f64),
}

/// A hard constraint on a metric, an artefact or a resource, held by the mean over a trial's replicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Metric name.
    pub metric: String,
    /// The limit.
    pub bound: Bound,
}

impl Gate {
    /// Signed distance to the limit in the metric's unit: positive when the gate holds, negative by how much it is
    /// missed.
    #[must_use]
    pub fn margin(&self, value: f64) -> f64 {
        match self.bound {
            Bound::Max(max) => max - value,
            Bound::Min(min) => value - min,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::Max(max) => write!(f, "{} <= {max}", self.metric),
            Bound::Min(min) => write!(f, "{} >= {min}", self.metric),
        }
    }
}
