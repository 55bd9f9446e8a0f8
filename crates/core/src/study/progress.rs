//! How far an arm has come: its trials, its champion, what it has spent. The whole study has one of these as well,
//! folded over all its arms.

use std::collections::BTreeMap;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use crate::{Cost, Course, Edit, Failure, Outcome, Record, Task, TreeId, Trial, TrialNo, Verdict};

/// How far an arm, or the whole study, has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    trials: Vector<TrialNo>,
    open: OrdSet<TrialNo>,
    by_tree: OrdMap<TreeId, TrialNo>,
    keeps: Vector<TrialNo>,
    counts: Counts,
    spent: u32,
    cost: Cost,
    course: Course,
    report: Option<TrialNo>,
    pinned: Option<TrialNo>,
}

/// Concluded trials by outcome; the baseline is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Kept.
    pub keep: u32,
    /// Discarded.
    pub discard: u32,
    /// Undecided.
    pub inconclusive: u32,
    /// Failed, by cause.
    pub failed: BTreeMap<String, u32>,
}

impl Progress {
    pub(super) fn asked(&mut self, trial: TrialNo) {
        self.trials.push_back(trial);
        self.open.insert(trial);
    }

    pub(super) fn proposed(&mut self, trial: TrialNo, edit: &Edit) {
        self.by_tree.entry(edit.tree).or_insert(trial);
    }

    pub(super) fn spends(&mut self, cost: Cost) {
        self.cost += cost;
    }

    pub(super) fn concluded(&mut self, trial: TrialNo, outcome: &Outcome) {
        self.open.remove(&trial);
        match outcome {
            Outcome::Valid { verdict, .. } => match verdict {
                Verdict::Baseline => return,
                Verdict::Keep => {
                    self.counts.keep += 1;
                    self.keeps.push_back(trial);
                    // What it was pinned for has come.
                    self.pinned = None;
                }
                Verdict::Discard => self.counts.discard += 1,
                Verdict::Inconclusive => self.counts.inconclusive += 1,
            },
            Outcome::Failed(Failure { cause, .. }) => {
                *self.counts.failed.entry(cause.name().to_owned()).or_default() += 1;
            }
        }
        let spared =
            matches!(outcome, Outcome::Failed(failure) if failure.blame.spares_the_trial());
        self.spent += u32::from(trial != TrialNo::BASELINE && !spared);
    }

    pub(super) fn follows(&mut self, task: &Task, record: &Record, trial: Option<&Trial>) {
        self.course.take(task, record, trial);
    }

    pub(super) fn report_opened(&mut self, champion: TrialNo) {
        self.report = Some(champion);
    }

    pub(super) fn report_voided(&mut self) {
        self.report = None;
    }

    pub(super) fn pin(&mut self, trial: TrialNo) {
        self.pinned = Some(trial);
    }

    pub(super) fn unpin(&mut self, trial: TrialNo) {
        self.pinned = self.pinned.filter(|pinned| *pinned != trial);
    }

    /// The trial that every new one starts from, if somebody chose one.
    #[must_use]
    pub fn pinned(&self) -> Option<TrialNo> {
        self.pinned
    }

    /// Its trials, oldest first; the baseline is the first of every arm.
    #[must_use]
    pub fn trials(&self) -> &Vector<TrialNo> {
        &self.trials
    }

    /// Those that have not ended.
    #[must_use]
    pub fn open_trials(&self) -> &OrdSet<TrialNo> {
        &self.open
    }

    /// The first of its trials with this tree.
    #[must_use]
    pub fn with_tree(&self, tree: TreeId) -> Option<TrialNo> {
        self.by_tree.get(&tree).copied()
    }

    /// Kept trials, oldest first.
    #[must_use]
    pub fn keeps(&self) -> &Vector<TrialNo> {
        &self.keeps
    }

    /// The last keep, else the baseline.
    #[must_use]
    pub fn champion(&self) -> TrialNo {
        self.keeps.last().copied().unwrap_or(TrialNo::BASELINE)
    }

    /// Concluded trials by outcome.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Trials that count against the trial budget: ended ones that infra and evaluator do not answer for.
    #[must_use]
    pub fn spent_trials(&self) -> u32 {
        self.spent
    }

    /// What replicates of its trials cost; wall time is that of slots. The baseline's count for no arm.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// How the search goes: diversity, staleness, droughts, what was tried before.
    #[must_use]
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// The trial of its closing comparison, once that has begun.
    #[must_use]
    pub fn report(&self) -> Option<TrialNo> {
        self.report
    }
}
