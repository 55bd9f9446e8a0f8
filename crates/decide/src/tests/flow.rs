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
fn a_deterministic_metric_takes_one_replicate_and_two_fresh_seeds() {
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
        "+0.0300 bpb (+1.5 %) against t0 on 2 fresh seeds; the metric is deterministic"
    );
    assert_eq!((gain, gain_interval), (Some(2.0 - 1.97), Some([2.0 - 1.97; 2])));
    assert_eq!((lab.count(T1, |_| true), lab.count(T0, |_| true)), (3, 7));

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
    let decided = lab.count(T1, |purpose| purpose == Purpose::Confirm { of: T0 });
    let estimated = lab.count(T1, |purpose| purpose == Purpose::Confirm { of: T1 });
    assert!(decided > 2, "{decided}");
    assert_eq!(estimated, 5);
}

/// A machine that makes T1 promising at once and better by ten on fresh seeds.
fn promising(
    machine: &mut Gaussian,
) -> impl FnMut(Wanted, empiric_core::Seed) -> empiric_core::trial::Measured {
    move |wanted: Wanted, seed| match wanted {
        Wanted { trial: T1, purpose: Purpose::Search, .. } => value(97.8),
        Wanted { trial: T1, .. } => value(90.0 + 0.1 * f64::from(wanted.index)),
        Wanted { .. } => machine.run(wanted, seed),
    }
}

#[test]
fn looks_grow_then_evidence_grows_then_the_gain_is_estimated() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut machine = Gaussian::new(3, 0.0);
    lab.settle(T0, &mut machine);
    lab.propose(1);
    let mut machine = promising(&mut machine);
    let mut seen = Vec::new();
    let outcome = loop {
        match lab.step(T1) {
            Step::Measure { wanted } => {
                lab.measure(&wanted, &mut machine);
                // A gain this large is audited, which is another story.
                if wanted.iter().all(|one| !matches!(one.purpose, Purpose::Audit { .. })) {
                    seen.push(wanted);
                }
            }
            Step::Quarantine { concerns } => lab.quarantine(T1, concerns),
            Step::Conclude(outcome) => break outcome,
            Step::Wait => panic!("waits"),
        }
    };
    assert_eq!(seen[0], search(T1, 0..1));
    assert_eq!(seen[1], search(T1, 1..2));
    // side by side on the champion's seeds, each first in turn; then on the trial's own
    let pair = |of: TrialNo, index: u32| {
        let both = [confirm(T1, of, [index]), confirm(T0, of, [index])];
        let [own, champion] = both;
        if index.is_multiple_of(2) { [own, champion].concat() } else { [champion, own].concat() }
    };
    let first = seen.iter().position(|wanted| wanted[0].purpose != Purpose::Search).unwrap();
    assert_eq!(seen[first], (0..3).flat_map(|index| pair(T0, index)).collect::<Vec<_>>());
    assert_eq!(seen[first + 1], (3..5).flat_map(|index| pair(T0, index)).collect::<Vec<_>>());
    assert_eq!(seen[seen.len() - 1], (0..5).flat_map(|index| pair(T1, index)).collect::<Vec<_>>());
    let contest = lab.study.contest(T1, T0).unwrap();
    assert_eq!((contest.place, contest.stream, contest.from), (1, T0, 0));
    let Outcome::Valid { verdict: Verdict::Keep, gain: Some(gain), reason, .. } = outcome else {
        panic!("not kept: {outcome:?}")
    };
    assert!(reason.contains("5 fresh seeds; kept on"), "{reason}");
    let estimate: Vec<f64> = lab
        .study
        .trial(T1)
        .unwrap()
        .values("loss", Split::Select, Purpose::Confirm { of: T1 }, 0)
        .iter()
        .map(|(_, value)| *value)
        .collect();
    let reference: Vec<f64> = lab
        .study
        .trial(T0)
        .unwrap()
        .values("loss", Split::Select, Purpose::Confirm { of: T1 }, 0)
        .iter()
        .map(|(_, value)| *value)
        .collect();
    let expected: f64 =
        reference.iter().zip(&estimate).map(|(theirs, own)| theirs - own).sum::<f64>() / 5.0;
    assert!((gain - expected).abs() < 1e-9, "{gain} is not {expected}");
}

#[test]
fn a_champion_is_measured_once_for_all_its_challengers() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut noise = Gaussian::new(3, 0.0);
    lab.settle(T0, &mut noise);
    // promising on search seeds, worse on fresh ones
    let mut flattered = |wanted: Wanted, seed| match wanted {
        Wanted { trial: T0, .. } => noise.run(wanted, seed),
        Wanted { purpose: Purpose::Search, .. } => value(90.0),
        Wanted { .. } => value(110.0),
    };
    for tree in 1..4 {
        let trial = lab.propose(tree);
        assert_eq!(verdict(&lab.settle(trial, &mut flattered)), Verdict::Discard);
    }
    assert_eq!(lab.count(T0, |purpose| purpose != Purpose::Search), 3);
    let places: Vec<u32> =
        (1..4).map(|no| lab.study.contest(TrialNo(no), T0).unwrap().place).collect();
    assert_eq!(places, [1, 2, 3]);
}

#[test]
fn a_keep_passes_its_error_on_to_the_next_contest() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut machine = Gaussian::new(3, 0.0);
    machine.effects = [(TrialNo(1), 9.0), (TrialNo(2), 20.0), (TrialNo(3), 29.0)].into();
    lab.settle(T0, &mut machine);
    for tree in 1..4 {
        let trial = lab.propose(tree);
        assert_eq!(verdict(&lab.settle(trial, &mut machine)), Verdict::Keep);
    }
    let shares = |no: u32| lab.study.contest(TrialNo(no), TrialNo(no - 1)).unwrap().shares.clone();
    assert_eq!([shares(1), shares(2), shares(3)], [vec![1], vec![1, 2], vec![1, 2, 3]]);
    assert_eq!(lab.study.next_shares(), [1, 2, 3, 4]);
}

#[test]
fn a_time_is_measured_side_by_side_and_the_champion_again_on_a_schedule() {
    let mut task = super::lab::task(Goal::Minimize, Vec::new());
    task.metric.name = "train.cpu_seconds".to_owned();
    task.stages = vec![super::lab::stage("train")];
    let mut lab = Lab::with(task, Rules::default(), 7);
    let seconds = |shift: f64| {
        move |wanted: Wanted, _| {
            let base = if wanted.trial == T0 { 100.0 + shift } else { 100.0 };
            let wobble = f64::from(wanted.index * 7 % 5) - 2.0;
            values(&[("train.cpu_seconds", Split::Search, base + wobble)])
        }
    };
    lab.settle(T0, &mut seconds(0.0));
    for tree in 1..11 {
        let trial = lab.propose(tree);
        lab.settle(trial, &mut seconds(0.0));
    }
    let t11 = lab.propose(11);
    let Step::Measure { wanted } = lab.step(t11) else { panic!("nothing asked") };
    let again = (1 << 16) + 3;
    assert_eq!(wanted, [search(t11, 0..1), search(T0, again..again + 3)].concat());
    // the champion has become slower by 50 since; the trial has not, and is confirmed on seeds of its own
    let outcome = lab.settle(t11, &mut seconds(50.0));
    assert_eq!(verdict(&outcome), Verdict::Keep);
    let contest = lab.study.contest(t11, T0).unwrap();
    assert_eq!((contest.stream, contest.from), (t11, 0));
    // the gain comes from places after all that may decide
    assert_eq!(lab.count(T0, |purpose| purpose == Purpose::Confirm { of: T0 }), 0);
    let places: Vec<u32> = lab
        .study
        .trial(t11)
        .unwrap()
        .replicates
        .iter()
        .filter(|found| found.purpose == Purpose::Confirm { of: t11 })
        .map(|found| found.index)
        .collect();
    assert!(places.ends_with(&[32, 33, 34, 35, 36]), "{places:?}");
}

#[test]
fn an_undecided_trial_ends_with_the_budget() {
    let budget = empiric_core::Budget { cpu_s: Some(7.0), ..Default::default() };
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.push(Event::BudgetSet { budget, by: "somebody".to_owned() });
    let mut machine = Gaussian::new(3, 0.0);
    let mut costly = |wanted: Wanted, seed| {
        let cost = empiric_core::Cost { cpu_s: 1.0, ..Default::default() };
        empiric_core::trial::Measured { cost, ..machine.run(wanted, seed) }
    };
    lab.settle(T0, &mut costly);
    lab.propose(1);
    let outcome = lab.settle(T1, &mut |wanted: Wanted, seed| match wanted.trial {
        T1 => empiric_core::trial::Measured { cost: costly(wanted, seed).cost, ..value(97.8) },
        _ => costly(wanted, seed),
    });
    let Outcome::Valid { verdict: Verdict::Inconclusive, reason, .. } = outcome else {
        panic!("decided: {outcome:?}")
    };
    assert_eq!(reason, "undecided when the budget of CPU time was spent");
    assert_eq!(lab.count(T1, |_| true), 2);
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
fn a_trial_overtaken_by_another_keep_is_judged_against_the_new_champion() {
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
    assert!(lab.study.contest(t1, t2).is_none());
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
        "t0 could not be measured on enough of the 32 fresh seeds to compare with it"
    );
}
