//! A study whose events are made by hand, and the policy that is told them.

use std::sync::Arc;

use empiric_core::{
    Ask, Bound, Budget, Cause, CommitId, Edit, Event, Failure, Gate, Goal, Hypothesis, Lines,
    Measurement, Metric, Operator, Outcome, Phase, Provenance, Purpose, Record, ReplicateId, Seed,
    Split, Study, StudyId, Task, TreeId, TrialNo, Verdict,
    study::{Rules, Settings},
    task::{Environment, Network, Recipe, Surface},
    trial::{FileChange, Measured},
};

use crate::{Policy, policy};

/// A study whose events are made by hand, and the policy that is told them.
pub(crate) struct Ledger {
    pub(crate) study: Study,
    pub(crate) records: Vec<Record>,
    pub(crate) policy: Box<dyn Policy>,
}

fn opening(seed: u64, surfaces: &[&str]) -> Record {
    let task = Task {
        name: "made-up".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: Vec::new(),
            writable: false,
            max_file_bytes: 0,
            max_data_bytes: None,
        },
        surfaces: surfaces
            .iter()
            .map(|name| Surface {
                name: (*name).to_owned(),
                owns: Vec::new(),
                brief: String::new(),
            })
            .collect(),
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: Vec::new(),
        predictor: None,
        evaluator: None,
        metric: Metric { name: "loss".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: vec![Gate { metric: "size".to_owned(), bound: Bound::Max(1000.0) }],
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    };
    let settings = Settings {
        seed,
        budget: Budget::default(),
        arms: vec![empiric_core::study::Arm::of("a", "greedy")],
        rules: Rules::default(),
    };
    let task = Arc::new(task);
    let event = Event::StudyOpened { study: StudyId(uuid::Uuid::nil()), task, settings };
    Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event }
}

impl Ledger {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self::with_surfaces(seed, name, &[])
    }

    pub(crate) fn with_surfaces(seed: u64, name: &str, surfaces: &[&str]) -> Self {
        let first = opening(seed, surfaces);
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

    pub(crate) fn add(&mut self, event: Event) {
        let seq = self.records.len() as u64 + 1;
        let record = Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event };
        self.study.apply(&record).unwrap();
        self.policy.tell(&self.study, &record);
        self.records.push(record);
    }

    pub(crate) fn asked(&mut self, ask: Ask) -> TrialNo {
        let trial = self.study.next_trial();
        self.add(Event::Asked { trial, arm: "a".to_owned(), ask });
        trial
    }

    /// Asks the policy and makes the edit.
    pub(crate) fn next(&mut self) -> (TrialNo, Ask) {
        let ask = self.policy.ask(&self.study);
        (self.edited(ask.clone()), ask)
    }

    pub(crate) fn edited(&mut self, ask: Ask) -> TrialNo {
        self.edited_by(ask, Vec::new())
    }

    /// A trial that adds this line.
    pub(crate) fn with_line(&mut self, line: &str) -> TrialNo {
        let lines = Lines::of("a.py", &[], &[line]);
        let file = FileChange { path: "a.py".to_owned(), added: 1, removed: 0, lines };
        self.edited_by(crate::ask(Operator::Improve, &[TrialNo::BASELINE]), vec![file])
    }

    fn edited_by(&mut self, ask: Ask, files: Vec<FileChange>) -> TrialNo {
        let (operator, parents) = (ask.operator, ask.parents.clone());
        let ask_surface = ask.surface.clone();
        let trial = self.asked(ask);
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&trial.0.to_le_bytes());
        let edit = Edit {
            proposer: "p".to_owned(),
            operator,
            parents,
            surface: ask_surface,
            hypothesis: Hypothesis { text: String::new(), prediction: None },
            tree: TreeId(hash),
            commit: CommitId(hash),
            files,
            thought: None,
            inspection: empiric_core::Inspection::default(),
            detail: serde_json::Value::Null,
        };
        self.add(Event::Proposed { trial, edit });
        trial
    }

    pub(crate) fn measured(&mut self, trial: TrialNo, loss: f64) {
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

    pub(crate) fn valid(&mut self, trial: TrialNo, verdict: Verdict, gain: Option<f64>) {
        let outcome = Outcome::Valid { verdict, reason: String::new(), gain, gain_interval: None };
        self.add(Event::Concluded { trial, outcome });
    }

    pub(crate) fn discarded(&mut self, trial: TrialNo) {
        self.measured(trial, 1.05);
        self.valid(trial, Verdict::Discard, Some(-0.05));
    }

    pub(crate) fn failed(&mut self, trial: TrialNo, failure: Failure) {
        self.add(Event::Concluded { trial, outcome: Outcome::Failed(failure) });
    }

    pub(crate) fn past_drafts(&mut self) {
        while self.policy.ask(&self.study).operator == Operator::Draft {
            let (trial, _) = self.next();
            self.discarded(trial);
        }
    }

    /// New rules for stopping.
    pub(crate) fn budget(&mut self, drought: Option<u32>, target: Option<f64>) {
        let budget = Budget { drought, target, ..Budget::default() };
        self.add(Event::BudgetSet { budget, by: "somebody".to_owned() });
    }

    /// What the policy would ask if the study had another seed.
    pub(crate) fn ask_for(&self, seed: u64) -> Ask {
        let first = opening(seed, &[]);
        let records = std::iter::once(&first).chain(&self.records[1..]);
        self.policy.ask(&Study::replay(records).unwrap())
    }

    /// A long, varied ledger with up to four trials under way, and the asks with the events before them.
    pub(crate) fn long(name: &str, seed: u64, rounds: u32) -> (Self, Vec<(usize, Ask)>) {
        let mut ledger = Self::new(seed, name);
        let mut asks = Vec::new();
        let mut running = Vec::new();
        for round in 0..rounds {
            asks.push((ledger.records.len(), ledger.policy.ask(&ledger.study)));
            running.push(ledger.next().0);
            if running.len() < 4 {
                continue;
            }
            let trial = running.remove((round as usize * 7 + seed as usize) % 4);
            let miss = Failure::new(Phase::Decide, Cause::GateMiss { metric: "size".to_owned() });
            match (round + seed as u32) % 7 {
                0 => ledger.failed(trial, crash()),
                1 => ledger.failed(trial, miss.margin(-f64::from(round % 140))),
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
}

pub(crate) fn crash() -> Failure {
    Failure::new(Phase::Train, Cause::Exception { status: 1 })
}
