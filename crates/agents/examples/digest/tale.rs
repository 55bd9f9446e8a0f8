//! A study of any length that nobody ran: trials of every ending, with whatever words are put into their mouths.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, Bound, Budget, Cause, CommitId, Cost, Edit, Event, Failure, Gate, Goal, Hypothesis,
    IdeaNo, Insight, Measurement, Metric, Operator, Outcome, Phase, Prediction, Provenance,
    Purpose, Reach, Record, ReplicateId, Sketch, Split, Study, StudyId, Task, Thought, TreeId,
    TrialNo, Verdict,
    idea::Level,
    seed,
    study::{Arm, Rules, Settings},
    task::{Command, Environment, Limits, Network, Recipe, Stage, Surface},
    trial::{Direction, Measured},
};
use rand::RngExt;
use uuid::Uuid;

/// The arm that all trials are of.
pub(crate) const ARM: &str = "specialists";
const SURFACES: [&str; 6] = ["model", "training", "data", "packing", "adaptation", "évaluation"];

/// A study of `trials` trials after the baseline, told from `seed`; every text in it holds `words`.
pub(crate) fn tale(trials: u32, words: &str, seed: u64) -> Study {
    let opened = Event::StudyOpened {
        study: StudyId(Uuid::nil()),
        task: Arc::new(task()),
        settings: settings(),
    };
    let mut tale =
        Tale { study: Study::open(&record(1, opened)).expect("a study opens"), ids: 0, seed };
    for no in 0..=trials {
        tale.trial(TrialNo(no), words);
    }
    // Some are still under way.
    for _ in 0..8 {
        tale.asked();
    }
    tale.study
}

struct Tale {
    study: Study,
    ids: u128,
    seed: u64,
}

fn record(seq: u64, event: Event) -> Record {
    let at = jiff::Timestamp::from_second(1_700_000_000 + seq.cast_signed()).expect("a time");
    Record { seq, at, event }
}

impl Tale {
    fn push(&mut self, event: Event) {
        let record = record(self.study.seq() + 1, event);
        self.study.apply(&record).expect("the tale is in order");
    }

    fn asked(&mut self) -> TrialNo {
        let trial = self.study.next_trial();
        let mut rng = seed::stream(self.seed, "ask", trial);
        let operators = [Operator::Improve, Operator::Improve, Operator::Debug, Operator::Repair];
        let parent = if trial == TrialNo::BASELINE { 0 } else { rng.random_range(0..trial.0) };
        let surface = Some(SURFACES[rng.random_range(0..SURFACES.len())].to_owned());
        let ask = Ask {
            operator: operators[rng.random_range(0..4)],
            parents: vec![TrialNo(parent)],
            surface,
        };
        self.push(Event::Asked { trial, arm: ARM.to_owned(), ask });
        trial
    }

    fn trial(&mut self, no: TrialNo, words: &str) {
        let mut rng = seed::stream(self.seed, "tale", no);
        let trial = self.asked();
        let ask = self.study.trial(trial).expect("it was asked for").ask.clone();
        let prediction = Prediction {
            metric: "bpb".to_owned(),
            direction: Direction::Decrease,
            size: Some(rng.random_range(0.0..0.1)),
        };
        let mut id = [0; 20];
        id[..4].copy_from_slice(&no.0.to_le_bytes());
        let idea = rng.random_range(0..self.study.library().next_idea().0.max(1));
        let thought = Thought {
            reach: Reach::ALL[rng.random_range(0..4)],
            idea: (self.study.library().idea(IdeaNo(idea)).is_some()).then_some(IdeaNo(idea)),
        };
        let edit = Edit {
            proposer: format!("role{} {words}", no.0 % 12),
            operator: ask.operator,
            parents: ask.parents,
            surface: ask.surface,
            hypothesis: Hypothesis { text: format!("{no} {words}"), prediction: Some(prediction) },
            tree: TreeId(id),
            commit: CommitId(id),
            files: Vec::new(),
            thought: Some(thought),
            inspection: Default::default(),
            detail: serde_json::Value::Null,
        };
        self.push(Event::Proposed { trial, edit });
        self.measured(trial, rng.random_range(2.0..3.0));
        let outcome = if no == TrialNo::BASELINE {
            valid(Verdict::Baseline, None)
        } else {
            outcome(no, rng.random_range(0..10), rng.random_range(-0.01..0.05), words)
        };
        self.push(Event::Concluded { trial, outcome });
        if no.0 % 5 == 1 {
            let sketch = Sketch {
                text: format!("idea after {no} {words}"),
                reach: Reach::ALL[no.0 as usize % 4],
                surface: None,
                priority: [Level::Low, Level::Medium, Level::High][no.0 as usize % 3],
                risk: Level::Low,
            };
            let idea = self.study.library().next_idea();
            self.push(Event::IdeaAdded { idea, arm: None, by: words.to_owned(), sketch });
        }
        if no.0 % 7 == 2 {
            let insight = Insight {
                text: format!("{words} after {no}"),
                trials: vec![no, TrialNo(no.0 / 2)],
            };
            self.push(Event::Learned { arm: ARM.to_owned(), by: words.to_owned(), insight });
        }
        if no.0 % 11 == 3 {
            self.push(Event::Noted { by: words.to_owned(), text: format!("{words} {no}") });
        }
    }

    fn measured(&mut self, trial: TrialNo, value: f64) {
        self.ids += 1;
        let replicate = ReplicateId(Uuid::from_u128(self.ids));
        let seed = self.study.seed(trial, Purpose::Search, 0);
        let slot = "slot0".to_owned();
        self.push(Event::Leased {
            replicate,
            trial,
            purpose: Purpose::Search,
            index: 0,
            seed,
            slot,
        });
        let value = Measurement {
            metric: "bpb".to_owned(),
            value,
            split: Split::Search,
            provenance: Provenance::Evaluator,
        };
        let cost = Cost { cpu_s: 1.0, ..Cost::default() };
        let result = Measured { measurements: vec![value], cost, ..Measured::default() };
        self.push(Event::Measured { replicate, trial, result });
    }
}

fn valid(verdict: Verdict, gain: Option<f64>) -> Outcome {
    let gain_interval = gain.map(|gain| [gain - 0.01, gain + 0.01]);
    Outcome::Valid { verdict, reason: "so it is told".to_owned(), gain, gain_interval }
}

fn outcome(no: TrialNo, ending: u32, gain: f64, words: &str) -> Outcome {
    let failed = |phase, cause: Cause, margin: Option<f64>| {
        let failure =
            Failure::new(phase, cause).excerpt(format!("Error: {words} number {}", no.0 % 97));
        Outcome::Failed(Failure { margin, ..failure })
    };
    match ending {
        0 => valid(Verdict::Keep, Some(gain)),
        1..=3 => valid(Verdict::Discard, Some(-gain)),
        4 | 5 => valid(Verdict::Inconclusive, Some(gain)),
        6 => failed(Phase::Decide, Cause::ArtifactTooLarge, Some(-f64::from(no.0 % 3000))),
        7 => failed(Phase::Train, Cause::Exception { status: 1 }, None),
        8 => failed(Phase::Static, Cause::OutsideSurface { path: words.to_owned() }, None),
        _ => failed(Phase::Score, Cause::EvaluatorCrash, None),
    }
}

fn settings() -> Settings {
    Settings {
        seed: 7,
        budget: Budget::default(),
        arms: vec![Arm { name: ARM.to_owned(), ..Arm::of("tuner", "specialists") }],
        rules: Rules::default(),
    }
}

/// A task of six surfaces and a gate.
pub(crate) fn task() -> Task {
    let limits = Limits { wall_s: 60.0, ..Limits::default() };
    let command = Command { run: vec!["python".to_owned(), "train.py".to_owned()], limits };
    let surface = |name: &&str| Surface {
        name: (*name).to_owned(),
        owns: vec![format!("{name}.py")],
        brief: format!("all that is {name}"),
    };
    Task {
        name: "tale".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: vec!["*.py".to_owned()],
            writable: false,
            max_file_bytes: 1 << 20,
            max_data_bytes: None,
        },
        surfaces: SURFACES.iter().map(surface).collect(),
        environment: Environment { python: None, requirements: None, vars: BTreeMap::new() },
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: vec![Stage { name: "train".to_owned(), command: command.clone() }],
        predictor: None,
        evaluator: Some(command),
        metric: Metric {
            name: "bpb".to_owned(),
            goal: Goal::Minimize,
            unit: "bits/byte".to_owned(),
        },
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: vec![Gate { metric: "artifact_bytes".to_owned(), bound: Bound::Max(16000.0) }],
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}
