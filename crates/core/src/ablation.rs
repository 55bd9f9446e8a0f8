//! Ablation: the champion's changes against the baseline, hunk by hunk, and the trials that take them away.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ask, Operator, TrialNo};

/// The arm of trials that take hunks of a champion away.
pub const ABLATE: &str = "ablate";

/// One contiguous change between the baseline's tree and the champion's, computed from trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hunk {
    /// The file.
    pub path: String,
    /// First line before, from 1, and how many lines; a file that is added, deleted, binary or of another kind is one
    /// hunk of lines 0, 0.
    pub before: [u32; 2],
    /// First line after, from 1, and how many.
    pub after: [u32; 2],
}

impl fmt::Display for Hunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.before, self.after) {
            ([0, 0], [0, 0]) => f.write_str(&self.path),
            (_, [line, 0 | 1]) => write!(f, "{}:{line}", self.path),
            (_, [first, n]) => write!(f, "{}:{first}-{}", self.path, first + n - 1),
        }
    }
}

/// An ablation of one champion. Its first trials take one hunk away each, in order, and the rest several: they are
/// merges of the first ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablation {
    /// The champion that is taken apart.
    pub champion: TrialNo,
    /// How much worse a simpler trial may be, in the metric's unit; positive.
    pub margin: f64,
    /// What differs from the baseline.
    pub hunks: Vec<Hunk>,
    /// Trials without one hunk, by hunk.
    pub singles: Vec<TrialNo>,
    /// Trials without several, oldest first.
    pub joint: Vec<TrialNo>,
}

impl Ablation {
    pub(crate) fn new(champion: TrialNo, margin: f64, hunks: Vec<Hunk>) -> Self {
        Self { champion, margin, hunks, singles: Vec::new(), joint: Vec::new() }
    }

    /// Takes in that a trial of the ablation was asked for.
    pub fn asked(&mut self, trial: TrialNo, ask: &Ask) {
        match ask.operator {
            Operator::Merge => self.joint.push(trial),
            Operator::Draft
            | Operator::Improve
            | Operator::Debug
            | Operator::Ablate
            | Operator::Tune
            | Operator::Repair => self.singles.push(trial),
        }
    }

    /// The hunks that the trial which was asked for by `ask` is without.
    #[must_use]
    pub fn without(&self, trial: TrialNo, ask: &Ask) -> Vec<usize> {
        let hunk = |no: &TrialNo| self.singles.iter().position(|single| single == no);
        match hunk(&trial) {
            Some(hunk) => vec![hunk],
            None => ask.parents.iter().filter_map(hunk).collect(),
        }
    }
}
