//! What a study is asked and held to: settings, rules, what must not change, and where it stands.

use serde::{Deserialize, Serialize};

use crate::{Budget, Digest, Noise, TrialNo};

/// How a study is asked, fixed when it opens except for the budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The one seed that everything random derives from.
    pub seed: u64,
    /// Caps.
    pub budget: Budget,
    /// The arms; the first is what a study is about, others are what it is compared with.
    pub arms: Vec<Arm>,
    /// How verdicts are reached.
    pub rules: Rules,
}

impl Settings {
    /// An arm by its name.
    #[must_use]
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }
}

/// The name of the arm of trials that were made outside.
pub const SUBMITTED: &str = "submitted";

/// One way of searching, under a budget of its own that equals every other arm's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name within the study, as it was asked for: `tuner`, `tuner=greedy`.
    pub name: String,
    /// What makes its edits, by name.
    pub proposer: String,
    /// What chooses operator and parents, by name.
    pub policy: String,
}

impl Arm {
    /// The arm that is called as its proposer is.
    #[must_use]
    pub fn of(proposer: &str, policy: &str) -> Self {
        Self { name: proposer.to_owned(), proposer: proposer.to_owned(), policy: policy.to_owned() }
    }
}

/// How verdicts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Which error is held at `level` over the whole study.
    pub error: ErrorControl,
    /// The level; one-sided.
    pub level: f64,
    /// Baseline replicates before any idea is paid for; at least 5.
    pub baseline_replicates: u32,
    /// Most search replicates of one trial.
    pub search_replicates: u32,
    /// Most pairs of replicates of trial and champion on fresh seeds before a verdict.
    pub confirm_replicates: u32,
    /// Least pairs, after the decision to keep, from which the gain is estimated.
    pub gain_replicates: u32,
    /// Replicates of champion and baseline on fresh seeds in the closing comparison.
    pub report_replicates: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            error: ErrorControl::Fdr,
            level: 0.05,
            baseline_replicates: 5,
            search_replicates: 5,
            confirm_replicates: 32,
            gain_replicates: 5,
            report_replicates: 8,
        }
    }
}

/// The error over a whole study that [`Rules::level`] bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorControl {
    /// False discovery rate: the expected share of false keeps among all keeps.
    Fdr,
    /// Family-wise error rate: the probability of any false keep at all.
    Fwer,
}

/// One comparison of a trial with a champion on fresh seeds: a hypothesis that spends some of the study's error. It is
/// opened by the first lease for it, before any of its replicates has run, so nothing that was measured in it has a say in
/// whether and where it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// Its place among the contests of its row, from 1.
    pub place: u32,
    /// The places whose error it may spend: its own, and those that contests which ended in a keep, before this one was
    /// opened, had and passed on.
    pub shares: Vec<u32>,
    /// The trial whose seed stream it runs on: the champion, or the challenger where measurements drift.
    pub stream: TrialNo,
    /// Its first place in that stream.
    pub from: u32,
    /// The noise known when it was opened.
    pub noise: Noise,
}

/// Hashes of what must not change while measurements are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// The evaluator's files and command.
    pub evaluator: Digest,
    /// The data.
    pub data: Digest,
    /// The environment.
    pub environment: Digest,
}

impl Fixed {
    /// What differs from `before`, in words; none when nothing does.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Option<String> {
        let parts = [
            ("the evaluator", self.evaluator != before.evaluator),
            ("the data", self.data != before.data),
            ("the environment", self.environment != before.environment),
        ];
        let changed: Vec<&str> =
            parts.iter().filter(|(_, changed)| *changed).map(|(what, _)| *what).collect();
        (!changed.is_empty()).then(|| format!("{} changed", changed.join(" and ")))
    }
}

/// Where a study stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Trials are made, or would be if a process were at work.
    Running,
    /// No new trials until resumed.
    Paused,
    /// Its last session ended early; the same command goes on.
    Stopped,
    /// It is over.
    Finished,
}

/// An event that does not fit the ones before it: the ledger is damaged, or written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} does not follow from the events before it: {what}")]
pub struct OutOfOrder {
    /// The event.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}
