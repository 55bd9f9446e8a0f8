//! What ends a search before its budget does; shared by all policies.

use empiric_core::{Goal, Study};

/// Why the search is over although there is budget left: a drought as long as the study allows, or a champion whose
/// confirmed mean reaches the target. None while it goes on.
///
/// `champion` is the confirmed mean of the champion, where there is one.
#[must_use]
pub fn dry(study: &Study, champion: Option<f64>) -> Option<String> {
    let budget = study.budget();
    if let Some(most) = budget.drought
        && study.course().drought() >= most
    {
        return Some(format!("{most} trials without a keep"));
    }
    let (target, mean) = (budget.target?, champion?);
    let reached = match study.task().metric.goal {
        Goal::Minimize => mean <= target,
        Goal::Maximize => mean >= target,
    };
    reached.then(|| format!("{} has reached {target}", study.champion()))
}
