//! Simulated studies: the decision code of every study, on a fold of the events that a ledger would hold, with a
//! simulated evaluator in place of sandboxes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use empiric_core::{
    Ask, Budget, CommitId, Edit, Event, Goal, Hypothesis, Inspection, Measurement, Metric,
    Operator, Outcome, Provenance, Quarantine, Record, ReplicateId, Split, Study, StudyId, Task,
    TreeId, TrialNo, Verdict,
    study::{Rules, Settings},
    task::{Environment, Network, Recipe},
    trial::Measured,
};
use empiric_decide::{Step, Wanted, next_step};
use uuid::Uuid;

use super::world::{Kind, World};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) rules: Rules,
    pub(crate) trials: u32,
    /// Every so many-th trial is better than the champion it meets; none for 0.
    pub(crate) every: u32,
    /// By how many standard deviations of a replicate.
    pub(crate) effect: f64,
}

/// What came of one study.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Keeps of trials that are no better than the champion they replaced.
    pub(crate) false_keeps: u32,
    /// Keeps of trials that are.
    pub(crate) true_keeps: u32,
    /// Trials that were better than the champion.
    pub(crate) better: u32,
    /// Replicates of everything.
    pub(crate) replicates: u64,
    /// Contests, and those of trials that are no better.
    pub(crate) contests: u32,
    pub(crate) idle_contests: u32,
    /// Reported minus true gain of kept trials, in standard deviations, and whether the interval holds the true gain.
    pub(crate) errors: Vec<(f64, bool)>,
    /// Calls of `next_step`, and the time they took.
    pub(crate) steps: u64,
    pub(crate) thinking: Duration,
}

/// Simulates one study.
pub(crate) fn run(plan: &Plan, stream: u64) -> anyhow::Result<Found> {
    let mut lab = Lab::open(plan, stream)?;
    lab.propose()?;
    lab.settle(TrialNo::BASELINE)?;
    for no in 1..=plan.trials {
        let trial = lab.propose()?;
        let better = plan.every > 0 && no.is_multiple_of(plan.every);
        let effect = if better { plan.effect } else { 0.0 };
        lab.found.better += u32::from(better);
        let champion = lab.study.champion();
        let truth = lab.world.truth(champion) + effect;
        lab.world.set(trial, truth);
        let before = lab.study.contests();
        let outcome = lab.settle(trial)?;
        lab.found.idle_contests += if better { 0 } else { lab.study.contests() - before };
        if let Outcome::Valid { verdict: Verdict::Keep, gain, gain_interval, .. } = outcome {
            let true_gain = effect * plan.kind.sd();
            let gain = gain.context("a keep without a gain")?;
            let held = gain_interval.is_some_and(|[low, high]| (low..=high).contains(&true_gain));
            lab.found.errors.push(((gain - true_gain) / plan.kind.sd(), held));
            let found = &mut lab.found;
            *if better { &mut found.true_keeps } else { &mut found.false_keeps } += 1;
        }
    }
    lab.found.contests = lab.study.contests();
    Ok(lab.found)
}

struct Lab {
    study: Study,
    world: World,
    ids: u128,
    found: Found,
}

impl Lab {
    fn open(plan: &Plan, stream: u64) -> anyhow::Result<Self> {
        let settings = Settings {
            seed: stream,
            budget: Budget::default(),
            arms: vec![empiric_core::study::Arm::of("bench", "greedy")],
            rules: plan.rules,
        };
        let opened =
            Event::StudyOpened { study: StudyId(Uuid::nil()), task: Arc::new(task()), settings };
        let study =
            Study::open(&Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event: opened })?;
        Ok(Self { study, world: World::new(plan.kind, stream), ids: 0, found: Found::default() })
    }

    fn push(&mut self, event: Event) -> anyhow::Result<()> {
        let seq = self.study.seq() + 1;
        Ok(self.study.apply(&Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event })?)
    }

    fn propose(&mut self) -> anyhow::Result<TrialNo> {
        let trial = self.study.next_trial();
        let ask = Ask { operator: Operator::Improve, parents: Vec::new(), surface: None };
        let mut id = [0; 20];
        id[..4].copy_from_slice(&trial.0.to_le_bytes());
        let edit = Edit {
            proposer: "bench".to_owned(),
            operator: Operator::Improve,
            parents: Vec::new(),
            surface: None,
            hypothesis: Hypothesis { text: String::new(), prediction: None },
            tree: TreeId(id),
            commit: CommitId(id),
            files: Vec::new(),
            thought: None,
            inspection: Inspection::default(),
            detail: serde_json::Value::Null,
        };
        self.push(Event::Asked { trial, arm: "bench".to_owned(), ask })?;
        self.push(Event::Proposed { trial, edit })?;
        Ok(trial)
    }

    fn settle(&mut self, trial: TrialNo) -> anyhow::Result<Outcome> {
        for _ in 0..1000 {
            let began = Instant::now();
            let step = next_step(&self.study, trial);
            self.found.thinking += began.elapsed();
            self.found.steps += 1;
            match step {
                Step::Measure { wanted } => {
                    wanted.into_iter().try_for_each(|wanted| self.measure(wanted))?;
                }
                Step::Conclude(outcome) => {
                    self.push(Event::Concluded { trial, outcome: outcome.clone() })?;
                    return Ok(outcome);
                }
                Step::Quarantine { concerns } => {
                    let quarantine = Quarantine { concerns, nonce: u64::from(trial.0) };
                    self.push(Event::Quarantined { trial, quarantine })?;
                }
                Step::Wait => bail!("{trial} waits for nothing"),
            }
        }
        bail!("{trial} does not end")
    }

    fn measure(&mut self, wanted: Wanted) -> anyhow::Result<()> {
        self.ids += 1;
        let replicate = ReplicateId(Uuid::from_u128(self.ids));
        let Wanted { trial, purpose, index } = wanted;
        let seed = self.study.seed(trial, purpose, index);
        let slot = "s0".to_owned();
        self.push(Event::Leased { replicate, trial, purpose, index, seed, slot })?;
        let measurement = Measurement {
            metric: METRIC.to_owned(),
            value: self.world.value(trial, seed),
            split: Split::Search,
            provenance: Provenance::Evaluator,
        };
        let result = Measured { measurements: vec![measurement], ..Measured::default() };
        self.found.replicates += 1;
        self.push(Event::Measured { replicate, trial, result })
    }
}

const METRIC: &str = "score";

fn task() -> Task {
    Task {
        name: "simulated".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: Vec::new(),
            writable: false,
            max_file_bytes: 0,
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
        metric: Metric { name: METRIC.to_owned(), goal: Goal::Maximize, unit: String::new() },
        pattern: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}
