//! What people may do to the course of a search, and when: pin a trial, have one measured once more. Neither has a say in
//! what is kept.

use super::{Settings, Study};
use crate::{Outcome, Trial, TrialNo, Verdict, ablation::ABLATE};

impl Study {
    /// The trial that new ones start from whatever the policy would: through an arm, the arm's; of the whole study, the one
    /// pinned last.
    #[must_use]
    pub fn pinned(&self) -> Option<TrialNo> {
        self.here().pinned()
    }

    /// Pinned trials with their arms.
    #[must_use]
    pub fn pins(&self) -> Vec<(&str, TrialNo)> {
        let names = self.arms();
        names.into_iter().filter_map(|name| Some((name, self.arm(name)?.pinned()?))).collect()
    }

    /// Why `no` cannot be pinned, if it cannot; see [`refuses_pin`].
    #[must_use]
    pub fn refuses_pin(&self, no: TrialNo) -> Option<String> {
        match self.trial(no) {
            Some(trial) => refuses_pin(self.settings(), trial),
            None => Some(format!("there is no trial {no}")),
        }
    }

    /// Why `no` cannot be measured once more, if it cannot; see [`refuses_requeue`].
    #[must_use]
    pub fn refuses_requeue(&self, no: TrialNo) -> Option<String> {
        self.trial(no)
            .map_or_else(|| Some(format!("there is no trial {no}")), |t| refuses_requeue(t))
    }
}

/// Why a trial cannot be pinned, if it cannot: only what was measured is built on, and only an arm that searches builds.
#[must_use]
pub fn refuses_pin(settings: &Settings, trial: &Trial) -> Option<String> {
    let no = trial.no;
    match &trial.outcome {
        None => return Some(format!("{no} has not ended yet")),
        Some(Outcome::Failed(failure)) => {
            return Some(format!("{no} was not measured to the end: {failure}"));
        }
        Some(Outcome::Valid { .. }) => {}
    }
    let searched = no == TrialNo::BASELINE || settings.arm(&trial.arm).is_some();
    (!searched).then(|| {
        format!("{no} is of `{}`, which makes no trials that could start from it", trial.arm)
    })
}

/// Why a trial cannot be measured once more, if it cannot. What was decided stays decided: a second chance would be one that
/// no error level counts on.
#[must_use]
pub fn refuses_requeue(trial: &Trial) -> Option<String> {
    let no = trial.no;
    if no == TrialNo::BASELINE || trial.arm == ABLATE {
        return Some(format!("{no} is measured as often as it needs without that"));
    }
    if trial.edit.is_none() {
        return Some(format!("{no} has no tree to measure: its edit was never made"));
    }
    match &trial.outcome {
        None => Some(format!("{no} has not ended yet")),
        Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }) => None,
        Some(Outcome::Valid { verdict, .. }) => {
            Some(format!("{no} was decided ({verdict}); hand in an edit of it to try again"))
        }
        Some(Outcome::Failed(failure)) => (!failure.retryable).then(|| {
            format!("{no} would fail again ({failure}); hand in an edit of it to try again")
        }),
    }
}
