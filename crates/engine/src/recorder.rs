//! Where model calls are kept: request and answer as blobs, and one event each. It is the tape that the model client asks
//! first, so that what was paid for before a session ended is not paid for again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use empiric_core::{BlobId, Budget, Call, CallFault, Study, TrialNo};
use empiric_ledger::Blobs;
use empiric_llm::{Caps, Exchange, Limits, Origin, Purse, Tape, TapeError};
use tokio::sync::mpsc;

use crate::{
    dispatcher::Input,
    served::{Deed, done},
};

/// The tape of one study, and the purse that its calls are paid from.
pub struct Recorder {
    blobs: Blobs,
    purse: Purse,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// To the loop that owns the study, while there is one.
    line: Option<mpsc::UnboundedSender<Input>>,
    /// Calls of trials whose proposals were not made when the last session ended, with what is asked and answered.
    kept: std::collections::BTreeMap<(TrialNo, u32, BlobId), BlobId>,
    /// Each calls off some of what models are asked.
    off: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl Recorder {
    /// The recorder of the study in directory `study`.
    #[must_use]
    pub fn new(study: &std::path::Path, purse: Purse) -> Arc<Self> {
        Arc::new(Self { blobs: Blobs::of(study), purse, inner: Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What calls are paid from.
    #[must_use]
    pub fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Takes up the study: what was spent, and the calls that may be asked for again.
    pub(crate) fn take_up(&self, study: &Study, line: mpsc::UnboundedSender<Input>) {
        self.purse.set_limits(limits(study.budget()));
        let mut inner = self.inner();
        inner.line = Some(line);
        for trial in study.trials() {
            for call in &trial.calls {
                let origin = Origin {
                    arm: trial.arm.clone(),
                    role: call.role.clone(),
                    trial: trial.no,
                    nth: call.index,
                };
                self.purse.restore(&origin, call.spend);
                if trial.edit.is_none() && trial.outcome.is_none() {
                    inner.kept.insert((trial.no, call.index, call.request), call.answer);
                }
            }
        }
    }

    /// What is to be done, besides all else, when the session ends while models are asked.
    pub fn calls_off(&self, off: Arc<dyn Fn() + Send + Sync>) {
        self.inner().off.push(off);
    }

    pub(crate) fn call_off(&self) {
        let all = self.inner().off.clone();
        all.iter().for_each(|off| off());
    }

    /// New caps.
    pub(crate) fn budget(&self, budget: &Budget) {
        self.purse.set_limits(limits(budget));
    }

    /// A tape that answers from these calls and takes no others: for a replay.
    pub(crate) fn of_calls(study: &std::path::Path, trial: TrialNo, calls: &[Call]) -> Self {
        let kept =
            calls.iter().map(|call| ((trial, call.index, call.request), call.answer)).collect();
        let inner = Mutex::new(Inner { kept, ..Inner::default() });
        Self { blobs: Blobs::of(study), purse: Purse::new(Limits::default()), inner }
    }
}

/// The caps on model calls.
fn limits(budget: &Budget) -> Limits {
    let study = Caps {
        calls: budget.calls,
        tokens: budget.tokens,
        money: budget.usd.map(empiric_core::Money::from_usd),
    };
    Limits { study, ..Limits::default() }
}

impl Tape for Recorder {
    fn recorded(&self, origin: &Origin, request: &BlobId) -> Result<Option<Vec<u8>>, TapeError> {
        let answer = self.inner().kept.get(&(origin.trial, origin.nth, *request)).copied();
        let read = |id| self.blobs.get(id).map_err(|error| TapeError(error.to_string()));
        answer.map(read).transpose()
    }

    fn record(&self, exchange: Exchange) -> Result<(), TapeError> {
        let keep =
            |bytes: &[u8]| self.blobs.put(bytes).map_err(|error| TapeError(error.to_string()));
        let (request, answer) = (keep(&exchange.request)?, keep(&exchange.answer)?);
        let Exchange { origin, model, usage, spend, attempts, wall, .. } = exchange;
        let call = Call {
            index: origin.nth,
            role: origin.role,
            model: model.to_string(),
            request,
            answer,
            usage,
            spend,
            attempts,
            fault: fault(&exchange.answer),
            wall_s: wall.as_secs_f64(),
        };
        let line = self.inner().line.clone();
        let line =
            line.ok_or_else(|| TapeError("no session is at work on the study".to_owned()))?;
        done(&line, Deed::Called(origin.trial, call))
            .map_err(|_| TapeError("the session has ended".to_owned()))
    }
}

/// The class of failure that an answer tells of, if it does.
fn fault(answer: &[u8]) -> Option<CallFault> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let error = answer.get("err")?;
    let class = error.pointer("/class/class").or_else(|| error.get("class"));
    Some(class.and_then(serde_json::Value::as_str).map_or(CallFault::Other, CallFault::named))
}
