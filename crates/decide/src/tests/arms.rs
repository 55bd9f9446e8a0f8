//! Several arms in one study: each sees, and is judged by, its own.

use std::collections::BTreeSet;

use empiric_core::{
    Goal, Outcome, Purpose, TrialNo, Verdict,
    study::{ErrorControl, Rules, SUBMITTED},
};

use super::lab::{Gaussian, Lab, task};
use crate::{Basis, spending, summary, typical, versus};

const T0: TrialNo = TrialNo::BASELINE;

fn lab(arms: &[&str]) -> Lab {
    Lab::armed(task(Goal::Minimize, Vec::new()), Rules::default(), 7, arms)
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Valid { verdict, .. } => *verdict,
        Outcome::Failed(failure) => panic!("failed: {failure}"),
    }
}

#[test]
fn what_one_arm_finds_is_nothing_to_another() {
    let (mut lab, mut machine) = (lab(&["a", "b"]), Gaussian::new(5, 0.0));
    lab.settle(T0, &mut machine);
    let ours = lab.propose_by("a", 1, &[T0]);
    machine.effects.insert(ours, 9.0);
    assert_eq!(verdict(&lab.settle(ours, &mut machine)), Verdict::Keep);
    let theirs = lab.propose_by("b", 1, &[T0]);

    let (whole, a, b) = (&lab.study, lab.study.of_arm("a"), lab.study.of_arm("b"));
    assert_eq!((whole.champion(), a.champion(), b.champion()), (ours, ours, T0));
    assert_eq!((whole.lead(), whole.champions()), ("a", vec![ours]));
    assert!(b.trial(ours).is_none() && a.trial(theirs).is_none());
    let seen: Vec<TrialNo> = b.trials().iter().map(|trial| trial.no).collect();
    assert_eq!((seen, b.trials().len()), (vec![T0, theirs], 2));
    assert_eq!((b.counts().keep, b.keeps().len(), b.spent_trials()), (0, 0, 0));
    assert_eq!(b.spread(ours).n, 0);
    let tree = whole.trial(ours).unwrap().edit.as_ref().unwrap().tree;
    assert_eq!((a.with_tree(tree), b.with_tree(tree)), (Some(ours), Some(theirs)));
    assert_eq!(whole.with_tree(tree), Some(ours));

    // The same edit is as good in the other arm, which has not seen it: it is measured anew, and against the baseline.
    machine.effects.insert(theirs, 9.0);
    assert_eq!(verdict(&lab.settle(theirs, &mut machine)), Verdict::Keep);
    assert_eq!(lab.study.won(theirs).unwrap().over, T0);
    assert!(lab.study.contest(theirs, T0).is_some() && lab.study.contest(theirs, ours).is_none());
}

#[test]
fn the_level_is_dealt_out_and_no_arm_spends_anothers() {
    let (mut lab, mut machine) = (lab(&["a", "b"]), Gaussian::new(6, 0.0));
    lab.settle(T0, &mut machine);
    for tree in 1..4 {
        let trial = lab.propose_by("a", tree, &[T0]);
        machine.effects.insert(trial, 9.0 * f64::from(tree));
        assert_eq!(verdict(&lab.settle(trial, &mut machine)), Verdict::Keep);
    }
    let (a, b) = (lab.study.of_arm("a"), lab.study.of_arm("b"));
    assert_eq!((a.contests(), b.contests(), lab.study.contests()), (3, 0, 3));
    assert_eq!((a.next_shares(), b.next_shares()), (vec![1, 2, 3, 4], vec![1]));
    assert_eq!((a.row_keeps(), b.row_keeps(), lab.study.rows()), (3, 0, 2));
    for error in [ErrorControl::Fdr, ErrorControl::Fwer] {
        let rules = Rules { error, ..Rules::default() };
        let (alone, one_of_two) =
            (spending::level(&rules, 1, &[1], 0), spending::level(&rules, 2, &[1], 0));
        assert!((alone - 2.0 * one_of_two).abs() < 1e-15, "{alone} {one_of_two}");
    }
}

#[test]
fn a_submission_beats_what_it_builds_on_and_takes_its_place_in_the_first_row() {
    let (mut lab, mut machine) = (lab(&["a", "b"]), Gaussian::new(7, 0.0));
    lab.settle(T0, &mut machine);
    let kept = lab.propose_by("a", 1, &[T0]);
    machine.effects.insert(kept, 9.0);
    assert_eq!(verdict(&lab.settle(kept, &mut machine)), Verdict::Keep);

    // What the parent gained is not gained again.
    let same = lab.propose_by(SUBMITTED, 2, &[kept]);
    machine.effects.insert(same, 9.0);
    assert_ne!(verdict(&lab.settle(same, &mut machine)), Verdict::Keep);
    let better = lab.propose_by(SUBMITTED, 3, &[kept]);
    machine.effects.insert(better, 18.0);
    assert_eq!(verdict(&lab.settle(better, &mut machine)), Verdict::Keep);
    let won = lab.study.won(better).unwrap();
    assert_eq!(won.over, kept);
    assert!((won.gain - 18.0).abs() < 3.0, "{}", won.gain);
    assert_eq!((lab.study.lead(), lab.study.champion()), (SUBMITTED, better));
    assert_eq!(lab.study.arms(), ["a", "b", SUBMITTED]);
    // It comes after the contests of the first arm, and the first arm's next one after it.
    assert_eq!(lab.study.contest(better, kept).unwrap().place, lab.study.of_arm("a").contests());
    assert_eq!(lab.study.of_arm("b").contests(), 0);

    // One that starts from the baseline meets the arm's own champion.
    let fresh = lab.propose_by(SUBMITTED, 4, &[T0]);
    assert_eq!(lab.study.of_trial(fresh).champion(), better);
    assert_eq!(lab.study.of_arm("a").champion(), kept);
}

#[test]
fn a_placebo_runs_under_seeds_of_its_own_and_is_not_kept() {
    const TRIALS: usize = 40;
    let mut confirmed = 0;
    for stream in 0..6 {
        // All noise is the seed's: under the baseline's seeds a placebo would be the baseline once more.
        let (mut lab, mut machine) = (lab(&["null"]), Gaussian::new(stream, 1.0));
        lab.settle(T0, &mut machine);
        for _ in 0..TRIALS {
            let trial = lab.propose_by("null", 0, &[T0]);
            assert!(lab.study.is_placebo(trial));
            let seed = |no, index| lab.study.seed(no, Purpose::Search, index);
            assert!((0..5).all(|index| seed(trial, 0) != seed(T0, index)));
            assert_ne!(verdict(&lab.settle(trial, &mut machine)), Verdict::Keep);
            confirmed += u32::from(lab.study.contest(trial, T0).is_some());
        }
        let scores = lab.study.trials().iter().skip(1).map(|trial| trial.search_score("loss"));
        let different: BTreeSet<_> = scores.map(|score| score.unwrap().to_bits()).collect();
        assert_eq!(different.len(), TRIALS);
    }
    // They go as far as any other trial: some look better at first.
    assert!(confirmed > 0);
}

#[test]
fn champions_meet_the_baseline_and_one_another_at_the_end() {
    let (mut lab, mut machine) = (lab(&["a", "b", "null"]), Gaussian::new(9, 0.0));
    lab.settle(T0, &mut machine);
    for (arm, effect) in [("a", 9.0), ("b", 18.0)] {
        let trial = lab.propose_by(arm, effect as u32, &[T0]);
        machine.effects.insert(trial, effect);
        assert_eq!(verdict(&lab.settle(trial, &mut machine)), Verdict::Keep);
    }
    assert!(versus(&lab.study, "b", "a").is_none(), "nothing is compared before the end");
    lab.close(&mut machine);
    let each = lab.study.settings().rules.report_replicates as usize;
    for no in [T0, TrialNo(1), TrialNo(2)] {
        assert_eq!(lab.count(no, |purpose| purpose == Purpose::Report), each);
    }
    let found = versus(&lab.study, "b", "a").unwrap();
    let [low, high] = found.interval.unwrap();
    assert!(low < 9.0 && 9.0 < high && low > 0.0, "{found:?}");
    assert!((found.probability.point - 1.0).abs() < 1e-12 && found.n == each);
    let back = versus(&lab.study, "a", "b").unwrap();
    assert!((back.gain + found.gain).abs() < 1e-9);
    let gains = ["a", "b", "null"].map(|arm| typical(&lab.study, arm).unwrap().gain.point);
    assert!((gains[0] - 9.0).abs() < 2.0 && (gains[1] - 18.0).abs() < 2.0 && gains[2] == 0.0);
    let of = |arm: &str| {
        summary(&lab.study.of_arm(arm)).champion.map(|found| (found.trial, found.basis))
    };
    assert_eq!(of("a"), Some((TrialNo(1), Basis::Report)));
    assert_eq!(of("null"), None);
    assert_eq!(summary(&lab.study).champion.unwrap().trial, TrialNo(2));
}
