//! One policy to each arm of a study, each told what its arm may see and nothing else.

use empiric_core::{Ask, Operator, Record, Study, TrialNo, study::Settings};

use crate::{Policy, policy};

/// The policies of a study.
pub struct Policies(Vec<(String, Box<dyn Policy>)>);

/// A policy that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy; known are {known}", known = crate::names().join(", "))]
pub struct Unknown(pub String);

impl Policies {
    /// Fresh policies for the arms that are asked for.
    ///
    /// # Errors
    /// When an arm's policy is not known.
    pub fn of(settings: &Settings) -> Result<Self, Unknown> {
        let fresh = settings.arms.iter().map(|arm| {
            let fresh = policy(&arm.policy).ok_or_else(|| Unknown(arm.policy.clone()))?;
            Ok((arm.name.clone(), fresh))
        });
        Ok(Self(fresh.collect::<Result<_, _>>()?))
    }

    /// Takes in an event that `study`, the whole one, has already applied: one of a trial is told to its arm, any other to
    /// all.
    pub fn tell(&mut self, study: &Study, record: &Record) {
        let subject = record.event.trial().filter(|no| *no != TrialNo::BASELINE);
        let subject = subject.and_then(|no| study.trial(no));
        for (arm, policy) in &mut self.0 {
            if subject.is_none_or(|trial| trial.arm == *arm) {
                policy.tell(&study.of_arm(arm), record);
            }
        }
    }

    /// What `arm` is to try next; none when it has no policy here. Where a trial is pinned it is where to start from, and the
    /// surface alone is the policy's choice.
    #[must_use]
    pub fn ask(&self, study: &Study, arm: &str) -> Option<Ask> {
        let (_, policy) = self.0.iter().find(|(name, _)| name == arm)?;
        let own = study.of_arm(arm);
        let ask = policy.ask(&own);
        Some(match own.pinned() {
            Some(TrialNo::BASELINE) => {
                Ask { operator: Operator::Draft, parents: vec![TrialNo::BASELINE], ..ask }
            }
            Some(pinned) => Ask { operator: Operator::Improve, parents: vec![pinned], ..ask },
            None => ask,
        })
    }
}
