//! A study without an engine: events are made up from a known function of the knobs.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, Bound, Budget, Cause, CommitId, Cost, Edit, Event, Failure, Gate, Goal, Hypothesis,
    Measurement, Metric, Operator, Outcome, Phase, Provenance, Purpose, Record, ReplicateId, Seed,
    Split, Study, StudyId, Task, TreeId, TrialNo, Verdict, seed,
    study::{Rules, Settings},
    task::{Environment, Network, Recipe},
    trial::Measured,
};
use empiric_search::Policy;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{
    Brief, Files, Proposal, Proposer, SourceError, Sources, Tuner,
    tuner::{axis::Axis, find::find, history::Point, knob::Value, regression::normal},
};

/// Noise of one replicate; effects of single knobs at the baseline are of the same order.
const NOISE: f64 = 0.02;

/// The gate on size.
const LIMIT: f64 = 384.0;

const RECIPE: &str = r#""""A made-up recipe."""

RATE = 0.01
BATCH = 32
WIDTH = 64
DEPTH = 4
MOMENTUM = 0.9
DECAY = 5e-4
WARMUP = 0.05
SMOOTHING = 0.1
GAIN = 1.0
CLIP = 5.0
SLOW = True
SEED = 7
SCHEDULE = "linear"


def rate(done):
    return {"linear": 1 - done, "cosine": 0.5, "constant": 1}[SCHEDULE]
"#;

/// What the recipe's score depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    /// Quadratic in log space, and one switch.
    Quadratic,
    /// The same, and a gate on size that the best of it violates.
    Gated,
}

impl World {
    /// True loss and size of a recipe.
    fn truth(self, files: &Files) -> (f64, f64) {
        let found = find("train.py", &files["train.py"]);
        let value = |name: &str| &found.knobs.iter().find(|knob| knob.name == name).unwrap().value;
        let log = |name: &str, base: f64| (value(name).number().unwrap() / base).log2();
        let odds = |name: &str, base: f64| {
            let odds = |p: f64| (p / (1.0 - p)).log2();
            odds(value(name).number().unwrap()) - odds(base)
        };
        let mut loss = 1.0;
        loss += 0.030 * (log("RATE", 0.01) - 1.5).powi(2);
        loss += 0.015 * (log("BATCH", 32.0) + 1.0).powi(2);
        loss += 0.020 * (log("WIDTH", 64.0) - 1.0).powi(2);
        loss += 0.010 * (log("DEPTH", 4.0) - 0.8).powi(2);
        loss += 0.020 * (odds("MOMENTUM", 0.9) - 1.0).powi(2);
        loss += 0.004 * (log("DECAY", 5e-4) - 2.0).powi(2);
        loss += 0.002 * log("WARMUP", 0.05).powi(2);
        loss += 0.010 * (odds("SMOOTHING", 0.1) + 1.0).powi(2);
        loss += 0.015 * log("GAIN", 1.0).powi(2);
        loss += if *value("SLOW") == Value::Bool(true) { 0.05 } else { 0.0 };
        loss += if *value("SCHEDULE") == Value::Text("cosine".to_owned()) { -0.03 } else { 0.0 };
        let size = value("WIDTH").number().unwrap() * value("DEPTH").number().unwrap();
        (loss, size)
    }

    /// Loss at the best point that holds the gate.
    fn best(self) -> f64 {
        match self {
            Self::Quadratic => 1.0 - 0.03,
            // WIDTH 96 x DEPTH 4 or thereabouts.
            Self::Gated => 1.0 - 0.03 + 0.020 * 0.415_f64.powi(2) + 0.010 * 0.8_f64.powi(2),
        }
    }
}

pub(super) struct Sim {
    pub(super) study: Study,
    world: World,
    trees: BTreeMap<TrialNo, Files>,
    truths: BTreeMap<TrialNo, (f64, f64)>,
    policy: Box<dyn Policy>,
    clock: u64,
    rng: ChaCha8Rng,
}

struct Trees(BTreeMap<TrialNo, Files>);

impl Sources for Trees {
    fn files(&self, trial: TrialNo) -> Result<Files, SourceError> {
        self.0.get(&trial).cloned().ok_or(SourceError::NoTree { trial })
    }

    fn merge(&self, one: TrialNo, other: TrialNo) -> Result<Files, SourceError> {
        Err(SourceError::Conflict { one, other, path: "train.py".to_owned() })
    }
}

pub(super) fn task(gated: bool) -> Task {
    Task {
        name: "made-up".to_owned(),
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
        metric: Metric { name: "loss".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        gates: if gated {
            vec![Gate { metric: "size".to_owned(), bound: Bound::Max(LIMIT) }]
        } else {
            Vec::new()
        },
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

impl Sim {
    pub(super) fn new(world: World, seed: u64, trials: u32) -> Self {
        let settings = Settings {
            seed,
            budget: Budget { trials: Some(trials), ..Budget::default() },
            arms: vec![empiric_core::study::Arm::of("tuner", "greedy")],
            rules: Rules::default(),
        };
        let first = Record {
            seq: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            event: Event::StudyOpened {
                study: StudyId(uuid::Uuid::nil()),
                task: Arc::new(task(world == World::Gated)),
                settings,
            },
        };
        let mut sim = Self {
            study: Study::open(&first).unwrap(),
            world,
            trees: BTreeMap::from([(
                TrialNo::BASELINE,
                Files::from([("train.py".to_owned(), Arc::from(RECIPE))]),
            )]),
            truths: BTreeMap::new(),
            policy: empiric_search::policy("greedy").unwrap(),
            clock: 1,
            rng: seed::stream(seed, "world", TrialNo::BASELINE),
        };
        sim.truths.insert(TrialNo::BASELINE, world.truth(&sim.trees[&TrialNo::BASELINE]));
        let ask = Ask { operator: Operator::Draft, parents: Vec::new(), surface: None };
        sim.add(Event::Asked { trial: TrialNo::BASELINE, arm: "tuner".to_owned(), ask });
        for index in 0..5 {
            sim.measure(TrialNo::BASELINE, index);
        }
        sim.conclude(TrialNo::BASELINE, Verdict::Baseline, None);
        sim
    }

    pub(super) fn add(&mut self, event: Event) {
        self.clock += 1;
        let record = Record { seq: self.clock, at: jiff::Timestamp::UNIX_EPOCH, event };
        self.study.apply(&record).unwrap();
        self.policy.tell(&self.study, &record);
    }

    fn measure(&mut self, trial: TrialNo, index: u32) {
        let id = ReplicateId(uuid::Uuid::from_u128(u128::from(self.clock)));
        let (loss, size) = self.truth(trial);
        let noisy = loss + NOISE * normal(&mut self.rng);
        let measurement = |metric: &str, value| Measurement {
            metric: metric.to_owned(),
            value,
            split: Split::Search,
            provenance: Provenance::Evaluator,
        };
        self.add(Event::Leased {
            replicate: id,
            trial,
            purpose: Purpose::Search,
            index,
            seed: Seed(index),
            slot: "a".to_owned(),
        });
        let measurements = vec![measurement("loss", noisy), measurement("size", size)];
        let result = Measured { measurements, cost: Cost::default(), ..Measured::default() };
        self.add(Event::Measured { replicate: id, trial, result });
    }

    fn score(&self, trial: TrialNo) -> f64 {
        self.study.trial(trial).unwrap().search_score("loss").unwrap()
    }

    fn conclude(&mut self, trial: TrialNo, verdict: Verdict, gain: Option<f64>) {
        let outcome = Outcome::Valid { verdict, reason: String::new(), gain, gain_interval: None };
        self.add(Event::Concluded { trial, outcome });
    }

    /// Asks for a trial and hands the ask to a proposer.
    pub(super) fn propose(
        &mut self,
        proposer: &dyn Proposer,
        ask: Ask,
    ) -> (TrialNo, Result<Proposal, Failure>) {
        let brief = self.brief(ask);
        (brief.trial, proposer.propose(&brief))
    }

    fn brief(&mut self, ask: Ask) -> Brief {
        let trial = self.study.next_trial();
        self.add(Event::Asked { trial, arm: "tuner".to_owned(), ask: ask.clone() });
        let sources = Arc::new(Trees(self.trees.clone()));
        Brief { trial, ask, study: self.study.clone(), sources, errands: Arc::new(crate::Unserved) }
    }

    /// One trial from ask to verdict.
    pub(super) fn trial(
        &mut self,
        proposer: &dyn Fn(&Brief) -> Result<Proposal, Failure>,
    ) -> Option<Proposal> {
        let ask = self.policy.ask(&self.study);
        let brief = self.brief(ask);
        match proposer(&brief) {
            Ok(proposal) => {
                self.enter(brief.trial, &proposal);
                self.judge(brief.trial);
                Some(proposal)
            }
            Err(failure) => {
                let outcome = Outcome::Failed(failure);
                self.add(Event::Concluded { trial: brief.trial, outcome });
                None
            }
        }
    }

    /// One replicate, four more where it looks good, and a one-sided z test against the champion.
    pub(super) fn judge(&mut self, trial: TrialNo) {
        self.measure(trial, 0);
        if self.world == World::Gated && self.size(trial) > LIMIT {
            let failure =
                Failure::new(Phase::Decide, Cause::GateMiss { metric: "size".to_owned() })
                    .margin(LIMIT - self.size(trial));
            self.add(Event::Concluded { trial, outcome: Outcome::Failed(failure) });
            return;
        }
        let champion = self.study.champion();
        let gain = self.score(champion) - self.score(trial);
        if gain < 0.5 * NOISE {
            self.conclude(trial, Verdict::Discard, Some(gain));
            return;
        }
        (1..5).for_each(|index| self.measure(trial, index));
        let gain = self.score(champion) - self.score(trial);
        let verdict = if gain > 1.64 * NOISE * (2.0_f64 / 5.0).sqrt() {
            Verdict::Keep
        } else {
            Verdict::Inconclusive
        };
        self.conclude(trial, verdict, Some(gain));
    }

    pub(super) fn files(&self, trial: TrialNo) -> Files {
        self.trees[&trial].clone()
    }

    pub(super) fn size(&self, trial: TrialNo) -> f64 {
        self.truths[&trial].1
    }

    /// A trial of the tuner's with these settings.
    pub(super) fn by_hand(&mut self, set: &[(&str, Value)], parents: &[u32]) -> TrialNo {
        let parents: Vec<TrialNo> = parents.iter().map(|no| TrialNo(*no)).collect();
        let mut text = self.trees[&parents[0]]["train.py"].to_string();
        let mut point = Point::default();
        for (name, value) in set {
            let knobs = find("train.py", &text).knobs;
            let knob = knobs.iter().find(|knob| knob.name == *name).unwrap();
            text.replace_range(knob.span.clone(), &knob.render(value));
            point.knobs.insert(knob.id.clone(), value.clone());
        }
        self.made(text, parents, point.detail("sample"))
    }

    /// A trial of another proposer's.
    pub(super) fn foreign(&mut self, from: &str, to: &str) -> TrialNo {
        self.made(RECIPE.replace(from, to), vec![TrialNo::BASELINE], serde_json::Value::Null)
    }

    fn made(&mut self, text: String, parents: Vec<TrialNo>, detail: serde_json::Value) -> TrialNo {
        let operator = Operator::Improve;
        let ask = Ask { operator, parents: parents.clone(), surface: None };
        let trial = self.brief(ask).trial;
        let proposal = Proposal {
            operator,
            parents,
            surface: None,
            hypothesis: Hypothesis { text: String::new(), prediction: None },
            edits: BTreeMap::from([("train.py".to_owned(), Some(text))]),
            thought: None,
            by: None,
            detail,
        };
        self.enter(trial, &proposal);
        trial
    }

    pub(super) fn enter(&mut self, trial: TrialNo, proposal: &Proposal) {
        let mut files = self.trees[&proposal.parents[0]].clone();
        for (path, text) in &proposal.edits {
            match text {
                Some(text) => files.insert(path.clone(), Arc::from(text.as_str())),
                None => files.remove(path),
            };
        }
        self.truths.insert(trial, self.world.truth(&files));
        self.trees.insert(trial, files);
        let mut tree = [0; 20];
        tree[..4].copy_from_slice(&trial.0.to_le_bytes());
        let edit = Edit {
            proposer: if proposal.detail.is_null() { "hand" } else { "tuner" }.to_owned(),
            operator: proposal.operator,
            parents: proposal.parents.clone(),
            surface: None,
            hypothesis: proposal.hypothesis.clone(),
            tree: TreeId(tree),
            commit: CommitId(tree),
            files: Vec::new(),
            thought: None,
            inspection: empiric_core::Inspection::default(),
            detail: proposal.detail.clone(),
        };
        self.add(Event::Proposed { trial, edit });
    }

    fn truth(&self, trial: TrialNo) -> (f64, f64) {
        self.truths[&trial]
    }

    /// Share of the possible gain that the champion truly has.
    fn share(&self) -> f64 {
        let (baseline, _) = self.truth(TrialNo::BASELINE);
        let (loss, _) = self.truth(self.study.champion());
        (baseline - loss) / (baseline - self.world.best())
    }
}

/// The value of a number in a recipe's text.
pub(super) fn value_of(text: &str, name: &str) -> f64 {
    let knobs = find("train.py", text).knobs;
    knobs.iter().find(|knob| knob.name == name).unwrap().value.number().unwrap()
}

pub(super) fn tuner_search(world: World, seed: u64, trials: u32) -> f64 {
    let mut sim = Sim::new(world, seed, trials);
    let tuner = Tuner::default();
    for _ in 0..trials {
        sim.trial(&|brief| tuner.propose(brief));
    }
    sim.share()
}

/// One to three random knobs of the champion by random steps.
pub(super) fn random_search(world: World, seed: u64, trials: u32) -> f64 {
    let mut sim = Sim::new(world, seed, trials);
    for _ in 0..trials {
        sim.trial(&|brief| {
            let mut rng = seed::stream(seed, "random", brief.trial);
            let parent = brief.study.champion();
            let files = brief.sources.files(parent)?;
            let mut text = files["train.py"].to_string();
            let base = find("train.py", RECIPE).knobs;
            for _ in 0..rng.random_range(1..=3) {
                let knobs = find("train.py", &text).knobs;
                let i = rng.random_range(0..knobs.len() - 1);
                let knob = &knobs[i];
                let value = match &knob.value {
                    Value::Bool(on) => Some(Value::Bool(!on)),
                    Value::Text(_) => {
                        let words = ["linear", "cosine", "constant"];
                        Some(Value::Text(words[rng.random_range(0..3)].to_owned()))
                    }
                    number @ (Value::Int(_) | Value::Float(_)) => {
                        Axis::of(&base[i].name, &base[i].value).and_then(|axis| {
                            axis.step(number.number()?, rng.random_range(-1.5..1.5))
                        })
                    }
                };
                if let Some(value) = value {
                    text.replace_range(knob.span.clone(), &knob.render(&value));
                }
            }
            Ok(Proposal {
                operator: Operator::Tune,
                parents: vec![parent],
                surface: None,
                hypothesis: Hypothesis { text: String::new(), prediction: None },
                edits: BTreeMap::from([("train.py".to_owned(), Some(text))]),
                thought: None,
                by: None,
                detail: serde_json::Value::Null,
            })
        });
    }
    sim.share()
}
