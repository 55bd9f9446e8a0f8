//! A proposer that takes its time, as a model does.

use std::{collections::BTreeMap, time::Duration};

use empiric_agents::{Brief, Proposal, Proposer};
use empiric_core::{Failure, Hypothesis, Operator, TrialNo};

use crate::task;

/// Moves one knob after `pause`.
pub(crate) struct Steady {
    pub(crate) pause: Duration,
}

impl Proposer for Steady {
    fn name(&self) -> &str {
        "steady"
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        std::thread::sleep(self.pause);
        let knobs = task::knobs(task::START + brief.trial.0);
        Ok(Proposal {
            operator: Operator::Tune,
            parents: vec![TrialNo::BASELINE],
            surface: None,
            hypothesis: Hypothesis { text: "one knob further".to_owned(), prediction: None },
            edits: BTreeMap::from([("knobs.toml".to_owned(), Some(knobs))]),
            thought: None,
            by: None,
            detail: serde_json::Value::Null,
        })
    }
}
