//! The rule on made-up ledgers.

use std::sync::Arc;

use empiric_core::{
    Budget, CommitId, Edit, Gate, Goal, Hypothesis, Measurement, Metric, Phase, Provenance,
    ReplicateId, Seed, StudyId, Task, TreeId,
    study::{Rules, Settings},
    task::{Environment, Network, Recipe},
    trial::Measured,
};

use super::*;
use crate::policy;

/// A study whose events are made by hand, and the policy that is told them.
struct Ledger {
    study: Study,
    records: Vec<Record>,
    policy: Box<dyn Policy>,
}

fn opening(seed: u64) -> Record {
    let task = Task {
        name: "made-up".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: Vec::new(),
            writable: false,
            max_file_bytes: 0,
        },
        surfaces: Vec::new(),
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: Vec::new(),
        predictor: None,
        evaluator: None,
        metric: Metric { name: "loss".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        gates: vec![Gate { metric: "size".to_owned(), bound: Bound::Max(1000.0) }],
        network: Network::None,
    };
    let settings = Settings {
        seed,
        budget: Budget::default(),
        arms: vec!["a".to_owned()],
        policy: "greedy".to_owned(),
        rules: Rules::default(),
    };
    let task = Arc::new(task);
    let event = Event::StudyOpened { study: StudyId(uuid::Uuid::nil()), task, settings };
    Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event }
}

impl Ledger {
    fn new(seed: u64, name: &str) -> Self {
        let first = opening(seed);
        let study = Study::open(&first).unwrap();
        let mut policy = policy(name).unwrap();
        policy.tell(&study, &first);
        let mut ledger = Self { study, records: vec![first], policy };
        let none = Ask { operator: Operator::Draft, parents: Vec::new(), surface: None };
        let baseline = ledger.asked(none);
        for loss in [0.99, 1.0, 1.01] {
            ledger.measured(baseline, loss);
        }
        ledger.valid(baseline, Verdict::Baseline, None);
        ledger
    }

    fn add(&mut self, event: Event) {
        let seq = self.records.len() as u64 + 1;
        let record = Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event };
        self.study.apply(&record).unwrap();
        self.policy.tell(&self.study, &record);
        self.records.push(record);
    }

    fn asked(&mut self, ask: Ask) -> TrialNo {
        let trial = self.study.next_trial();
        self.add(Event::Asked { trial, arm: "a".to_owned(), ask });
        trial
    }

    /// Asks the policy and makes the edit.
    fn next(&mut self) -> (TrialNo, Ask) {
        let ask = self.policy.ask(&self.study);
        (self.edited(ask.clone()), ask)
    }

    fn edited(&mut self, ask: Ask) -> TrialNo {
        let (operator, parents) = (ask.operator, ask.parents.clone());
        let trial = self.asked(ask);
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&trial.0.to_le_bytes());
        let edit = Edit {
            proposer: "p".to_owned(),
            operator,
            parents,
            surface: None,
            hypothesis: Hypothesis { text: String::new(), prediction: None },
            tree: TreeId(hash),
            commit: CommitId(hash),
            files: Vec::new(),
            detail: serde_json::Value::Null,
        };
        self.add(Event::Proposed { trial, edit });
        trial
    }

    fn measured(&mut self, trial: TrialNo, loss: f64) {
        let replicate = ReplicateId(uuid::Uuid::from_u128(self.records.len() as u128));
        let index = self.study.trial(trial).unwrap().replicates.len() as u32;
        self.add(Event::Leased {
            replicate,
            trial,
            purpose: Purpose::Search,
            index,
            seed: Seed(index),
            slot: "s".to_owned(),
        });
        let measurement = Measurement {
            metric: "loss".to_owned(),
            value: loss,
            split: Split::Search,
            provenance: Provenance::Evaluator,
        };
        let result = Measured { measurements: vec![measurement], ..Measured::default() };
        self.add(Event::Measured { replicate, trial, result });
    }

    fn valid(&mut self, trial: TrialNo, verdict: Verdict, gain: Option<f64>) {
        let outcome = Outcome::Valid { verdict, reason: String::new(), gain, gain_interval: None };
        self.add(Event::Concluded { trial, outcome });
    }

    fn discarded(&mut self, trial: TrialNo) {
        self.measured(trial, 1.05);
        self.valid(trial, Verdict::Discard, Some(-0.05));
    }

    fn failed(&mut self, trial: TrialNo, failure: Failure) {
        self.add(Event::Concluded { trial, outcome: Outcome::Failed(failure) });
    }

    fn past_drafts(&mut self) {
        while self.policy.ask(&self.study).operator == Operator::Draft {
            let (trial, _) = self.next();
            self.discarded(trial);
        }
    }
}

fn crash() -> Failure {
    Failure::new(Phase::Train, Cause::Exception { status: 1 })
}

fn improve(parent: TrialNo) -> Ask {
    Ask { operator: Operator::Improve, parents: vec![parent], surface: None }
}

#[test]
fn every_name_in_the_registry_is_a_policy() {
    for name in crate::names() {
        assert_eq!(policy(name).unwrap().name(), *name);
    }
    assert!(policy("none").is_none());
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
        ledger.failed(trial, Failure::new(Phase::Score, Cause::RedLine { line: 2 }));
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

/// A long, varied ledger with up to four trials under way.
fn long(seed: u64) -> (Ledger, Vec<(usize, Ask)>) {
    let mut ledger = Ledger::new(seed, "greedy");
    let mut asks = Vec::new();
    let mut running = Vec::new();
    for round in 0..120_u32 {
        asks.push((ledger.records.len(), ledger.policy.ask(&ledger.study)));
        running.push(ledger.next().0);
        if running.len() < 4 {
            continue;
        }
        let trial = running.remove((round as usize * 7 + seed as usize) % 4);
        let miss = Failure::new(Phase::Decide, Cause::GateMiss { metric: "size".to_owned() });
        match (round + seed as u32) % 7 {
            0 => ledger.failed(trial, crash()),
            1 => ledger.failed(trial, miss.margin(-f64::from(round))),
            2 => ledger.failed(trial, Failure::new(Phase::Train, Cause::SandboxFailed)),
            3 => {
                ledger.measured(trial, 0.9 - f64::from(round) * 1e-3);
                ledger.valid(trial, Verdict::Keep, Some(0.01));
            }
            4 => {
                ledger.measured(trial, 0.85);
                ledger.valid(trial, Verdict::Inconclusive, Some(0.002));
            }
            _ => ledger.discarded(trial),
        }
    }
    (ledger, asks)
}

#[test]
fn asks_are_replayed_from_any_prefix_of_the_ledger() {
    for seed in 0..4 {
        let (ledger, asks) = long(seed);
        let mut study = Study::open(&ledger.records[0]).unwrap();
        let mut fresh = policy("greedy").unwrap();
        fresh.tell(&study, &ledger.records[0]);
        let mut asks = asks.into_iter().peekable();
        for (i, record) in ledger.records.iter().enumerate().skip(1) {
            if let Some((_, ask)) = asks.next_if(|(at, _)| *at == i) {
                assert_eq!(fresh.ask(&study), ask, "before event {}", i + 1);
            }
            study.apply(record).unwrap();
            fresh.tell(&study, record);
        }
        assert!(asks.next().is_none());
    }
}

#[test]
fn parents_exist_and_have_ended() {
    let (ledger, asks) = long(9);
    let kinds: BTreeSet<String> = asks.iter().map(|(_, ask)| ask.operator.to_string()).collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    for (at, ask) in asks {
        let study = Study::replay(&ledger.records[..at]).unwrap();
        for parent in ask.parents {
            assert!(study.trial(parent).unwrap().outcome.is_some(), "{parent} before event {at}");
        }
    }
}
