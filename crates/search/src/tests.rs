//! What holds for every policy, on made-up ledgers.

mod ledger;

use std::collections::BTreeSet;

use empiric_core::{
    Ask, Cause, Complexity, Event, Failure, Operator, Outcome, Phase, Study, TrialNo, Verdict,
};

pub(crate) use self::ledger::{Ledger, crash};
use crate::{POLICIES, Policies, names, policy};

#[test]
fn every_name_in_the_registry_is_a_policy() {
    for name in names() {
        assert_eq!(policy(name).unwrap().name(), name);
    }
    assert!(policy("none").is_none());
    assert!(POLICIES.iter().all(|entry| entry.about.len() > 20));
}

#[test]
fn asks_are_replayed_from_any_prefix_of_the_ledger() {
    for name in names() {
        for seed in 0..2 {
            let (ledger, asks) = Ledger::long(name, seed, 150);
            let mut study = Study::open(&ledger.records[0]).unwrap();
            let mut fresh = policy(name).unwrap();
            fresh.tell(&study, &ledger.records[0]);
            let mut asks = asks.into_iter().peekable();
            for (i, record) in ledger.records.iter().enumerate().skip(1) {
                if let Some((_, ask)) = asks.next_if(|(at, _)| *at == i) {
                    assert_eq!(fresh.ask(&study), ask, "{name} before event {}", i + 1);
                }
                study.apply(record).unwrap();
                fresh.tell(&study, record);
            }
            assert!(asks.next().is_none());
        }
    }
}

#[test]
fn parents_exist_and_have_ended() {
    for name in names() {
        let (ledger, asks) = Ledger::long(name, 9, 150);
        for (at, ask) in asks {
            let study = Study::replay(&ledger.records[..at]).unwrap();
            assert!(!ask.parents.is_empty(), "{name}");
            for parent in ask.parents {
                let ended = study.trial(parent).unwrap().outcome.is_some();
                assert!(ended, "{name}: {parent} before event {at}");
            }
        }
    }
}

/// What only one trial at a time may work on.
fn claim(ask: &Ask) -> Option<(String, BTreeSet<TrialNo>)> {
    matches!(ask.operator, Operator::Debug | Operator::Repair | Operator::Merge)
        .then(|| (ask.operator.to_string(), ask.parents.iter().copied().collect()))
}

#[test]
fn nothing_is_claimed_twice_at_one_time() {
    let mut claims = 0;
    for name in names() {
        let (ledger, asks) = Ledger::long(name, 3, 200);
        for (at, ask) in asks {
            let Some(claimed) = claim(&ask) else { continue };
            claims += 1;
            let study = Study::replay(&ledger.records[..at]).unwrap();
            let running = study.open_trials().iter().filter_map(|no| claim(&study.trial(*no)?.ask));
            assert!(running.into_iter().all(|other| other != claimed), "{name} before event {at}");
        }
    }
    assert!(claims > 100, "{claims}");
}

#[test]
fn specialists_share_one_best_and_no_role_is_left_out() {
    let mut ledger = Ledger::with_surfaces(1, "specialists", &["model", "data", "optim"]);
    let mut roles = std::collections::BTreeMap::new();
    for _ in 0..120 {
        let champion = ledger.study.champion();
        let (trial, ask) = ledger.next();
        assert_eq!((ask.operator, &ask.parents[..]), (Operator::Improve, &[champion][..]));
        let role = ask.surface.unwrap();
        if role == "data" {
            ledger.measured(trial, 0.5);
            ledger.valid(trial, Verdict::Keep, Some(0.02));
        } else {
            ledger.discarded(trial);
        }
        *roles.entry(role).or_insert(0) += 1;
    }
    // What gains is asked for most, and a quarter of the asks is left to chance.
    assert!(roles["data"] > 70 && roles["model"] >= 5 && roles["optim"] >= 5, "{roles:?}");
}

#[test]
fn a_crash_condemns_a_branch_by_the_published_rule_alone() {
    let crash =
        || Failure::new(Phase::Train, Cause::RedLine { line: empiric_core::RedLine::Evaluator });
    let asks = |name| {
        let mut ledger = Ledger::new(0, name);
        // Five drafts; the third one crashes for good.
        let drafts: Vec<TrialNo> = (0..5).map(|_| ledger.next().0).collect();
        for (at, draft) in drafts.iter().enumerate() {
            match at {
                2 => ledger.failed(*draft, crash()),
                _ => ledger.discarded(*draft),
            }
        }
        ledger.policy.ask(&ledger.study)
    };
    // Published, the root has had its five children; else a crash gives its place back.
    assert_eq!(asks("mcts-published").operator, Operator::Improve);
    assert_eq!(asks("mcts").operator, Operator::Draft);
}

#[test]
fn tree_search_goes_where_scores_are_better() {
    let mut ledger = Ledger::new(0, "mcts");
    let drafts: Vec<TrialNo> = (0..5).map(|_| ledger.next().0).collect();
    for (draft, loss) in drafts.iter().zip([1.2, 1.1, 0.8, 1.3, 1.15]) {
        ledger.measured(*draft, loss);
        ledger.valid(*draft, Verdict::Discard, None);
    }
    let below: Vec<TrialNo> = (0..5).map(|_| ledger.next().1.parents[0]).collect();
    assert_eq!(below[0], drafts[2]);
    // Those under way count as visits, so not all of them go there.
    assert!(below.iter().filter(|no| **no == drafts[2]).count() >= 2, "{below:?}");
}

#[test]
fn evolution_picks_ranks_with_the_published_shares() {
    let mut ledger = Ledger::new(0, "evolution");
    for loss in 0..9 {
        let trial = ledger.edited(crate::ask(Operator::Draft, &[TrialNo::BASELINE]));
        ledger.measured(trial, 0.9 + 0.01 * f64::from(loss));
        ledger.valid(trial, Verdict::Discard, None);
    }
    // N = 10 with the baseline: 45, 27 and 15 % for the first three ranks (arXiv 2603.26499, T = 0.2).
    let mut picked = std::collections::BTreeMap::new();
    let mut asked = 0;
    for seed in 0..4000 {
        let ask = ledger.ask_for(seed);
        if ask.operator == Operator::Improve {
            asked += 1;
            *picked.entry(ask.parents[0]).or_insert(0) += 1;
        }
    }
    let share =
        |no: u32| f64::from(picked.get(&TrialNo(no)).copied().unwrap_or(0)) / f64::from(asked);
    for (no, expected) in [(1, 0.45), (2, 0.27), (3, 0.15)] {
        assert!((share(no) - expected).abs() < 0.03, "t{no}: {}", share(no));
    }
}

#[test]
fn race_is_not_drawn_to_one_lucky_run() {
    let mut ledger = Ledger::new(0, "race");
    ledger.past_drafts();
    // Twenty single runs, one of them lucky, and a champion that is a little better and was confirmed.
    let mut lucky = TrialNo::BASELINE;
    for n in 0..20 {
        let trial = ledger.edited(crate::ask(Operator::Improve, &[TrialNo::BASELINE]));
        let loss = if n == 7 { 0.985 } else { 1.0 + 0.002 * f64::from(n % 5) };
        ledger.measured(trial, loss);
        ledger.valid(trial, Verdict::Discard, None);
        if n == 7 {
            lucky = trial;
        }
    }
    let kept = ledger.edited(crate::ask(Operator::Improve, &[TrialNo::BASELINE]));
    (0..5).for_each(|_| ledger.measured(kept, 0.98));
    ledger.valid(kept, Verdict::Keep, Some(0.02));
    let mut from = std::collections::BTreeMap::new();
    for seed in 0..400 {
        let ask = ledger.ask_for(seed);
        if ask.operator == Operator::Improve {
            *from.entry(ask.parents[0]).or_insert(0) += 1;
        }
    }
    let count = |no| from.get(&no).copied().unwrap_or(0);
    assert!(count(kept) > 2 * count(lucky), "{from:?}");
}

#[test]
fn a_floor_on_diversity_turns_to_drafts() {
    let one_kind = |name| {
        let mut ledger = Ledger::new(0, name);
        ledger.past_drafts();
        for _ in 0..30 {
            let trial = ledger.edited(crate::ask(Operator::Improve, &[TrialNo::BASELINE]));
            ledger.discarded(trial);
        }
        ledger.policy.ask(&ledger.study).operator
    };
    assert_eq!(one_kind("race-diverse"), Operator::Draft);
    assert_ne!(one_kind("race"), Operator::Draft);
}

#[test]
fn a_drought_and_a_target_end_a_search() {
    let mut ledger = Ledger::new(0, "greedy");
    ledger.budget(Some(3), Some(0.95));
    for _ in 0..3 {
        assert_eq!(crate::dry(&ledger.study), None);
        let (trial, _) = ledger.next();
        ledger.discarded(trial);
    }
    assert!(crate::dry(&ledger.study).unwrap().contains("3 trials"));
    let (trial, _) = ledger.next();
    ledger.measured(trial, 0.94);
    ledger.valid(trial, Verdict::Keep, Some(0.06));
    assert_eq!(crate::reached(&ledger.study, trial, 0.96), None);
    assert!(crate::reached(&ledger.study, trial, 0.95).unwrap().contains("0.95"));
    assert_eq!(crate::dry(&ledger.study), None);
}

#[test]
fn what_was_dropped_is_known_when_it_comes_back() {
    let mut ledger = Ledger::new(0, "greedy");
    let tried = ledger.with_line("warmup_steps = 40");
    ledger.discarded(tried);
    let again = ledger.with_line("warmup_steps = 40");
    assert_eq!(ledger.study.course().revisits(again), Some(tried));
    ledger.measured(again, 0.9);
    ledger.valid(again, Verdict::Keep, Some(0.1));
    // Now it is part of the champion.
    let third = ledger.with_line("warmup_steps = 40");
    let fresh = ledger.with_line("warmup_steps = 50");
    assert_eq!(ledger.study.course().revisits(third), None);
    assert_eq!(ledger.study.course().revisits(fresh), None);
    // All of them move one literal.
    assert_eq!(ledger.study.course().contents().families(), 1);
    assert_eq!(ledger.study.course().contents().edits(), 4);
}

#[test]
fn staleness_counts_the_verdicts_between_ask_and_start() {
    let mut ledger = Ledger::new(0, "greedy");
    let trials: Vec<TrialNo> = (0..3).map(|_| ledger.next().0).collect();
    for trial in &trials {
        ledger.discarded(*trial);
    }
    let staleness = ledger.study.course().staleness();
    assert_eq!((staleness.trials, staleness.total, staleness.most), (3, 3, 2));
    assert_eq!(
        Complexity::of(ledger.study.course().children(TrialNo::BASELINE)),
        Complexity::Normal
    );
}

#[test]
fn what_the_machine_lost_ends_no_search() {
    let mut ledger = Ledger::new(0, "greedy");
    let (trial, _) = ledger.next();
    ledger.failed(trial, Failure::new(Phase::Train, Cause::HarnessFailed));
    assert_eq!(ledger.study.course().drought(), 0);
    let outcome = ledger.study.trial(trial).unwrap().outcome.clone();
    assert!(matches!(outcome, Some(Outcome::Failed(_))));
}

/// Every merge with the champion of its moment, and what was merged with it.
fn offers(ledger: &Ledger, asks: &[(usize, Ask)]) -> Vec<(TrialNo, TrialNo)> {
    let merges = asks.iter().filter(|(_, ask)| ask.operator == Operator::Merge);
    merges
        .filter(|(at, ask)| {
            let study = Study::replay(&ledger.records[..*at]).unwrap();
            ask.parents.first() == Some(&study.champion())
        })
        .map(|(_, ask)| (ask.parents[0], ask.parents[1]))
        .collect()
}

#[test]
fn what_a_moving_champion_leaves_behind_is_offered_once_by_every_policy() {
    for name in names() {
        let mut ledger = Ledger::new(0, name);
        ledger.past_drafts();
        let from = |ledger: &mut Ledger, parent: TrialNo| {
            let trial = ledger.edited(crate::ask(Operator::Improve, &[parent]));
            ledger.measured(trial, 0.9);
            trial
        };
        let merges = |ledger: &mut Ledger| {
            let ask = ledger.policy.ask(&ledger.study);
            (ask.operator == Operator::Merge).then_some(ask.parents)
        };
        // Two keeps from the baseline: the second one beats the first without its change.
        let first = from(&mut ledger, TrialNo::BASELINE);
        ledger.valid(first, Verdict::Keep, Some(0.01));
        let second = from(&mut ledger, TrialNo::BASELINE);
        let undecided = from(&mut ledger, first);
        ledger.valid(second, Verdict::Keep, Some(0.01));
        ledger.valid(undecided, Verdict::Inconclusive, Some(0.002));
        // The keep comes first, then what could not be decided; each once, and one that the machine lost again.
        assert_eq!(merges(&mut ledger), Some(vec![second, first]), "{name}");
        let (lost, _) = ledger.next();
        assert_eq!(merges(&mut ledger), Some(vec![second, undecided]), "{name}");
        let (other, _) = ledger.next();
        ledger.failed(lost, Failure::new(Phase::Train, Cause::SandboxFailed));
        assert_eq!(merges(&mut ledger), Some(vec![second, first]), "{name}");
        let (again, _) = ledger.next();
        ledger.discarded(again);
        ledger.discarded(other);
        // A child of the champion waits until the champion is no longer its parent.
        let child = from(&mut ledger, second);
        ledger.valid(child, Verdict::Inconclusive, Some(0.004));
        let third = from(&mut ledger, second);
        let before: Vec<TrialNo> = vec![first, undecided, child];
        let offered = |ledger: &mut Ledger| {
            let ask = ledger.policy.ask(&ledger.study);
            let champion = ledger.study.champion();
            let merge = ask.operator == Operator::Merge && ask.parents[0] == champion;
            merge.then(|| ask.parents[1]).filter(|no| before.contains(no))
        };
        assert_ne!(offered(&mut ledger), Some(child), "{name}");
        ledger.valid(third, Verdict::Keep, Some(0.01));
        assert_eq!(offered(&mut ledger), Some(child), "{name}");
        let (merge, _) = ledger.next();
        ledger.discarded(merge);
        assert_ne!(offered(&mut ledger), Some(child), "{name}");
    }
}

#[test]
fn nothing_is_offered_to_a_champion_twice() {
    let mut offers_seen = 0;
    for name in names() {
        let (ledger, asks) = Ledger::long(name, 5, 200);
        let offers = offers(&ledger, &asks);
        offers_seen += offers.len();
        let lost = |(champion, no): &(TrialNo, TrialNo)| {
            let trials = ledger.study.trials().iter();
            let mut merges = trials.filter(|trial| {
                trial.ask.operator == Operator::Merge && trial.ask.parents == [*champion, *no]
            });
            merges.any(|trial| {
                matches!(&trial.outcome, Some(Outcome::Failed(f)) if f.blame.spares_the_trial())
            })
        };
        let mut seen = BTreeSet::new();
        for offer in offers {
            assert!(seen.insert(offer) || lost(&offer), "{name}: {offer:?} again");
        }
    }
    assert!(offers_seen > 200, "{offers_seen}");
}

/// What the study's one arm is asked next.
fn next_ask(ledger: &Ledger) -> Ask {
    let mut study = Study::open(&ledger.records[0]).unwrap();
    let mut policies = Policies::of(study.settings()).unwrap();
    policies.tell(&study, &ledger.records[0]);
    for record in &ledger.records[1..] {
        study.apply(record).unwrap();
        policies.tell(&study, record);
    }
    policies.ask(&study, "a").unwrap()
}

#[test]
fn new_trials_start_from_what_is_pinned_until_one_is_kept() {
    let mut ledger = Ledger::new(3, "greedy");
    ledger.past_drafts();
    let (trial, _) = ledger.next();
    ledger.discarded(trial);
    let free = next_ask(&ledger);
    let by = || "ann".to_owned();
    ledger.add(Event::Pinned { trial, by: by() });
    assert_eq!(
        next_ask(&ledger),
        Ask { operator: Operator::Improve, parents: vec![trial], ..free.clone() }
    );
    assert_eq!(ledger.study.pins(), [("a", trial)]);
    ledger.add(Event::Unpinned { trial, by: by() });
    assert_eq!(next_ask(&ledger), free);

    // The baseline is every arm's.
    ledger.add(Event::Pinned { trial: TrialNo::BASELINE, by: by() });
    let fresh = Ask { operator: Operator::Draft, parents: vec![TrialNo::BASELINE], ..free };
    assert_eq!(next_ask(&ledger), fresh);
    let (better, _) = ledger.next();
    ledger.measured(better, 0.8);
    ledger.valid(better, Verdict::Keep, Some(0.2));
    assert_eq!((ledger.study.pins().len(), ledger.study.of_arm("a").pinned()), (0, None));
}

#[test]
fn what_was_decided_is_not_measured_again_and_what_was_not_measured_is_not_pinned() {
    let mut ledger = Ledger::new(3, "greedy");
    let open = ledger.next().0;
    let refused = |ledger: &Ledger, no| {
        (ledger.study.refuses_pin(no).is_some(), ledger.study.refuses_requeue(no).is_some())
    };
    assert_eq!(refused(&ledger, open), (true, true));
    assert_eq!(refused(&ledger, TrialNo(99)), (true, true));
    assert_eq!(refused(&ledger, TrialNo::BASELINE), (false, true));
    ledger.discarded(open);
    assert_eq!(refused(&ledger, open), (false, true));
    let crashed = ledger.next().0;
    ledger.failed(crashed, crash());
    assert_eq!(refused(&ledger, crashed), (true, true));
    let lost = ledger.next().0;
    ledger.failed(lost, Failure::new(Phase::Train, Cause::SandboxFailed));
    assert_eq!(refused(&ledger, lost), (true, false));
    let unclear = ledger.next().0;
    ledger.measured(unclear, 0.99);
    ledger.valid(unclear, Verdict::Inconclusive, Some(0.01));
    assert_eq!(refused(&ledger, unclear), (false, false));
}
