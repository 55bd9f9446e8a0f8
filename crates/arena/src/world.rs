//! A study without processes: the real policy, proposer and decisions, and replicates that are a function's value with
//! noise, finishing out of order in as many slots as there are.
//!
//! The loop does what the engine's dispatcher does: conclude, lease, ask, wait.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use empiric_agents::{Brief, Files, Proposal, Proposer, SourceError, Sources};
use empiric_core::{
    Ask, Budget, Cause, CommitId, Digest, Edit, Event, Failure, Goal, Hypothesis, Inspection,
    Lines, Measurement, Metric, Operator, Outcome, Phase, Provenance, Purpose, Quarantine, Record,
    ReplicateId, Split, Study, StudyId, Task, TreeId, TrialNo, Verdict, seed,
    study::{Arm, Rules, Settings},
    task::{Environment, Network, Recipe},
    trial::{FileChange, Measured},
};
use empiric_decide::{Step, Wanted, next_step};
use empiric_search::Policy;
use rand::{Rng, RngExt};

use crate::functions::Function;

/// The recipe's only file.
const FILE: &str = "recipe.py";
/// The metric.
const LOSS: &str = "loss";

/// How one simulated study is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// The policy, by name.
    pub(crate) policy: &'a str,
    /// Trials.
    pub(crate) trials: u32,
    /// Slots.
    pub(crate) slots: usize,
    /// Seed of everything.
    pub(crate) seed: u64,
}

/// What a study came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Share of the possible gain that the champion truly has.
    pub(crate) share: f64,
    /// Replicates run, those of the baseline among them.
    pub(crate) replicates: u32,
    /// Verdicts that came in between ask and start, mean over trials.
    pub(crate) staleness: f64,
}

/// Runs one study to its end.
pub(crate) fn search(
    function: &Function,
    plan: Plan<'_>,
    proposer: &dyn Proposer,
) -> anyhow::Result<Found> {
    let mut world = World::new(function, plan)?;
    world.run(proposer)?;
    let champion = world.study.champion();
    let settings = world.trees.get(&champion).and_then(|files| function.read(&files[FILE]));
    Ok(Found {
        share: settings.map_or(0.0, |settings| function.share(&settings)),
        replicates: world.replicates,
        staleness: world.study.course().staleness().mean(),
    })
}

/// A replicate under way: when it ends, and what it is of.
type UnderWay = Reverse<(u64, ReplicateId, Wanted)>;

struct World<'a> {
    function: &'a Function,
    plan: Plan<'a>,
    study: Study,
    policy: Box<dyn Policy>,
    trees: BTreeMap<TrialNo, Files>,
    seq: u64,
    now: u64,
    running: BinaryHeap<UnderWay>,
    replicates: u32,
    barren: u32,
}

impl<'a> World<'a> {
    fn new(function: &'a Function, plan: Plan<'a>) -> anyhow::Result<Self> {
        let settings = Settings {
            seed: plan.seed,
            budget: Budget { trials: Some(plan.trials), ..Budget::default() },
            arms: vec![Arm::of("tuner", plan.policy)],
            rules: Rules::default(),
        };
        let opened = Event::StudyOpened {
            study: StudyId(uuid::Uuid::nil()),
            task: Arc::new(task()),
            settings,
        };
        let first = Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event: opened };
        let study = Study::open(&first)?;
        let mut policy = empiric_search::policy(plan.policy)
            .ok_or_else(|| anyhow::anyhow!("there is no policy {}", plan.policy))?;
        policy.tell(&study, &first);
        let mut world = Self {
            function,
            plan,
            study,
            policy,
            trees: BTreeMap::new(),
            seq: 1,
            now: 0,
            running: BinaryHeap::new(),
            replicates: 0,
            barren: 0,
        };
        let files = Files::from([(FILE.to_owned(), Arc::from(function.recipe()))]);
        let ask = Ask { operator: Operator::Draft, parents: Vec::new(), surface: None };
        world.add(Event::Asked { trial: TrialNo::BASELINE, arm: "baseline".to_owned(), ask })?;
        let edit = edit("task", &files, Operator::Draft, Vec::new(), serde_json::Value::Null);
        world.trees.insert(TrialNo::BASELINE, files);
        world.add(Event::Proposed { trial: TrialNo::BASELINE, edit })?;
        Ok(world)
    }

    fn add(&mut self, event: Event) -> anyhow::Result<()> {
        self.seq += 1;
        let at = jiff::Timestamp::from_second(self.now as i64 / 1000)?;
        let record = Record { seq: self.seq, at, event };
        self.study.apply(&record)?;
        self.policy.tell(&self.study, &record);
        Ok(())
    }

    fn run(&mut self, proposer: &dyn Proposer) -> anyhow::Result<()> {
        loop {
            let wanted = self.judge()?;
            let unstarted = self.lease(wanted)?;
            if self.ask(unstarted, proposer)? {
                continue;
            }
            let Some(Reverse((now, replicate, wanted))) = self.running.pop() else { return Ok(()) };
            self.now = now;
            self.finish(replicate, wanted)?;
        }
    }

    /// Concludes what can be concluded; what is wanted after that.
    fn judge(&mut self) -> anyhow::Result<Vec<Wanted>> {
        'again: loop {
            let mut wanted = Vec::new();
            let open: Vec<TrialNo> = self.study.open_trials().iter().copied().collect();
            for trial in open {
                match next_step(&self.study, trial) {
                    Step::Conclude(outcome) => {
                        // What was measured is news to a proposer that had run dry.
                        self.barren = 0;
                        self.add(Event::Concluded { trial, outcome })?;
                        continue 'again;
                    }
                    Step::Quarantine { concerns } => {
                        let nonce = seed::stream(self.plan.seed, "nonce", trial).random();
                        let quarantine = Quarantine { concerns, nonce };
                        self.add(Event::Quarantined { trial, quarantine })?;
                        continue 'again;
                    }
                    Step::Measure { wanted: more } => wanted.extend(more),
                    Step::Wait => {}
                }
            }
            return Ok(wanted);
        }
    }

    fn lease(&mut self, wanted: Vec<Wanted>) -> anyhow::Result<usize> {
        let mut seen = BTreeSet::new();
        let mut unstarted = 0;
        for wanted in wanted.into_iter().filter(|wanted| seen.insert(*wanted)) {
            if self.running.len() >= self.plan.slots {
                unstarted += 1;
                continue;
            }
            let replicate = ReplicateId(uuid::Uuid::from_u128(u128::from(self.seq)));
            let Wanted { trial, purpose, index } = wanted;
            let seed = self.study.seed(trial, purpose, index);
            let slot = format!("s{}", self.running.len());
            self.add(Event::Leased { replicate, trial, purpose, index, seed, slot })?;
            // Some take twice as long as others, so that they finish out of order.
            let mut rng = self.stream("length", wanted);
            let ends = self.now + 1000 + rng.random_range(0..1000);
            self.running.push(Reverse((ends, replicate, wanted)));
        }
        Ok(unstarted)
    }

    /// Asks while there is room and no slot would wait; whether anything came of it.
    fn ask(&mut self, unstarted: usize, proposer: &dyn Proposer) -> anyhow::Result<bool> {
        let measured = self.study.trial(TrialNo::BASELINE).is_some_and(|t| t.outcome.is_some());
        let open = self.study.open_trials().len();
        let spent = self.study.spent_trials() as usize;
        let free = self.plan.slots - self.running.len();
        let ahead = proposer.ahead(self.plan.slots);
        let room = spent + open < self.plan.trials as usize && self.barren < 20;
        if !measured || !room || unstarted >= ahead + free {
            return Ok(false);
        }
        let trial = self.study.next_trial();
        let ask = self.policy.ask(&self.study);
        self.add(Event::Asked { trial, arm: "tuner".to_owned(), ask: ask.clone() })?;
        let sources = Arc::new(Trees(self.trees.clone()));
        let brief = Brief {
            trial,
            ask,
            study: self.study.clone(),
            sources,
            errands: Arc::new(empiric_agents::Unserved),
        };
        match proposer.propose(&brief) {
            Ok(proposal) => self.proposed(trial, proposer.name(), proposal)?,
            Err(failure) => {
                self.barren += 1;
                self.add(Event::Concluded { trial, outcome: Outcome::Failed(failure) })?;
            }
        }
        Ok(true)
    }

    fn proposed(&mut self, trial: TrialNo, by: &str, proposal: Proposal) -> anyhow::Result<()> {
        let parent = proposal.parents.first().copied().unwrap_or(TrialNo::BASELINE);
        let before = self.trees[&parent].clone();
        let mut files = before.clone();
        for (path, text) in proposal.edits {
            match text {
                Some(text) => files.insert(path, Arc::from(text)),
                None => files.remove(&path),
            };
        }
        let mut edit = edit(by, &files, proposal.operator, proposal.parents, proposal.detail);
        edit.files = vec![change(&before[FILE], &files[FILE])];
        let same = self.decided(&edit);
        self.trees.insert(trial, files);
        self.add(Event::Proposed { trial, edit })?;
        if let Some(of) = same {
            self.barren += 1;
            let failure = Failure::new(Phase::Static, Cause::DuplicateTree { of });
            self.add(Event::Concluded { trial, outcome: Outcome::Failed(failure) })?;
        }
        Ok(())
    }

    /// The trial that has this tree and needs no further evidence.
    fn decided(&self, edit: &Edit) -> Option<TrialNo> {
        let same = self.study.trial(self.study.with_tree(edit.tree)?)?;
        let undecided =
            matches!(same.outcome, Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }));
        (!undecided).then_some(same.no)
    }

    fn finish(&mut self, replicate: ReplicateId, wanted: Wanted) -> anyhow::Result<()> {
        self.replicates += 1;
        let trial = wanted.trial;
        let truth = self.trees.get(&trial).and_then(|files| self.function.read(&files[FILE]));
        let truth = truth.map(|settings| self.function.truth(&settings)).filter(|t| t.is_finite());
        let result = match truth {
            Some(truth) => {
                let noise = normal(&mut self.stream("noise", wanted));
                Measured {
                    measurements: vec![Measurement {
                        metric: LOSS.to_owned(),
                        value: truth + self.function.noise_sd() * noise,
                        split: Split::Search,
                        provenance: Provenance::Evaluator,
                    }],
                    ..Measured::default()
                }
            }
            None => Measured {
                failure: Some(Failure::new(Phase::Train, Cause::Exception { status: 1 })),
                ..Measured::default()
            },
        };
        self.add(Event::Measured { replicate, trial, result })
    }

    /// What is random about one replicate.
    fn stream(&self, label: &str, wanted: Wanted) -> impl Rng + use<> {
        let purpose = match wanted.purpose {
            Purpose::Search => "search".to_owned(),
            Purpose::Confirm { of } => format!("confirm {of}"),
            Purpose::Audit { of } => format!("audit {of}"),
            Purpose::Report => "report".to_owned(),
        };
        let label = format!("{label} {} {purpose} {}", self.function.name, wanted.index);
        seed::stream(self.plan.seed, &label, wanted.trial)
    }
}

/// A standard normal draw (Box and Muller 1958).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn edit(
    by: &str,
    files: &Files,
    operator: Operator,
    parents: Vec<TrialNo>,
    detail: serde_json::Value,
) -> Edit {
    let text: String = files.iter().map(|(path, text)| format!("{path}\0{text}\0")).collect();
    let mut hash = [0; 20];
    hash.copy_from_slice(&Digest::of(text.as_bytes()).0[..20]);
    Edit {
        proposer: by.to_owned(),
        operator,
        parents,
        surface: None,
        hypothesis: Hypothesis { text: String::new(), prediction: None },
        tree: TreeId(hash),
        commit: CommitId(hash),
        files: Vec::new(),
        thought: None,
        inspection: Inspection::default(),
        detail,
    }
}

/// What changed; every line stays in its place.
fn change(before: &str, after: &str) -> FileChange {
    let pairs = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
    let (removed, added): (Vec<&str>, Vec<&str>) = pairs.unzip();
    let count = u32::try_from(added.len()).unwrap_or(u32::MAX);
    let lines = Lines::of(FILE, &removed, &added);
    FileChange { path: FILE.to_owned(), added: count, removed: count, lines }
}

struct Trees(BTreeMap<TrialNo, Files>);

impl Sources for Trees {
    fn files(&self, trial: TrialNo) -> Result<Files, SourceError> {
        self.0.get(&trial).cloned().ok_or(SourceError::NoTree { trial })
    }

    /// Every literal has a line of its own, so lines are merged one by one.
    fn merge(&self, one: TrialNo, other: TrialNo) -> Result<Files, SourceError> {
        let lines = |trial| -> Result<Vec<String>, SourceError> {
            Ok(self.files(trial)?[FILE].lines().map(str::to_owned).collect())
        };
        let (base, ours, theirs) = (lines(TrialNo::BASELINE)?, lines(one)?, lines(other)?);
        let mut merged = String::new();
        for ((base, ours), theirs) in base.iter().zip(&ours).zip(&theirs) {
            if ours != base && theirs != base && ours != theirs {
                return Err(SourceError::Conflict { one, other, path: FILE.to_owned() });
            }
            merged.push_str(if ours == base { theirs } else { ours });
            merged.push('\n');
        }
        Ok(Files::from([(FILE.to_owned(), Arc::from(merged))]))
    }
}

fn task() -> Task {
    Task {
        name: "function".to_owned(),
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
        metric: Metric { name: LOSS.to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}
