//! A large study that could have been: a champion now and then, most trials discarded after one look, a fifth failed, some
//! confirmed and not kept. Its trees are few, so that making it takes moments.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use empiric_core::{
    Ask, BlobId, Budget, Call, Cause, Cost, Digest, Edit, Event, Failure, Hypothesis, Inspection,
    Measurement, Money, Operator, Outcome, Phase, Prediction, Provenance, Purpose, ReplicateId,
    Spend, Split, StudyId, TreeId, TrialNo, Usage, Verdict,
    study::{Arm, Fixed, Rules, Settings},
    trial::{Direction, FileChange, Measured, UnitRecord},
};
use empiric_ledger::{Blobs, Durability, Ledger, Options};
use empiric_lineage::{CommitSpec, Import, Store};
use jiff::Timestamp;
use uuid::Uuid;

use crate::Failed;

/// Different trees.
const TREES: u32 = 40;
/// Appends in one transaction.
const GROUP: usize = 2000;
const SURFACES: [&str; 4] = ["model", "optimizer", "data", "schedule"];

/// Numbers without rhyme, the same every time (xorshift*, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() * f64::from(n)) as u32
    }

    /// Roughly normal.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

struct Making {
    ledger: Ledger,
    waiting: Vec<Event>,
    chance: Chance,
    replicates: u128,
    trees: Vec<(TreeId, empiric_core::CommitId)>,
    logs: Vec<String>,
    /// What is asked of a model and what it answers; always the same.
    talk: [BlobId; 2],
}

impl Making {
    fn push(&mut self, event: Event) -> Result<(), Failed> {
        self.waiting.push(event);
        if self.waiting.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.ledger.append(std::mem::take(&mut self.waiting)).wait()?;
        Ok(())
    }

    fn call(&self, index: u32) -> Call {
        Call {
            index,
            role: "optimizer".to_owned(),
            model: "made/up".to_owned(),
            request: self.talk[0],
            answer: self.talk[1],
            usage: Usage { input: 9000, output: 900, ..Usage::default() },
            spend: Spend { calls: 1, tokens: 9900, money: Money(20_000) },
            attempts: 1,
            fault: None,
            wall_s: 3.0,
        }
    }

    fn measure(
        &mut self,
        trial: TrialNo,
        purpose: Purpose,
        index: u32,
        value: f64,
    ) -> Result<(), Failed> {
        self.replicates += 1;
        let replicate = ReplicateId(Uuid::from_u128(0x0199_0000_7000_8000 << 64 | self.replicates));
        let slot = format!("cpu{}", self.replicates % 4);
        self.push(Event::Leased {
            replicate,
            trial,
            purpose,
            index,
            seed: purpose.seed(7, index),
            slot,
        })?;
        let value = value + 0.01 * self.chance.noise();
        let one = |metric: &str, value, split, provenance| Measurement {
            metric: metric.to_owned(),
            value,
            split,
            provenance,
        };
        let log = self.logs[self.replicates as usize % self.logs.len()].clone();
        let unit = |name: &str, log: Option<String>| UnitRecord {
            name: name.to_owned(),
            ending: "exit 0".to_owned(),
            sandbox: "bwrap".to_owned(),
            wall_s: 1.2,
            cpu_s: 1.1,
            peak_memory_bytes: 53_129_216,
            log,
        };
        let result = Measured {
            measurements: vec![
                one("bpb", value, Split::Search, Provenance::Evaluator),
                one("bpb", value + 0.002, Split::Select, Provenance::Evaluator),
                one("artifact_bytes", 15_321.0, Split::Search, Provenance::Harness),
                one("train.wall_seconds", 1.2, Split::Search, Provenance::Harness),
            ],
            units: vec![unit("train", Some(log)), unit("evaluator", None)],
            cost: Cost { wall_s: 1.5, cpu_s: 1.3, ..Cost::default() },
            ..Measured::default()
        };
        self.push(Event::Measured { replicate, trial, result })
    }
}

/// Makes a study of `trials` trials in `dir`.
pub(crate) fn study(dir: &Path, trials: u32) -> Result<(), Failed> {
    let store = Store::init(&dir.join("store.git"))?;
    let trees = trees(&store)?;
    let blobs = Blobs::of(dir);
    let logs = (0..16).map(|n| {
        let text: String = (0..400)
            .map(|step| format!("step {step} loss {}\n", 3.0 - f64::from(step * n) / 9000.0))
            .collect();
        Ok(blobs.put(text.as_bytes())?.to_string())
    });
    let logs: Vec<String> = logs.collect::<Result<_, Failed>>()?;
    let words = "the schedule matters most of all. ".repeat(300);
    let model = "made/up".parse().map_err(|error| format!("{error}"))?;
    let request = empiric_llm::Request::new(model, "improve the recipe", words.as_str(), 4000);
    let answer = serde_json::json!({"ok": {"content": [{"type": "text", "text": words}]}});
    let talk =
        [blobs.put(&serde_json::to_vec(&request)?)?, blobs.put(&serde_json::to_vec(&answer)?)?];
    let seconds = std::sync::atomic::AtomicI64::new(1_769_990_000);
    let clock = move || {
        let at = seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    let ledger = Ledger::open(Options {
        dir: dir.to_owned(),
        clock: Arc::new(clock),
        durability: Durability::default(),
    })?;
    let mut making =
        Making { ledger, waiting: Vec::new(), chance: Chance(7), replicates: 0, trees, logs, talk };
    opening(&mut making)?;
    let (mut champion, mut best) = (TrialNo::BASELINE, 2.5);
    let mut keeps = 0;
    for no in 0..=trials {
        let trial = TrialNo(no);
        let parent = if making.chance.next() < 0.7 || no < 2 {
            champion
        } else {
            TrialNo(making.chance.below(no))
        };
        let parents = if no == 0 { Vec::new() } else { vec![parent] };
        let operator = [
            Operator::Tune,
            Operator::Improve,
            Operator::Improve,
            Operator::Repair,
            Operator::Merge,
        ][(no % 5) as usize];
        let surface = (no > 0).then(|| SURFACES[(no % 4) as usize].to_owned());
        making.push(Event::Asked {
            trial,
            arm: "tuner".to_owned(),
            ask: Ask { operator, parents: parents.clone(), surface: surface.clone() },
        })?;
        if no % 10 == 3 {
            let failure =
                Failure::new(Phase::Static, Cause::Syntax { path: "model.py".to_owned() })
                    .excerpt(format!("model.py:{}: expected `:`", no % 90));
            making.push(Event::Concluded { trial, outcome: Outcome::Failed(failure) })?;
            continue;
        }
        let (tree, commit) = making.trees[(no % TREES) as usize];
        making.push(Event::Proposed {
            trial,
            edit: edit(no, parents, operator, surface, (tree, commit)),
        })?;
        if no > 0 && no % 50 == 0 {
            for index in 0..2 {
                let call = making.call(index);
                making.push(Event::Called { trial, call })?;
            }
        }
        if no == 0 {
            for index in 0..8 {
                making.measure(trial, Purpose::Search, index, best)?;
            }
            making.push(Event::Concluded { trial, outcome: valid(Verdict::Baseline, None) })?;
            continue;
        }
        if no % 10 == 7 {
            let failure = Failure::new(Phase::Train, Cause::Exception { status: 1 }).excerpt(format!(
                "Traceback (most recent call last):\n  File \"train.py\", line {}, in <module>\n    main()\nValueError: shapes ({},128) not aligned",
                no % 300, no % 512
            ));
            making.push(Event::Concluded { trial, outcome: Outcome::Failed(failure) })?;
            continue;
        }
        // A study of this size keeps some hundred at most; they come ever more seldom.
        let kept = no > 10
            && f64::from(keeps) < 24.0 * f64::from(no).log10()
            && making.chance.next() < 0.05;
        let worth = if kept {
            best - 0.3 / f64::from(20 + keeps)
        } else {
            best + 0.05 * making.chance.noise().abs()
        };
        making.measure(trial, Purpose::Search, 0, worth)?;
        let promising = kept || no % 40 == 0;
        if promising {
            for index in 0..6 {
                making.measure(trial, Purpose::Confirm { of: trial }, index, worth)?;
                making.measure(champion, Purpose::Confirm { of: trial }, index, best)?;
            }
        }
        let outcome = if kept {
            let gain = best - worth;
            (champion, best, keeps) = (trial, worth, keeps + 1);
            valid(Verdict::Keep, Some(gain))
        } else if promising {
            valid(Verdict::Inconclusive, Some(best - worth))
        } else {
            valid(Verdict::Discard, Some(best - worth))
        };
        making.push(Event::Concluded { trial, outcome })?;
        if no % 5000 == 0 {
            let text = format!("after {no} trials the schedule still matters most");
            making.push(Event::Noted { by: "ann".to_owned(), text })?;
        }
    }
    making.flush()?;
    making.ledger.close()?;
    Ok(())
}

fn opening(making: &mut Making) -> Result<(), Failed> {
    let settings = Settings {
        seed: 7,
        budget: Budget { trials: Some(200_000), cpu_s: Some(1e6), ..Budget::default() },
        arms: vec![Arm::of("tuner", "race")],
        rules: Rules::default(),
    };
    let task = Arc::new(empiric_testkit::story::task());
    making.push(Event::StudyOpened { study: StudyId(Uuid::from_u128(1)), task, settings })?;
    making.push(Event::SessionStarted {
        version: "0.1.0".to_owned(),
        host: "bench".to_owned(),
        sandbox: "bwrap".to_owned(),
        cgroup: "cgroup-v2".to_owned(),
        slots: (0..4).map(|n| format!("cpu{n}")).collect(),
    })?;
    let digest = Digest::of(b"bench");
    making.push(Event::SegmentOpened {
        segment: 0,
        fixed: Fixed { evaluator: digest, data: digest, environment: digest },
        reason: "opened".to_owned(),
    })
}

fn valid(verdict: Verdict, gain: Option<f64>) -> Outcome {
    Outcome::Valid {
        verdict,
        reason: "measured against the champion on fresh seeds".to_owned(),
        gain,
        gain_interval: gain.map(|gain| [gain - 0.01, gain + 0.01]),
    }
}

fn edit(
    no: u32,
    parents: Vec<TrialNo>,
    operator: Operator,
    surface: Option<String>,
    (tree, commit): (TreeId, empiric_core::CommitId),
) -> Edit {
    Edit {
        proposer: "tuner".to_owned(),
        operator,
        parents,
        surface,
        hypothesis: Hypothesis {
            text: format!(
                "`WIDTH` {no} instead of 64 in model.py: a wider layer holds more contexts, and the budget allows it"
            ),
            prediction: Some(Prediction {
                metric: "bpb".to_owned(),
                direction: Direction::Decrease,
                size: Some(0.01),
            }),
        },
        tree,
        commit,
        files: vec![FileChange {
            path: "model.py".to_owned(),
            added: 1,
            removed: 1,
            ..FileChange::default()
        }],
        inspection: Inspection::default(),
        thought: None,
        detail: serde_json::json!({"knob": "model.py:WIDTH", "value": no}),
    }
}

fn trees(store: &Store) -> Result<Vec<(TreeId, empiric_core::CommitId)>, Failed> {
    let files = |no: u32| -> BTreeMap<String, Option<Vec<u8>>> {
        let lines: String = (0..300)
            .map(|line| format!("value_{line} = {}\n", if line % TREES == no { no } else { 0 }))
            .collect();
        BTreeMap::from([("model.py".to_owned(), Some(lines.into_bytes()))])
    };
    let dir = tempfile::tempdir()?;
    fs_err::write(dir.path().join("model.py"), "")?;
    let empty = store.import(dir.path(), &Import::default())?;
    let made = (0..TREES).map(|no| {
        let tree = store.apply(empty, &files(no))?;
        let spec = CommitSpec {
            trial: TrialNo(no),
            tree,
            parents: &[],
            message: "made",
            at: Timestamp::UNIX_EPOCH,
        };
        Ok((tree, store.commit(&spec)?))
    });
    made.collect()
}
