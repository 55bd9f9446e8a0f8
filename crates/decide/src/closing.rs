//! The third door: champion against baseline on seeds that no decision saw, once, at the end of a study.

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

/// What the closing comparison of the study's champion still needs: `Rules::report_replicates` of champion and baseline
/// each, on the seeds of [`Purpose::Report`]. A seed that fails at every attempt is left out.
#[must_use]
pub fn closing(study: &Study) -> Closing {
    let champion = study.champion();
    if champion == TrialNo::BASELINE {
        return Closing::Done;
    }
    let mut wants = Wants::default();
    if let (Some(champion), Some(baseline)) =
        (study.trial(champion), study.trial(TrialNo::BASELINE))
    {
        let places = |trial| Places::of(study, trial, Purpose::Report);
        let range = 0..study.settings().rules.report_replicates;
        wants.need_pairs(&places(champion), &places(baseline), range);
    }
    match wants.step() {
        Some(Step::Measure { wanted }) => Closing::Measure(wanted),
        Some(Step::Wait) => Closing::Wait,
        Some(Step::Conclude(_)) | None => Closing::Done,
    }
}
