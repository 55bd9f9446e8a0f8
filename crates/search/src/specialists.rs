//! Specialists: every trial is a fresh proposal of one role on the shared best.
//!
//! Source: the CMU specialist runs (cxcscmu/Auto-Research-Recipes): every role proposes on the best recipe that any of
//! them has found, knowing the shared lineage; there is no other tree. There roles take turns; here a role is a surface
//! of the task, and the next one is chosen by confirmed gain per cost with a floor of plain chance.

use empiric_core::{Ask, Event, Operator, Outcome, Record, Study, Trial, TrialNo, Verdict, seed};

use crate::{
    Policy,
    allocation::{Allocation, cost},
    memory::noise,
};

/// Share of asks whose role is left to chance.
const FLOOR: f64 = 0.25;
/// How promising a role is before anything was measured.
const PRIOR: f64 = 0.5;

/// A fresh proposal per role on the shared best.
#[derive(Debug, Clone)]
pub struct Specialists {
    roles: Allocation,
}

impl Default for Specialists {
    fn default() -> Self {
        Self { roles: Allocation::new(FLOOR) }
    }
}

/// Tells an allocation what became of the arm that a trial belongs to.
pub(crate) fn settle(allocation: &mut Allocation, arm: &str, study: &Study, trial: &Trial) {
    match &trial.outcome {
        Some(Outcome::Valid { verdict, gain, .. }) => {
            let noise = noise(study);
            let kept = gain.filter(|_| *verdict == Verdict::Keep);
            // A deterministic metric shows every gain in full.
            let credit = kept.map(|gain| if noise > 0.0 { gain / noise } else { f64::INFINITY });
            allocation.ends(arm, credit, cost(trial));
        }
        Some(Outcome::Failed(failure)) if failure.blame.spares_the_trial() => allocation.lost(arm),
        Some(Outcome::Failed(_)) => allocation.ends(arm, None, cost(trial)),
        None => {}
    }
}

impl Policy for Specialists {
    fn name(&self) -> &'static str {
        "specialists"
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        if let Event::Asked { ask: Ask { surface: Some(role), .. }, .. } = &record.event {
            self.roles.begins(role);
        } else if let Event::Concluded { trial, .. } = &record.event
            && let Some(trial) = study.trial(*trial).filter(|trial| trial.no != TrialNo::BASELINE)
            && let Some(role) = &trial.ask.surface
        {
            settle(&mut self.roles, role, study, trial);
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        let roles: Vec<(&str, f64)> =
            study.task().surfaces.iter().map(|role| (role.name.as_str(), PRIOR)).collect();
        let role = roles.get(self.roles.choose(&roles, &mut rng)).map(|(role, _)| *role);
        Ask {
            surface: role.map(str::to_owned),
            ..crate::ask(Operator::Improve, &[study.champion()])
        }
    }
}
