//! What ends a search before its budget does; shared by all policies.

use empiric_core::{Goal, Study, TrialNo};

/// Why an arm's search is over although there is budget left: a drought as long as the study allows. None while it goes on.
#[must_use]
pub fn dry(arm: &Study) -> Option<String> {
    let most = arm.budget().drought?;
    (arm.course().drought() >= most).then(|| format!("{most} trials without a keep"))
}

/// Why a study is over although there is budget left: the confirmed `mean` of `champion` reaches the target.
#[must_use]
pub fn reached(study: &Study, champion: TrialNo, mean: f64) -> Option<String> {
    let target = study.budget().target?;
    let reached = match study.task().metric.goal {
        Goal::Minimize => mean <= target,
        Goal::Maximize => mean >= target,
    };
    reached.then(|| format!("{champion} has reached {target}"))
}
