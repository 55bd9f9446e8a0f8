//! The supervisor's say in an outcome: red lines crossed end a trial, doubts send one that would be kept through a
//! second measurement.

use empiric_core::{
    Cause, Concern, Failure, Outcome, Phase, Purpose, Severity, Study, Trial, Verdict, study::Rules,
};
use empiric_supervise::Audited;

use crate::{
    places::{Places, Wants},
    step::Step,
};

/// Fewest replicates of trial and champion in an audit.
const AUDIT: u32 = 3;

/// Replicates of trial and champion in an audit, each.
pub(crate) fn audit(rules: &Rules) -> u32 {
    rules.confirm_replicates.max(AUDIT)
}

/// The failure of a trial that crosses a red line, as far as is known.
pub(crate) fn crossed(study: &Study, trial: &Trial) -> Option<Failure> {
    let inspection = trial.edit.as_ref().map(|edit| &edit.inspection.concerns);
    let read = inspection.into_iter().flatten().find(|found| found.severity == Severity::Fail);
    match read {
        Some(concern) => Some(failure(Phase::Static, concern)),
        None => {
            empiric_supervise::watch(study, trial).map(|concern| failure(Phase::Decide, &concern))
        }
    }
}

fn failure(phase: Phase, concern: &Concern) -> Failure {
    let Concern { line, why, .. } = concern;
    Failure::new(phase, Cause::RedLine { line: *line }).excerpt(format!("{why}; {}", line.rule()))
}

/// What becomes of `step` at the last door: a keep that the supervisor doubts is measured once more.
pub(crate) fn door(study: &Study, trial: &Trial, champion: &Trial, step: Step) -> Step {
    let Step::Conclude(Outcome::Valid {
        verdict: Verdict::Keep,
        reason,
        gain: Some(gain),
        gain_interval,
    }) = step
    else {
        return step;
    };
    if trial.quarantine.is_none() {
        let concerns = empiric_supervise::doubts(study, trial, champion, gain);
        if !concerns.is_empty() {
            return Step::Quarantine { concerns };
        }
        let (verdict, gain) = (Verdict::Keep, Some(gain));
        return Step::Conclude(Outcome::Valid { verdict, reason, gain, gain_interval });
    }
    let purpose = Purpose::Audit { of: trial.no };
    let own = Places::of(study, trial, purpose);
    if let Some(failure) = own.fault() {
        return Step::Conclude(Outcome::Failed(failure.clone()));
    }
    let wanted = audit(&study.settings().rules);
    let mut wants = Wants::default();
    wants.need(&own, 0..wanted);
    wants.need(&Places::of(study, champion, purpose), 0..wanted);
    if let Some(step) = wants.step() {
        return step;
    }
    let (verdict, words) = match empiric_supervise::sustained(study, trial, champion, gain) {
        Audited::Sustained(words) => (Verdict::Keep, words),
        Audited::Refuted(words) => (Verdict::Inconclusive, words),
    };
    let (reason, gain) = (format!("{reason}; {words}"), Some(gain));
    Step::Conclude(Outcome::Valid { verdict, reason, gain, gain_interval })
}
