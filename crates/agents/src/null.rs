//! The control of all controls: trials that change nothing. They are measured under seeds of their own and go the whole way
//! through the house, so what is kept of them says how often the house deceives itself.

use std::collections::BTreeMap;

use empiric_core::{Failure, Hypothesis, Prediction, TrialNo, trial::Direction};

use crate::{Brief, Proposal, Proposer};

/// Proposes the baseline, again and again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Null;

impl Proposer for Null {
    fn name(&self) -> &str {
        "null"
    }

    fn ahead(&self, _: usize) -> usize {
        1
    }

    fn placebo(&self) -> bool {
        true
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        let metric = brief.study.task().metric.name.clone();
        Ok(Proposal {
            operator: brief.ask.operator,
            parents: vec![TrialNo::BASELINE],
            surface: None,
            hypothesis: Hypothesis {
                text: "change nothing but the seeds: whatever is gained is noise".to_owned(),
                prediction: Some(Prediction {
                    metric,
                    direction: Direction::Unchanged,
                    size: None,
                }),
            },
            edits: BTreeMap::new(),
            thought: None,
            by: None,
            detail: serde_json::Value::Null,
        })
    }
}
