//! What the engine does for a proposer while it thinks. Each errand is for one trial; whatever costs or changes anything is
//! done by the loop and is in the ledger before the proposer hears of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use empiric_agents::{Changes, Errands, Files, Halt, Rehearsed};
use empiric_core::{
    BlobId, Cause, Failure, Fetch, Insight, Outcome, Phase, Rehearsal, Sketch, Study, TreeId,
    TrialNo, Verdict,
};
use empiric_ledger::Blobs;
use empiric_lineage::{Rules, Store};
use empiric_llm::web;
use tokio::sync::{mpsc, oneshot};

use crate::{
    dispatcher::Input,
    propose::tree_of,
    served::{Deed, done},
};

/// The errands of one trial.
pub(crate) struct Counter {
    pub(crate) trial: TrialNo,
    /// What the trial's arm saw when it was asked for.
    pub(crate) study: Study,
    pub(crate) store: Arc<Store>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) blobs: Blobs,
    /// To the loop; none in a replay.
    pub(crate) line: Option<mpsc::UnboundedSender<Input>>,
    /// Calls that were recorded for this trial.
    pub(crate) called: u32,
    /// Rehearsals that were recorded for this trial, and how many were asked for again.
    pub(crate) rehearsed: Mutex<(Vec<Rehearsal>, usize)>,
    /// Pages that were recorded for this trial, and how many were asked for.
    pub(crate) fetched: Mutex<(Vec<Fetch>, usize)>,
}

impl Counter {
    fn tree(&self, parent: TrialNo, changes: &Changes) -> Result<(TreeId, TreeId), Failure> {
        let base = tree_of(&self.study, parent)?;
        let edits: BTreeMap<String, Option<Vec<u8>>> = changes
            .iter()
            .map(|(path, text)| (path.clone(), text.clone().map(String::into_bytes)))
            .collect();
        let tree = self.store.apply(base, &edits).map_err(|error| {
            Failure::new(Phase::Apply, Cause::PatchDoesNotApply).excerpt(error.to_string())
        })?;
        Ok((base, tree))
    }

    /// Texts of a tree that proposers may edit.
    fn texts(&self, tree: TreeId) -> Result<Files, String> {
        let files = self.store.files(tree).map_err(|error| error.to_string())?;
        let editable = files.into_iter().filter(|(path, _)| self.rules.editable(path));
        Ok(editable
            .filter_map(|(path, bytes)| Some((path, Arc::from(std::str::from_utf8(&bytes).ok()?))))
            .collect())
    }

    /// A tree that holds `files` and nothing else.
    fn bare(&self, files: &Files) -> Result<TreeId, String> {
        let baseline =
            tree_of(&self.study, TrialNo::BASELINE).map_err(|failure| failure.to_string())?;
        let known = self.texts(baseline)?;
        let gone =
            known.keys().filter(|path| !files.contains_key(*path)).map(|path| (path.clone(), None));
        let there = files.iter().map(|(path, text)| (path.clone(), Some(text.as_bytes().to_vec())));
        self.store.apply(baseline, &there.chain(gone).collect()).map_err(|error| error.to_string())
    }

    fn tell(&self, deed: Deed) -> Result<(), Failure> {
        match &self.line {
            Some(line) => done(line, deed).map_err(|_| ended()),
            // A replay compares what is proposed; what was written down on the way is in the ledger already.
            None => Ok(()),
        }
    }

    /// Asks for a page and has what came of it written down.
    fn get(&self, index: u32, url: &str, hosts: &[String]) -> Result<Fetch, String> {
        let line = self.line.as_ref().ok_or("it is not on the record")?;
        let came = tokio::runtime::Handle::current().block_on(web::page(url, hosts));
        let kept = came.and_then(|text| {
            self.blobs.put(text.as_bytes()).map_err(|error| format!("it cannot be kept: {error}"))
        });
        let (page, fault) = match kept {
            Ok(page) => (Some(page), None),
            Err(why) => (None, Some(why)),
        };
        let fetch = Fetch { index, url: url.to_owned(), page, fault };
        let deed = Deed::Fetched { trial: self.trial, fetch: fetch.clone() };
        done(line, deed).map_err(|_| "the session ends")?;
        Ok(fetch)
    }

    fn told(&self, rehearsal: Rehearsal) -> Rehearsed {
        let log = rehearsal.log.as_ref().and_then(|id| id.parse::<BlobId>().ok());
        let bytes = log.and_then(|id| self.blobs.get(id).ok()).unwrap_or_default();
        let output = String::from_utf8_lossy(&bytes).into_owned();
        Rehearsed { failure: rehearsal.failure, output, wall_s: rehearsal.cost.wall_s }
    }
}

/// The next of what is on record; or how many that was, where all of it was asked for.
fn next<T: Clone>(record: &Mutex<(Vec<T>, usize)>) -> Result<T, usize> {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    let (all, at) = &mut *record;
    let found = all.get(*at).cloned().ok_or(*at);
    *at += 1;
    found
}

/// The failure of a proposal that could not be made because the session ends: its trial stays open.
pub(crate) fn ended() -> Failure {
    Failure::new(Phase::Propose, Cause::Cancelled)
}

impl Errands for Counter {
    fn check(
        &self,
        parent: TrialNo,
        changes: &Changes,
        surface: Option<&str>,
    ) -> Result<(), Failure> {
        let harness = |error: &dyn std::fmt::Display| {
            Failure::new(Phase::Static, Cause::HarnessFailed).excerpt(error.to_string())
        };
        let (base, tree) = self.tree(parent, changes)?;
        match self.rules.check(&self.store, base, tree, surface) {
            Ok(None) => {}
            Ok(Some(failure)) => return Err(failure),
            Err(error) => return Err(harness(&error)),
        }
        let same = self.study.with_tree(tree).and_then(|no| self.study.trial(no));
        match same.map(|trial| (trial.no, trial.outcome.as_ref())) {
            None | Some((_, Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }))) => Ok(()),
            Some((of, _)) => Err(crate::dispatcher::duplicate(of)),
        }
    }

    fn rehearse(&self, parent: TrialNo, changes: &Changes) -> Result<Rehearsed, String> {
        if let Ok(rehearsal) = next(&self.rehearsed) {
            return Ok(self.told(rehearsal));
        }
        let (_, tree) = self.tree(parent, changes).map_err(|failure| failure.to_string())?;
        let line = self.line.as_ref().ok_or("it is not on the record")?;
        let (sender, receiver) = oneshot::channel();
        line.send(Input::Rehearse(self.trial, tree, sender)).map_err(|_| "the session ends")?;
        let rehearsal = receiver.blocking_recv().map_err(|_| "the session ends")?;
        Ok(self.told(rehearsal?))
    }

    fn fetch(&self, url: &str, hosts: &[String]) -> Result<String, String> {
        let fetch = match next(&self.fetched) {
            Ok(fetch) => fetch,
            Err(index) => self.get(u32::try_from(index).unwrap_or(u32::MAX), url, hosts)?,
        };
        match (fetch.page, fetch.fault) {
            (Some(page), _) => {
                let bytes = self.blobs.get(page).map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            (None, fault) => Err(fault.unwrap_or_default()),
        }
    }

    fn patch(&self, files: &Files, patch: &str) -> Result<Files, String> {
        let base = self.bare(files)?;
        let tree = self.store.apply_patch(base, patch).map_err(|error| error.to_string())?;
        self.texts(tree)
    }

    fn diff(&self, old: &Files, new: &Files) -> String {
        let trees = self.bare(old).and_then(|old| Ok((old, self.bare(new)?)));
        let diff = trees
            .and_then(|(old, new)| self.store.diff(old, new).map_err(|error| error.to_string()));
        diff.map_or_else(|error| format!("(no diff: {error})"), |diff| diff.unified().to_owned())
    }

    fn idea(&self, by: &str, sketch: Sketch) -> Result<(), Failure> {
        self.tell(Deed::Idea { trial: self.trial, by: by.to_owned(), sketch })
    }

    fn insight(&self, by: &str, insight: Insight) -> Result<(), Failure> {
        self.tell(Deed::Insight { trial: self.trial, by: by.to_owned(), insight })
    }

    fn called(&self) -> u32 {
        self.called
    }

    fn halt(&self, halt: Halt) -> Failure {
        if let Some(line) = &self.line {
            line.send(Input::Halt(halt)).ok();
        }
        ended()
    }
}
