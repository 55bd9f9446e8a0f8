//! The rule on made-up ledgers.

use std::collections::BTreeMap;

use empiric_core::{Ask, Cause, Failure, Operator, Phase, TrialNo, Verdict};

use crate::tests::{Ledger, crash};

fn improve(parent: TrialNo) -> Ask {
    Ask { operator: Operator::Improve, parents: vec![parent], surface: None }
}

#[test]
fn drafts_come_first_and_running_ones_count() {
    let mut ledger = Ledger::new(0, "greedy");
    for _ in 0..5 {
        assert_eq!(ledger.next().1.operator, Operator::Draft);
    }
    assert_eq!(ledger.next().1, improve(TrialNo::BASELINE));
}

#[test]
fn a_draft_lost_by_the_machine_is_drafted_again() {
    let mut ledger = Ledger::new(0, "greedy");
    let (trial, _) = ledger.next();
    ledger.failed(trial, Failure::new(Phase::Train, Cause::SandboxFailed));
    ledger.past_drafts();
    let drafts = ledger.study.trials().iter().filter(|t| t.ask.operator == Operator::Draft).count();
    // The baseline, the lost one, and five.
    assert_eq!(drafts, 7);
}

/// Frequencies over 400 studies that differ in their seed alone.
fn share(name: &str, prepare: impl Fn(&mut Ledger), operator: Operator) -> f64 {
    let hits = (0..400)
        .filter(|seed| {
            let mut ledger = Ledger::new(*seed, name);
            ledger.past_drafts();
            prepare(&mut ledger);
            ledger.policy.ask(&ledger.study).operator == operator
        })
        .count();
    hits as f64 / 400.0
}

#[test]
fn a_crash_is_debugged_half_of_the_time() {
    let prepare = |ledger: &mut Ledger| {
        let trial = ledger.edited(improve(TrialNo::BASELINE));
        ledger.failed(trial, crash());
    };
    let share = share("greedy", prepare, Operator::Debug);
    assert!((0.42..0.58).contains(&share), "{share}");
}

#[test]
fn a_near_miss_is_repaired_half_of_the_time_and_debugged_by_the_published_rule() {
    let prepare = |ledger: &mut Ledger| {
        let trial = ledger.edited(improve(TrialNo::BASELINE));
        let miss = Failure::new(Phase::Decide, Cause::GateMiss { metric: "size".to_owned() });
        ledger.failed(trial, miss.margin(-20.0));
    };
    let repaired = share("greedy", prepare, Operator::Repair);
    assert!((0.42..0.58).contains(&repaired), "{repaired}");
    let debugged = share("greedy-published", prepare, Operator::Debug);
    assert!((0.42..0.58).contains(&debugged), "{debugged}");
}

#[test]
fn two_branches_are_merged_now_and_then_but_once() {
    let branches = |ledger: &mut Ledger| {
        for loss in [0.9, 0.93] {
            let trial = ledger.edited(improve(TrialNo::BASELINE));
            ledger.measured(trial, loss);
            ledger.valid(trial, Verdict::Inconclusive, Some(1.0 - loss));
        }
    };
    let first = share("greedy", branches, Operator::Merge);
    assert!((0.09..0.21).contains(&first), "{first}");
    let again = |ledger: &mut Ledger| {
        branches(ledger);
        let (one, other) = (TrialNo(6), TrialNo(7));
        let parents = vec![one, other];
        let trial = ledger.edited(Ask { operator: Operator::Merge, parents, surface: None });
        ledger.discarded(trial);
    };
    assert!(share("greedy", again, Operator::Merge) == 0.0);
}

#[test]
fn what_is_worse_than_the_baseline_is_not_merged_for_being_better_than_its_parent() {
    let branches = |loss: f64| {
        move |ledger: &mut Ledger| {
            let good = ledger.edited(improve(TrialNo::BASELINE));
            ledger.measured(good, 0.9);
            ledger.valid(good, Verdict::Inconclusive, Some(0.1));
            let bad = ledger.edited(improve(TrialNo::BASELINE));
            ledger.measured(bad, 1.2);
            ledger.valid(bad, Verdict::Discard, Some(-0.2));
            let child = ledger.edited(improve(bad));
            ledger.measured(child, loss);
            ledger.valid(child, Verdict::Discard, Some(1.0 - loss));
        }
    };
    assert!(share("greedy", branches(1.05), Operator::Merge) == 0.0);
    assert!(share("greedy", branches(0.95), Operator::Merge) > 0.05);
}

#[test]
fn debugging_stops_at_its_depth() {
    let mut ledger = Ledger::new(1, "greedy");
    ledger.past_drafts();
    let mut trial = ledger.edited(improve(TrialNo::BASELINE));
    ledger.failed(trial, crash());
    let mut steps = 0;
    for _ in 0..200 {
        let (next, ask) = ledger.next();
        if ask.operator == Operator::Debug {
            assert_eq!(ask.parents, [trial]);
            steps += 1;
            trial = next;
            ledger.failed(next, crash());
        } else {
            ledger.discarded(next);
        }
    }
    assert_eq!(steps, 4);
}

#[test]
fn what_broke_a_rule_of_validity_is_left_alone() {
    let prepare = |ledger: &mut Ledger| {
        let trial = ledger.edited(improve(TrialNo::BASELINE));
        ledger.failed(
            trial,
            Failure::new(
                Phase::Score,
                Cause::RedLine { line: empiric_core::RedLine::ProtectedData },
            ),
        );
    };
    assert!(share("greedy", prepare, Operator::Debug) == 0.0);
}

#[test]
fn a_leaf_is_debugged_by_one_trial_at_a_time() {
    let mut ledger = Ledger::new(2, "greedy");
    ledger.past_drafts();
    let failed = ledger.edited(improve(TrialNo::BASELINE));
    ledger.failed(failed, crash());
    let asks: Vec<Ask> = (0..40).map(|_| ledger.next().1).collect();
    assert_eq!(asks.iter().filter(|ask| ask.operator == Operator::Debug).count(), 1);
}

#[test]
fn improvements_start_from_the_champion_and_sometimes_from_the_undecided() {
    let mut ledger = Ledger::new(4, "greedy");
    ledger.past_drafts();
    let kept = ledger.edited(improve(TrialNo::BASELINE));
    ledger.measured(kept, 0.9);
    ledger.valid(kept, Verdict::Keep, Some(0.1));
    let undecided = ledger.edited(improve(kept));
    ledger.measured(undecided, 0.895);
    ledger.valid(undecided, Verdict::Inconclusive, Some(0.005));
    let mut from = BTreeMap::new();
    for _ in 0..200 {
        let (trial, ask) = ledger.next();
        *from.entry(ask.parents[0]).or_insert(0) += 1;
        ledger.discarded(trial);
    }
    assert_eq!(from.keys().copied().collect::<Vec<_>>(), [kept, undecided]);
    assert!((20..60).contains(&from[&undecided]), "{from:?}");
}

#[test]
fn the_published_rule_follows_the_best_score() {
    let mut ledger = Ledger::new(4, "greedy-published");
    ledger.past_drafts();
    let lucky = ledger.edited(improve(TrialNo::BASELINE));
    ledger.measured(lucky, 0.5);
    ledger.valid(lucky, Verdict::Discard, Some(0.5));
    assert_eq!(ledger.next().1, improve(lucky));
}
