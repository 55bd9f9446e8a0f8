//! Proposals made again: every session of a model, from the answers that were recorded, without a network.
//!
//! What the world gave is taken from the ledger: models' answers, smoke stages, measurements. Everything else is done
//! again with the same code: which role and model, every request to the byte, every tool, the edit and the checks on it. What
//! comes out has to be what is recorded, apart from the commit (it holds a time). Asks, verdicts, quarantines and seeds are
//! made again by [`crate::verify`]; together that is every event that a study's own doing put into its ledger.
//!
//! What a command-line agent does between its calls is not Empiric's and cannot be done again. Its edits are taken as
//! recorded, as those that are handed in are, and held to the rules once more; of its calls, what was billed is read again
//! out of the recorded answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use empiric_agents::{Proposer, Specialists};
use empiric_core::{CommitId, Edit, Event, Failure, Outcome, Study, Team, Trial, TrialNo};
use empiric_ledger::{Blobs, Reader};
use empiric_lineage::{Rules, Store};
use empiric_llm::{Passed, Replay};
use serde::Serialize;

use crate::{Error, Fault, Layout, Recorder, errands::Counter, propose::Workshop};

/// What was made again.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replayed {
    /// Proposals of models.
    pub proposals: u64,
    /// Calls that were answered from the ledger.
    pub calls: u64,
    /// Edits of command-line agents, which were taken as recorded.
    pub taken: u64,
    /// Calls of theirs that were read again.
    pub passed: u64,
    /// What came out otherwise.
    pub faults: Vec<Fault>,
}

/// Makes every proposal of the study in `layout` again that models made.
///
/// # Errors
/// When there is no study, or it cannot be read.
pub fn replay(layout: &Layout) -> Result<Replayed, Error> {
    let reader = Reader::open(layout.root())?;
    let mut found = Replayed::default();
    let Some(first) = reader.records(0, 1)?.pop() else { return Ok(found) };
    let mut study = Study::open(&first)?;
    let rules = Arc::new(Rules::new(study.task())?);
    let store = match layout.store().exists() {
        true => Arc::new(Store::open(&layout.store())?),
        false => return Ok(found),
    };
    let house =
        House { layout, workshop: Workshop { store, rules }, blobs: Blobs::of(layout.root()) };
    let mut asked: BTreeMap<TrialNo, Study> = BTreeMap::new();
    // Trials that nobody proposed: an earlier one is measured once more.
    let mut requeued = None;
    loop {
        let page = reader.records(study.seq(), 1000)?;
        if page.is_empty() {
            return Ok(found);
        }
        for record in page {
            let mut recorded = None;
            if let Event::Proposed { trial, edit } = &record.event {
                recorded = Some((*trial, Ok(edit.clone())));
            } else if let Event::Concluded { trial, outcome: Outcome::Failed(failure) } =
                &record.event
            {
                recorded = Some((*trial, Err(failure.clone())));
            }
            if let Some((no, recorded)) = recorded
                && let Some(then) = asked.remove(&no)
                && let Some(trial) = study.trial(no)
            {
                let fault = if let Some(team) = then.library().team(&trial.arm) {
                    found.proposals += 1;
                    found.calls += trial.calls.len() as u64;
                    house.again(&then, trial, team, &recorded)?
                } else if trial.calls.is_empty() {
                    None
                } else {
                    found.taken += u64::from(recorded.is_ok());
                    found.passed += trial.calls.len() as u64;
                    house.taken(&then, trial, &recorded)?
                };
                let event = Some(record.seq);
                found.faults.extend(fault.map(|what| Fault { event, what }));
            }
            study.apply(&record)?;
            if let Event::Requeued { .. } = &record.event {
                requeued = Some(study.next_trial());
            } else if let Event::Asked { trial, .. } = &record.event
                && requeued != Some(*trial)
            {
                asked.insert(*trial, study.clone());
            }
        }
    }
}

struct House<'a> {
    layout: &'a Layout,
    workshop: Workshop,
    blobs: Blobs,
}

impl House<'_> {
    /// What is different when the proposal of `trial` is made again, if anything is.
    fn again(
        &self,
        then: &Study,
        trial: &Trial,
        team: &Arc<Team>,
        recorded: &Result<Edit, Failure>,
    ) -> Result<Option<String>, Error> {
        let no = trial.no;
        let mut texts = BTreeMap::new();
        for (name, id) in &team.prompts {
            let text = self.blobs.get(*id)?;
            texts.insert(name.clone(), String::from_utf8_lossy(&text).into_owned());
        }
        let tape = Recorder::of_calls(self.layout.root(), no, &trial.calls);
        let client = Arc::new(Replay(Arc::new(tape)));
        let proposer = then.settings().arm(&trial.arm).map_or("", |arm| &arm.proposer);
        let made = Specialists::recorded(proposer, Team::clone(team), texts, client);
        let proposer: Arc<dyn Proposer> = match made {
            Ok(made) => Arc::new(made),
            Err(error) => {
                return Ok(Some(format!("{no}: its prompts are not this version's: {error}")));
            }
        };
        let seen = then.of_arm(&trial.arm);
        let counter = Counter {
            trial: no,
            study: seen.clone(),
            store: Arc::clone(&self.workshop.store),
            rules: Arc::clone(&self.workshop.rules),
            blobs: self.blobs.clone(),
            line: None,
            called: 0,
            rehearsed: Mutex::new((trial.rehearsals.clone(), 0)),
            fetched: Mutex::new((trial.fetches.clone(), 0)),
        };
        let made = self.workshop.draft(&*proposer, no, &trial.ask, &seen, Arc::new(counter));
        let apart = |edit: &Edit| Edit { commit: CommitId([0; 20]), ..edit.clone() };
        Ok(match (made, recorded) {
            (Ok(made), Ok(recorded)) if apart(&made) == apart(recorded) => None,
            (Err(made), Err(recorded)) if made == *recorded => None,
            (Ok(made), _) => Some(format!(
                "{no} is proposed again as tree {}: {}",
                made.tree, made.hypothesis.text
            )),
            (Err(made), _) => Some(format!("{no} ends again with {made}: {}", made.excerpt)),
        })
    }

    /// What is wrong with the trial of a command-line agent, if anything is: calls that do not say what they cost, and an
    /// edit that the rules would not let pass.
    fn taken(
        &self,
        then: &Study,
        trial: &Trial,
        recorded: &Result<Edit, Failure>,
    ) -> Result<Option<String>, Error> {
        let no = trial.no;
        for call in &trial.calls {
            let (request, answer) = (self.blobs.get(call.request)?, self.blobs.get(call.answer)?);
            let at = format!("{no}: call {} of {}", call.index, call.role);
            let Some(passed) = Passed::read(&request, &answer) else {
                return Ok(Some(format!("{at} is none that passed to a model")));
            };
            if call.model.split_once('/').map(|(_, model)| model) != Some(&*passed.model) {
                return Ok(Some(format!("{at} asks {}, not {}", passed.model, call.model)));
            }
            let billed = passed.usage.unwrap_or_default();
            if billed != call.usage {
                return Ok(Some(format!("{at} was billed {billed:?}, not {:?}", call.usage)));
            }
        }
        let Ok(edit) = recorded else { return Ok(None) };
        let parent = edit.parents.first().copied().unwrap_or(TrialNo::BASELINE);
        let base = match crate::propose::tree_of(then, parent) {
            Ok(base) => base,
            Err(failure) => return Ok(Some(format!("{no}: {failure}: {}", failure.excerpt))),
        };
        let Workshop { store, rules } = &self.workshop;
        let refused = rules.check(store, base, edit.tree, edit.surface.as_deref())?;
        Ok(refused.map(|failure| format!("{no}: its edit ends as {failure}: {}", failure.excerpt)))
    }
}
