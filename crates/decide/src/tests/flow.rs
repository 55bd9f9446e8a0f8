//! The way of a trial through its doors.

use empiric_core::{
    Blame, Bound, Cause, Digest, Event, Failure, Goal, Outcome, Phase, Purpose, Split, TrialNo,
    Verdict,
    study::{Fixed, Rules},
};

use super::lab::{Gaussian, Lab, Machine, failed, value, values};
use crate::{Step, Wanted};

const T0: TrialNo = TrialNo::BASELINE;
const T1: TrialNo = TrialNo(1);

fn search(trial: TrialNo, indices: impl IntoIterator<Item = u32>) -> Vec<Wanted> {
    let purpose = Purpose::Search;
    indices.into_iter().map(|index| Wanted { trial, purpose, index }).collect()
}

fn confirm(trial: TrialNo, of: TrialNo, indices: impl IntoIterator<Item = u32>) -> Vec<Wanted> {
    let purpose = Purpose::Confirm { of };
    indices.into_iter().map(|index| Wanted { trial, purpose, index }).collect()
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Valid { verdict, .. } => *verdict,
        Outcome::Failed(failure) => panic!("failed: {failure} {}", failure.excerpt),
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Valid { reason, .. } => panic!("valid: {reason}"),
    }
}

/// Loss 2 everywhere, less what `better` says; no noise.
fn exact(
    better: impl Fn(Wanted) -> f64,
) -> impl FnMut(Wanted, empiric_core::Seed) -> empiric_core::trial::Measured {
    move |wanted, _| value(2.0 - better(wanted))
}

#[test]
fn the_baseline_is_measured_five_times_even_when_fewer_are_asked_for() {
    let mut lab = Lab::new(Goal::Minimize, Rules { baseline_replicates: 2, ..Rules::default() });
    assert_eq!(lab.step(T0), Step::Measure { wanted: search(T0, 0..5) });
    let leased: Vec<_> = search(T0, 0..5).into_iter().map(|wanted| lab.lease(wanted)).collect();
    assert_eq!(lab.step(T0), Step::Wait);
    for (loss, replicate) in leased.into_iter().enumerate() {
        lab.finish(replicate, T0, value(loss as f64));
    }
    let Step::Conclude(outcome) = lab.step(T0) else { panic!("not concluded") };
    let expected = Outcome::Valid {
        verdict: Verdict::Baseline,
        reason: "2.000 bpb over 5 seeds, noise sd 1.581".to_owned(),
        gain: None,
        gain_interval: None,
    };
    assert_eq!(outcome, expected);
}

#[test]
fn trials_wait_for_the_baseline_and_end_with_it() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.propose(1);
    assert_eq!(lab.step(T1), Step::Wait);
    let crash = Failure::new(Phase::Train, Cause::Exception { status: 1 });
    let outcome = lab.settle(T0, &mut |_, _| failed(crash.clone()));
    assert_eq!(outcome, Outcome::Failed(crash));
    let ended = failure(lab.settle(T1, &mut exact(|_| 0.0)));
    assert_eq!((ended.blame, ended.cause), (Blame::Infra, Cause::HarnessFailed));
}

#[test]
fn a_deterministic_metric_takes_one_replicate_and_one_fresh_seed() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut exact(|_| 0.0));
    lab.propose(1);
    let mut machine = exact(|wanted| if wanted.trial == T1 { 0.03 } else { 0.0 });
    let Outcome::Valid { verdict, reason, gain, gain_interval } = lab.settle(T1, &mut machine)
    else {
        panic!("failed")
    };
    assert_eq!(verdict, Verdict::Keep);
    assert_eq!(
        reason,
        "+0.0300 bpb (+1.5 %) against t0 on 1 fresh seed; the metric is deterministic"
    );
    assert_eq!((gain, gain_interval), (Some(2.0 - 1.97), Some([2.0 - 1.97; 2])));
    assert_eq!((lab.count(T1, |_| true), lab.count(T0, |_| true)), (2, 6));

    let t2 = lab.propose(2);
    let outcome = lab.settle(t2, &mut exact(|_| 0.03));
    assert_eq!(self::verdict(&outcome), Verdict::Discard);
    assert_eq!(lab.count(t2, |_| true), 1);
}

#[test]
fn a_metric_that_turns_out_noisy_is_confirmed_in_full() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut exact(|_| 0.0));
    lab.propose(1);
    let outcome = lab.settle(T1, &mut |wanted: Wanted, seed: empiric_core::Seed| {
        let noise = if wanted.trial == T1 { 1e-12 * f64::from(seed.0) } else { 0.0 };
        value(if wanted.trial == T1 { 1.9 } else { 2.0 } + noise)
    });
    assert_eq!(verdict(&outcome), Verdict::Keep);
    assert_eq!(lab.count(T1, |purpose| purpose != Purpose::Search), 5);
}

#[test]
fn looks_grow_and_confirmation_follows_on_fresh_seeds() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut machine = Gaussian::new(3, 0.0);
    lab.settle(T0, &mut machine);
    lab.propose(1);
    // each look is promising, none overwhelming
    let mut fair = |wanted: Wanted, seed| match wanted {
        Wanted { trial: T1, purpose: Purpose::Search, .. } => value(97.8),
        Wanted { trial: T1, .. } => value(90.0 + 0.1 * f64::from(wanted.index)),
        Wanted { .. } => machine.run(wanted, seed),
    };
    let mut seen = Vec::new();
    let outcome = loop {
        match lab.step(T1) {
            Step::Measure { wanted } => {
                lab.measure(&wanted, &mut fair);
                seen.push(wanted);
            }
            Step::Conclude(outcome) => break outcome,
            Step::Wait => panic!("waits"),
        }
    };
    let both = |indices: std::ops::Range<u32>| {
        [confirm(T1, T1, indices.clone()), confirm(T0, T1, indices)].concat()
    };
    assert_eq!(seen[0], search(T1, 0..1));
    assert_eq!(seen[1], search(T1, 1..2));
    assert_eq!(seen[seen.len() - 2..], [both(0..3), both(3..5)]);
    assert_eq!(verdict(&outcome), Verdict::Keep);
}

#[test]
fn what_the_recipe_answers_for_ends_the_trial_and_what_it_does_not_is_tried_again() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut exact(|_| 0.0));
    lab.propose(1);
    let crash = Failure::new(Phase::Train, Cause::OutOfMemory);
    let outcome = lab.settle(T1, &mut |_, _| failed(crash.clone()));
    assert_eq!((outcome, lab.count(T1, |_| true)), (Outcome::Failed(crash), 1));

    let t2 = lab.propose(2);
    let lost = Failure::new(Phase::Train, Cause::SandboxFailed);
    let outcome = lab.settle(t2, &mut |_, _| failed(lost.clone()));
    assert_eq!((outcome, lab.count(t2, |_| true)), (Outcome::Failed(lost.clone()), 3));

    let t3 = lab.propose(3);
    let mut attempts = 0;
    let outcome = lab.settle(t3, &mut |_, _| {
        attempts += 1;
        if attempts < 3 { failed(lost.clone()) } else { value(2.5) }
    });
    assert_eq!((verdict(&outcome), attempts), (Verdict::Discard, 3));
}

#[test]
fn a_replicate_without_the_metric_is_a_failure() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut exact(|_| 0.0));
    lab.propose(1);
    let ended = failure(lab.settle(T1, &mut |_, _| values(&[("speed", Split::Search, 1.0)])));
    assert_eq!(ended.cause, Cause::MetricMissing { metric: "loss".to_owned() });
    assert_eq!(ended.blame, Blame::Recipe);
}

/// Loss and accuracy, both noisy; the baseline's accuracy is 0.97 with a standard deviation near 0.001.
fn gated(
    loss: f64,
    accuracy: f64,
) -> impl FnMut(Wanted, empiric_core::Seed) -> empiric_core::trial::Measured {
    move |wanted, _| {
        let (loss, accuracy) = if wanted.trial == T0 { (2.0, 0.97) } else { (loss, accuracy) };
        let wobble = 0.001 * (f64::from(wanted.index % 5) - 2.0) / 1.58;
        let loss = loss + wobble;
        values(&[("loss", Split::Select, loss), ("accuracy", Split::Search, accuracy + wobble)])
    }
}

#[test]
fn a_clear_gate_miss_ends_the_trial_with_its_margin() {
    let mut lab = Lab::gated(Bound::Min(0.96));
    assert_eq!(verdict(&lab.settle(T0, &mut gated(0.0, 0.0))), Verdict::Baseline);
    lab.propose(1);
    let ended = failure(lab.settle(T1, &mut gated(1.0, 0.95)));
    assert_eq!(ended.cause, Cause::GateMiss { metric: "accuracy".to_owned() });
    assert_eq!((ended.blame, ended.phase), (Blame::Gate, Phase::Decide));
    assert!((ended.margin.unwrap() + 0.01).abs() < 0.002, "{ended}");
    assert_eq!(
        ended.excerpt,
        "mean accuracy 0.9487 over 1 replicate, the gate is accuracy >= 0.96"
    );
    assert_eq!(lab.count(T1, |_| true), 1);
}

#[test]
fn a_gate_miss_within_noise_takes_more_replicates_before_it_counts() {
    let mut lab = Lab::gated(Bound::Min(0.96));
    lab.settle(T0, &mut gated(0.0, 0.0));
    lab.propose(1);
    // the first replicate misses by 0.8 standard deviations, the mean of the first five holds
    assert_eq!(verdict(&lab.settle(T1, &mut gated(1.0, 0.9605))), Verdict::Keep);
    assert_eq!(lab.count(T1, |purpose| purpose == Purpose::Search), 5);
    let t2 = lab.propose(2);
    let ended = failure(lab.settle(t2, &mut gated(0.5, 0.9595)));
    assert_eq!(ended.cause.name(), "gate_miss");
    assert_eq!(lab.count(t2, |purpose| purpose == Purpose::Search), 5);
}

#[test]
fn a_baseline_outside_a_gate_cannot_be_improved_on() {
    let mut lab = Lab::gated(Bound::Max(0.5));
    assert_eq!(failure(lab.settle(T0, &mut gated(0.0, 0.0))).cause.name(), "gate_miss");
}

#[test]
fn a_trial_overtaken_by_another_keep_is_confirmed_against_the_new_champion() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut machine = Gaussian::new(11, 0.0);
    machine.effects = [(TrialNo(1), 9.0), (TrialNo(2), 20.0)].into();
    lab.settle(T0, &mut machine);
    let (t1, t2) = (lab.propose(1), lab.propose(2));
    while let Step::Measure { wanted } = lab.step(t1) {
        lab.measure(&wanted, &mut machine);
    }
    assert!(matches!(lab.step(t1), Step::Conclude(_)));
    // t1's keep is not recorded yet when t2 is kept
    assert_eq!(verdict(&lab.settle(t2, &mut machine)), Verdict::Keep);
    assert_eq!(lab.step(t1), Step::Measure { wanted: confirm(t2, t1, 0..3) });
    assert_eq!(verdict(&lab.settle(t1, &mut machine)), Verdict::Discard);
    assert_eq!(lab.study.champion(), t2);
}

#[test]
fn a_new_segment_measures_everything_afresh() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut exact(|_| 0.0));
    lab.propose(1);
    let hash = Digest::of(b"other");
    lab.push(Event::SegmentOpened {
        segment: 1,
        fixed: Fixed { evaluator: hash, data: hash, environment: hash },
        reason: "the evaluator changed".to_owned(),
    });
    let expected = [search(T1, 0..1), search(T0, 0..5)].concat();
    // the champion is the baseline here, and is asked for once
    let Step::Measure { wanted } = lab.step(T1) else { panic!("nothing asked") };
    assert_eq!(wanted, expected);
}

#[test]
fn an_undecided_tree_lends_its_replicates_to_the_next_trial_with_it() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut Gaussian::new(5, 0.0));
    let t1 = lab.propose(9);
    lab.measure(&search(t1, 0..5), &mut Gaussian::new(5, 0.0));
    lab.conclude(
        t1,
        Outcome::Valid {
            verdict: Verdict::Inconclusive,
            reason: String::new(),
            gain: None,
            gain_interval: None,
        },
    );
    let t2 = lab.propose(9);
    assert_eq!(
        lab.step(t2),
        Step::Measure { wanted: [search(t2, 5..6), search(T0, 5..6)].concat() }
    );
    lab.measure(&search(T0, 5..6), &mut exact(|_| -98.0));
    let outcome = lab.settle(t2, &mut exact(|_| -120.0));
    assert_eq!(lab.count(t2, |_| true), 1);
    let Outcome::Valid { verdict: Verdict::Discard, reason, .. } = outcome else { panic!("kept") };
    assert!(reason.contains("6 search seeds"), "{reason}");
}

#[test]
fn a_champion_that_cannot_be_measured_again_spares_the_trial() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut Gaussian::new(5, 0.0));
    lab.propose(1);
    let crash = Failure::new(Phase::Train, Cause::Exception { status: 1 });
    let outcome = lab.settle(T1, &mut |wanted: Wanted, _| {
        if wanted.trial == T0 { failed(crash.clone()) } else { value(50.0) }
    });
    let Outcome::Valid { verdict: Verdict::Inconclusive, reason, .. } = outcome else {
        panic!("decided: {outcome:?}")
    };
    assert_eq!(
        reason,
        "t0 could not be measured on enough of the 5 fresh seeds to compare with it"
    );
}
