//! Ideas that wait to be tried, and insights that trials left behind.
//!
//! Nobody writes down what became of an idea: its status is a fold of the trials that say they try it.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{TrialNo, id::ParseIdError};

/// An idea's small number within its study, written `i3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdeaNo(pub u32);

impl fmt::Display for IdeaNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("i{}", self.0))
    }
}

impl FromStr for IdeaNo {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('i').unwrap_or(text);
        let no = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        no.map(Self).ok_or_else(|| ParseIdError::new("idea", "`i` and a number, such as i3", text))
    }
}

impl Serialize for IdeaNo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdeaNo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How far an idea reaches (AutoSOTA, arXiv 2604.05550: PARAM, CODE, ALGO, LEAP).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Values move, code stays.
    Parameter,
    /// Code changes, what it computes stays in kind.
    Code,
    /// Another way to compute it.
    Algorithm,
    /// Something the recipe does not have at all.
    Leap,
}

impl Reach {
    /// All of them, the nearest first.
    pub const ALL: [Self; 4] = [Self::Parameter, Self::Code, Self::Algorithm, Self::Leap];

    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Code => "code",
            Self::Algorithm => "algorithm",
            Self::Leap => "leap",
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How much of something: an idea's priority, or its risk.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Little.
    Low,
    /// Some.
    #[default]
    Medium,
    /// Much.
    High,
}

impl Level {
    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Longest text of an idea or an insight, characters.
pub const WORDS: usize = 600;

/// `text` as an idea or an insight may have it: without control characters, on one line, at most [`WORDS`] characters.
#[must_use]
pub fn worded(text: &str) -> String {
    let words =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(WORDS).collect()
}

/// What an idea says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sketch {
    /// What to do and why it should help; at most [`WORDS`] characters.
    pub text: String,
    /// How far it reaches.
    pub reach: Reach,
    /// The surface it is for, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// How soon it should be tried.
    #[serde(default)]
    pub priority: Level,
    /// How likely it is to break something.
    #[serde(default)]
    pub risk: Level,
}

/// What is done to an idea.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum IdeaChange {
    /// It is not to be tried.
    Dropped {
        /// Why.
        reason: String,
    },
    /// A rule of validity forbids it, or somebody has to look at it first.
    Refused {
        /// Which and why.
        reason: String,
    },
    /// It may be tried after all.
    Restored,
    /// It is worth more or less than was thought.
    Ranked {
        /// How soon it should be tried.
        priority: Level,
    },
}

/// Where an idea stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IdeaStatus {
    /// Nobody tries it.
    Pending,
    /// A trial of it is under way.
    Trying,
    /// A trial of it was kept.
    Worked,
    /// It was tried and nothing came of it.
    Failed,
    /// Somebody took it off the list.
    Dropped,
    /// A rule of validity forbids it.
    Refused,
}

impl IdeaStatus {
    /// Its stable name, as in the JSON form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Trying => "trying",
            Self::Worked => "worked",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for IdeaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An idea and its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idea {
    /// Its number.
    pub no: IdeaNo,
    /// The arm it is for; none means every arm, as of a person's.
    pub arm: Option<String>,
    /// Who had it.
    pub by: String,
    /// What it says.
    pub sketch: Sketch,
    /// Where it stands.
    pub status: IdeaStatus,
    /// Why, where somebody said so.
    pub reason: String,
    /// Trials that tried it, oldest first.
    pub trials: Vec<TrialNo>,
}

/// What an edit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// How far it reaches.
    pub reach: Reach,
    /// The idea that it tries, where it is one of the library's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idea: Option<IdeaNo>,
}

/// Something learnt, with the trials that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insight {
    /// What was learnt; at most [`WORDS`] characters.
    pub text: String,
    /// Trials that ended and show it.
    pub trials: Vec<TrialNo>,
}
