//! Proposals made again: every session of a model, from the answers that were recorded, without a network.
//!
//! What the world gave is taken from the ledger: models' answers, smoke stages, measurements. Everything else is done
//! again with the same code: which role and model, every request to the byte, every tool, the edit and the checks on it. What
//! comes out has to be what is recorded, apart from the commit (it holds a time). Asks, verdicts, quarantines and seeds are
//! made again by [`crate::verify`]; together that is every event that a study's own doing put into its ledger.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use empiric_agents::{Proposer, Specialists};
use empiric_core::{CommitId, Edit, Event, Failure, Outcome, Study, Team, Trial, TrialNo};
use empiric_ledger::{Blobs, Reader};
use empiric_lineage::{Rules, Store};
use empiric_llm::Replay;
use serde::Serialize;

use crate::{Error, Fault, Layout, Recorder, errands::Counter, propose::Workshop};

/// What was made again.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replayed {
    /// Proposals of models.
    pub proposals: u64,
    /// Calls that were answered from the ledger.
    pub calls: u64,
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
                && let Some(team) = then.library().team(&trial.arm)
            {
                found.proposals += 1;
                found.calls += trial.calls.len() as u64;
                if let Some(what) = house.again(&then, trial, team, &recorded)? {
                    found.faults.push(Fault { event: Some(record.seq), what });
                }
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
            rehearsed: Mutex::new((trial.rehearsals.clone(), 0)),
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
}
