//! The loop: conclude what can be concluded, lease what is wanted, ask while there is room, wait for what comes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use empiric_core::{
    Ask, Blame, Cause, Edit, Event, Failure, Hypothesis, Operator, Outcome, Phase, Record, ReplicateId,
    Study, TrialNo, Verdict, study::State, trial::Measured,
};
use empiric_decide::{Closing, Step, Wanted};
use empiric_executor::{LocalRunner, Logs, Pool, Slot};
use empiric_ledger::{Blobs, Inbox, Ledger, Posted, Reply, Request, Submission};
use empiric_lineage::{CommitSpec, Import, Rules, Store};
use empiric_search::Policy;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Options,
    budget::{Meter, Room},
    propose::Workshop,
};

/// How often the inbox is looked into.
const INBOX: std::time::Duration = std::time::Duration::from_millis(100);
/// Trials in a row that the evaluator or the machine spoilt, after which going on would waste the night.
const BREAKER: u32 = 5;
/// Proposals in a row that came to nothing, after which the proposer is exhausted.
const EXHAUSTED: u32 = 20;
/// Events read at one time when a study is taken up again.
const PAGE: u32 = 1000;
/// The arm of trials made outside.
pub(crate) const SUBMITTED: &str = "submitted";

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
    /// The baseline could not be measured, or the evaluator keeps failing: nothing can be learnt before that is mended.
    Broken(String),
}

/// One session of one study.
pub struct Engine {
    options: Options,
    ledger: Ledger,
    inbox: Inbox,
    study: Study,
    policy: Box<dyn Policy>,
    workshop: Arc<Workshop>,
    pool: Pool,
    runner: LocalRunner,
    meter: Meter,
    observer: mpsc::UnboundedSender<Notice>,
    inputs: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
    proposing: BTreeSet<TrialNo>,
    stopping: Option<(Control, String)>,
    spoilt: u32,
    barren: u32,
    last_spoiler: String,
}

/// What comes back from what was started.
enum Input {
    Proposed(TrialNo, Result<Edit, Failure>),
    Measured(ReplicateId, TrialNo, Slot, Measured),
}

/// Logs go to the study's blobs.
struct BlobLogs(Blobs);

impl Logs for BlobLogs {
    fn keep(&self, text: &str) -> Option<empiric_core::BlobId> {
        self.0.put(text.as_bytes()).ok()
    }
}

impl Engine {
    /// Opens the study in `options.layout`, or begins it, and fences what an earlier session left.
    ///
    /// # Errors
    /// When the study belongs to something else, is held by another process, or cannot be read or written.
    pub async fn open(options: Options, observer: mpsc::UnboundedSender<Notice>) -> Result<Self, Error> {
        let layout = &options.layout;
        let fresh = !layout.exists();
        fs_err::create_dir_all(layout.root())?;
        let ledger = Ledger::open(empiric_ledger::Options {
            dir: layout.root().to_owned(),
            clock: Arc::clone(&options.clock),
            durability: empiric_ledger::Durability::default(),
        })?;
        empiric_executor::recover(&layout.slots())?;
        let store = Arc::new(if fresh { Store::init(&layout.store())? } else { Store::open(&layout.store())? });
        let rules = Arc::new(Rules::new(&options.installation.task)?);
        let policy = empiric_search::policy(&options.settings.policy)
            .ok_or_else(|| Error::Policy(options.settings.policy.clone()))?;
        let gpus = options.installation.task.stages.iter().map(|stage| stage.command.limits.gpus).max().unwrap_or(0);
        let pool = Pool::local(&layout.slots(), options.slots, gpus as usize, &options.gpus)?;
        let runner = LocalRunner {
            exe: options.exe.clone(),
            level: options.level,
            cgroup: options.cgroup.clone(),
            logs: Arc::new(BlobLogs(Blobs::of(layout.root()))),
            cancel: CancellationToken::new(),
        };
        let workshop = Arc::new(Workshop { store, rules, proposer: Arc::clone(&options.proposer) });
        let inbox = Inbox::of(layout.root());

        let mut meter = Meter::default();
        let mut policy = policy;
        let history = empiric_ledger::Reader::open(layout.root())?;
        let mut page = history.records(0, PAGE)?;
        if page.is_empty() {
            let opened = Event::StudyOpened {
                study: empiric_core::StudyId(Uuid::now_v7()),
                task: Arc::clone(&options.installation.task),
                settings: options.settings.clone(),
            };
            page = ledger.append(vec![opened]).await?;
        }
        let mut study = Study::open(&page[0])?;
        if study.seq() == 1 && page.len() == 1 {
            observer.send(Notice { record: page[0].clone(), study: study.clone() }).ok();
        }
        page.remove(0);
        loop {
            for record in &page {
                study.apply(record)?;
                policy.tell(&study, record);
                if let Event::Measured { result, .. } = &record.event {
                    meter.observe(&result.cost);
                }
            }
            page = history.records(study.seq(), PAGE)?;
            if page.is_empty() {
                break;
            }
        }
        let mut engine = Self {
            ledger,
            inbox,
            study,
            policy,
            workshop,
            pool,
            runner,
            meter,
            observer,
            inputs: mpsc::unbounded_channel(),
            proposing: BTreeSet::new(),
            stopping: None,
            spoilt: 0,
            barren: 0,
            last_spoiler: String::new(),
            options,
        };
        engine.begin().await?;
        Ok(engine)
    }

    /// The study as it stands.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Checks that this is the study asked for, and records that a session begins.
    async fn begin(&mut self) -> Result<(), Error> {
        let asked = &self.options.installation.task;
        let found = self.study.task();
        if found.name != asked.name {
            return Err(Error::OtherTask {
                path: self.options.layout.root().to_owned(),
                found: found.name.clone(),
                asked: asked.name.clone(),
            });
        }
        if found != asked {
            return Err(Error::Drift { what: "the task" });
        }
        self.check_fixed()?;
        let mut events = vec![Event::SessionStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.options.host.clone(),
            sandbox: self.options.level.as_str().to_owned(),
            cgroup: self.options.cgroup.accounting().as_str().to_owned(),
            slots: self.pool.names().to_vec(),
        }];
        if self.options.settings.budget != *self.study.budget() && self.options.search {
            events.push(Event::BudgetSet { budget: self.options.settings.budget });
        }
        for (replicate, trial) in self.study.leases() {
            let reason = "the session that ran it ended".to_owned();
            events.push(Event::Fenced { replicate: *replicate, trial: *trial, reason });
        }
        if self.study.trials().is_empty() {
            let (fixed, reason) = (self.options.fixed, "the study opens".to_owned());
            events.push(Event::SegmentOpened { segment: 0, fixed, reason });
            events.push(Event::Asked {
                trial: TrialNo::BASELINE,
                arm: "baseline".to_owned(),
                ask: Ask { operator: Operator::Draft, parents: Vec::new(), surface: None },
            });
            events.push(Event::Proposed { trial: TrialNo::BASELINE, edit: self.baseline().await? });
        }
        self.commit(events).await?;
        // Proposals that were under way when the last session ended are made again from the same asks.
        for no in self.unproposed() {
            self.start_proposal(no);
        }
        Ok(())
    }

    /// Refuses to go on when evaluator, data or environment are not what the segment opened with.
    fn check_fixed(&self) -> Result<(), Error> {
        let Some(opened) = self.study.fixed() else { return Ok(()) };
        let now = self.options.fixed;
        let pairs = [
            ("the evaluator", opened.evaluator, now.evaluator),
            ("the data", opened.data, now.data),
            ("the environment", opened.environment, now.environment),
        ];
        match pairs.iter().find(|(_, opened, now)| opened != now) {
            Some((what, ..)) => Err(Error::Drift { what }),
            None => Ok(()),
        }
    }

    /// Imports the unedited recipe.
    async fn baseline(&self) -> Result<Edit, Error> {
        let store = Arc::clone(&self.workshop.store);
        let recipe = self.options.recipe.clone();
        let at = (self.options.clock)();
        blocking(move || {
            let tree = store.import(&recipe, &Import::default())?;
            let message = "t0: the unedited recipe\n".to_owned();
            let commit = store.commit(&CommitSpec { tree, parents: &[], message: &message, at, trial: TrialNo::BASELINE })?;
            Ok(Edit {
                proposer: "task".to_owned(),
                operator: Operator::Draft,
                parents: Vec::new(),
                surface: None,
                hypothesis: Hypothesis { text: "the unedited recipe".to_owned(), prediction: None },
                tree,
                commit,
                files: Vec::new(),
                detail: serde_json::Value::Null,
            })
        })
        .await?
    }

    /// Runs until the study is over or something stops it. Everything that was started has ended when this returns.
    ///
    /// # Errors
    /// When the ledger or the store can no longer be written.
    pub async fn run(mut self, mut control: mpsc::UnboundedReceiver<Control>) -> Result<Ended, Error> {
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
            self.runner.cancel.cancel();
        }
        self.drain().await;
        outcome
    }

    /// Waits for the ends of all units; only after an error is there any left.
    async fn drain(&mut self) {
        while self.pool.free() < self.pool.names().len() {
            match self.inputs.1.recv().await {
                Some(Input::Measured(_, _, slot, _)) => self.pool.give(slot),
                Some(Input::Proposed(..)) => {}
                None => return,
            }
        }
    }

    fn stop(&mut self, control: Control, why: String) {
        if control == Control::Kill {
            self.runner.cancel.cancel();
        }
        let control = self.stopping.as_ref().map_or(control, |(held, _)| (*held).max(control));
        self.stopping = Some((control, why));
    }

    /// Appends events, takes them into the study, and tells policy and observer.
    async fn commit(&mut self, events: Vec<Event>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let records = self.ledger.append(events).await?;
        self.apply(records)
    }

    fn apply(&mut self, records: Vec<Record>) -> Result<(), Error> {
        for record in records {
            self.study.apply(&record)?;
            self.policy.tell(&self.study, &record);
            self.observer.send(Notice { record, study: self.study.clone() }).ok();
        }
        Ok(())
    }

    /// Does everything that can be done without waiting; says so when the session is over.
    async fn advance(&mut self) -> Result<Option<Ended>, Error> {
        let mut wanted = loop {
            match self.judge() {
                Judged::Concluded(trial, outcome) => self.conclude(trial, outcome).await?,
                Judged::Wanted(wanted) => break wanted,
            }
        };
        if self.study.trial(TrialNo::BASELINE).is_some_and(|trial| matches!(trial.outcome, Some(Outcome::Failed(_)))) {
            return Ok(Some(self.broken("the baseline cannot be measured").await?));
        }
        if self.spoilt >= BREAKER {
            let why = format!("{BREAKER} trials in a row were spoilt by the evaluator or the machine");
            return Ok(Some(self.broken(&why).await?));
        }
        if let Some((_, why)) = &self.stopping {
            if !self.study.leases().is_empty() {
                return Ok(None);
            }
            let why = why.clone();
            self.commit(vec![Event::Stopped { by: why.clone() }]).await?;
            return Ok(Some(Ended::Stopped(why)));
        }
        if self.study.state() == State::Paused {
            return Ok(None);
        }
        let room = if self.options.search { self.room() } else { Room::Spent("requests answered".to_owned()) };
        if let Room::Spent(reason) = &room
            && self.study.open_trials().is_empty()
            && self.proposing.is_empty()
            && !self.inbox.has_requests()?
            && let Some(ended) = self.close(reason, &mut wanted).await?
        {
            return Ok(Some(ended));
        }
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
                Step::Measure { wanted: more } => wanted.extend(more),
                Step::Wait => {}
            }
        }
        Judged::Wanted(wanted)
    }

    async fn conclude(&mut self, trial: TrialNo, outcome: Outcome) -> Result<(), Error> {
        if trial != TrialNo::BASELINE {
            match &outcome {
                Outcome::Failed(failure) if failure.blame.spares_the_trial() => {
                    self.spoilt += 1;
                    self.last_spoiler = failure.to_string();
                    if !failure.excerpt.is_empty() {
                        self.last_spoiler = format!("{failure}: {}", failure.excerpt);
                    }
                }
                Outcome::Failed(failure) if failure.phase == Phase::Propose || failure.phase == Phase::Static => {
                    self.barren += 1;
                }
                Outcome::Valid { .. } | Outcome::Failed(_) => (self.spoilt, self.barren) = (0, 0),
            }
        }
        self.commit(vec![Event::Concluded { trial, outcome }]).await
    }

    async fn broken(&mut self, what: &str) -> Result<Ended, Error> {
        let baseline = self.study.trial(TrialNo::BASELINE).and_then(|trial| trial.outcome.as_ref());
        let why = match baseline {
            Some(Outcome::Failed(failure)) => format!("{failure}\n{}", failure.excerpt),
            Some(Outcome::Valid { .. }) | None => self.last_spoiler.clone(),
        };
        let why = format!("{what}: {}", why.trim());
        self.runner.cancel.cancel();
        let fenced = self.study.leases().iter().map(|(replicate, trial)| Event::Fenced {
            replicate: *replicate,
            trial: *trial,
            reason: "the session stops".to_owned(),
        });
        let mut events: Vec<Event> = fenced.collect();
        events.push(Event::Stopped { by: why.clone() });
        self.commit(events).await?;
        Ok(Ended::Broken(why))
    }

    fn room(&self) -> Room {
        let measured = self.study.trial(TrialNo::BASELINE).is_some_and(|trial| trial.outcome.is_some());
        if !measured {
            return Room::Reserved;
        }
        if self.barren >= EXHAUSTED {
            return Room::Spent(format!("the proposer has nothing left to try ({EXHAUSTED} proposals came to nothing)"));
        }
        self.meter.room(&self.study, self.pool.names().len())
    }

    /// The closing comparison of champion and baseline; the session ends when it is done.
    async fn close(&mut self, reason: &str, wanted: &mut Vec<Wanted>) -> Result<Option<Ended>, Error> {
        let champion = self.study.champion();
        if champion != TrialNo::BASELINE && self.options.search {
            if self.study.report() != Some(champion) {
                self.commit(vec![Event::ReportOpened { champion }]).await?;
            }
            match empiric_decide::closing(&self.study) {
                Closing::Measure(missing) => {
                    wanted.extend(missing);
                    return Ok(None);
                }
                Closing::Wait => return Ok(None),
                Closing::Done => {}
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
            let Some(tree) = self.study.trial(next.trial).and_then(|trial| trial.edit.as_ref()).map(|edit| edit.tree)
            else {
                queue.pop_front();
                continue;
            };
            let Some(slot) = self.pool.take(tree) else { break };
            queue.pop_front();
            let replicate = ReplicateId(Uuid::now_v7());
            let Wanted { trial, purpose, index } = next;
            let seed = self.study.seed(purpose, index);
            let name = slot.dirs.name.clone();
            events.push(Event::Leased { replicate, trial, purpose, index, seed, slot: name });
            starting.push((replicate, trial, seed, slot, tree));
        }
        self.commit(events).await?;
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
        #[expect(clippy::disallowed_methods, reason = "its end is an input of the loop, which waits for all of them")]
        tokio::spawn(async move {
            let previous = slot.holds.take();
            let recipe = slot.dirs.recipe.clone();
            let made = blocking(move || store.materialize(tree, &recipe, previous)).await;
            let measured = match made {
                Ok(Ok(_)) => {
                    let writable = installation.task.recipe.writable;
                    let measured = empiric_evaluate::measure(&runner, &installation, &slot.dirs, seed).await;
                    slot.holds = (!writable).then_some(tree);
                    measured
                }
                Ok(Err(error)) => spoilt(&error),
                Err(error) => spoilt(&error),
            };
            inputs.send(Input::Measured(replicate, trial, slot, measured)).ok();
        });
    }

    /// Asks for trials until enough are under way that no slot will wait for a proposal.
    async fn ask(&mut self, unstarted: usize) -> Result<(), Error> {
        let slots = self.pool.names().len();
        let ahead = self.options.proposer.ahead(slots);
        while self.proposing.len() + unstarted < ahead + self.pool.free() && self.room() == Room::Open {
            let trial = self.study.next_trial();
            let ask = self.policy.ask(&self.study);
            let arm = self.study.settings().arms.first().cloned().unwrap_or_default();
            self.commit(vec![Event::Asked { trial, arm, ask }]).await?;
            self.start_proposal(trial);
        }
        Ok(())
    }

    /// Trials that were asked for and have no edit and nobody making one.
    fn unproposed(&self) -> Vec<TrialNo> {
        let open = self.study.open_trials().iter().copied();
        open.filter(|no| self.study.trial(*no).is_some_and(|trial| trial.edit.is_none())).collect()
    }

    fn start_proposal(&mut self, no: TrialNo) {
        let Some(trial) = self.study.trial(no).cloned() else { return };
        self.proposing.insert(no);
        let workshop = Arc::clone(&self.workshop);
        let study = self.study.clone();
        let inputs = self.inputs.0.clone();
        let at = (self.options.clock)();
        tokio::task::spawn_blocking(move || {
            let made = workshop.propose(no, &trial.ask, &study, at);
            inputs.send(Input::Proposed(no, made)).ok();
        });
    }

    /// Takes what came back from a proposer or a slot.
    async fn take(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Proposed(trial, made) => {
                self.proposing.remove(&trial);
                match made {
                    Ok(edit) => self.proposed(trial, edit).await,
                    Err(failure) => self.conclude(trial, Outcome::Failed(failure)).await,
                }
            }
            Input::Measured(replicate, trial, slot, result) => {
                self.pool.give(slot);
                let cancelled = result.failure.as_ref().is_some_and(|failure| failure.cause == Cause::Cancelled);
                if cancelled {
                    let reason = "cancelled".to_owned();
                    return self.commit(vec![Event::Fenced { replicate, trial, reason }]).await;
                }
                self.meter.observe(&result.cost);
                self.commit(vec![Event::Measured { replicate, trial, result }]).await
            }
        }
    }

    /// Records an edit; one whose tree has been decided already is not paid for again.
    async fn proposed(&mut self, trial: TrialNo, edit: Edit) -> Result<(), Error> {
        let same = self.decided(&edit);
        self.commit(vec![Event::Proposed { trial, edit }]).await?;
        match same {
            Some(of) => self.conclude(trial, Outcome::Failed(duplicate(of))).await,
            None => Ok(()),
        }
    }

    /// The trial that has this edit's tree and needs no further evidence. An undecided tree does: a trial that comes to
    /// it again pools its replicates with the first one's.
    fn decided(&self, edit: &Edit) -> Option<TrialNo> {
        let same = self.study.trial(self.study.with_tree(edit.tree)?)?;
        match &same.outcome {
            Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }) => None,
            Some(Outcome::Failed(failure)) if failure.blame.spares_the_trial() => None,
            Some(Outcome::Valid { .. } | Outcome::Failed(_)) | None => Some(same.no),
        }
    }

    /// Answers what other processes asked for.
    async fn read_inbox(&mut self) -> Result<(), Error> {
        if !self.inbox.has_requests()? {
            return Ok(());
        }
        let mail = self.inbox.waiting()?;
        for posted in mail.posted {
            self.answer(posted).await?;
        }
        let refusals = mail.unreadable.into_iter();
        let refusals = refusals.map(|(request, why)| Reply { request, trial: None, refusal: Some(why) }).collect();
        let records = self.ledger.append_answering(Vec::new(), refusals).await?;
        self.apply(records)
    }

    async fn answer(&mut self, posted: Posted) -> Result<(), Error> {
        let Posted { id, by, request, .. } = posted;
        let mut trial = None;
        let events = match request {
            Request::Pause => vec![Event::Paused { by }],
            Request::Resume => vec![Event::Resumed { by }],
            Request::Stop => {
                self.stop(Control::Stop, format!("stopped by {by}"));
                Vec::new()
            }
            Request::Note { text } => vec![Event::Noted { by, text }],
            Request::Budget { budget } => vec![Event::BudgetSet { budget }],
            Request::Submit { submission } => {
                let no = self.study.next_trial();
                trial = Some(no);
                self.submitted(no, by, submission).await?
            }
        };
        let reply = Reply { request: id, trial, refusal: None };
        let records = self.ledger.append_answering(events, vec![reply]).await?;
        self.apply(records)
    }

    /// The events by which a submission becomes trial `no`: asked and proposed together, so that none is half taken.
    async fn submitted(&self, no: TrialNo, by: String, submission: Submission) -> Result<Vec<Event>, Error> {
        let parents = match &submission.parents[..] {
            [] => vec![self.study.champion()],
            parents => parents.to_vec(),
        };
        let ask = Ask { operator: Operator::Improve, parents, surface: None };
        let asked = Event::Asked { trial: no, arm: SUBMITTED.to_owned(), ask: ask.clone() };
        let (workshop, study, at) = (Arc::clone(&self.workshop), self.study.clone(), (self.options.clock)());
        let made = blocking(move || workshop.submit(no, &ask, by, submission, &study, at)).await?;
        let same = made.as_ref().ok().and_then(|edit| self.decided(edit));
        let failed = |failure| Event::Concluded { trial: no, outcome: Outcome::Failed(failure) };
        Ok(match (made, same) {
            (Err(failure), _) => vec![asked, failed(failure)],
            (Ok(edit), None) => vec![asked, Event::Proposed { trial: no, edit }],
            (Ok(edit), Some(of)) => vec![asked, Event::Proposed { trial: no, edit }, failed(duplicate(of))],
        })
    }
}

/// What [`Engine::judge`] found.
enum Judged {
    Concluded(TrialNo, Outcome),
    Wanted(Vec<Wanted>),
}

fn duplicate(of: TrialNo) -> Failure {
    Failure::new(Phase::Static, Cause::DuplicateTree { of })
}

fn spoilt(error: &dyn std::fmt::Display) -> Measured {
    let failure = Failure::new(Phase::Train, Cause::HarnessFailed).blame(Blame::Infra).excerpt(error.to_string());
    Measured { failure: Some(failure), ..Measured::default() }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Harness(error.to_string()))
}
