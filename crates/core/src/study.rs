//! The study that a sequence of events amounts to. Policies, proposers and verdicts read nothing else, which is what
//! makes them replayable.
//!
//! Collections that grow with the study are persistent: a clone is a snapshot and costs the same at any size.

use std::{collections::BTreeMap, sync::Arc};

use imbl::{OrdMap, OrdSet, Vector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Ablation, Budget, Cost, Course, Event, Failure, Noise, Outcome, Pareto, Purpose, Record,
    Replicate, ReplicateId, Sample, Split, StudyId, Task, TreeId, Trial, TrialNo, Verdict,
    ablation::ABLATE,
};

mod asked;
mod beside;

pub use asked::{Contest, ErrorControl, Fixed, OutOfOrder, Rules, Settings, State};

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
    contests: OrdMap<(TrialNo, TrialNo), Contest>,
    places: u32,
    returned: Vec<u32>,
    spread: OrdMap<TrialNo, Sample>,
    noise: Noise,
    varied: bool,
    by_tree: OrdMap<TreeId, TrialNo>,
    keeps: Vector<TrialNo>,
    report: Option<TrialNo>,
    notes: Vector<(String, String)>,
    counts: Counts,
    spent: u32,
    cost: Cost,
    last_at: Option<Timestamp>,
    course: Course,
    openings: u32,
    ablation: Option<Arc<Ablation>>,
    pareto: Pareto,
    finished: u32,
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
            contests: OrdMap::new(),
            places: 0,
            returned: Vec::new(),
            spread: OrdMap::new(),
            noise: Noise::default(),
            varied: false,
            by_tree: OrdMap::new(),
            keeps: Vector::new(),
            report: None,
            notes: Vector::new(),
            counts: Counts::default(),
            spent: 0,
            cost: Cost::default(),
            last_at: None,
            course: Course::default(),
            openings: 0,
            ablation: None,
            pareto: Pareto::default(),
            finished: 0,
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
                self.contests = OrdMap::new();
                self.spread = OrdMap::new();
                self.noise = Noise::default();
                self.varied = false;
            }
            Event::BudgetSet { budget } => {
                self.budget = *budget;
                if self.state == State::Finished {
                    self.state = State::Running;
                    // Whatever is found from here on is compared anew, and that the split was open before is counted.
                    self.report = None;
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
                    quarantine: None,
                    outcome: None,
                    asked_at: record.at,
                    ended_at: None,
                }));
                self.open.insert(*trial);
                if let Some(ablation) = self.ablation.as_mut().filter(|_| arm == ABLATE) {
                    Arc::make_mut(ablation).asked(*trial, ask);
                }
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
                if let Purpose::Confirm { of } = purpose {
                    self.contest_opened(*trial, *of, *index);
                }
            }
            Event::Measured { replicate, trial, result } => {
                self.end_lease(*replicate, *trial).map_err(fail)?;
                self.cost += Cost { wall_s: 0.0, ..result.cost };
                self.finished += 1;
                let found = self.trial_mut(*trial).map_err(fail)?;
                let mut measured = None;
                if let Some(held) = found.replicates.iter_mut().rfind(|held| held.id == *replicate)
                {
                    held.result = Some(result.clone());
                    measured = Some(held.clone());
                }
                if let Some(measured) = measured {
                    self.spread_grown(&measured);
                }
            }
            Event::Fenced { replicate, trial, .. } => {
                self.end_lease(*replicate, *trial).map_err(fail)?;
                self.trial_mut(*trial)
                    .map_err(fail)?
                    .replicates
                    .retain(|held| held.id != *replicate);
            }
            Event::Quarantined { trial, quarantine } => {
                let found = self.trial_mut(*trial).map_err(fail)?;
                if found.quarantine.is_some() || found.outcome.is_some() {
                    return Err(fail(format!("{trial} is not to be put under quarantine")));
                }
                found.quarantine = Some(quarantine.clone());
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
                self.openings += 1;
            }
            Event::AblationOpened { champion, margin, hunks } => {
                self.trial(*champion)
                    .ok_or_else(|| fail(format!("there is no trial {champion}")))?;
                self.ablation = Some(Arc::new(Ablation::new(*champion, *margin, hunks.clone())));
            }
            Event::Noted { by, text } => self.notes.push_back((by.clone(), text.clone())),
            Event::Paused { .. } => self.state = State::Paused,
            Event::Resumed { .. } => self.state = State::Running,
            Event::Stopped { .. } => self.state = State::Stopped,
            Event::Finished { .. } => self.state = State::Finished,
        }
        let subject = record.event.trial().and_then(|no| self.trials.get(no.0 as usize));
        let subject = subject.map(|trial| &**trial);
        self.course.take(&self.task, record, subject);
        self.pareto.take(&self.task, self.segment, record, subject);
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

    /// Opens the contest that this lease on the stream of `of` belongs to, if it is its first.
    fn contest_opened(&mut self, trial: TrialNo, of: TrialNo, index: u32) {
        let open = |no: &TrialNo| *no != TrialNo::BASELINE && self.open.contains(no);
        let Some(challenger) = [trial, of].into_iter().find(open) else { return };
        let pair = (challenger, self.champion());
        if !self.contests.contains_key(&pair) {
            self.places = self.places.saturating_add(1);
            let mut shares = std::mem::take(&mut self.returned);
            shares.push(self.places);
            let (place, noise) = (self.places, self.noise);
            self.contests.insert(pair, Contest { place, shares, stream: of, from: index, noise });
        }
    }

    /// Takes the value of a finished replicate into the noise. Trees that were never believed, which anybody can make as
    /// erratic as they like, have a spread and no part in the pool.
    fn spread_grown(&mut self, replicate: &Replicate) {
        let counts = replicate.segment == self.segment && replicate.purpose != Purpose::Report;
        let Some(value) = replicate.value(&self.task.metric.name, Split::Select).filter(|_| counts)
        else {
            return;
        };
        let before = self.spread(replicate.trial);
        let after = before.with(value);
        if !after.ss.is_finite() {
            return;
        }
        self.spread.insert(replicate.trial, after);
        self.varied |= after.ss > 0.0;
        if self.believed(replicate.trial) {
            self.noise.ss += after.ss - before.ss;
            self.noise.df += after.df() - before.df();
        }
    }

    /// Whether a tree is the baseline's or was kept.
    fn believed(&self, no: TrialNo) -> bool {
        let kept = |trial: &Arc<Trial>| {
            matches!(trial.outcome, Some(Outcome::Valid { verdict: Verdict::Keep, .. }))
        };
        no == TrialNo::BASELINE || self.trial(no).is_some_and(kept)
    }

    fn count(&mut self, trial: TrialNo, outcome: &Outcome) {
        match outcome {
            Outcome::Valid { verdict, .. } => match verdict {
                Verdict::Baseline => return,
                Verdict::Keep => {
                    self.counts.keep += 1;
                    let won = self.contests.get(&(trial, self.champion()));
                    self.returned.extend(won.iter().flat_map(|contest| &contest.shares));
                    self.keeps.push_back(trial);
                    self.noise = self.noise.with(&self.spread(trial));
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

    /// The contest of a challenger with a champion, once it has begun in the segment in force.
    #[must_use]
    pub fn contest(&self, challenger: TrialNo, champion: TrialNo) -> Option<&Contest> {
        self.contests.get(&(challenger, champion))
    }

    /// How many contests have begun: hypotheses that may spend some of the study's error.
    #[must_use]
    pub fn contests(&self) -> u32 {
        self.places
    }

    /// The places whose error the next contest may spend.
    #[must_use]
    pub fn next_shares(&self) -> Vec<u32> {
        let own = self.places.saturating_add(1);
        self.returned.iter().copied().chain(std::iter::once(own)).collect()
    }

    /// Running sums over all values that verdicts see of one trial, in the segment in force.
    #[must_use]
    pub fn spread(&self, no: TrialNo) -> Sample {
        self.spread.get(&no).copied().unwrap_or_default()
    }

    /// Such sums of every measured trial.
    pub fn spreads(&self) -> impl Iterator<Item = (TrialNo, Sample)> {
        self.spread.iter().map(|(no, sums)| (*no, *sums))
    }

    /// Noise of one replicate in the segment in force, pooled over the baseline and all that was kept.
    #[must_use]
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Whether any tree has given two values in the segment in force.
    #[must_use]
    pub fn varied(&self) -> bool {
        self.varied
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

    /// How the search goes: diversity, staleness, droughts, what was tried before.
    #[must_use]
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// The seed of place `index` in the stream of `purpose`.
    #[must_use]
    pub fn seed(&self, purpose: Purpose, index: u32) -> crate::Seed {
        let nonce = match purpose {
            Purpose::Audit { of } => {
                self.trial(of).and_then(|trial| trial.quarantine.as_ref()).map(|held| held.nonce)
            }
            Purpose::Search | Purpose::Confirm { .. } | Purpose::Report => None,
        };
        purpose.seed(nonce.unwrap_or(self.settings.seed), index)
    }
}
