//! The loop: conclude what can be concluded, lease what is wanted, ask while there is room, wait for what comes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use empiric_agents::Halt;
use empiric_core::{
    Blame, Cause, Concern, Edit, Event, Failure, Outcome, Phase, Quarantine, Record, Rehearsal,
    ReplicateId, Study, TreeId, TrialNo, Verdict,
    study::{Fixed, State},
    trial::Measured,
};
use empiric_decide::{Closing, Step, Wanted};
use empiric_doors::{self as doors, Door};
use empiric_executor::{LocalRunner, Pool, Slot};
use empiric_ledger::{Inbox, Ledger};
use empiric_search::Policies;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    Error, Options,
    asking::told,
    budget::{Meter, Room},
    propose::Workshop,
    served::{Answer, Deed, Served},
};

/// How often the inbox is looked into.
const INBOX: std::time::Duration = std::time::Duration::from_millis(100);
/// Trials in a row that the evaluator or the machine spoilt, or that nobody could be asked to propose, after which going on
/// would waste the night.
pub(crate) const BREAKER: usize = 5;
/// What a session can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Finish and record what runs, start nothing new, stop.
    Stop,
    /// End what runs, stop.
    Kill,
}

/// A record, and the study it led to.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened.
    pub record: Record,
    /// The study after it.
    pub study: Study,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The study is over.
    Finished(String),
    /// It can go on later; the reason says what stopped it.
    Stopped(String),
    /// A cap on model calls has no room for the next one; the same command with more goes on.
    Paused(String),
    /// The baseline could not be measured, or the evaluator keeps failing: nothing can be learnt before that is mended.
    Broken(String),
    /// Models cannot be asked, or whoever asks them keeps failing; nothing is wrong with recipe or evaluator.
    Unasked(String),
}

/// One session of one study.
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) ledger: Ledger,
    pub(crate) inbox: Inbox,
    pub(crate) study: Study,
    pub(crate) policies: Policies,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) pool: Pool,
    pub(crate) runner: LocalRunner,
    pub(crate) meter: Meter,
    pub(crate) observer: mpsc::UnboundedSender<Notice>,
    pub(crate) inputs: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
    /// Proposals under way, with their arms.
    pub(crate) proposing: BTreeMap<TrialNo, String>,
    pub(crate) stopping: Option<(Control, String)>,
    /// Trials in a row that the evaluator or the machine spoilt.
    pub(crate) spoilt: Vec<Failure>,
    /// Proposals in a row that came to nothing, by arm.
    pub(crate) barren: BTreeMap<String, u32>,
    /// Proposals in a row that failed for no fault of the proposal, by arm.
    pub(crate) unproposed: BTreeMap<String, Vec<Failure>>,
    pub(crate) served: Served,
    /// What arms saw when trials that have no edit yet were asked for.
    pub(crate) asked: BTreeMap<TrialNo, Study>,
}

/// What comes back from what was started.
pub(crate) enum Input {
    Proposed(TrialNo, Result<Edit, Failure>),
    Measured(ReplicateId, TrialNo, Slot, Ran),
    /// Something to write down, and whom to tell when it is.
    Deed(Deed, oneshot::Sender<()>),
    /// A smoke stage to run on a tree, for the proposer of a trial.
    Rehearse(TrialNo, TreeId, Answer),
    Rehearsed(TrialNo, Slot, Result<Rehearsal, String>, Answer),
    /// No proposal can be made for now.
    Halt(Halt),
}

/// What became of a replicate.
pub(crate) enum Ran {
    /// It ran under what its segment was opened with.
    Done(Box<Measured>),
    /// Evaluator, data or environment were not what the segment was opened with, before it or after it.
    Drifted(Fixed),
}

impl Engine {
    /// Runs until the study is over or something stops it. Everything that was started has ended when this returns.
    ///
    /// # Errors
    /// When the ledger or the store can no longer be written.
    pub async fn run(
        mut self,
        mut control: mpsc::UnboundedReceiver<Control>,
    ) -> Result<Ended, Error> {
        let mut inbox = tokio::time::interval(INBOX);
        inbox.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let outcome = loop {
            match self.advance().await {
                Ok(None) => {}
                Ok(Some(ended)) => break Ok(ended),
                Err(error) => break Err(error),
            }
            let step = tokio::select! {
                Some(input) = self.inputs.1.recv() => self.take(input).await,
                Some(control) = control.recv() => {
                    self.stop(control, "interrupted".to_owned());
                    Ok(())
                }
                _ = inbox.tick() => self.read_inbox().await,
            };
            if let Err(error) = step {
                break Err(error);
            }
        };
        if outcome.is_err() {
            self.runner.cancel();
            self.call_off();
        }
        self.drain().await;
        outcome
    }

    /// Waits for the ends of all units; only after an error is there any left.
    async fn drain(&mut self) {
        while self.pool.free() < self.pool.names().len() {
            match self.inputs.1.recv().await {
                Some(Input::Measured(_, _, slot, _) | Input::Rehearsed(_, slot, ..)) => {
                    self.pool.give(slot)
                }
                Some(
                    Input::Proposed(..) | Input::Deed(..) | Input::Rehearse(..) | Input::Halt(_),
                ) => {}
                None => return,
            }
        }
    }

    pub(crate) fn stop(&mut self, control: Control, why: String) {
        doors::before(Door::Stop);
        if control == Control::Kill {
            self.runner.cancel();
        }
        self.call_off();
        let control = self.stopping.as_ref().map_or(control, |(held, _)| (*held).max(control));
        self.stopping = Some((control, why));
    }

    /// Appends events, takes them into the study, and tells policy and observer.
    pub(crate) async fn commit(&mut self, events: Vec<Event>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let records = self.ledger.append(events).await?;
        self.apply(records)
    }

    pub(crate) fn apply(&mut self, records: Vec<Record>) -> Result<(), Error> {
        for record in records {
            self.study.apply(&record)?;
            self.policies.tell(&self.study, &record);
            self.observer.send(Notice { record, study: self.study.clone() }).ok();
        }
        Ok(())
    }

    /// Does everything that can be done without waiting; says so when the session is over.
    async fn advance(&mut self) -> Result<Option<Ended>, Error> {
        let mut wanted = loop {
            match self.judge() {
                Judged::Concluded(trial, outcome) => self.conclude(trial, outcome).await?,
                Judged::Doubted(trial, concerns) => {
                    let quarantine = Quarantine { concerns, nonce: nonce() };
                    self.commit(vec![Event::Quarantined { trial, quarantine }]).await?;
                }
                Judged::Wanted(wanted) => break wanted,
            }
        };
        if let Some(outcome) =
            self.study.trial(TrialNo::BASELINE).and_then(|trial| trial.outcome.as_ref())
            && let Outcome::Failed(failure) = outcome
        {
            let why = format!("the baseline cannot be measured: {failure}\n{}", failure.excerpt);
            return Ok(Some(self.broken(why.trim()).await?));
        }
        if let Some(why) = self.unproposable().await? {
            return Ok(Some(Ended::Unasked(why)));
        }
        if let [.., spoiler] = &self.spoilt[..]
            && self.spoilt.len() >= BREAKER
        {
            let why =
                format!("{BREAKER} trials in a row were spoilt by the evaluator or the machine");
            return Ok(Some(self.broken(&format!("{why}: {}", told(spoiler))).await?));
        }
        if let Some((_, why)) = &self.stopping {
            // Proposals of models are called off, and end with what they have cost so far.
            if !self.study.leases().is_empty() || self.at_work() {
                self.start_rehearsals();
                return Ok(None);
            }
            doors::after(Door::Stop);
            if let Some(why) = self.served.broken.clone() {
                return Ok(Some(self.unasked(why).await?));
            }
            let why = why.clone();
            self.commit(vec![Event::Stopped { by: why.clone() }]).await?;
            return Ok(Some(Ended::Stopped(why)));
        }
        if self.study.state() == State::Paused {
            return Ok(None);
        }
        self.models_spent();
        if let Some(ended) = self.pause_when_idle().await? {
            return Ok(Some(ended));
        }
        let room = match (self.options.ablate, self.options.search) {
            _ if self.served.pausing.is_some() => Room::Reserved,
            (Some(margin), _) => {
                let before = self.study.seq();
                let room = self.ablate(margin).await?;
                if self.study.seq() != before {
                    // New trials: they are judged before anything is leased.
                    return Box::pin(self.advance()).await;
                }
                room
            }
            (None, true) => self.room(),
            (None, false) => Room::Spent("requests answered".to_owned()),
        };
        if let Room::Spent(reason) = &room
            && self.all_ended()
            && self.proposing.is_empty()
            && !self.inbox.has_requests()?
            && let Some(ended) = self.close(reason, &mut wanted).await?
        {
            return Ok(Some(ended));
        }
        if self.served.pausing.is_none() {
            self.start_unproposed();
        }
        self.start_rehearsals();
        let unstarted = self.lease(wanted).await?;
        if room == Room::Open {
            self.ask(unstarted).await?;
        }
        Ok(None)
    }

    /// Looks at every open trial: the first that can be concluded, or all replicates that are wanted.
    fn judge(&self) -> Judged {
        let mut wanted = Vec::new();
        for no in self.study.open_trials() {
            if self.study.trial(*no).is_none_or(|trial| trial.edit.is_none()) {
                continue;
            }
            match empiric_decide::next_step(&self.study, *no) {
                Step::Conclude(outcome) => return Judged::Concluded(*no, outcome),
                Step::Quarantine { concerns } => return Judged::Doubted(*no, concerns),
                Step::Measure { wanted: more } => wanted.extend(more),
                Step::Wait => {}
            }
        }
        Judged::Wanted(wanted)
    }

    async fn conclude(&mut self, trial: TrialNo, outcome: Outcome) -> Result<(), Error> {
        if let Some(made) = self.study.trial(trial).filter(|_| trial != TrialNo::BASELINE) {
            let barren = self.barren.entry(made.arm.clone()).or_default();
            let unproposed = self.unproposed.entry(made.arm.clone()).or_default();
            let proposing =
                |failure: &Failure| matches!(failure.phase, Phase::Propose | Phase::Static);
            match &outcome {
                Outcome::Failed(failure) if failure.blame.spares_the_trial() => {
                    let spoilt = match failure.phase == Phase::Propose {
                        true => unproposed,
                        false => &mut self.spoilt,
                    };
                    spoilt.push(failure.clone());
                }
                Outcome::Failed(failure) if proposing(failure) => {
                    unproposed.clear();
                    *barren += 1;
                }
                Outcome::Valid { .. } | Outcome::Failed(_) => {
                    unproposed.clear();
                    self.spoilt.clear();
                    *barren = 0;
                }
            }
        }
        doors::before(Door::Verdict);
        self.commit(vec![Event::Concluded { trial, outcome }]).await?;
        doors::after(Door::Verdict);
        Ok(())
    }

    async fn broken(&mut self, why: &str) -> Result<Ended, Error> {
        self.give_up(why).await?;
        Ok(Ended::Broken(why.to_owned()))
    }

    /// Ends the session because nothing can be learnt.
    pub(crate) async fn give_up(&mut self, why: &str) -> Result<(), Error> {
        self.runner.cancel();
        let fenced = self.study.leases().iter().map(|(replicate, trial)| Event::Fenced {
            replicate: *replicate,
            trial: *trial,
            reason: "the session stops".to_owned(),
        });
        let mut events: Vec<Event> = fenced.collect();
        events.push(Event::Stopped { by: why.to_owned() });
        self.commit(events).await
    }

    /// The closing comparison of champions and baseline; the session ends when it is done.
    async fn close(
        &mut self,
        reason: &str,
        wanted: &mut Vec<Wanted>,
    ) -> Result<Option<Ended>, Error> {
        let champions = self.study.champions();
        let closes = self.options.search || self.options.ablate.is_some();
        if !champions.is_empty() && closes {
            doors::before(Door::Closing);
            let opened = |no: &TrialNo| self.study.own(*no).report() == Some(*no);
            if !champions.iter().all(opened) {
                self.commit(vec![Event::ReportOpened { champions }]).await?;
            }
            match empiric_decide::closing(&self.study) {
                Closing::Measure(missing) => {
                    wanted.extend(missing);
                    return Ok(None);
                }
                Closing::Wait => return Ok(None),
                Closing::Done => doors::after(Door::Closing),
            }
        }
        if self.study.state() != State::Finished {
            let event = if self.options.search {
                Event::Finished { reason: reason.to_owned() }
            } else {
                Event::Stopped { by: reason.to_owned() }
            };
            self.commit(vec![event]).await?;
        }
        Ok(Some(Ended::Finished(reason.to_owned())))
    }

    /// Starts wanted replicates while slots are free; says how many found none.
    async fn lease(&mut self, wanted: Vec<Wanted>) -> Result<usize, Error> {
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<Wanted> =
            wanted.into_iter().filter(|w| seen.insert((w.trial, w.purpose, w.index))).collect();
        let mut events = Vec::new();
        let mut starting = Vec::new();
        while let Some(next) = queue.front().copied() {
            let Some(tree) = self
                .study
                .trial(next.trial)
                .and_then(|trial| trial.edit.as_ref())
                .map(|edit| edit.tree)
            else {
                queue.pop_front();
                continue;
            };
            let Some(slot) = self.pool.take(tree) else { break };
            queue.pop_front();
            let replicate = ReplicateId(Uuid::now_v7());
            let Wanted { trial, purpose, index } = next;
            let seed = self.study.seed(trial, purpose, index);
            let name = slot.dirs.name.clone();
            events.push(Event::Leased { replicate, trial, purpose, index, seed, slot: name });
            starting.push((replicate, trial, seed, slot, tree));
        }
        if starting.is_empty() {
            return Ok(queue.len());
        }
        doors::before(Door::Lease);
        let leased = match self.options.layout.has_room() {
            Ok(()) => self.commit(events).await,
            Err(error) => Err(error),
        };
        if let Err(error) = leased {
            // The session ends, and waits for every slot before it does.
            starting.into_iter().for_each(|(.., slot, _)| self.pool.give(slot));
            return Err(error);
        }
        doors::after(Door::Lease);
        for (replicate, trial, seed, slot, tree) in starting {
            self.start_replicate(replicate, trial, seed, slot, tree);
        }
        Ok(queue.len())
    }

    fn start_replicate(
        &self,
        replicate: ReplicateId,
        trial: TrialNo,
        seed: empiric_core::Seed,
        mut slot: Slot,
        tree: empiric_core::TreeId,
    ) {
        let runner = self.runner.clone();
        let installation = self.options.installation.clone();
        let store = Arc::clone(&self.workshop.store);
        let inputs = self.inputs.0.clone();
        let look = Arc::clone(&self.options.fixed);
        let opened = self.study.fixed();
        #[expect(
            clippy::disallowed_methods,
            reason = "its end is an input of the loop, which waits for all of them"
        )]
        tokio::spawn(async move {
            let previous = slot.holds.take();
            let recipe = slot.dirs.recipe.clone();
            let before = Arc::clone(&look);
            let made = blocking(move || {
                doors::before(Door::Materialize);
                store.materialize(tree, &recipe, previous)?;
                doors::after(Door::Materialize);
                Ok::<_, Error>(before()?)
            });
            let ran = match made.await {
                Ok(Ok(fixed)) if Some(fixed) != opened => Ran::Drifted(fixed),
                Ok(Ok(_)) => {
                    let measured =
                        empiric_evaluate::measure(&runner, &installation, &slot.dirs, seed).await;
                    slot.holds = (!installation.task.recipe.writable).then_some(tree);
                    match blocking(move || look()).await {
                        Ok(Ok(fixed)) if Some(fixed) != opened => Ran::Drifted(fixed),
                        Ok(Ok(_)) => Ran::Done(Box::new(measured)),
                        Ok(Err(error)) => spoilt(&error),
                        Err(error) => spoilt(&error),
                    }
                }
                Ok(Err(error)) | Err(error) => spoilt(&error),
            };
            inputs.send(Input::Measured(replicate, trial, slot, ran)).ok();
        });
    }

    /// Takes what came back from a proposer or a slot.
    async fn take(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Proposed(trial, made) => {
                self.proposing.remove(&trial);
                if !matches!(&made, Err(failure) if failure.cause == Cause::Cancelled) {
                    self.asked.remove(&trial);
                }
                match made {
                    // Nobody's fault: the trial stays open and is proposed again.
                    Err(failure) if failure.cause == Cause::Cancelled => Ok(()),
                    Ok(edit) => self.proposed(trial, edit).await,
                    Err(failure) => self.conclude(trial, Outcome::Failed(failure)).await,
                }
            }
            Input::Deed(deed, written) => self.write(deed, written).await,
            Input::Rehearse(trial, tree, answer) => {
                self.rehearse(trial, tree, answer);
                Ok(())
            }
            Input::Rehearsed(trial, slot, result, answer) => {
                self.rehearsed(trial, slot, result, answer).await
            }
            Input::Halt(halt) => {
                self.halted(halt);
                Ok(())
            }
            Input::Measured(replicate, trial, slot, ran) => {
                self.pool.give(slot);
                // On a full disk a unit fails, or worse, through no fault of its own.
                self.options.layout.has_room()?;
                let result = match ran {
                    Ran::Done(result) => *result,
                    Ran::Drifted(fixed) => return self.drifted(replicate, trial, fixed).await,
                };
                let cancelled = result
                    .failure
                    .as_ref()
                    .is_some_and(|failure| failure.cause == Cause::Cancelled);
                if cancelled {
                    let reason = "cancelled".to_owned();
                    return self.commit(vec![Event::Fenced { replicate, trial, reason }]).await;
                }
                self.meter.observe(&result.cost);
                self.commit(vec![Event::Measured { replicate, trial, result }]).await
            }
        }
    }

    /// Voids a replicate that did not run under what its segment was opened with, and opens the next segment, unless
    /// another replicate has done so already.
    async fn drifted(
        &mut self,
        replicate: ReplicateId,
        trial: TrialNo,
        fixed: Fixed,
    ) -> Result<(), Error> {
        let changed = self.study.fixed().and_then(|before| fixed.changed_since(&before));
        let reason =
            changed.clone().unwrap_or_else(|| "it ran across the end of its segment".to_owned());
        let mut events = vec![Event::Fenced { replicate, trial, reason }];
        if let Some(reason) = changed {
            events.push(Event::SegmentOpened { segment: self.study.segment() + 1, fixed, reason });
        }
        self.commit(events).await
    }

    /// Records an edit; one whose tree has been decided already is not paid for again.
    async fn proposed(&mut self, trial: TrialNo, edit: Edit) -> Result<(), Error> {
        let arm = self.study.trial(trial).map_or("", |trial| &trial.arm);
        let placebo = self.options.proposers.get(arm).is_some_and(|proposer| proposer.placebo());
        let same = if placebo { None } else { self.decided(arm, &edit) };
        self.commit(vec![Event::Proposed { trial, edit }]).await?;
        match same {
            Some(of) => self.conclude(trial, Outcome::Failed(duplicate(of))).await,
            None => Ok(()),
        }
    }

    /// The trial of this arm that has this edit's tree and needs no further evidence.
    pub(crate) fn decided(&self, arm: &str, edit: &Edit) -> Option<TrialNo> {
        settled(&self.study.of_arm(arm), edit.tree)
    }
}

/// The trial that has this tree and needs no further evidence, in an arm's view of the study. An undecided tree does: a
/// trial that comes to it again pools its replicates with the first one's.
pub(crate) fn settled(seen: &Study, tree: TreeId) -> Option<TrialNo> {
    let same = seen.trial(seen.with_tree(tree)?)?;
    match &same.outcome {
        Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }) => None,
        Some(Outcome::Failed(failure)) if failure.blame.spares_the_trial() => None,
        Some(Outcome::Valid { .. } | Outcome::Failed(_)) | None => Some(same.no),
    }
}

/// What [`Engine::judge`] found.
enum Judged {
    Concluded(TrialNo, Outcome),
    Doubted(TrialNo, Vec<Concern>),
    Wanted(Vec<Wanted>),
}

pub(crate) fn duplicate(of: TrialNo) -> Failure {
    Failure::new(Phase::Static, Cause::DuplicateTree { of })
}

fn spoilt(error: &dyn std::fmt::Display) -> Ran {
    let failure = Failure::new(Phase::Train, Cause::HarnessFailed)
        .blame(Blame::Infra)
        .excerpt(error.to_string());
    Ran::Done(Box::new(Measured { failure: Some(failure), ..Measured::default() }))
}

/// A number that nobody could foresee: the random half of a fresh identifier.
fn nonce() -> u64 {
    Uuid::now_v7().as_u64_pair().1
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Harness(error.to_string()))
}
