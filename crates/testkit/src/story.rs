//! A study in memory, folded from the events that a ledger would hold, with verdicts reached by `empiric-decide`.

#![expect(clippy::unwrap_used, reason = "a story that cannot be told ends the test that tells it")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use empiric_core::{
    Ask, Bound, Budget, Cause, CommitId, Concern, Cost, Digest, Edit, Event, Failure, Gate, Goal,
    Hypothesis, Measurement, Metric, Operator, Outcome, Phase, Prediction, Provenance, Purpose,
    Quarantine, Record, RedLine, ReplicateId, Severity, Split, Study, StudyId, Task, TreeId,
    TrialNo, Verdict,
    study::{Fixed, Rules, Settings, State},
    task::{Command, Environment, Limits, Network, Recipe, Stage, Surface},
    trial::{Direction, Measured},
};
use empiric_decide::{Closing, Step, Wanted, closing, next_step};
use empiric_ledger::{Durability, Ledger, Options};
use jiff::Timestamp;
use uuid::Uuid;

/// One second before the first event.
const START: i64 = 1_769_990_000;
/// Standard deviation of one replicate.
pub const NOISE: f64 = 0.012;

/// A study being told.
#[derive(Debug)]
pub struct Story {
    /// The study so far.
    pub study: Study,
    /// Its events so far.
    pub records: Vec<Record>,
    ids: u128,
    /// Bits per byte that each trial saves, all in all.
    savings: BTreeMap<TrialNo, f64>,
    /// Trials that yield this instead of values.
    broken: BTreeMap<TrialNo, Failure>,
}

impl Story {
    /// A study whose baseline has been measured.
    pub fn new(task: Task) -> Self {
        let mut story = Self::empty(task);
        let baseline = story.propose(&[], Operator::Draft, 0.0, "the unedited recipe", None);
        story.settle(baseline);
        story
    }

    /// A study that has just been opened.
    pub fn empty(task: Task) -> Self {
        let settings = Settings {
            seed: 7,
            budget: Budget { trials: Some(60), ..Budget::default() },
            arms: vec![empiric_core::study::Arm::of("tuner", "greedy")],
            rules: Rules::default(),
        };
        let study = StudyId(Uuid::from_u128(0x0199_0000_7000_8000_0000_0000_0000_0001));
        let opened = Event::StudyOpened { study, task: Arc::new(task), settings };
        let records = vec![record(1, opened)];
        let study = Study::open(&records[0]).unwrap();
        let (savings, broken) = (BTreeMap::new(), BTreeMap::new());
        let mut story = Self { study, records, ids: 0, savings, broken };
        story.push(Event::SessionStarted {
            version: "0.1.0".to_owned(),
            host: "bench".to_owned(),
            sandbox: "bwrap".to_owned(),
            cgroup: "cgroup-v2".to_owned(),
            slots: vec!["cpu0".to_owned()],
        });
        story.segment(0);
        story
    }

    /// Something happens.
    pub fn push(&mut self, event: Event) {
        let record = record(self.study.seq() + 1, event);
        self.study.apply(&record).unwrap();
        self.records.push(record);
    }

    /// The story without its last `n` events, to be told otherwise from there.
    #[must_use]
    pub fn without_last(mut self, n: usize) -> Self {
        self.records.truncate(self.records.len() - n);
        self.study = Study::replay(&self.records).unwrap();
        self
    }

    /// Writes it down as the ledger of a study in `dir`.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), empiric_ledger::Error> {
        let second = AtomicI64::new(START);
        let clock =
            move || Timestamp::from_second(second.fetch_add(1, Ordering::Relaxed) + 1).unwrap();
        let (dir, clock) = (dir.to_owned(), Arc::new(clock));
        let ledger = Ledger::open(Options { dir, clock, durability: Durability::default() })?;
        let events = self.records.iter().map(|record| record.event.clone()).collect();
        ledger.append(events).wait()?;
        ledger.close()
    }

    /// A segment opens.
    pub fn segment(&mut self, segment: u32) {
        let hash = |what: &str| Digest::of(format!("{what} {segment}").as_bytes());
        let fixed =
            Fixed { evaluator: hash("evaluator"), data: hash("data"), environment: hash("env") };
        self.push(Event::SegmentOpened { segment, fixed, reason: "a test".to_owned() });
    }

    /// A trial ready to be measured that saves `effect` more than its first parent.
    pub fn propose(
        &mut self,
        parents: &[TrialNo],
        operator: Operator,
        effect: f64,
        text: &str,
        size: Option<f64>,
    ) -> TrialNo {
        let trial = self.ask(parents, operator);
        let inherited = parents.first().and_then(|parent| self.savings.get(parent)).unwrap_or(&0.0);
        self.savings.insert(trial, inherited + effect);
        let mut id = [0; 20];
        id[..4].copy_from_slice(&mixed(u64::from(trial.0)).to_le_bytes()[..4]);
        let prediction = size.map(|size| Prediction {
            metric: "bpb".to_owned(),
            direction: if size > 0.0 { Direction::Decrease } else { Direction::Unchanged },
            size: Some(size).filter(|size| *size > 0.0),
        });
        let edit = Edit {
            proposer: "tuner".to_owned(),
            operator,
            parents: parents.to_vec(),
            surface: Some("model".to_owned()),
            hypothesis: Hypothesis { text: text.to_owned(), prediction },
            tree: TreeId(id),
            commit: CommitId(id),
            files: Vec::new(),
            thought: None,
            inspection: empiric_core::Inspection::default(),
            detail: Default::default(),
        };
        self.push(Event::Proposed { trial, edit });
        trial
    }

    fn ask(&mut self, parents: &[TrialNo], operator: Operator) -> TrialNo {
        let trial = self.study.next_trial();
        let ask = Ask { operator, parents: parents.to_vec(), surface: None };
        self.push(Event::Asked { trial, arm: "tuner".to_owned(), ask });
        trial
    }

    /// Puts a trial under quarantine.
    pub fn doubt(&mut self, trial: TrialNo, why: &str) {
        let concern =
            Concern { line: RedLine::Jump, severity: Severity::Quarantine, why: why.to_owned() };
        let quarantine = Quarantine { concerns: vec![concern], nonce: 5 };
        self.push(Event::Quarantined { trial, quarantine });
    }

    /// A trial that fails before it is measured.
    pub fn stillborn(&mut self, parent: TrialNo, failure: Failure) {
        let trial = self.ask(&[parent], Operator::Tune);
        self.conclude(trial, Outcome::Failed(failure));
    }

    /// A trial ends like this.
    pub fn conclude(&mut self, trial: TrialNo, outcome: Outcome) {
        self.push(Event::Concluded { trial, outcome });
    }

    /// Makes every replicate of `trial` fail like this.
    pub fn break_down(&mut self, trial: TrialNo, failure: Failure) {
        self.broken.insert(trial, failure);
    }

    /// Measures whatever is asked for until the trial has ended.
    pub fn settle(&mut self, trial: TrialNo) -> Outcome {
        loop {
            match next_step(&self.study, trial) {
                Step::Quarantine { concerns } => panic!("{trial} is doubted: {concerns:?}"),
                Step::Measure { wanted } => wanted.iter().for_each(|wanted| self.measure(*wanted)),
                Step::Conclude(outcome) => {
                    self.conclude(trial, outcome.clone());
                    return outcome;
                }
                Step::Wait => panic!("{trial} waits for nothing"),
            }
        }
    }

    /// A replicate takes the one slot.
    pub fn lease(&mut self, Wanted { trial, purpose, index }: Wanted) -> ReplicateId {
        self.ids += 1;
        let replicate = ReplicateId(Uuid::from_u128(self.ids));
        let seed = self.study.seed(trial, purpose, index);
        let slot = "cpu0".to_owned();
        self.push(Event::Leased { replicate, trial, purpose, index, seed, slot });
        replicate
    }

    /// Measures one replicate.
    pub fn measure(&mut self, wanted: Wanted) {
        let replicate = self.lease(wanted);
        let Wanted { trial, purpose, index } = wanted;
        let seed = self.study.seed(trial, purpose, index);
        let cost = Cost { wall_s: 1.4, cpu_s: 1.2, ..Cost::default() };
        let result = match self.broken.get(&trial) {
            Some(failure) => {
                Measured { failure: Some(failure.clone()), cost, ..Measured::default() }
            }
            None => {
                let noise = normal(u64::from(seed.0)) * 0.5
                    + normal(u64::from(seed.0) << 20 | u64::from(trial.0)) * 0.8;
                let value = 2.6 - self.savings[&trial] + NOISE * noise;
                let on = |split, value| Measurement {
                    metric: "bpb".to_owned(),
                    value,
                    split,
                    provenance: Provenance::Evaluator,
                };
                let mut measurements = vec![
                    on(Split::Search, value),
                    on(Split::Select, value + 0.004),
                    on(Split::Report, value + 0.007),
                ];
                measurements
                    .push(Measurement { metric: "accuracy".to_owned(), ..on(Split::Search, 0.97) });
                Measured { measurements, cost, ..Measured::default() }
            }
        };
        self.push(Event::Measured { replicate, trial, result });
    }

    /// Makes the closing comparison and ends the study.
    pub fn close(&mut self) {
        if self.study.champion() != TrialNo::BASELINE {
            self.push(Event::ReportOpened { champions: self.study.champions() });
        }
        while let Closing::Measure(wanted) = closing(&self.study) {
            wanted.iter().for_each(|wanted| self.measure(*wanted));
        }
        self.push(Event::Finished { reason: "the budget is spent".to_owned() });
        assert_eq!(self.study.state(), State::Finished);
    }

    /// Sixty trials as a tuner makes them: keeps, near misses, failures of all sorts, and a kept merge.
    pub fn sixty() -> Self {
        let mut story = Self::new(task());
        for n in 1..=60_u64 {
            let champion = story.study.champion();
            let effect = match n {
                4 | 30 => 0.05,
                17 => 0.045,
                44 => 0.06,
                8 | 23 | 52 => 0.018,
                _ => 0.02 * normal(n) - 0.02,
            };
            match n % 12 {
                5 => story.stillborn(champion, syntax()),
                10 => {
                    let of = TrialNo((n / 3) as u32);
                    let failure = Failure::new(Phase::Static, Cause::DuplicateTree { of });
                    story.stillborn(champion, failure.excerpt(format!("same tree as {of}")));
                }
                7 => {
                    let text =
                        "double `HIDDEN` to 256, so that rare contexts get states of their own";
                    let trial = story.propose(&[champion], Operator::Tune, 0.0, text, Some(0.04));
                    story.break_down(trial, crash());
                    story.settle(trial);
                }
                9 => {
                    let text = "keep counts as 32-bit floats";
                    let trial =
                        story.propose(&[champion], Operator::Improve, 0.0, text, Some(0.01));
                    let over = 250.0 + n as f64 * 3.0;
                    let large = Failure::new(Phase::Score, Cause::ArtifactTooLarge).margin(-over);
                    let text = format!("artifact_bytes {} is above 16000", 16_000.0 + over);
                    story.conclude(trial, Outcome::Failed(large.excerpt(text)));
                }
                _ if n == 44 => {
                    let keeps: Vec<TrialNo> = story.study.keeps().iter().copied().collect();
                    let text = "both mix contexts, one by order and one by confidence, so their gains should add up";
                    let parents = [champion, keeps[0]];
                    let trial = story.propose(&parents, Operator::Merge, effect, text, Some(0.03));
                    story.settle(trial);
                }
                _ => {
                    let text = format!(
                        "raise `LEARNING_RATE` from {:.3} to {:.3}: early gradients are small, and the loss still falls at the end",
                        0.01 * n as f64,
                        0.013 * n as f64
                    );
                    let size = [Some(0.02 + 0.01 * normal(n + 500).abs()), Some(0.0), None];
                    let operator = [Operator::Tune, Operator::Ablate, Operator::Improve];
                    let kind = (n % 3) as usize;
                    let trial =
                        story.propose(&[champion], operator[kind], effect, &text, size[kind]);
                    story.settle(trial);
                }
            }
        }
        story
            .push(Event::Noted { by: "ada".to_owned(), text: "t44 looks like the one".to_owned() });
        story.close();
        story
    }

    /// `n` trials that end at once, one in fifty kept, for size and speed.
    pub fn many(n: u32) -> Self {
        let mut story = Self::new(task());
        for k in 1..=n {
            let champion = story.study.champion();
            let kept = k % 50 == 0;
            if k % 7 == 3 {
                let failure = if k % 2 == 0 { crash() } else { syntax() };
                story.stillborn(champion, failure);
                continue;
            }
            let effect = if kept { 0.004 } else { -0.05 * normal(u64::from(k)).abs() };
            let text = "a hypothesis of usual length: what is changed, by how much, and why that should help here";
            let trial = story.propose(&[champion], Operator::Tune, effect, text, Some(0.01));
            let purpose = Purpose::Search;
            story.measure(Wanted { trial, purpose, index: 0 });
            if kept {
                for index in 0..5 {
                    story.measure(Wanted { trial, purpose: Purpose::Confirm { of: trial }, index });
                }
            }
            let verdict = match kept {
                true => Verdict::Keep,
                false if k % 11 == 0 => Verdict::Inconclusive,
                false => Verdict::Discard,
            };
            story.conclude(
                trial,
                Outcome::Valid {
                    verdict,
                    reason: "+0.0040 bpb against its champion".to_owned(),
                    gain: Some(effect),
                    gain_interval: Some([effect - 0.003, effect + 0.003]),
                },
            );
        }
        story
    }
}

fn syntax() -> Failure {
    let failure = Failure::new(Phase::Static, Cause::Syntax { path: "model.py".to_owned() });
    failure.excerpt("model.py:31: expected `:`")
}

fn crash() -> Failure {
    Failure::new(Phase::Train, Cause::Exception { status: 1 }).excerpt(
        "Traceback (most recent call last):\n  File \"train.py\", line 88, in <module>\n    main()\n  File \"model.py\", \
         line 40, in step\n    h = w @ x\nValueError: shapes (256,128) and (256,) not aligned",
    )
}

/// The task that stories are of.
pub fn task() -> Task {
    let command = |run: &[&str], wall_s| Command {
        run: run.iter().map(|part| (*part).to_owned()).collect(),
        limits: Limits { wall_s, ..Limits::default() },
    };
    Task {
        name: "golf".to_owned(),
        summary: "fewest bits per byte from a byte-level language model in 16 kB".to_owned(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: vec!["*.py".to_owned()],
            writable: false,
            max_file_bytes: 1 << 20,
            max_data_bytes: None,
        },
        surfaces: vec![Surface {
            name: "model".to_owned(),
            owns: vec!["model.py".to_owned()],
            brief: "context mixing".to_owned(),
        }],
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: vec![Stage {
            name: "train".to_owned(),
            command: command(&["python", "train.py"], 60.0),
        }],
        predictor: Some(command(&["python", "predict.py"], 60.0)),
        evaluator: Some(command(&["python", "evaluate.py"], 60.0)),
        metric: Metric { name: "bpb".to_owned(), goal: Goal::Minimize, unit: "bits".to_owned() },
        pattern: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

/// A task whose recipe speaks for itself, with a gate.
pub fn self_reported() -> Task {
    let gate = Gate { metric: "accuracy".to_owned(), bound: Bound::Min(0.96) };
    Task { evaluator: None, predictor: None, gates: vec![gate], ..task() }
}

/// What the one change of a kept trial looks like.
pub const DIFF: &str = "diff --git a/model.py b/model.py\n--- a/model.py\n+++ b/model.py\n@@ -12,7 +12,8 @@ class Mixer:\n     def __init__(self, \
    orders):\n         self.orders = orders\n-        self.rate = 0.02\n+        self.rate = 0.026\n+        self.momentum = 0.9  # <b>bold</b>\n         \
    self.weights = [1.0] * len(orders)\n \n     def mix(self, predictions):\n";

fn record(seq: u64, event: Event) -> Record {
    let at = Timestamp::from_second(START + i64::try_from(seq).unwrap()).unwrap();
    Record { seq, at, event }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A nearly normal number that is a function of `key`: twelve uniform ones summed.
fn normal(key: u64) -> f64 {
    let uniform = |n: u64| (mixed(mixed(key) ^ n) >> 11) as f64 / (1_u64 << 53) as f64;
    (0..12).map(uniform).sum::<f64>() - 6.0
}
