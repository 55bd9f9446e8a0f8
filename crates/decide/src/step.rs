//! What to do next about one open trial.

use empiric_core::{
    Cause, Concern, Failure, Gate, Outcome, Phase, Purpose, Split, Study, Trial, TrialNo, Verdict,
};

use crate::{
    confirm,
    contest::Contest,
    gates::{self, Standing},
    places::{Places, Wants},
    search,
    stats::{Contrast, Sample},
    supervised, words,
};

/// Baseline replicates that a study never goes below; agreement of fewer would not show that a metric is deterministic.
pub const MIN_BASELINE: u32 = 5;

/// Failed attempts at one seed before it is given up. Only failures that do not speak against the trial are tried again.
pub const MAX_ATTEMPTS: usize = 3;

/// What to do next about one trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Measure these; never empty, and nothing in it is finished or under way.
    Measure {
        /// The replicates, most telling first.
        wanted: Vec<Wanted>,
    },
    /// Nothing: the trial has no edit yet, has ended, or waits for replicates under way.
    Wait,
    /// It would be kept, and there is reason to measure it once more before: put it under quarantine.
    Quarantine {
        /// Why.
        concerns: Vec<Concern>,
    },
    /// It has ended like this.
    Conclude(Outcome),
}

/// A replicate that a decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// The trial whose tree runs: the one being decided, its champion, or the baseline.
    pub trial: TrialNo,
    /// What for.
    pub purpose: Purpose,
    /// Place in the purpose's seed stream.
    pub index: u32,
}

/// What to do next about trial `no`: a function of the study alone, so the outcome it gives before a recorded
/// conclusion is that conclusion. Of the study it sees what the trial's arm may see.
///
/// It ends: against one champion a trial asks for at most [`MAX_ATTEMPTS`] runs of `Rules::search_replicates`, counted on
/// from what it inherits, of `Rules::confirm_replicates`, and of those that its gain is estimated from.
#[must_use]
pub fn next_step(study: &Study, no: TrialNo) -> Step {
    let (whole, study) = (study, &study.of_trial(no));
    let Some(trial) = study.trial(no).filter(|trial| trial.outcome.is_none()) else {
        return Step::Wait;
    };
    if no == TrialNo::BASELINE {
        return baseline(study, trial);
    }
    if trial.edit.is_none() {
        return Step::Wait;
    }
    match study.trial(TrialNo::BASELINE).and_then(|baseline| baseline.outcome.as_ref()) {
        None => Step::Wait,
        Some(Outcome::Failed(failure)) => unmeasurable(TrialNo::BASELINE, Some(failure)),
        Some(Outcome::Valid { .. }) => contest(whole, study, trial),
    }
}

fn baseline(study: &Study, trial: &Trial) -> Step {
    let wanted = baseline_replicates(study);
    let places = Places::of(study, trial, Purpose::Search);
    if let Some(failure) = places.fault() {
        return Step::Conclude(Outcome::Failed(failure.clone()));
    }
    let mut wants = Wants::default();
    wants.need(&places, 0..wanted);
    if let Some(step) = wants.step() {
        return step;
    }
    let replicates: Vec<_> = places.usable_in(..wanted).map(|(_, replicate)| replicate).collect();
    // A bound of what can be believed that the baseline itself crosses is a mistake of the task.
    let task = study.task();
    let gates: Vec<Gate> = task.gates.iter().chain(&task.plausible).cloned().collect();
    match gates::standing(&gates, &replicates, &replicates, Phase::Decide) {
        Standing::Hold => {}
        Standing::Near(failure) | Standing::Miss(failure) => {
            return Step::Conclude(Outcome::Failed(failure));
        }
    }
    let metric = &study.task().metric;
    let values: Vec<f64> = replicates
        .iter()
        .filter_map(|replicate| replicate.value(&metric.name, Split::Select))
        .collect();
    let sample = Sample::of(&values);
    let noise = match sample.sd() {
        Some(sd) if sd > 0.0 => format!("noise sd {}", words::plain(sd)),
        _ => "the same each time".to_owned(),
    };
    let mean = words::with_unit(words::plain(sample.mean), metric);
    Step::Conclude(Outcome::Valid {
        verdict: Verdict::Baseline,
        reason: format!("{mean} over {}, {noise}", words::counted(sample.n, "seed")),
        gain: None,
        gain_interval: None,
    })
}

fn contest(whole: &Study, study: &Study, trial: &Trial) -> Step {
    let (Some(champion), Some(baseline)) =
        (study.trial(study.champion()), study.trial(TrialNo::BASELINE))
    else {
        return Step::Wait;
    };
    let contest = Contest { whole, ..Contest::new(study, trial, champion, baseline) };
    if let Some(failure) = contest.search.fault().or_else(|| contest.arena.own.fault()) {
        return Step::Conclude(Outcome::Failed(failure.clone()));
    }
    if let Some(failure) = supervised::crossed(study, trial) {
        return Step::Conclude(Outcome::Failed(failure));
    }
    // What is taken away was kept before, and what it does is the question: it is neither searched for nor doubted.
    if contest.margin.is_some() {
        return confirm::step(&contest);
    }
    let step = if contest.arena.open { confirm::step(&contest) } else { search::step(&contest) };
    supervised::door(study, trial, champion, step)
}

/// A trial that every test has passed.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its gain, from replicates that had no part in the decision.
    pub(crate) contrast: Contrast,
    /// The evidence in one sentence.
    pub(crate) reason: String,
}

/// The one door through which a trial is kept: whatever else must hold before it becomes champion is asked here.
pub(crate) fn keep(_contest: &Contest<'_>, kept: Kept) -> Step {
    let Kept { contrast, reason } = kept;
    Step::Conclude(Outcome::Valid {
        verdict: Verdict::Keep,
        reason,
        gain: Some(contrast.gain).filter(|gain| gain.is_finite()),
        gain_interval: contrast.interval(words::COVERAGE),
    })
}

pub(crate) fn baseline_replicates(study: &Study) -> u32 {
    study.settings().rules.baseline_replicates.max(MIN_BASELINE)
}

/// There is nothing to compare a trial with.
pub(crate) fn unmeasurable(reference: TrialNo, last: Option<&Failure>) -> Step {
    let why = last.map_or_else(String::new, |failure| format!("; the last attempt: {failure}"));
    let failure = Failure::new(Phase::Decide, Cause::HarnessFailed).excerpt(format!(
        "{reference}, which this trial is compared with, has no measurement{why}"
    ));
    Step::Conclude(Outcome::Failed(failure))
}
