//! What is concluded from measurements.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, Bound, Budget, CommitId, Edit, Event, Gate, Goal, Hypothesis, Inspection, Measurement,
    Metric, Operator, Outcome, Provenance, Purpose, Quarantine, Record, RedLine, ReplicateId, Seed,
    Severity, Split, Study, StudyId, Task, TreeId, TrialNo, Verdict,
    study::{Rules, Settings},
    task::{Command, Environment, Limits, Network, Recipe, Stage},
    trial::{Measured, Testimony, UnitRecord},
};
use uuid::Uuid;

use crate::{Audited, doubts, sustained, watch};

pub(super) fn task() -> Task {
    let stage = |name: &str| Stage {
        name: name.to_owned(),
        command: Command { run: vec!["true".to_owned()], limits: Limits::default() },
    };
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
        stages: vec![stage("smoke"), stage("train")],
        predictor: None,
        evaluator: None,
        metric: Metric { name: "loss".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

/// One replicate's result: its loss, and CPU seconds of `smoke`.
fn result(loss: f64) -> Measured {
    let unit = |name: &str, cpu_s| UnitRecord {
        name: name.to_owned(),
        ending: "exit 0".to_owned(),
        sandbox: "bwrap".to_owned(),
        wall_s: cpu_s,
        cpu_s,
        peak_memory_bytes: 0,
        log: None,
    };
    let measurement = |split| Measurement {
        metric: "loss".to_owned(),
        value: loss,
        split,
        provenance: Provenance::Evaluator,
    };
    Measured {
        measurements: vec![measurement(Split::Search), measurement(Split::Report)],
        units: vec![unit("smoke", 0.2), unit("train", 1.0)],
        testimony: Testimony {
            samples: BTreeMap::from([(Split::Search, 900)]),
            agreement: BTreeMap::from([(Split::Search, 0.95)]),
            outputs: Some(format!("{loss}")),
            parameters: Some("k=5".to_owned()),
        },
        ..Measured::default()
    }
}

/// A study of a baseline with losses around 100, and of one trial.
struct Case {
    study: Study,
    ids: u128,
}

const T1: TrialNo = TrialNo(1);

impl Case {
    fn new(task: Task, inspection: Inspection) -> Self {
        let settings = Settings {
            seed: 7,
            budget: Budget::default(),
            arms: vec![empiric_core::study::Arm::of("tuner", "greedy")],
            rules: Rules::default(),
        };
        let opened =
            Event::StudyOpened { study: StudyId(Uuid::nil()), task: Arc::new(task), settings };
        let mut case = Self { study: Study::open(&record(1, opened)).unwrap(), ids: 0 };
        case.propose(Inspection::default());
        for n in 0..5 {
            case.measure(TrialNo::BASELINE, Purpose::Search, n, result(100.0 + f64::from(n)));
        }
        let outcome = Outcome::Valid {
            verdict: Verdict::Baseline,
            reason: String::new(),
            gain: None,
            gain_interval: None,
        };
        case.push(Event::Concluded { trial: TrialNo::BASELINE, outcome });
        case.propose(inspection);
        case
    }

    fn random() -> Self {
        Self::new(task(), Inspection { concerns: Vec::new(), random: Some(true) })
    }

    fn push(&mut self, event: Event) {
        self.study.apply(&record(self.study.seq() + 1, event)).unwrap();
    }

    fn propose(&mut self, inspection: Inspection) {
        let trial = self.study.next_trial();
        let ask = Ask { operator: Operator::Improve, parents: Vec::new(), surface: None };
        let edit = Edit {
            proposer: "test".to_owned(),
            operator: Operator::Improve,
            parents: Vec::new(),
            surface: None,
            hypothesis: Hypothesis { text: String::new(), prediction: None },
            tree: TreeId([trial.0 as u8; 20]),
            commit: CommitId([trial.0 as u8; 20]),
            files: Vec::new(),
            thought: None,
            inspection,
            detail: serde_json::Value::Null,
        };
        self.push(Event::Asked { trial, arm: "tuner".to_owned(), ask });
        self.push(Event::Proposed { trial, edit });
    }

    fn measure(&mut self, trial: TrialNo, purpose: Purpose, index: u32, result: Measured) {
        self.ids += 1;
        let replicate = ReplicateId(Uuid::from_u128(self.ids));
        let seed = Seed(index);
        self.push(Event::Leased { replicate, trial, purpose, index, seed, slot: "s0".to_owned() });
        self.push(Event::Measured { replicate, trial, result });
    }

    fn search(&mut self, results: impl IntoIterator<Item = Measured>) {
        for (index, result) in results.into_iter().enumerate() {
            self.measure(T1, Purpose::Search, index as u32, result);
        }
    }

    fn crossed(&self) -> Option<RedLine> {
        let found = watch(&self.study, self.study.trial(T1).unwrap())?;
        assert_eq!(found.severity, Severity::Fail);
        Some(found.line)
    }

    fn doubted(&self, gain: f64) -> Vec<RedLine> {
        let [trial, champion] = [T1, TrialNo::BASELINE].map(|no| self.study.trial(no).unwrap());
        let found = doubts(&self.study, trial, champion, gain);
        assert!(found.iter().all(|concern| concern.severity == Severity::Quarantine));
        found.into_iter().map(|concern| concern.line).collect()
    }
}

fn record(seq: u64, event: Event) -> Record {
    Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event }
}

/// One replicate of a trial that differs from an honest one as `change` says.
fn one(change: impl FnOnce(&mut Measured)) -> Option<RedLine> {
    let mut case = Case::random();
    let mut found = result(90.0);
    change(&mut found);
    case.search([found]);
    case.crossed()
}

#[test]
fn an_honest_trial_crosses_nothing() {
    assert_eq!(one(|_| {}), None);
    let mut case = Case::random();
    case.search([90.0, 91.0, 92.0].map(result));
    assert_eq!((case.crossed(), case.doubted(10.0)), (None, vec![]));
}

#[test]
fn every_trial_is_scored_on_as_many_samples_by_the_same_parameters() {
    let samples = |n| move |found: &mut Measured| found.testimony.samples = n;
    assert_eq!(one(samples(BTreeMap::from([(Split::Search, 899)]))), Some(RedLine::Samples));
    assert_eq!(one(samples(BTreeMap::from([(Split::Select, 900)]))), Some(RedLine::Samples));
    assert_eq!(one(samples(BTreeMap::new())), Some(RedLine::Samples));
    let other = |found: &mut Measured| found.testimony.parameters = Some("k=50".to_owned());
    assert_eq!(one(other), Some(RedLine::Evaluator));
}

#[test]
fn nobody_honest_agrees_with_every_answer() {
    let perfect = |found: &mut Measured| {
        found.testimony.agreement = BTreeMap::from([(Split::Search, 1.0), (Split::Select, 1.0)]);
    };
    assert_eq!(one(perfect), Some(RedLine::Labels));
    let nearly = |found: &mut Measured| {
        found.testimony.agreement = BTreeMap::from([(Split::Search, 1.0), (Split::Select, 0.99)]);
    };
    assert_eq!(one(nearly), None);
}

#[test]
fn a_mean_beyond_what_can_be_believed_is_not() {
    let mut task = task();
    task.plausible = vec![Gate { metric: "loss".to_owned(), bound: Bound::Min(50.0) }];
    let mut case = Case::new(task, Inspection::default());
    case.search([49.0, 60.0].map(result));
    assert_eq!(case.crossed(), None);
    case.measure(T1, Purpose::Search, 2, result(30.0));
    assert_eq!(case.crossed(), Some(RedLine::Jump));
}

#[test]
fn work_is_not_moved_to_where_nobody_counts_it() {
    let counted = |gate: &str| {
        let mut task = task();
        task.gates = vec![Gate { metric: gate.to_owned(), bound: Bound::Max(9.0) }];
        let mut case = Case::new(task, Inspection::default());
        let mut found = result(90.0);
        found.units[0].cpu_s = 1.0;
        case.search([found]);
        case.crossed()
    };
    assert_eq!(counted("train.cpu_seconds"), Some(RedLine::Budget));
    assert_eq!(counted("smoke.cpu_seconds"), None, "a gate bounds it");
    assert_eq!(counted("loss"), None, "no work is counted anywhere");
}

#[test]
fn one_answer_to_every_seed_is_no_chance_where_chance_is_at_work() {
    let same = |random| {
        let mut case = Case::new(task(), Inspection { concerns: Vec::new(), random });
        case.search([90.0; 3].map(result));
        (case.crossed(), case.doubted(1.0))
    };
    assert_eq!(same(Some(true)).0, Some(RedLine::Constant));
    assert_eq!(same(Some(false)), (None, vec![]), "a recipe may do without chance");
    assert_eq!(same(None), (None, vec![RedLine::Seed]), "what cannot be read is doubted");
}

#[test]
fn answers_that_come_again_are_doubted_and_fail_when_they_do_so_under_quarantine() {
    let mut case = Case::random();
    case.search([90.0, 91.0, 90.0].map(result));
    assert_eq!((case.crossed(), case.doubted(1.0)), (None, vec![RedLine::Seed]));
    case.push(Event::Quarantined {
        trial: T1,
        quarantine: Quarantine { concerns: Vec::new(), nonce: 1 },
    });
    let audit = Purpose::Audit { of: T1 };
    for (index, loss) in [90.0, 91.0, 92.0].into_iter().enumerate() {
        case.measure(T1, audit, 10 + index as u32, result(loss));
    }
    assert_eq!(case.crossed(), None, "three seeds, three answers");
    case.measure(T1, audit, 13, result(91.0));
    assert_eq!(case.crossed(), Some(RedLine::Seed));
}

#[test]
fn a_gain_that_is_large_beside_noise_and_level_is_doubted() {
    let mut case = Case::random();
    case.search([90.0, 91.0, 92.0].map(result));
    assert_eq!(case.doubted(20.0), [], "a fifth of the level");
    assert_eq!(case.doubted(30.0), [RedLine::Jump]);
}

#[test]
fn half_of_the_gain_must_be_there_again() {
    let mut case = Case::random();
    let audit = Purpose::Audit { of: T1 };
    for index in 0..3 {
        case.measure(T1, audit, index, result(94.0));
        case.measure(TrialNo::BASELINE, audit, index, result(100.0));
    }
    let [trial, champion] = [T1, TrialNo::BASELINE].map(|no| case.study.trial(no).unwrap().clone());
    assert!(matches!(sustained(&case.study, &trial, &champion, 10.0), Audited::Sustained(_)));
    assert!(matches!(sustained(&case.study, &trial, &champion, 14.0), Audited::Refuted(_)));
}
