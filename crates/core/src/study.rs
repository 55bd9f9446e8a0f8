//! The study that a sequence of events amounts to. Policies, proposers and verdicts read nothing else, which is what
//! makes them replayable.
//!
//! Collections that grow with the study are persistent: a clone is a snapshot and costs the same at any size.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use jiff::Timestamp;

use crate::{
    Ablation, Budget, Cost, Event, Noise, Outcome, Pareto, Purpose, Record, Replicate, ReplicateId,
    Sample, Split, StudyId, Task, Trial, TrialNo, Verdict, ablation::ABLATE,
};

mod asked;
mod beside;
mod library;
mod look;
mod progress;
mod steer;

pub use asked::{Arm, Contest, ErrorControl, Fixed, OutOfOrder, Rules, SUBMITTED, Settings, State};
pub use library::{Learned, Library};
pub use look::Trials;
pub use progress::{Counts, Progress};
pub use steer::{refuses_pin, refuses_requeue};

/// A study, folded from its events.
#[derive(Debug, Clone)]
pub struct Study {
    id: StudyId,
    task: Arc<Task>,
    settings: Arc<Settings>,
    budget: Budget,
    state: State,
    seq: u64,
    segment: u32,
    fixed: Option<Fixed>,
    sandbox: Arc<str>,
    trials: Vector<Arc<Trial>>,
    /// What every arm starts from: the baseline.
    bare: Arc<Progress>,
    whole: Arc<Progress>,
    arms: OrdMap<Arc<str>, Arc<Progress>>,
    /// The arm whose trials alone may be seen, where it is not the whole study that is looked at.
    seen: Option<Seen>,
    won: OrdMap<TrialNo, Won>,
    rows: Vec<Row>,
    leases: OrdMap<ReplicateId, TrialNo>,
    contests: OrdMap<(TrialNo, TrialNo), Contest>,
    spread: OrdMap<TrialNo, Sample>,
    noise: Noise,
    varied: bool,
    notes: Vector<(String, String)>,
    cost: Cost,
    last_at: Option<Timestamp>,
    openings: u32,
    ablation: Option<Arc<Ablation>>,
    pareto: Pareto,
    finished: u32,
    library: Library,
}

/// Through whose eyes a study is looked at.
#[derive(Debug, Clone)]
struct Seen {
    arm: Arc<str>,
    own: Arc<Progress>,
    champion: TrialNo,
}

/// How a trial became champion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Won {
    /// The champion it beat.
    pub over: TrialNo,
    /// Its confirmed gain over the baseline, in the metric's unit: over the champion it beat, and that one's before it.
    pub gain: f64,
}

/// The places that the contests of an arm take, one after the other, and what became of their error. Each arm that the
/// study was opened with has a row and an equal part of the study's level; trials of any other arm, which nobody could
/// foresee, take places in the first row.
#[derive(Debug, Clone, Default)]
struct Row {
    places: u32,
    returned: Vec<u32>,
    keeps: u32,
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
            settings: Arc::new(settings.clone()),
            state: State::Running,
            seq: first.seq,
            segment: 0,
            fixed: None,
            sandbox: Arc::from("none"),
            trials: Vector::new(),
            bare: Arc::default(),
            whole: Arc::default(),
            arms: settings.arms.iter().map(|arm| (Arc::from(&*arm.name), Arc::default())).collect(),
            seen: None,
            won: OrdMap::new(),
            rows: vec![Row::default(); settings.arms.len().max(1)],
            leases: OrdMap::new(),
            contests: OrdMap::new(),
            spread: OrdMap::new(),
            noise: Noise::default(),
            varied: false,
            notes: Vector::new(),
            cost: Cost::default(),
            last_at: None,
            openings: 0,
            ablation: None,
            pareto: Pareto::default(),
            finished: 0,
            library: Library::default(),
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
        if let Some(what) = self.library.refuses(self, &record.event) {
            return Err(fail(what));
        }
        match &record.event {
            Event::StudyOpened { .. } => return Err(fail("the study is open already".to_owned())),
            Event::SessionStarted { sandbox, .. } => {
                self.sandbox = Arc::from(&**sandbox);
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
            Event::BudgetSet { budget, .. } => {
                self.budget = *budget;
                if self.state == State::Finished {
                    self.state = State::Running;
                    // Whatever is found from here on is compared anew, and that the split was open before is counted.
                    self.report_voided();
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
                    calls: Vec::new(),
                    rehearsals: Vec::new(),
                    fetches: Vec::new(),
                    replicates: Vec::new(),
                    quarantine: None,
                    outcome: None,
                    asked_at: record.at,
                    ended_at: None,
                }));
                if *trial != TrialNo::BASELINE && !self.arms.contains_key(&**arm) {
                    self.arms.insert(Arc::from(&**arm), Arc::clone(&self.bare));
                }
                self.progress(*trial, |own| own.asked(*trial));
                if let Some(ablation) = self.ablation.as_mut().filter(|_| arm == ABLATE) {
                    Arc::make_mut(ablation).asked(*trial, ask);
                }
            }
            Event::Called { trial, call } => {
                self.trial_mut(*trial).map_err(fail)?.calls.push(call.clone());
                self.cost += call.cost();
                self.progress(*trial, |own| own.spends(call.cost()));
            }
            Event::Rehearsed { trial, rehearsal } => {
                self.trial_mut(*trial).map_err(fail)?.rehearsals.push(rehearsal.clone());
                self.cost += Cost { wall_s: 0.0, ..rehearsal.cost };
                self.progress(*trial, |own| own.spends(rehearsal.cost));
            }
            Event::Fetched { trial, fetch } => {
                self.trial_mut(*trial).map_err(fail)?.fetches.push(fetch.clone());
            }
            Event::Staffed { .. }
            | Event::IdeaAdded { .. }
            | Event::IdeaChanged { .. }
            | Event::Learned { .. } => {}
            Event::Proposed { trial, edit } => {
                self.trial_mut(*trial).map_err(fail)?.edit = Some(edit.clone());
                self.progress(*trial, |own| own.proposed(*trial, edit));
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
                if *trial != TrialNo::BASELINE {
                    self.progress(*trial, |own| own.spends(result.cost));
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
                if let Outcome::Valid { verdict: Verdict::Keep, gain, .. } = outcome {
                    self.kept(*trial, gain.unwrap_or(0.0));
                }
                self.progress(*trial, |own| own.concluded(*trial, outcome));
            }
            Event::ReportOpened { champions } => {
                for champion in champions {
                    if champion.0 as usize >= self.trials.len() {
                        return Err(fail(format!("there is no trial {champion}")));
                    }
                }
                for champion in champions {
                    self.progress(*champion, |own| own.report_opened(*champion));
                }
                self.openings += 1;
            }
            Event::AblationOpened { champion, margin, hunks } => {
                if champion.0 as usize >= self.trials.len() {
                    return Err(fail(format!("there is no trial {champion}")));
                }
                self.ablation = Some(Arc::new(Ablation::new(*champion, *margin, hunks.clone())));
            }
            Event::Noted { by, text } => self.notes.push_back((by.clone(), text.clone())),
            Event::Pinned { trial, .. } => {
                if let Some(what) = self.refuses_pin(*trial) {
                    return Err(fail(what));
                }
                self.progress(*trial, |own| own.pin(*trial));
            }
            Event::Unpinned { trial, .. } => self.progress(*trial, |own| own.unpin(*trial)),
            Event::Requeued { trial, .. } => {
                if let Some(what) = self.refuses_requeue(*trial) {
                    return Err(fail(what));
                }
            }
            Event::Paused { .. } => self.state = State::Paused,
            Event::Resumed { .. } => self.state = State::Running,
            Event::Stopped { .. } => self.state = State::Stopped,
            Event::Finished { .. } => self.state = State::Finished,
        }
        let subject =
            record.event.trial().and_then(|no| self.trials.get(no.0 as usize)).map(Arc::clone);
        self.pareto.take(&self.task, self.segment, record, subject.as_deref());
        if let Some(no) = record.event.trial().filter(|no| *no != TrialNo::BASELINE) {
            let task = Arc::clone(&self.task);
            self.progress(no, |own| own.follows(&task, record, subject.as_deref()));
        }
        let mut library = std::mem::take(&mut self.library);
        library.take(self, record, subject.as_deref());
        self.library = library;
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

    /// Takes what happened to `trial` into the progress of its arm and of the whole study; what happened to the baseline,
    /// into that of every arm.
    fn progress(&mut self, trial: TrialNo, change: impl Fn(&mut Progress)) {
        change(Arc::make_mut(&mut self.whole));
        if trial == TrialNo::BASELINE {
            change(Arc::make_mut(&mut self.bare));
            let names: Vec<Arc<str>> = self.arms.keys().map(Arc::clone).collect();
            for name in names {
                if let Some(own) = self.arms.get_mut(&*name) {
                    change(Arc::make_mut(own));
                }
            }
        } else if let Some(found) = self.trials.get(trial.0 as usize)
            && let Some(own) = self.arms.get_mut(&*found.arm)
        {
            change(Arc::make_mut(own));
        }
    }

    fn row_at(&self, arm: &str) -> usize {
        self.settings.arms.iter().position(|asked| asked.name == arm).unwrap_or(0)
    }

    fn row(&self, arm: &str) -> &Row {
        &self.rows[self.row_at(arm)]
    }

    fn row_of(&mut self, trial: TrialNo) -> &mut Row {
        let at = self.trials.get(trial.0 as usize).map_or(0, |trial| self.row_at(&trial.arm));
        &mut self.rows[at]
    }

    /// Opens the contest that this lease on the stream of `of` belongs to, if it is its first.
    fn contest_opened(&mut self, trial: TrialNo, of: TrialNo, index: u32) {
        let open = |no: &TrialNo| *no != TrialNo::BASELINE && self.whole.open_trials().contains(no);
        let Some(challenger) = [trial, of].into_iter().find(open) else { return };
        let Some(champion) = self.meets(challenger) else { return };
        let pair = (challenger, champion);
        if !self.contests.contains_key(&pair) {
            let row = self.row_of(challenger);
            row.places = row.places.saturating_add(1);
            let mut shares = std::mem::take(&mut row.returned);
            shares.push(row.places);
            let (place, noise) = (row.places, self.noise);
            self.contests.insert(pair, Contest { place, shares, stream: of, from: index, noise });
        }
    }

    /// Passes on the error of the contest that `trial` has won, and takes its measurements into the noise.
    fn kept(&mut self, trial: TrialNo, gain: f64) {
        if let Some(over) = self.meets(trial) {
            let contest = self.contests.get(&(trial, over));
            let shares = contest.map(|contest| contest.shares.clone()).unwrap_or_default();
            let row = self.row_of(trial);
            row.returned.extend(shares);
            row.keeps += 1;
            // What a simplified champion gives up, no more than was allowed, does not put it behind the one it simplifies.
            let simplified = self.trials.get(trial.0 as usize).is_some_and(|t| t.arm == ABLATE);
            let gain = self.standing(over) + if simplified { gain.max(0.0) } else { gain };
            self.won.insert(trial, Won { over, gain });
        }
        self.noise = self.noise.with(&self.spread(trial));
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
}
