//! The lines that no trial may cross and be kept: what the supervisor looks for, and the words for what it found.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule of validity. Crossing one means that the measurement cannot be believed, however good it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RedLine {
    /// The evaluator, or what it is parametrised with, was touched.
    Evaluator,
    /// Data that only the evaluator may read was touched.
    ProtectedData,
    /// Another number of samples was scored, or another split.
    Samples,
    /// The seed was fixed or searched.
    Seed,
    /// Work was moved to where nobody counts it.
    Budget,
    /// Data were carried in with the code.
    CarriedData,
    /// The result does not vary with the seed, though chance is at work.
    Constant,
    /// The outputs equal the hidden labels.
    Labels,
    /// The result is better than what can be believed.
    Jump,
}

impl RedLine {
    /// Every line, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Evaluator,
        Self::ProtectedData,
        Self::Samples,
        Self::Seed,
        Self::Budget,
        Self::CarriedData,
        Self::Constant,
        Self::Labels,
        Self::Jump,
    ];

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluator => "evaluator",
            Self::ProtectedData => "protected_data",
            Self::Samples => "samples",
            Self::Seed => "seed",
            Self::Budget => "budget",
            Self::CarriedData => "carried_data",
            Self::Constant => "constant",
            Self::Labels => "labels",
            Self::Jump => "jump",
        }
    }

    /// The rule, for people.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Evaluator => {
                "the evaluator, its parameters and its result are nothing a recipe may deal with"
            }
            Self::ProtectedData => "data that only the evaluator may read stay unread",
            Self::Samples => "every trial is scored on the samples and splits of the baseline",
            Self::Seed => "chance comes from the seed that is given, whichever that is",
            Self::Budget => "work is done where it is counted",
            Self::CarriedData => "what is known comes from the task's data, not with the code",
            Self::Constant => {
                "a recipe that draws random numbers gives results that vary with the seed"
            }
            Self::Labels => "outputs are worked out, not copied from the answers",
            Self::Jump => "a result is no better than what can be believed",
        }
    }
}

impl fmt::Display for RedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.name())
    }
}

/// What follows from a concern.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The trial may be kept only after a second measurement that nobody could foresee.
    Quarantine,
    /// The trial fails.
    Fail,
}

/// One thing that the supervisor holds against a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Concern {
    /// The line.
    pub line: RedLine,
    /// What follows.
    pub severity: Severity,
    /// What was seen and where, in one sentence.
    pub why: String,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "red line {}: {}", self.line, self.why)
    }
}

/// What the supervisor reads out of an edit before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// What it holds against the edit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// Whether the tree still draws random numbers; absent where no source of it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<bool>,
}

/// A trial that may be kept only if a second measurement bears it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quarantine {
    /// Why.
    pub concerns: Vec<Concern>,
    /// Drawn when the trial was put under quarantine; the seeds of the second measurement derive from it, so that
    /// nobody who knew the study could foresee them.
    pub nonce: u64,
}
