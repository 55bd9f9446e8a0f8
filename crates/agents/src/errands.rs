//! What a proposer may have done for it while it thinks: checks, a smoke stage, a line in the ledger.
//!
//! The engine does these. Nothing of it decides a verdict, and everything that a proposer learns by it is recorded.

use std::collections::BTreeMap;

use empiric_core::{Cause, Failure, Insight, Phase, Sketch, TrialNo};

use crate::Files;

/// New content by path, none for a deleted file.
pub type Changes = BTreeMap<String, Option<String>>;

/// Does what is asked on behalf of the proposer of one trial.
pub trait Errands: Send + Sync {
    /// The static rules on `changes` to the tree of `parent`, and whether that tree was measured before.
    ///
    /// # Errors
    /// The failure that handing it in would end with.
    fn check(
        &self,
        parent: TrialNo,
        changes: &Changes,
        surface: Option<&str>,
    ) -> Result<(), Failure>;

    /// Runs the task's first stage on `changes` to the tree of `parent`, in the sandbox. One that was run for this trial
    /// before is answered from the ledger.
    ///
    /// # Errors
    /// When it cannot be run here, in words for the proposer.
    fn rehearse(&self, parent: TrialNo, changes: &Changes) -> Result<Rehearsed, String>;

    /// The text of a page of the web, of one of these hosts. One that was asked for in this trial before is answered from the
    /// ledger.
    ///
    /// # Errors
    /// Why there is none, in words for the proposer.
    fn fetch(&self, url: &str, hosts: &[String]) -> Result<String, String>;

    /// `files` under a unified or git diff.
    ///
    /// # Errors
    /// Where it does not fit, in words for the proposer.
    fn patch(&self, files: &Files, patch: &str) -> Result<Files, String>;

    /// What changed from `old` to `new`, as a unified diff.
    fn diff(&self, old: &Files, new: &Files) -> String;

    /// Puts an idea into the library of the trial's arm.
    ///
    /// # Errors
    /// When the session ends before it is in the ledger.
    fn idea(&self, by: &str, sketch: Sketch) -> Result<(), Failure>;

    /// Writes down what was learnt.
    ///
    /// # Errors
    /// When the session ends before it is in the ledger.
    fn insight(&self, by: &str, insight: Insight) -> Result<(), Failure>;

    /// Calls that were recorded for the trial before this proposal of it was begun.
    fn called(&self) -> u32 {
        0
    }

    /// Says that no proposal can be made for now: the failure that the proposal is to end with leaves its trial open.
    fn halt(&self, halt: Halt) -> Failure;
}

/// Does nothing for anybody: for proposers that ask for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unserved;

impl Errands for Unserved {
    fn check(&self, _: TrialNo, _: &Changes, _: Option<&str>) -> Result<(), Failure> {
        Ok(())
    }

    fn rehearse(&self, _: TrialNo, _: &Changes) -> Result<Rehearsed, String> {
        Err("nothing is run here".to_owned())
    }

    fn fetch(&self, _: &str, _: &[String]) -> Result<String, String> {
        Err("no page is read here".to_owned())
    }

    fn patch(&self, _: &Files, _: &str) -> Result<Files, String> {
        Err("no patch is applied here".to_owned())
    }

    fn diff(&self, _: &Files, _: &Files) -> String {
        String::new()
    }

    fn idea(&self, _: &str, _: Sketch) -> Result<(), Failure> {
        Ok(())
    }

    fn insight(&self, _: &str, _: Insight) -> Result<(), Failure> {
        Ok(())
    }

    fn halt(&self, _: Halt) -> Failure {
        Failure::new(Phase::Propose, Cause::Cancelled)
    }
}

/// What a rehearsal showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// Why it did not end well, if it did not.
    pub failure: Option<Failure>,
    /// What it printed; data, bounded by whoever shows it.
    pub output: String,
    /// Wall-clock seconds.
    pub wall_s: f64,
}

/// Why no proposal can be made for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// A cap has no room for the next call: the study pauses.
    Budget(String),
    /// Nothing that is asked of models can work as it is set up: the session ends.
    Setup(String),
    /// The session ends anyway.
    Cancelled,
}
