//! The loop's side of errands: it writes down what proposers do, runs their smoke stages, and stops when it is told that
//! models cannot be asked for now.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use empiric_agents::{Errands, Halt};
use empiric_core::{
    Call, Event, Fetch, Insight, Purpose, Rehearsal, Sketch, Study, TreeId, Trial, TrialNo,
    study::State,
};
use empiric_executor::Slot;
use empiric_ledger::Blobs;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    dispatcher::{Control, Ended, Engine, Input, blocking},
    errands::Counter,
};

/// Ideas and insights looked at for one that is there already.
const LOOKED_AT: usize = 400;

/// Something that a proposer did and the ledger has to say.
pub(crate) enum Deed {
    Called(TrialNo, Call),
    Idea { trial: TrialNo, by: String, sketch: Sketch },
    Insight { trial: TrialNo, by: String, insight: Insight },
    Fetched { trial: TrialNo, fetch: Fetch },
}

/// The session ended before it was written.
pub(crate) struct Gone;

/// Has `deed` written and waits until it is. Blocks.
pub(crate) fn done(line: &mpsc::UnboundedSender<Input>, deed: Deed) -> Result<(), Gone> {
    let (sender, receiver) = oneshot::channel();
    line.send(Input::Deed(deed, sender)).map_err(|_| Gone)?;
    receiver.blocking_recv().map_err(|_| Gone)
}

/// A smoke stage that waits for a slot.
pub(crate) struct Rehearsing {
    trial: TrialNo,
    tree: TreeId,
    answer: Answer,
}

/// Who waits for a rehearsal.
pub(crate) type Answer = oneshot::Sender<Result<Rehearsal, String>>;

/// What proposers ask of the loop, and what it has been told of models.
#[derive(Default)]
pub(crate) struct Served {
    waiting: VecDeque<Rehearsing>,
    /// Smoke stages that run.
    running: usize,
    /// Why models cannot be asked: the study pauses once what runs has ended.
    pub(crate) pausing: Option<String>,
    /// Why nothing that is asked of models can work: the session ends.
    pub(crate) broken: Option<String>,
}

impl Engine {
    /// Writes a deed down; one that a resumed proposal does again is there already.
    pub(crate) async fn write(
        &mut self,
        deed: Deed,
        written: oneshot::Sender<()>,
    ) -> Result<(), Error> {
        let library = self.study.library();
        let events = match deed {
            Deed::Called(trial, call) => vec![Event::Called { trial, call }],
            Deed::Fetched { trial, fetch } => vec![Event::Fetched { trial, fetch }],
            Deed::Idea { trial, by, sketch } => {
                let arm = self.study.trial(trial).map(|trial| trial.arm.clone());
                let text = empiric_core::idea::worded(&sketch.text);
                let latest = library.ideas().values().rev().take(LOOKED_AT);
                if latest.into_iter().any(|idea| idea.by == by && idea.sketch.text == text) {
                    Vec::new()
                } else {
                    self.idea_added(library.next_idea(), arm, by, sketch)
                }
            }
            Deed::Insight { trial, by, insight } => {
                let arm =
                    self.study.trial(trial).map(|trial| trial.arm.clone()).unwrap_or_default();
                let latest = library.insights().iter().rev().take(LOOKED_AT);
                let known = latest
                    .into_iter()
                    .any(|learned| learned.by == by && learned.insight == insight);
                if known { Vec::new() } else { vec![Event::Learned { arm, by, insight }] }
            }
        };
        self.commit(events).await?;
        written.send(()).ok();
        Ok(())
    }

    /// Takes a wish for a smoke stage; it runs when a slot is free.
    pub(crate) fn rehearse(&mut self, trial: TrialNo, tree: TreeId, answer: Answer) {
        self.served.waiting.push_back(Rehearsing { trial, tree, answer });
    }

    /// Starts smoke stages that wait while slots are free; they are short, so they go before replicates.
    pub(crate) fn start_rehearsals(&mut self) {
        let stopping = self.stopping.is_some() || self.study.state() == State::Paused;
        while let Some(next) = self.served.waiting.pop_front() {
            if stopping {
                next.answer.send(Err("the session ends".to_owned())).ok();
                continue;
            }
            let Some(slot) = self.pool.take(next.tree) else {
                self.served.waiting.push_front(next);
                return;
            };
            self.served.running += 1;
            self.start_rehearsal(next, slot);
        }
    }

    fn start_rehearsal(&self, next: Rehearsing, mut slot: Slot) {
        let runner = self.runner.clone();
        let installation = self.options.installation.clone();
        let store = Arc::clone(&self.workshop.store);
        let inputs = self.inputs.0.clone();
        let seed = self.study.seed(next.trial, Purpose::Search, 0);
        #[expect(
            clippy::disallowed_methods,
            reason = "its end is an input of the loop, which waits for all of them"
        )]
        tokio::spawn(async move {
            let Rehearsing { trial, tree, answer } = next;
            let previous = slot.holds.take();
            let recipe = slot.dirs.recipe.clone();
            let made = blocking(move || store.materialize(tree, &recipe, previous)).await;
            let result = match made {
                Ok(Ok(_)) => {
                    let ran =
                        empiric_evaluate::smoke(&runner, &installation, &slot.dirs, seed).await;
                    slot.holds = (!installation.task.recipe.writable).then_some(tree);
                    ran.ok_or_else(|| "the task has no stage named check or smoke".to_owned())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let result = result.map(|measured| Rehearsal {
                index: 0,
                failure: measured.failure,
                cost: measured.cost,
                log: measured.units.into_iter().rev().find_map(|unit| unit.log),
            });
            inputs.send(Input::Rehearsed(trial, slot, result, answer)).ok();
        });
    }

    /// Records what a smoke stage showed, then tells who waits.
    pub(crate) async fn rehearsed(
        &mut self,
        trial: TrialNo,
        slot: Slot,
        result: Result<Rehearsal, String>,
        answer: Answer,
    ) -> Result<(), Error> {
        self.pool.give(slot);
        self.served.running = self.served.running.saturating_sub(1);
        let answered = match result {
            Ok(mut rehearsal) => {
                let made = self.study.trial(trial).map_or(0, |trial| trial.rehearsals.len());
                rehearsal.index = u32::try_from(made).unwrap_or(u32::MAX);
                self.commit(vec![Event::Rehearsed { trial, rehearsal: rehearsal.clone() }]).await?;
                Ok(rehearsal)
            }
            Err(why) => Err(why),
        };
        answer.send(answered).ok();
        Ok(())
    }

    /// Takes what a proposer says of models.
    pub(crate) fn halted(&mut self, halt: Halt) {
        match halt {
            Halt::Budget(why) => {
                self.served.pausing.get_or_insert(why);
            }
            Halt::Setup(why) => {
                self.served.broken.get_or_insert(why);
                self.stop(Control::Stop, "models cannot be asked".to_owned());
            }
            Halt::Cancelled => {}
        }
    }

    /// What may be done for the proposer of a trial, which sees `study`.
    pub(crate) fn counter(&self, no: TrialNo, study: &Study, trial: &Trial) -> Arc<dyn Errands> {
        Arc::new(Counter {
            trial: no,
            study: study.clone(),
            store: Arc::clone(&self.workshop.store),
            rules: Arc::clone(&self.workshop.rules),
            blobs: Blobs::of(self.options.layout.root()),
            line: Some(self.inputs.0.clone()),
            called: trial.calls.iter().map(|call| call.index + 1).max().unwrap_or_default(),
            rehearsed: Mutex::new((trial.rehearsals.clone(), 0)),
            fetched: Mutex::new((trial.fetches.clone(), 0)),
        })
    }

    /// Calls off what models are asked.
    pub(crate) fn call_off(&self) {
        if let Some(recorder) = &self.options.recorder {
            recorder.call_off();
        }
    }

    /// Whether proposals of models are under way.
    pub(crate) fn at_work(&self) -> bool {
        let asking = |arm: &String| {
            self.options.proposers.get(arm).is_some_and(|proposer| proposer.asks_models())
        };
        self.proposing.values().any(asking)
    }

    /// Ends the session because models cannot be asked.
    pub(crate) async fn unasked(&mut self, why: String) -> Result<Ended, Error> {
        self.commit(vec![Event::Stopped { by: why.clone() }]).await?;
        Ok(Ended::Unasked(why))
    }

    /// Whether a cap on model calls is spent, so that nothing more may be asked for.
    pub(crate) fn models_spent(&mut self) {
        let by_models = self.options.proposers.values().any(|proposer| proposer.asks_models());
        if by_models && let Some(cap) = self.study.budget().models_spent(&self.study.cost()) {
            self.served.pausing.get_or_insert(format!("the cap of {cap}"));
        }
    }

    /// Pauses the study once what runs has ended; trials that nobody could propose stay open and are proposed again.
    pub(crate) async fn pause_when_idle(&mut self) -> Result<Option<Ended>, Error> {
        let Some(why) = self.served.pausing.clone() else { return Ok(None) };
        let measuring = |study: &Study| {
            study
                .open_trials()
                .iter()
                .any(|no| study.trial(*no).is_some_and(|trial| trial.edit.is_some()))
        };
        if !self.proposing.is_empty() || !self.study.leases().is_empty() || measuring(&self.study) {
            return Ok(None);
        }
        self.commit(vec![Event::Paused { by: why.clone() }]).await?;
        Ok(Some(Ended::Paused(why)))
    }

    /// Records who proposes, where that is not what was recorded, and keeps the words they are given.
    pub(crate) async fn staffed(&mut self) -> Result<(), Error> {
        let blobs = Blobs::of(self.options.layout.root());
        let mut events = Vec::new();
        for (arm, proposer) in &self.options.proposers {
            let Some(staff) = proposer.staff() else { continue };
            for text in &staff.texts {
                blobs.put(text.as_bytes())?;
            }
            if self.study.library().team(arm).is_none_or(|team| **team != staff.team) {
                events.push(Event::Staffed { arm: arm.clone(), team: staff.team });
            }
        }
        self.commit(events).await
    }
}
