//! The contract between the engine and whatever makes edits: a model, an external agent, the embedded tuner.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, Cause, Complexity, Failure, Hypothesis, Operator, Phase, Study, Team, Thought, TrialNo,
};

use crate::errands::Errands;

/// Editable text files of a recipe tree, by path within the recipe.
pub type Files = BTreeMap<String, Arc<str>>;

/// Makes edits. The engine calls it on a thread that may block.
pub trait Proposer: Send + Sync {
    /// Its name, as recorded with each edit.
    fn name(&self) -> &str;

    /// How many proposals to have ready or under way beside the trials in `slots` slots, so that no slot waits for one.
    /// Each is made without knowing the trials before it, so a proposer that takes no time wants few.
    fn ahead(&self, slots: usize) -> usize {
        slots
    }

    /// Whether its edits change nothing, on purpose. A trial of it is measured like any other, under seeds of its own, and
    /// not taken for a duplicate.
    fn placebo(&self) -> bool {
        false
    }

    /// Who proposes by models, to be recorded; nobody where none does.
    fn staff(&self) -> Option<Staff> {
        None
    }

    /// Whether models are asked for its edits: caps on calls hold for it, and it is called off when a session ends.
    fn asks_models(&self) -> bool {
        self.staff().is_some()
    }

    /// An edit that answers the brief's ask.
    ///
    /// # Errors
    /// A failure in phase `propose`; `no_proposal` when there is nothing left to try from here.
    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure>;
}

/// Who proposes by models, and the words they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff {
    /// The team, with its prompts by hash.
    pub team: Team,
    /// The texts of the prompts.
    pub texts: Vec<String>,
}

/// What a proposer is given.
#[derive(Clone)]
pub struct Brief {
    /// The trial that the edit will become.
    pub trial: TrialNo,
    /// What the policy asks.
    pub ask: Ask,
    /// A snapshot of the study, as the trial's arm sees it, in which the trial has been asked for.
    pub study: Study,
    /// Reads the trees of earlier trials.
    pub sources: Arc<dyn Sources>,
    /// Does what a proposer may have done for it.
    pub errands: Arc<dyn Errands>,
}

impl Brief {
    /// How much thought the edit is to be given, by how often its first parent was tried before.
    #[must_use]
    pub fn complexity(&self) -> Complexity {
        let parent = self.ask.parents.first().copied().unwrap_or(TrialNo::BASELINE);
        // The study has this trial's ask in it already.
        Complexity::of(self.study.course().children(parent).saturating_sub(1))
    }
}

/// Reads trees; implemented over the git store by the engine.
pub trait Sources: Send + Sync {
    /// The editable text files of a trial's tree.
    ///
    /// # Errors
    /// When the trial has no tree or the store cannot be read.
    fn files(&self, trial: TrialNo) -> Result<Files, SourceError>;

    /// The editable text files of the three-way merge of two trials' trees.
    ///
    /// # Errors
    /// When both change the same lines, and when a tree cannot be read.
    fn merge(&self, one: TrialNo, other: TrialNo) -> Result<Files, SourceError>;
}

/// A tree that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Two parents change the same lines.
    #[error("merge {one} and {other}: both change the same lines of `{path}`")]
    Conflict {
        /// The first parent.
        one: TrialNo,
        /// The second parent.
        other: TrialNo,
        /// The file.
        path: String,
    },
    /// The trial has no tree yet.
    #[error("read the tree of {trial}: it has none; only trials with an edit have one")]
    NoTree {
        /// The trial.
        trial: TrialNo,
    },
    /// The store could not be read.
    #[error("read the tree of {trial}: {why}")]
    Store {
        /// The trial.
        trial: TrialNo,
        /// What the store says.
        why: String,
    },
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let cause = match error {
            SourceError::Conflict { .. } => Cause::MergeConflict,
            SourceError::NoTree { .. } | SourceError::Store { .. } => Cause::HarnessFailed,
        };
        Self::new(Phase::Propose, cause).excerpt(error.to_string())
    }
}

/// An edit, not yet a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// What it turned out to be; it may be narrower than what was asked.
    pub operator: Operator,
    /// The trials it starts from; `edits` are relative to the first.
    pub parents: Vec<TrialNo>,
    /// The surface it lies in, where it claims one.
    pub surface: Option<String>,
    /// Why it is worth measuring.
    pub hypothesis: Hypothesis,
    /// New content by path, none for a deleted file; files that are not named stay as they are.
    pub edits: BTreeMap<String, Option<String>>,
    /// What it comes from, where its proposer says so.
    pub thought: Option<Thought>,
    /// The role that made it, where the proposer plays several.
    pub by: Option<String>,
    /// The proposer's own record of the move, handed back in the trial's edit.
    pub detail: serde_json::Value,
}
