//! The supervisor's say: trials that end at a red line, and keeps that are measured once more.

use empiric_core::{
    Bound, Cause, Concern, Gate, Goal, Inspection, Outcome, Phase, Purpose, RedLine, Severity,
    TrialNo, Verdict, study::Rules,
};

use super::lab::{Gaussian, Lab, Machine, task, value};
use crate::{Step, Wanted};

const T0: TrialNo = TrialNo::BASELINE;

fn doubtful(line: RedLine, severity: Severity) -> Inspection {
    let why = "something was seen".to_owned();
    Inspection { concerns: vec![Concern { line, severity, why }], random: Some(true) }
}

/// A lab whose baseline is measured.
fn ready(machine: &mut dyn Machine) -> Lab {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, machine);
    lab
}

fn audits(lab: &Lab, trial: TrialNo) -> usize {
    lab.count(trial, |purpose| matches!(purpose, Purpose::Audit { .. }))
}

#[test]
fn an_edit_that_crosses_a_line_ends_before_anything_runs() {
    let mut machine = Gaussian::new(1, 0.0);
    let mut lab = ready(&mut machine);
    let trial = lab.propose_read(1, doubtful(RedLine::Seed, Severity::Fail));
    let Step::Conclude(Outcome::Failed(failure)) = lab.step(trial) else { panic!("goes on") };
    assert_eq!(failure.cause, Cause::RedLine { line: RedLine::Seed });
    assert_eq!(failure.phase, Phase::Static);
    assert!(failure.excerpt.starts_with("something was seen; chance comes from"), "{failure:?}");
}

#[test]
fn a_keep_under_doubt_is_measured_again_on_other_seeds_and_kept_when_the_gain_is_there() {
    let mut machine = Gaussian::new(2, 0.0);
    let mut lab = ready(&mut machine);
    let trial = lab.propose_read(1, doubtful(RedLine::CarriedData, Severity::Quarantine));
    machine.effects.insert(trial, 8.0);
    let Outcome::Valid { verdict, reason, .. } = lab.settle(trial, &mut machine) else {
        panic!("failed")
    };
    assert_eq!(verdict, Verdict::Keep);
    assert!(reason.contains("nobody could foresee (report split)"), "{reason}");
    assert!(audits(&lab, trial) >= 3 && audits(&lab, T0) >= 3);
    let held = lab.study.trial(trial).unwrap().quarantine.clone().unwrap();
    assert_eq!(held.concerns[0].line, RedLine::CarriedData);
    let audit = Purpose::Audit { of: trial };
    assert_ne!(lab.study.seed(trial, audit, 0), audit.seed(lab.study.settings().seed, 0));
}

#[test]
fn a_gain_that_is_gone_on_seeds_that_nobody_could_foresee_is_not_kept() {
    let mut noise = Gaussian::new(3, 0.0);
    let mut lab = ready(&mut noise);
    let trial = lab.propose_read(1, doubtful(RedLine::Seed, Severity::Quarantine));
    let mut lucky = |wanted: Wanted, seed| {
        let foreseen = !matches!(wanted.purpose, Purpose::Audit { .. });
        let effect = if foreseen && wanted.trial == trial { 8.0 } else { 0.0 };
        let mut result = noise.run(wanted, seed);
        result.measurements[0].value -= effect;
        result
    };
    let Outcome::Valid { verdict, reason, .. } = lab.settle(trial, &mut lucky) else {
        panic!("failed")
    };
    assert_eq!(verdict, Verdict::Inconclusive);
    assert!(reason.contains("the audit found"), "{reason}");
}

#[test]
fn a_trial_without_doubts_is_not_measured_again() {
    let mut machine = Gaussian::new(4, 0.0);
    let mut lab = ready(&mut machine);
    let trial = lab.propose(1);
    machine.effects.insert(trial, 8.0);
    lab.settle(trial, &mut machine);
    assert_eq!(lab.study.champion(), trial);
    assert_eq!(audits(&lab, trial), 0);
}

#[test]
fn a_score_beyond_belief_ends_the_trial_at_its_first_replicate() {
    let mut task = task(Goal::Minimize, Vec::new());
    task.plausible = vec![Gate { metric: "loss".to_owned(), bound: Bound::Min(50.0) }];
    let mut lab = Lab::with(task, Rules::default(), 7);
    let mut machine = Gaussian::new(5, 0.0);
    lab.settle(T0, &mut machine);
    let trial = lab.propose(1);
    machine.effects.insert(trial, 70.0);
    let Outcome::Failed(failure) = lab.settle(trial, &mut machine) else { panic!("believed") };
    assert_eq!(failure.cause, Cause::RedLine { line: RedLine::Jump });
    assert_eq!(failure.margin, None, "a margin would tell where belief begins");
    assert_eq!(lab.count(trial, |_| true), 1);
}

#[test]
fn a_baseline_beyond_belief_is_a_mistake_of_the_task() {
    let mut task = task(Goal::Minimize, Vec::new());
    task.plausible = vec![Gate { metric: "loss".to_owned(), bound: Bound::Min(500.0) }];
    let mut lab = Lab::with(task, Rules::default(), 7);
    let outcome = lab.settle(T0, &mut |_: Wanted, _| value(100.0));
    let Outcome::Failed(failure) = outcome else { panic!("believed") };
    assert_eq!(failure.cause, Cause::GateMiss { metric: "loss".to_owned() });
}
