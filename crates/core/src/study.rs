//! The study that a sequence of events amounts to. Policies, proposers and verdicts read nothing else, which is what
//! makes them replayable.
//!
//! Collections that grow with the study are persistent: a clone is a snapshot and costs the same at any size.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Budget, Cost, Digest, Event, Failure, Outcome, Purpose, Record, Replicate, ReplicateId,
    StudyId, Task, TreeId, Trial, TrialNo, Verdict,
};

/// How a study is asked, fixed when it opens except for the budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The one seed that everything random derives from.
    pub seed: u64,
    /// Caps.
    pub budget: Budget,
    /// The arms, by name; one for now.
    pub arms: Vec<String>,
    /// The search policy, by name.
    pub policy: String,
    /// How verdicts are reached.
    pub rules: Rules,
}

/// How verdicts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Probability of keeping a trial that is no better than its champion; one-sided, per trial.
    pub alpha: f64,
    /// Baseline replicates before any idea is paid for; at least 5.
    pub baseline_replicates: u32,
    /// Most search replicates of one trial.
    pub search_replicates: u32,
    /// Replicates of trial and champion on fresh seeds before a keep.
    pub confirm_replicates: u32,
    /// Replicates of champion and baseline on fresh seeds in the closing comparison.
    pub report_replicates: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            baseline_replicates: 5,
            search_replicates: 5,
            confirm_replicates: 5,
            report_replicates: 8,
        }
    }
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

/// A study, folded from its events.
#[derive(Debug, Clone)]
pub struct Study {
    id: StudyId,
    task: Arc<Task>,
    settings: Settings,
    budget: Budget,
    state: State,
    seq: u64,
    segment: u32,
    fixed: Option<Fixed>,
    sandbox: String,
    trials: Vector<Arc<Trial>>,
    open: OrdSet<TrialNo>,
    leases: OrdMap<ReplicateId, TrialNo>,
    by_tree: OrdMap<TreeId, TrialNo>,
    keeps: Vector<TrialNo>,
    report: Option<TrialNo>,
    notes: Vector<(String, String)>,
    counts: Counts,
    spent: u32,
    cost: Cost,
    last_at: Option<Timestamp>,
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

impl Study {
    /// The study that `first` opens.
    ///
    /// # Errors
    /// When `first` is not the opening of a study.
    pub fn open(first: &Record) -> Result<Self, OutOfOrder> {
        let Event::StudyOpened { study, task, settings } = &first.event else {
            return Err(OutOfOrder {
                seq: first.seq,
                what: "a study must be opened first".to_owned(),
            });
        };
        Ok(Self {
            id: *study,
            task: Arc::clone(task),
            budget: settings.budget,
            settings: settings.clone(),
            state: State::Running,
            seq: first.seq,
            segment: 0,
            fixed: None,
            sandbox: "none".to_owned(),
            trials: Vector::new(),
            open: OrdSet::new(),
            leases: OrdMap::new(),
            by_tree: OrdMap::new(),
            keeps: Vector::new(),
            report: None,
            notes: Vector::new(),
            counts: Counts::default(),
            spent: 0,
            cost: Cost::default(),
            last_at: None,
        })
    }

    /// The study that `records` amount to.
    ///
    /// # Errors
    /// When there is no record, or one does not follow from those before it.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, OutOfOrder> {
        let mut records = records.into_iter();
        let first =
            records.next().ok_or(OutOfOrder { seq: 1, what: "the ledger is empty".to_owned() })?;
        let mut study = Self::open(first)?;
        records.try_for_each(|record| study.apply(record))?;
        Ok(study)
    }

    /// Takes the next event in.
    ///
    /// # Errors
    /// When it does not follow from the events before it; the study is then unchanged in every field that decides.
    pub fn apply(&mut self, record: &Record) -> Result<(), OutOfOrder> {
        let fail = |what: String| OutOfOrder { seq: record.seq, what };
        if record.seq != self.seq + 1 {
            return Err(fail(format!("expected event {}", self.seq + 1)));
        }
        match &record.event {
            Event::StudyOpened { .. } => return Err(fail("the study is open already".to_owned())),
            Event::SessionStarted { sandbox, .. } => {
                self.sandbox.clone_from(sandbox);
                self.last_at = None;
                if self.state == State::Stopped {
                    self.state = State::Running;
                }
            }
            Event::SegmentOpened { segment, fixed, .. } => {
                self.segment = *segment;
                self.fixed = Some(*fixed);
            }
            Event::BudgetSet { budget } => {
                self.budget = *budget;
                if self.state == State::Finished {
                    self.state = State::Running;
                }
            }
            Event::Asked { trial, arm, ask } => {
                if trial.0 as usize != self.trials.len() {
                    return Err(fail(format!("expected trial t{}", self.trials.len())));
                }
                self.trials.push_back(Arc::new(Trial {
                    no: *trial,
                    arm: arm.clone(),
                    ask: ask.clone(),
                    edit: None,
                    replicates: Vec::new(),
                    outcome: None,
                    asked_at: record.at,
                    ended_at: None,
                }));
                self.open.insert(*trial);
            }
            Event::Proposed { trial, edit } => {
                self.trial_mut(*trial).map_err(fail)?.edit = Some(edit.clone());
                self.by_tree.entry(edit.tree).or_insert(*trial);
            }
            Event::Leased { replicate, trial, purpose, index, seed, slot } => {
                if self.leases.contains_key(replicate) {
                    return Err(fail(format!("replicate {replicate} holds a lease already")));
                }
                let segment = self.segment;
                let held = &mut self.trial_mut(*trial).map_err(fail)?.replicates;
                if held.iter().any(|held| held.id == *replicate) {
                    return Err(fail(format!("replicate {replicate} has finished already")));
                }
                held.push(Replicate {
                    id: *replicate,
                    trial: *trial,
                    purpose: *purpose,
                    index: *index,
                    seed: *seed,
                    slot: slot.clone(),
                    segment,
                    result: None,
                });
                self.leases.insert(*replicate, *trial);
            }
            Event::Measured { replicate, trial, result } => {
                self.end_lease(*replicate, *trial).map_err(fail)?;
                self.cost += Cost { wall_s: 0.0, ..result.cost };
                let found = self.trial_mut(*trial).map_err(fail)?;
                if let Some(held) = found.replicates.iter_mut().find(|held| held.id == *replicate) {
                    held.result = Some(result.clone());
                }
            }
            Event::Fenced { replicate, trial, .. } => {
                self.end_lease(*replicate, *trial).map_err(fail)?;
                self.trial_mut(*trial)
                    .map_err(fail)?
                    .replicates
                    .retain(|held| held.id != *replicate);
            }
            Event::Concluded { trial, outcome } => {
                let found = self.trial_mut(*trial).map_err(fail)?;
                if found.outcome.is_some() {
                    return Err(fail(format!("{trial} has ended already")));
                }
                found.outcome = Some(outcome.clone());
                found.ended_at = Some(record.at);
                self.open.remove(trial);
                self.count(*trial, outcome);
            }
            Event::ReportOpened { champion } => {
                self.trial(*champion)
                    .ok_or_else(|| fail(format!("there is no trial {champion}")))?;
                self.report = Some(*champion);
            }
            Event::Noted { by, text } => self.notes.push_back((by.clone(), text.clone())),
            Event::Paused { .. } => self.state = State::Paused,
            Event::Resumed { .. } => self.state = State::Running,
            Event::Stopped { .. } => self.state = State::Stopped,
            Event::Finished { .. } => self.state = State::Finished,
        }
        if let Some(last) = self.last_at {
            self.cost.wall_s += record.at.duration_since(last).as_secs_f64().max(0.0);
        }
        self.last_at = Some(record.at);
        self.seq = record.seq;
        Ok(())
    }

    /// Ends the lease that `replicate` of `trial` holds.
    fn end_lease(&mut self, replicate: ReplicateId, trial: TrialNo) -> Result<(), String> {
        match self.leases.get(&replicate) {
            Some(of) if *of == trial => {
                self.leases.remove(&replicate);
                Ok(())
            }
            Some(of) => Err(format!("replicate {replicate} is of {of}, not of {trial}")),
            None => Err(format!("replicate {replicate} holds no lease")),
        }
    }

    fn trial_mut(&mut self, no: TrialNo) -> Result<&mut Trial, String> {
        self.trials
            .get_mut(no.0 as usize)
            .map(Arc::make_mut)
            .ok_or_else(|| format!("there is no trial {no}"))
    }

    fn count(&mut self, trial: TrialNo, outcome: &Outcome) {
        match outcome {
            Outcome::Valid { verdict, .. } => match verdict {
                Verdict::Baseline => return,
                Verdict::Keep => {
                    self.counts.keep += 1;
                    self.keeps.push_back(trial);
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

    /// Its id.
    #[must_use]
    pub fn id(&self) -> StudyId {
        self.id
    }

    /// What is asked.
    #[must_use]
    pub fn task(&self) -> &Arc<Task> {
        &self.task
    }

    /// How it is asked.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The caps in force.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The last event taken in.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The segment in force.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// What the segment in force was opened with.
    #[must_use]
    pub fn fixed(&self) -> Option<Fixed> {
        self.fixed
    }

    /// The sandbox level of the last session.
    #[must_use]
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// All trials, by number.
    #[must_use]
    pub fn trials(&self) -> &Vector<Arc<Trial>> {
        &self.trials
    }

    /// One trial.
    #[must_use]
    pub fn trial(&self, no: TrialNo) -> Option<&Arc<Trial>> {
        self.trials.get(no.0 as usize)
    }

    /// The number the next trial gets.
    #[must_use]
    pub fn next_trial(&self) -> TrialNo {
        TrialNo(u32::try_from(self.trials.len()).unwrap_or(u32::MAX))
    }

    /// Trials that have not ended.
    #[must_use]
    pub fn open_trials(&self) -> &OrdSet<TrialNo> {
        &self.open
    }

    /// Replicates that hold a slot, with their trials.
    #[must_use]
    pub fn leases(&self) -> &OrdMap<ReplicateId, TrialNo> {
        &self.leases
    }

    /// The first trial with this tree.
    #[must_use]
    pub fn with_tree(&self, tree: TreeId) -> Option<TrialNo> {
        self.by_tree.get(&tree).copied()
    }

    /// Kept trials, oldest first. Each was confirmed against the one before it.
    #[must_use]
    pub fn keeps(&self) -> &Vector<TrialNo> {
        &self.keeps
    }

    /// The best confirmed trial: the last keep, else the baseline.
    #[must_use]
    pub fn champion(&self) -> TrialNo {
        self.keeps.last().copied().unwrap_or(TrialNo::BASELINE)
    }

    /// The trial of the closing comparison, once it has begun.
    #[must_use]
    pub fn report(&self) -> Option<TrialNo> {
        self.report
    }

    /// Notes, oldest first: who, what.
    #[must_use]
    pub fn notes(&self) -> &Vector<(String, String)> {
        &self.notes
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

    /// What was spent.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The seed of place `index` in the stream of `purpose`.
    #[must_use]
    pub fn seed(&self, purpose: Purpose, index: u32) -> crate::Seed {
        purpose.seed(self.settings.seed, index)
    }
}
