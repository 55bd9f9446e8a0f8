//! The third door: champions against the baseline, and against one another, on seeds that no decision saw, once, at the end
//! of a study.

use empiric_core::{Purpose, Study, TrialNo};

use crate::{
    places::{Places, Wants},
    step::{Step, Wanted},
};

/// What the closing comparison still needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Closing {
    /// These replicates; never empty, and nothing in it is finished or under way.
    Measure(Vec<Wanted>),
    /// Replicates that are under way.
    Wait,
    /// Nothing, or there is no champion to compare.
    Done,
}

/// What the closing comparison still needs: `Rules::report_replicates` of the baseline and of each arm's champion, on the
/// seeds of [`Purpose::Report`]; through an arm, of its own champion. All meet seed by seed, each first in turn, so that
/// whatever moves with time moves them alike. A seed that fails at every attempt is left out.
#[must_use]
pub fn closing(study: &Study) -> Closing {
    let mut parties = study.champions();
    if parties.is_empty() {
        return Closing::Done;
    }
    parties.insert(0, TrialNo::BASELINE);
    let trials = parties.iter().filter_map(|no| study.trial(*no));
    let places: Vec<Places<'_>> =
        trials.map(|trial| Places::of(study, trial, Purpose::Report)).collect();
    let mut wants = Wants::default();
    for index in 0..study.settings().rules.report_replicates {
        let first = index as usize % places.len().max(1);
        for party in places[first..].iter().chain(&places[..first]) {
            wants.need(party, index..index + 1);
        }
    }
    match wants.step() {
        Some(Step::Measure { wanted }) => Closing::Measure(wanted),
        Some(Step::Wait) => Closing::Wait,
        Some(Step::Quarantine { .. } | Step::Conclude(_)) | None => Closing::Done,
    }
}
