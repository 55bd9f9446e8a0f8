//! The control: any valid trial, improved. What a policy is worth is what it gains over this one.

use empiric_core::{Ask, Event, Operator, Outcome, Record, Study, TrialNo, seed};
use rand::RngExt;

use crate::Policy;

/// Any valid trial, each with the same probability.
#[derive(Debug, Clone, Default)]
pub struct Random {
    valid: Vec<TrialNo>,
}

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn tell(&mut self, _: &Study, record: &Record) {
        if let Event::Concluded { trial, outcome: Outcome::Valid { .. } } = &record.event {
            self.valid.push(*trial);
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        let parent = match self.valid.len() {
            0 => TrialNo::BASELINE,
            count => self.valid[rng.random_range(0..count)],
        };
        crate::ask(Operator::Improve, &[parent])
    }
}
