//! What of a budget is spoken for: replicates that what is under way may still need, and those of the closing comparison.
//!
//! Reservations are counted in replicates and priced by what one has cost on average in this study so far, wall time
//! between them included. A contest is reserved for up to its next look, because it ends undecided when there is no room for
//! one more; what follows a decision to keep cannot be left out, and is reserved whole.

use empiric_core::{Cost, Outcome, Purpose, Study, Trial, TrialNo, Verdict};

use crate::{Step, confirm::estimated, supervised};

/// The caps on what replicates cost, as their name, the cap, what is spent, and what one replicate has cost.
fn caps(study: &Study) -> [(&'static str, Option<f64>, f64, f64); 3] {
    let (caps, spent) = (study.budget(), study.cost());
    let finished = f64::from(study.finished_replicates().max(1));
    let of = |part: fn(&Cost) -> f64| (part(&spent), part(&spent) / finished);
    let (wall, cpu, gpu) = (of(|c| c.wall_s), of(|c| c.cpu_s), of(|c| c.gpu_s));
    [
        ("wall time", caps.wall_s, wall.0, wall.1),
        ("CPU time", caps.cpu_s, cpu.0, cpu.1),
        ("GPU time", caps.gpu_s, gpu.0, gpu.1),
    ]
}

/// The first cap, if any, that leaves no room for `replicates` more: its name and size in seconds.
#[must_use]
pub fn exceeded(study: &Study, replicates: f64) -> Option<(&'static str, f64)> {
    caps(study).into_iter().find_map(|(what, cap, spent, each)| {
        let cap = cap?;
        (spent >= cap || spent + replicates * each > cap).then_some((what, cap))
    })
}

/// Replicates that are reserved: for every trial under way but `except`, and for the closing comparison if there is, or may
/// come to be, something to compare.
#[must_use]
pub fn reserved(study: &Study, except: Option<TrialNo>) -> f64 {
    let rules = &study.settings().rules;
    let usual = usual(study);
    let mut total = 0.0;
    let mut closes = study.champions().len();
    for no in study.open_trials().iter().filter(|no| **no != TrialNo::BASELINE) {
        let Some(trial) = study.trial(*no) else { continue };
        let seen = study.of_trial(*no);
        let contest = seen.contest(*no, seen.champion()).is_some();
        closes = closes.max(usize::from(contest));
        if Some(*no) != except {
            total += of_trial(study, trial, contest, usual);
        }
    }
    let closing = if closes == 0 { 0 } else { 1 + closes };
    total + closing as f64 * f64::from(rules.report_replicates)
}

/// Replicates, of both sides, that follow if a contest of so many pairs ends in a keep: its gain is estimated, and as often as
/// it has happened so far, it is measured once more before.
fn of_keep(study: &Study, pairs: u32) -> f64 {
    let rules = &study.settings().rules;
    let keeps = study.keeps();
    let doubted = keeps.iter().filter_map(|no| study.trial(*no)?.quarantine.as_ref()).count();
    let audits = doubted as f64 / keeps.len().max(1) as f64;
    2.0 * (f64::from(estimated(rules, pairs)) + audits * f64::from(supervised::audit(rules)))
}

fn of_trial(study: &Study, trial: &Trial, contest: bool, usual: f64) -> f64 {
    let rules = &study.settings().rules;
    let audit = Purpose::Audit { of: trial.no };
    let audited = trial.replicates.iter().filter(|held| held.purpose == audit).count() as f64;
    let running = trial.replicates.iter().filter(|held| held.result.is_none()).count() as f64;
    if trial.quarantine.is_some() {
        (2.0 * f64::from(supervised::audit(rules)) - 2.0 * audited).max(running)
    } else if contest {
        let own = Purpose::Confirm { of: study.of_trial(trial.no).champion() };
        let pairs = trial.replicates.iter().filter(|held| held.purpose == own).count();
        of_keep(study, pairs as u32) + running
    } else {
        (usual - trial.replicates.len() as f64).max(1.0)
    }
}

/// Replicates of a trial that has ended without being kept, on average.
fn usual(study: &Study) -> f64 {
    let counts = study.counts();
    let ended = counts.keep + counts.discard + counts.inconclusive;
    let baseline = study.trial(TrialNo::BASELINE).map_or(0, |trial| trial.replicates.len());
    let spent = f64::from(study.finished_replicates()) - baseline as f64;
    if ended == 0 { 1.0 } else { (spent / f64::from(ended)).max(1.0) }
}

/// `step`, unless it asks for more replicates of an undecided trial than the budget has room for.
///
/// `pairs` is how many its contest will have with these, where it has come to one.
pub(crate) fn afforded(study: &Study, trial: &Trial, pairs: Option<u32>, step: Step) -> Step {
    let Step::Measure { wanted } = &step else { return step };
    if exceeded(study, f64::INFINITY).is_none() {
        return step;
    }
    let keep = pairs.map_or(0.0, |pairs| of_keep(study, pairs));
    let needed = wanted.len() as f64 + keep + reserved(study, Some(trial.no));
    match exceeded(study, needed) {
        None => step,
        Some((what, _)) => Step::Conclude(Outcome::Valid {
            verdict: Verdict::Inconclusive,
            reason: format!("undecided when the budget of {what} was spent"),
            gain: None,
            gain_interval: None,
        }),
    }
}
