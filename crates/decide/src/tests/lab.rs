//! A study in memory and a measuring machine for it.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, Bound, Budget, CommitId, Concern, Cost, Edit, Event, Failure, Gate, Goal, Hypothesis,
    Inspection, Measurement, Metric, Operator, Outcome, Provenance, Purpose, Quarantine, Record,
    ReplicateId, Seed, Split, Study, StudyId, Task, TreeId, TrialNo,
    study::{Arm, Rules, Settings},
    task::{Command, Environment, Limits, Network, Recipe, Stage},
    trial::Measured,
};
use statrs::distribution::{ContinuousCDF, Normal};
use uuid::Uuid;

use crate::{Closing, Step, Wanted, closing, next_step};

pub(super) struct Lab {
    pub(super) study: Study,
    ids: u128,
}

impl Lab {
    pub(super) fn new(goal: Goal, rules: Rules) -> Self {
        Self::with(task(goal, Vec::new()), rules, 7)
    }

    pub(super) fn gated(bound: Bound) -> Self {
        let gate = Gate { metric: "accuracy".to_owned(), bound };
        Self::with(task(Goal::Minimize, vec![gate]), Rules::default(), 7)
    }

    pub(super) fn with(task: Task, rules: Rules, seed: u64) -> Self {
        Self::armed(task, rules, seed, &["tuner"])
    }

    pub(super) fn armed(task: Task, rules: Rules, seed: u64, arms: &[&str]) -> Self {
        let settings = Settings {
            seed,
            budget: Budget::default(),
            arms: arms.iter().map(|arm| Arm::of(arm, "greedy")).collect(),
            rules,
        };
        let opened =
            Event::StudyOpened { study: StudyId(Uuid::nil()), task: Arc::new(task), settings };
        let study = Study::open(&record(1, opened)).unwrap();
        let mut lab = Self { study, ids: 0 };
        lab.propose(0);
        lab
    }

    pub(super) fn push(&mut self, event: Event) {
        self.study.apply(&record(self.study.seq() + 1, event)).unwrap();
    }

    /// A trial with this tree, ready to be measured.
    pub(super) fn propose(&mut self, tree: u32) -> TrialNo {
        self.propose_read(tree, Inspection::default())
    }

    /// The same, with what the supervisor read out of its edit.
    pub(super) fn propose_read(&mut self, tree: u32, inspection: Inspection) -> TrialNo {
        self.propose_in("tuner", tree, Vec::new(), inspection)
    }

    /// The same, of another arm.
    pub(super) fn propose_by(&mut self, arm: &str, tree: u32, parents: &[TrialNo]) -> TrialNo {
        self.propose_in(arm, tree, parents.to_vec(), Inspection::default())
    }

    fn propose_in(
        &mut self,
        arm: &str,
        tree: u32,
        parents: Vec<TrialNo>,
        inspection: Inspection,
    ) -> TrialNo {
        let trial = self.study.next_trial();
        let ask = Ask { operator: Operator::Improve, parents: parents.clone(), surface: None };
        let mut id = [0; 20];
        id[..4].copy_from_slice(&tree.to_le_bytes());
        let edit = Edit {
            proposer: "test".to_owned(),
            operator: Operator::Improve,
            parents,
            surface: None,
            hypothesis: Hypothesis { text: "it helps".to_owned(), prediction: None },
            tree: TreeId(id),
            commit: CommitId(id),
            files: Vec::new(),
            thought: None,
            inspection,
            detail: Default::default(),
        };
        self.push(Event::Asked { trial, arm: arm.to_owned(), ask });
        self.push(Event::Proposed { trial, edit });
        trial
    }

    pub(super) fn lease(&mut self, wanted: Wanted) -> ReplicateId {
        self.ids += 1;
        let replicate = ReplicateId(Uuid::from_u128(self.ids));
        let Wanted { trial, purpose, index } = wanted;
        let seed = self.study.seed(trial, purpose, index);
        let slot = "s0".to_owned();
        self.push(Event::Leased { replicate, trial, purpose, index, seed, slot });
        replicate
    }

    pub(super) fn finish(&mut self, replicate: ReplicateId, trial: TrialNo, result: Measured) {
        self.push(Event::Measured { replicate, trial, result });
    }

    pub(super) fn step(&self, trial: TrialNo) -> Step {
        next_step(&self.study, trial)
    }

    pub(super) fn conclude(&mut self, trial: TrialNo, outcome: Outcome) {
        self.push(Event::Concluded { trial, outcome });
    }

    pub(super) fn quarantine(&mut self, trial: TrialNo, concerns: Vec<Concern>) {
        self.push(Event::Quarantined { trial, quarantine: Quarantine { concerns, nonce: 99 } });
    }

    /// Measures whatever is asked for until the trial has ended.
    pub(super) fn settle(&mut self, trial: TrialNo, machine: &mut dyn Machine) -> Outcome {
        for _ in 0..200 {
            match self.step(trial) {
                Step::Measure { wanted } => self.measure(&wanted, machine),
                Step::Conclude(outcome) => {
                    self.conclude(trial, outcome.clone());
                    return outcome;
                }
                Step::Quarantine { concerns } => self.quarantine(trial, concerns),
                Step::Wait => panic!("{trial} waits for nothing"),
            }
        }
        panic!("{trial} does not end");
    }

    pub(super) fn measure(&mut self, wanted: &[Wanted], machine: &mut dyn Machine) {
        let leased: Vec<_> = wanted.iter().map(|wanted| (*wanted, self.lease(*wanted))).collect();
        for (wanted, replicate) in leased {
            let seed = self.study.seed(wanted.trial, wanted.purpose, wanted.index);
            self.finish(replicate, wanted.trial, machine.run(wanted, seed));
        }
    }

    pub(super) fn close(&mut self, machine: &mut dyn Machine) {
        self.push(Event::ReportOpened { champions: self.study.champions() });
        while let Closing::Measure(wanted) = closing(&self.study) {
            self.measure(&wanted, machine);
        }
    }

    /// Usable or failed replicates of `trial` for which `purpose` holds.
    pub(super) fn count(&self, trial: TrialNo, purpose: impl Fn(Purpose) -> bool) -> usize {
        let trial = self.study.trial(trial).unwrap();
        trial.replicates.iter().filter(|replicate| purpose(replicate.purpose)).count()
    }
}

/// Something that yields replicates.
pub(super) trait Machine {
    fn run(&mut self, wanted: Wanted, seed: Seed) -> Measured;
}

impl<F: FnMut(Wanted, Seed) -> Measured> Machine for F {
    fn run(&mut self, wanted: Wanted, seed: Seed) -> Measured {
        self(wanted, seed)
    }
}

/// Normal noise of standard deviation 1 around 100, lower by each trial's effect; seeds explain `shared` of the
/// variance.
pub(super) struct Gaussian {
    pub(super) stream: u64,
    pub(super) shared: f64,
    pub(super) effects: BTreeMap<TrialNo, f64>,
}

impl Gaussian {
    pub(super) fn new(stream: u64, shared: f64) -> Self {
        Self { stream, shared, effects: BTreeMap::new() }
    }
}

impl Machine for Gaussian {
    fn run(&mut self, wanted: Wanted, seed: Seed) -> Measured {
        let common = normal(&[self.stream, u64::from(seed.0)]);
        let own = normal(&[self.stream, u64::from(seed.0), 1 + u64::from(wanted.trial.0)]);
        let effect = self.effects.get(&wanted.trial).copied().unwrap_or(0.0);
        let noise = self.shared.sqrt() * common + (1.0 - self.shared).sqrt() * own;
        value(100.0 - effect + noise)
    }
}

/// A standard normal number that is a function of `key`.
pub(super) fn normal(key: &[u64]) -> f64 {
    let u = (hash(key) >> 11) as f64 + 0.5;
    Normal::standard().inverse_cdf(u / (1_u64 << 53) as f64)
}

/// SplitMix64 (Steele, Lea, Flood 2014) folded over `key`.
pub(super) fn hash(key: &[u64]) -> u64 {
    key.iter().fold(0x5851_F42D_4C95_7F2D, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// A replicate with this loss.
pub(super) fn value(loss: f64) -> Measured {
    values(&[("loss", Split::Search, loss)])
}

pub(super) fn values(values: &[(&str, Split, f64)]) -> Measured {
    let measurements = values
        .iter()
        .map(|(metric, split, value)| Measurement {
            metric: (*metric).to_owned(),
            value: *value,
            split: *split,
            provenance: Provenance::Evaluator,
        })
        .collect();
    Measured { measurements, cost: Cost::default(), ..Measured::default() }
}

pub(super) fn failed(failure: Failure) -> Measured {
    Measured { failure: Some(failure), ..Measured::default() }
}

pub(super) fn task(goal: Goal, gates: Vec<Gate>) -> Task {
    Task {
        name: "test".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: vec!["*.py".to_owned()],
            writable: false,
            max_file_bytes: 1 << 20,
            max_data_bytes: None,
        },
        surfaces: Vec::new(),
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: Vec::new(),
        predictor: None,
        evaluator: None,
        metric: Metric { name: "loss".to_owned(), goal, unit: "bpb".to_owned() },
        pattern: None,
        gates,
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

/// A stage that runs nothing in particular.
pub(super) fn stage(name: &str) -> Stage {
    let command = Command { run: vec!["true".to_owned()], limits: Limits::default() };
    Stage { name: name.to_owned(), command }
}

fn record(seq: u64, event: Event) -> Record {
    Record { seq, at: Default::default(), event }
}
