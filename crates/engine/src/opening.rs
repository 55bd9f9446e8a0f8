//! Taking a study up: opened or begun, checked to be the one asked for, and what an earlier session left fenced.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use empiric_core::{Ask, Edit, Event, Hypothesis, Operator, Study, StudyId, TrialNo, study::State};
use empiric_doors::{self as doors, Door};
use empiric_executor::{LocalRunner, Logs, Pool};
use empiric_ledger::{Blobs, Inbox, Ledger, Lock, Reader};
use empiric_lineage::{CommitSpec, Import, Rules, Store};
use empiric_search::Policies;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Options,
    budget::Meter,
    dispatcher::{Engine, Notice, blocking},
    layout::Layout,
    propose::{Workshop, inspect},
    served::Served,
};

/// Events read at one time when a study is taken up again.
const PAGE: u32 = 1000;

/// Logs go to the study's blobs.
struct BlobLogs(Blobs);

impl Logs for BlobLogs {
    fn keep(&self, text: &str) -> Option<empiric_core::BlobId> {
        self.0.put(text.as_bytes()).ok()
    }
}

/// Ends whatever an earlier session of the study left running, without a thread or a process of its own: a recipe that
/// forks without end may have taken all that this user can have, and then nothing else could be started. Call it before
/// anything else of a session; [`Engine::open`] looks again, because others may have come and gone meanwhile.
///
/// # Errors
/// When the study is held by another process, or something cannot be ended.
pub fn fence(layout: &Layout) -> Result<(), Error> {
    if layout.slots().exists() {
        let _lock = Lock::take(layout.root())?;
        reap(layout)?;
    }
    Ok(())
}

/// The caller holds the study's lock.
fn reap(layout: &Layout) -> Result<(), Error> {
    doors::before(Door::Recover);
    empiric_executor::recover(&layout.slots())?;
    doors::after(Door::Recover);
    Ok(())
}

impl Engine {
    /// Opens the study in `options.layout`, or begins it, and fences what an earlier session left.
    ///
    /// # Errors
    /// When the study belongs to something else, is held by another process, or cannot be read or written.
    pub async fn open(
        options: Options,
        observer: mpsc::UnboundedSender<Notice>,
    ) -> Result<Self, Error> {
        let layout = &options.layout;
        let task = &options.installation.task;
        // What can be refused is refused before anything is written.
        let rules = Arc::new(Rules::new(task)?);
        let policies = Policies::of(&options.settings)?;
        let made = |arm: &str| options.proposers.contains_key(arm);
        if let Some(arm) =
            options.settings.arms.iter().find(|arm| options.search && !made(&arm.name))
        {
            return Err(Error::NoProposer(arm.name.clone()));
        }
        let gpus = task.gpus() as usize;
        let pool = Pool::local(&layout.slots(), options.slots, gpus, &options.gpus)?;
        let ledger = Ledger::open(empiric_ledger::Options {
            dir: layout.root().to_owned(),
            clock: Arc::clone(&options.clock),
            durability: empiric_ledger::Durability::default(),
        })?;
        reap(layout)?;
        layout.has_room()?;
        let history = History::take(&options, &ledger, policies, &observer).await?;
        let store = Arc::new(store(&layout.store(), history.study.trials().is_empty())?);
        let runner = LocalRunner::new(
            options.exe.clone(),
            options.level,
            options.cgroup.clone(),
            Arc::new(BlobLogs(Blobs::of(layout.root()))),
            CancellationToken::new(),
        );
        let mut engine = Self {
            ledger,
            inbox: Inbox::of(layout.root()),
            study: history.study,
            policies: history.policies,
            workshop: Arc::new(Workshop { store, rules }),
            pool,
            runner,
            meter: history.meter,
            observer,
            inputs: mpsc::unbounded_channel(),
            proposing: BTreeMap::new(),
            stopping: None,
            spoilt: Vec::new(),
            barren: BTreeMap::new(),
            unproposed: BTreeMap::new(),
            served: Served::default(),
            asked: history.asked,
            options,
        };
        engine.begin().await?;
        Ok(engine)
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
            return Err(Error::TaskChanged);
        }
        let fixed = (self.options.fixed)()?;
        let mut events = vec![Event::SessionStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.options.host.clone(),
            sandbox: self.options.level.as_str().to_owned(),
            cgroup: self.options.cgroup.accounting().as_str().to_owned(),
            slots: self.pool.names().to_vec(),
        }];
        if self.options.settings.budget != *self.study.budget() && self.options.search {
            events.push(Event::BudgetSet {
                budget: self.options.settings.budget,
                by: "the command that goes on".to_owned(),
            });
            if self.study.state() == State::Paused {
                events.push(Event::Resumed { by: "a new budget".to_owned() });
            }
        }
        for (replicate, trial) in self.study.leases() {
            let reason = "the session that ran it ended".to_owned();
            events.push(Event::Fenced { replicate: *replicate, trial: *trial, reason });
        }
        if let Some(reason) = self.study.fixed().and_then(|before| fixed.changed_since(&before)) {
            let segment = self.study.segment() + 1;
            events.push(Event::SegmentOpened { segment, fixed, reason });
        }
        if self.study.trials().is_empty() {
            events.push(Event::SegmentOpened {
                segment: 0,
                fixed,
                reason: "the study opens".to_owned(),
            });
            events.push(Event::Asked {
                trial: TrialNo::BASELINE,
                arm: "baseline".to_owned(),
                ask: Ask { operator: Operator::Draft, parents: Vec::new(), surface: None },
            });
            events.push(Event::Proposed { trial: TrialNo::BASELINE, edit: self.baseline().await? });
        }
        self.commit(events).await?;
        if let Some(recorder) = &self.options.recorder {
            recorder.take_up(&self.study, self.inputs.0.clone());
        }
        self.staffed().await
    }

    /// Imports the unedited recipe.
    async fn baseline(&self) -> Result<Edit, Error> {
        let store = Arc::clone(&self.workshop.store);
        let recipe = self.options.recipe.clone();
        let task = Arc::clone(&self.options.installation.task);
        let at = (self.options.clock)();
        blocking(move || {
            let tree = store.import(&recipe, &Import::default())?;
            let message = "t0: the unedited recipe\n".to_owned();
            let commit = store.commit(&CommitSpec {
                tree,
                parents: &[],
                message: &message,
                at,
                trial: TrialNo::BASELINE,
            })?;
            Ok(Edit {
                proposer: "task".to_owned(),
                operator: Operator::Draft,
                parents: Vec::new(),
                surface: None,
                hypothesis: Hypothesis { text: "the unedited recipe".to_owned(), prediction: None },
                tree,
                commit,
                files: Vec::new(),
                thought: None,
                inspection: inspect(&store, &task, tree, tree)?,
                detail: serde_json::Value::Null,
            })
        })
        .await?
    }
}

/// The store at `path`, made anew while the study has no trial: what a session that died at its very start left there
/// is not referred to by anything.
fn store(path: &Path, anew: bool) -> Result<Store, Error> {
    if !anew {
        return Ok(Store::open(path)?);
    }
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    Ok(Store::init(path)?)
}

/// The study as its ledger tells it, and whoever learns from its events.
struct History {
    study: Study,
    /// What the study was when trials were asked for that have no edit yet.
    asked: BTreeMap<TrialNo, Study>,
    policies: Policies,
    meter: Meter,
}

impl History {
    /// Reads the ledger from its start; an empty one is given its first event.
    async fn take(
        options: &Options,
        ledger: &Ledger,
        policies: Policies,
        observer: &mpsc::UnboundedSender<Notice>,
    ) -> Result<Self, Error> {
        let reader = Reader::open(options.layout.root())?;
        let first = match reader.records(0, 1)?.pop() {
            Some(first) => first,
            None => {
                let opened = Event::StudyOpened {
                    study: StudyId(Uuid::now_v7()),
                    task: Arc::clone(&options.installation.task),
                    settings: options.settings.clone(),
                };
                let first = ledger.append(vec![opened]).await?.remove(0);
                observer.send(Notice { record: first.clone(), study: Study::open(&first)? }).ok();
                first
            }
        };
        let (study, meter) = (Study::open(&first)?, Meter::default());
        let mut history = Self { study, asked: BTreeMap::new(), policies, meter };
        loop {
            let page = reader.records(history.study.seq(), PAGE)?;
            if page.is_empty() {
                return Ok(history);
            }
            for record in page {
                history.study.apply(&record)?;
                history.policies.tell(&history.study, &record);
                if let Event::Asked { trial, .. } = &record.event {
                    history.asked.insert(*trial, history.study.clone());
                } else if let Event::Proposed { trial, .. } | Event::Concluded { trial, .. } =
                    &record.event
                {
                    history.asked.remove(trial);
                }
                if let Event::Measured { result, .. } = &record.event {
                    history.meter.observe(&result.cost);
                }
            }
        }
    }
}
