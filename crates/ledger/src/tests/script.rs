//! Plausible studies, as events.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Ask, BlobId, Call, CallFault, Cause, CommitId, Concern, Cost, Digest, Edit, Event, Failure,
    Goal, Hypothesis, IdeaNo, Measurement, Metric, Money, Operator, Outcome, Phase, Prediction,
    Provenance, Purpose, Quarantine, Reach, RedLine, ReplicateId, Severity, Sketch, Spend, Split,
    StudyId, Task, TreeId, TrialNo, Usage, Verdict,
    idea::Level,
    study::{Fixed, Rules, Settings},
    task::{Command, Environment, Limits, Network, Recipe, Stage},
    trial::{Direction, FileChange, Measured, Testimony, UnitRecord},
};
use uuid::Uuid;

fn task() -> Task {
    Task {
        name: "golf".to_owned(),
        summary: "fewest bits per byte".to_owned(),
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
        stages: vec![Stage {
            name: "train".to_owned(),
            command: Command {
                run: vec!["python".to_owned(), "train.py".to_owned()],
                limits: Limits::default(),
            },
        }],
        predictor: None,
        evaluator: None,
        metric: Metric { name: "bpb".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

pub(super) fn opening() -> Vec<Event> {
    let settings = Settings {
        seed: 7,
        budget: empiric_core::Budget { trials: Some(60), ..Default::default() },
        arms: vec![empiric_core::study::Arm::of("tuner", "greedy")],
        rules: Rules::default(),
    };
    let digest = Digest::of(b"x");
    vec![
        Event::StudyOpened { study: StudyId(Uuid::from_u128(1)), task: Arc::new(task()), settings },
        Event::SessionStarted {
            version: "0.1.0".to_owned(),
            host: "here".to_owned(),
            sandbox: "bwrap".to_owned(),
            cgroup: "cgroup-v2".to_owned(),
            slots: vec!["cpu0".to_owned()],
        },
        Event::SegmentOpened {
            segment: 0,
            fixed: Fixed { evaluator: digest, data: digest, environment: digest },
            reason: "opened".to_owned(),
        },
    ]
}

fn edit(no: u32) -> Edit {
    let of = |what: &str| *blake3::hash(format!("{what}{no}").as_bytes()).as_bytes();
    Edit {
        proposer: "tuner".to_owned(),
        operator: Operator::Improve,
        parents: vec![TrialNo(no.saturating_sub(1))],
        surface: Some("model".to_owned()),
        hypothesis: Hypothesis {
            text: format!(
                "`DEPTH` {no} instead of 4 in model.py: contexts longer than four bytes are seldom seen again"
            ),
            prediction: Some(Prediction {
                metric: "bpb".to_owned(),
                direction: Direction::Decrease,
                size: Some(0.01),
            }),
        },
        tree: TreeId(of("tree")[..20].try_into().expect("20 bytes")),
        commit: CommitId(of("commit")[..20].try_into().expect("20 bytes")),
        files: vec![FileChange {
            path: "model.py".to_owned(),
            added: 1,
            removed: 1,
            ..FileChange::default()
        }],
        thought: None,
        inspection: empiric_core::Inspection::default(),
        detail: serde_json::json!({"knob": "model.py:DEPTH", "value": no}),
    }
}

fn result(value: f64, failed: bool) -> Measured {
    let measurement = |metric: &str, value, split, provenance| Measurement {
        metric: metric.to_owned(),
        value,
        split,
        provenance,
    };
    Measured {
        measurements: vec![
            measurement("bpb", value, Split::Search, Provenance::Evaluator),
            measurement("bpb", value + 0.01, Split::Select, Provenance::Evaluator),
            measurement("train.wall_seconds", 1.234_567_89, Split::Search, Provenance::Harness),
            measurement("artifact_bytes", 15_321.0, Split::Search, Provenance::Harness),
        ],
        failure: failed.then(|| Failure::new(Phase::Train, Cause::Exception { status: 1 })),
        units: vec![UnitRecord {
            name: "train".to_owned(),
            ending: "exit 0".to_owned(),
            sandbox: "bwrap".to_owned(),
            wall_s: 1.234_567_89,
            cpu_s: 1.198_765_43,
            peak_memory_bytes: 53_129_216,
            log: None,
        }],
        cost: Cost { wall_s: 1.5, cpu_s: 1.3, ..Cost::default() },
        feedback: String::new(),
        items: if failed { Vec::new() } else { vec![0.5, 1.0] },
        testimony: Testimony {
            samples: BTreeMap::from([(Split::Search, 900)]),
            outputs: Some("6d".to_owned()),
            ..Testimony::default()
        },
    }
}

fn asked(no: u32) -> Event {
    let ask = Ask {
        operator: Operator::Improve,
        parents: vec![TrialNo(no.saturating_sub(1))],
        surface: None,
    };
    Event::Asked { trial: TrialNo(no), arm: "tuner".to_owned(), ask }
}

fn leased(no: u32, lease: u32, purpose: Purpose) -> (ReplicateId, Event) {
    let replicate =
        ReplicateId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(lease)));
    let event = Event::Leased {
        replicate,
        trial: TrialNo(no),
        purpose,
        index: lease,
        seed: purpose.seed(7, lease),
        slot: "cpu0".to_owned(),
    };
    (replicate, event)
}

fn valid(verdict: Verdict) -> Outcome {
    Outcome::Valid {
        verdict,
        reason: "0.0021 worse than the champion, 95 % interval 0.0011 to 0.0031".to_owned(),
        gain: Some(-0.002_1),
        gain_interval: Some([-0.003_1, -0.001_1]),
    }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::new(Phase::Train, Cause::Exception { status: 1 }).excerpt("Traceback"))
}

/// A study of `trials` trials that are asked, proposed, leased, measured once and discarded; every fifth one fails.
/// One append per group.
pub(super) fn plain(trials: u32) -> Vec<Vec<Event>> {
    let mut groups = vec![opening()];
    for no in 0..trials {
        let (replicate, lease) = leased(no, no, Purpose::Search);
        let fails = no % 5 == 4;
        let verdict = if no == 0 { Verdict::Baseline } else { Verdict::Discard };
        groups.push(vec![asked(no), Event::Proposed { trial: TrialNo(no), edit: edit(no) }, lease]);
        groups.push(vec![
            Event::Measured {
                replicate,
                trial: TrialNo(no),
                result: result(2.0 + f64::from(no) / 97.0, fails),
            },
            Event::Concluded {
                trial: TrialNo(no),
                outcome: if fails { failed() } else { valid(verdict) },
            },
        ]);
    }
    groups
}

/// A valid study of any shape: each step picks what happens next among what may happen.
pub(super) fn any(steps: &[(u8, u8, f64)]) -> Vec<Event> {
    let mut events = opening();
    let (mut trials, mut leases, mut segment) = (0, 0, 0);
    let mut open: Vec<u32> = Vec::new();
    let mut held: BTreeMap<u32, (ReplicateId, u32)> = BTreeMap::new();
    let mut doubted = std::collections::BTreeSet::new();
    let mut calls: BTreeMap<u32, u32> = BTreeMap::new();
    let mut ideas = 0;
    let mut measured: Vec<u32> = Vec::new();
    for &(step, which, value) in steps {
        let trial = open.get(which as usize % open.len().max(1)).copied();
        let lease = held.iter().nth(which as usize % held.len().max(1)).map(|(n, l)| (*n, *l));
        match (step % 13, trial, lease) {
            (0, ..) | (_, None, _) => {
                events.push(asked(trials));
                open.push(trials);
                trials += 1;
            }
            (1, Some(no), _) => {
                events.push(Event::Proposed { trial: TrialNo(no), edit: edit(no) });
            }
            (2..=4, Some(no), _) => {
                let purpose = match which % 5 {
                    0 => Purpose::Confirm { of: TrialNo(no) },
                    1 => Purpose::Report,
                    2 => Purpose::Audit { of: TrialNo(no) },
                    _ => Purpose::Search,
                };
                let (id, event) = leased(no, leases, purpose);
                held.insert(leases, (id, no));
                leases += 1;
                events.push(event);
            }
            (5..=7, _, Some((place, (replicate, no)))) => {
                held.remove(&place);
                let result = result(value, which % 5 == 0);
                events.push(Event::Measured { replicate, trial: TrialNo(no), result });
            }
            (8, _, Some((place, (replicate, no)))) => {
                held.remove(&place);
                let reason = "the session ended".to_owned();
                events.push(Event::Fenced { replicate, trial: TrialNo(no), reason });
            }
            (9, Some(no), _) => {
                open.retain(|other| *other != no);
                if which % 4 != 0 {
                    measured.push(no);
                }
                let outcome = match which % 4 {
                    0 => failed(),
                    1 => valid(Verdict::Keep),
                    2 => valid(Verdict::Inconclusive),
                    _ => valid(Verdict::Discard),
                };
                events.push(Event::Concluded { trial: TrialNo(no), outcome });
            }
            (11, Some(no), _) if which % 2 == 0 && doubted.insert(no) => {
                let why = "two seeds had one answer".to_owned();
                let concern = Concern { line: RedLine::Seed, severity: Severity::Quarantine, why };
                let quarantine = Quarantine { concerns: vec![concern], nonce: u64::MAX - 1 };
                events.push(Event::Quarantined { trial: TrialNo(no), quarantine });
            }
            (11, Some(no), _) if which % 4 == 1 => {
                let index = calls.entry(no).or_insert(0);
                let call = Call {
                    index: *index,
                    role: "model".to_owned(),
                    model: "test/one".to_owned(),
                    request: BlobId::of(&[which]),
                    answer: BlobId::of(&[which, 1]),
                    usage: Usage { input: u64::from(which), ..Usage::default() },
                    spend: Spend { calls: 2, tokens: 9, money: Money(u64::from(which)) },
                    attempts: 2,
                    fault: Some(CallFault::Overloaded),
                    wall_s: 0.5,
                };
                *index += 1;
                events.push(Event::Called { trial: TrialNo(no), call });
            }
            (11, ..) => {
                let sketch = Sketch {
                    text: format!("{value}"),
                    reach: Reach::Code,
                    surface: None,
                    priority: Level::High,
                    risk: Level::Low,
                };
                events.push(Event::IdeaAdded {
                    idea: IdeaNo(ideas),
                    arm: None,
                    by: "me".to_owned(),
                    sketch,
                });
                ideas += 1;
            }
            (12, ..) if !measured.is_empty() => {
                let trial = TrialNo(measured[which as usize % measured.len()]);
                let by = "me".to_owned();
                events.push(match which % 3 {
                    0 => Event::Unpinned { trial, by },
                    _ => Event::Pinned { trial, by },
                });
            }
            (10, ..) => {
                segment += 1;
                let digest = Digest::of(&[which]);
                events.push(Event::SegmentOpened {
                    segment,
                    fixed: Fixed { evaluator: digest, data: digest, environment: digest },
                    reason: "the evaluator was changed".to_owned(),
                });
            }
            _ => events
                .push(Event::Noted {
                    by: "me".to_owned(), text: format!("{value} ‖ \"✓\"\u{1}")
                }),
        }
    }
    events
}
