//! Events as a ledger holds them, and studies folded from them in any order.

use std::collections::BTreeMap;

use empiric_agents::digest::{Channels, LIMIT};
use empiric_core::{Event, Record, Study, TrialNo};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bounded;

/// Rows of a ledger, one per line, or a script that makes events which mostly fit one another.
pub(super) fn events(data: &[u8]) {
    let events: Vec<Event> = match data.split_first() {
        Some((b'{', _)) => data.split(|byte| *byte == b'\n').filter_map(decoded).collect(),
        Some((_, script)) => scripted(script),
        None => Vec::new(),
    };
    let at = |seq: usize| Timestamp::from_microsecond(1_700_000_000_000_000 + 1000 * seq as i64);
    let mut records = Vec::new();
    for (n, event) in events.into_iter().enumerate() {
        if let Ok(at) = at(n) {
            records.push(Record { seq: n as u64 + 1, at, event });
        }
    }
    folded(&records);
}

/// What the ledger reads in a row's body: refused in few words, or the same when it is written again.
fn decoded(body: &[u8]) -> Option<Event> {
    let event =
        serde_json::from_slice::<Event>(body).map_err(|error| bounded(&clipped(&error))).ok()?;
    let again = serde_json::to_string(&event).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(serde_json::from_str::<Event>(&again).ok().as_ref(), Some(&event), "{again}");
    Some(event)
}

/// The ledger's own words are around it; what the parser quotes of the row is bounded by the row.
fn clipped(error: &serde_json::Error) -> String {
    error.to_string().chars().take(500).collect()
}

/// Takes in what fits. What does not leaves the study as it was, and whatever it has become can be looked at.
fn folded(records: &[Record]) {
    let Some((first, rest)) = records.split_first() else { return };
    let Ok(mut study) = Study::open(first) else { return };
    let mut taken = vec![first.clone()];
    for record in rest {
        let next = Record { seq: study.seq() + 1, ..record.clone() };
        let before = study.clone();
        match study.apply(&next) {
            Ok(()) => taken.push(next),
            Err(error) => {
                bounded(&error);
                same(&before, &study);
            }
        }
        consistent(&study);
    }
    let again = Study::replay(&taken).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(format!("{again:?}"), format!("{study:?}"));
    looked_at(&study);
}

/// What is shown of both is the same; cheap enough for every event that is refused.
#[track_caller]
fn same(one: &Study, other: &Study) {
    assert_eq!(
        (one.seq(), one.state(), one.segment()),
        (other.seq(), other.state(), other.segment())
    );
    assert_eq!((one.budget(), one.fixed()), (other.budget(), other.fixed()));
    assert_eq!(one.trials(), other.trials());
    assert_eq!(one.open_trials(), other.open_trials());
    assert_eq!(one.leases(), other.leases());
    assert_eq!((one.keeps(), one.report()), (other.keeps(), other.report()));
    assert_eq!((one.counts(), one.notes()), (other.counts(), other.notes()));
    assert_eq!((one.spent_trials(), one.cost()), (other.spent_trials(), other.cost()));
}

fn consistent(study: &Study) {
    let trials = study.trials();
    for (n, trial) in trials.iter().enumerate() {
        assert_eq!(trial.no.0 as usize, n);
        assert_eq!(study.open_trials().contains(&trial.no), trial.outcome.is_none());
    }
    for (replicate, no) in study.leases() {
        let held = study.trial(*no).and_then(|t| t.replicates.iter().find(|r| r.id == *replicate));
        assert!(held.is_some_and(|held| held.result.is_none()), "lease {replicate} of nothing");
    }
    let running = trials.iter().flat_map(|t| &t.replicates).filter(|r| r.result.is_none()).count();
    assert_eq!(running, study.leases().len());
    let counts = study.counts();
    let failed: u32 = counts.failed.values().sum();
    let counted = counts.keep + counts.discard + counts.inconclusive + failed;
    let ended = trials.len() - study.open_trials().len();
    assert!(counted as usize <= ended && study.spent_trials() <= counted);
    assert_eq!(study.keeps().len(), counts.keep as usize);
    assert!(study.trial(study.champion()).is_some() || trials.is_empty());
    assert!(study.report().is_none_or(|champion| study.trial(champion).is_some()));
}

/// An arm sees the baseline and its own trials, and no more.
fn consistent_arm(study: &Study, arm: &str) {
    let seen = study.of_arm(arm);
    for trial in seen.trials() {
        assert!(trial.no == TrialNo::BASELINE || trial.arm == arm);
        assert!(seen.trial(trial.no).is_some());
    }
    let others = study.trials().iter().filter(|t| t.arm != arm && t.no != TrialNo::BASELINE);
    others.for_each(|other| {
        assert!(seen.trial(other.no).is_none_or(|_| other.no == seen.champion()))
    });
    assert!(seen.trial(seen.champion()).is_some() || study.trials().is_empty());
}

/// What people and programs are shown of a study, and what decides in it, survive any study.
fn looked_at(study: &Study) {
    let status = serde_json::to_string(&empiric_report::Status::of(study));
    status.unwrap_or_else(|error| panic!("{error}"));
    for trial in study.trials() {
        let row = serde_json::to_string(&empiric_report::TrialRow::from(trial.as_ref()));
        row.unwrap_or_else(|error| panic!("{error}"));
    }
    for arm in study.arms() {
        consistent_arm(study, arm);
    }
    for arm in study.arms() {
        let text = empiric_agents::digest::digest(study, arm, None, &Channels::all());
        assert!(text.len() <= LIMIT, "{}", text.len());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
    for no in study.open_trials() {
        std::hint::black_box(empiric_decide::next_step(study, *no));
    }
}

/// A script of small numbers.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    /// A number that is small, or as large as a finite one can be, or as small.
    fn number(&mut self) -> f64 {
        match self.byte() {
            255 => f64::MAX,
            254 => f64::MIN,
            253 => f64::MIN_POSITIVE,
            252 => -0.0,
            n => f64::from(n) / 16.0,
        }
    }
}

/// The events that a script asks for; at most a hundred.
fn scripted(script: &[u8]) -> Vec<Event> {
    let mut script = Script(script);
    let mut events = vec![opening()];
    let mut next = 0;
    while !script.0.is_empty() && events.len() < 100 {
        let value = step(&mut script, &mut next);
        events.push(serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}")));
    }
    events
}

fn opening() -> Event {
    let value = json!({
        "event": "study_opened", "study": uuid(0), "task": super::texts::quick(),
        "settings": {
            "seed": 0, "budget": empiric_core::Budget::default(), "arms": [empiric_core::study::Arm::of("tuner", "greedy"), empiric_core::study::Arm::of("null", "random")],
            "rules": empiric_core::study::Rules::default(),
        },
    });
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn uuid(n: u8) -> String {
    format!("00000000-0000-7000-8000-0000000000{n:02x}")
}

fn trial(script: &mut Script<'_>) -> Value {
    json!(TrialNo(u32::from(script.below(8))))
}

fn step(script: &mut Script<'_>, next: &mut u32) -> Value {
    let digest = |n: u8| format!("{n:02x}").repeat(32);
    match script.below(16) {
        0..=2 => {
            let no = if script.below(8) == 0 { script.byte().into() } else { *next };
            *next = no.saturating_add(1);
            let arm = ["tuner", "null", empiric_core::study::SUBMITTED][no as usize % 3];
            json!({"event": "asked", "trial": TrialNo(no), "arm": arm,
                   "ask": {"operator": "tune", "parents": [trial(script)], "surface": null}})
        }
        3..=5 => json!({"event": "proposed", "trial": trial(script), "edit": {
            "proposer": "tuner", "operator": "tune", "parents": [trial(script)], "surface": null,
            "hypothesis": {"text": "x", "prediction": null}, "tree": format!("{:02x}", script.below(8)).repeat(20),
            "commit": "00".repeat(20), "files": [],
        }}),
        6..=8 => {
            let purpose = match script.below(4) {
                0 => json!({"for": "confirm", "of": trial(script)}),
                1 => json!({"for": "report"}),
                _ => json!({"for": "search"}),
            };
            json!({"event": "leased", "replicate": uuid(script.below(16)), "trial": trial(script), "purpose": purpose,
                   "index": script.byte(), "seed": script.byte(), "slot": "cpu0"})
        }
        9..=10 => {
            let split = ["search", "select", "report"][usize::from(script.below(3))];
            let failure = (script.below(4) == 0).then(|| failure(script));
            json!({"event": "measured", "replicate": uuid(script.below(16)), "trial": trial(script), "result": {
                "measurements": [{"metric": "loss", "value": script.number(), "split": split, "provenance": "recipe"},
                                 {"metric": "accuracy", "value": script.number(), "split": split, "provenance": "recipe"}],
                "failure": failure, "units": [],
                "cost": empiric_core::Cost { cpu_s: script.number(), ..Default::default() },
            }})
        }
        11 => {
            json!({"event": "fenced", "replicate": uuid(script.below(16)), "trial": trial(script), "reason": "x"})
        }
        12..=13 => {
            let verdict =
                ["baseline", "keep", "discard", "inconclusive"].get(usize::from(script.below(6)));
            let outcome = match verdict {
                Some(verdict) => {
                    json!({"kind": "valid", "verdict": verdict, "reason": "x", "gain": script.number(),
                                        "gain_interval": [script.number(), script.number()]})
                }
                None => {
                    let mut failed = failure(script);
                    failed["kind"] = "failed".into();
                    failed
                }
            };
            json!({"event": "concluded", "trial": trial(script), "outcome": outcome})
        }
        14 => json!({"event": "segment_opened", "segment": script.below(4), "reason": "x",
                     "fixed": {"evaluator": digest(script.below(2)), "data": digest(0), "environment": digest(0)}}),
        _ => {
            let (by, text) = ("x", "y");
            let words: BTreeMap<u8, Value> = BTreeMap::from([
                (0, json!({"event": "report_opened", "champions": [trial(script)]})),
                (1, json!({"event": "noted", "by": by, "text": text})),
                (2, json!({"event": "paused", "by": by})),
                (3, json!({"event": "resumed", "by": by})),
                (4, json!({"event": "stopped", "by": by})),
                (5, json!({"event": "finished", "reason": text})),
                (6, json!({"event": "budget_set", "budget": {"trials": script.byte()}})),
                (
                    7,
                    json!({"event": "session_started", "version": "0", "host": "h", "sandbox": "none", "cgroup": "none",
                           "slots": ["cpu0"]}),
                ),
                (
                    8,
                    json!({"event": "quarantined", "trial": trial(script),
                           "quarantine": {"concerns": [], "nonce": script.byte()}}),
                ),
                (9, json!({"event": "pinned", "trial": trial(script), "by": by})),
                (10, json!({"event": "unpinned", "trial": trial(script), "by": by})),
                (11, json!({"event": "requeued", "trial": trial(script), "by": by})),
            ]);
            words[&script.below(12)].clone()
        }
    }
}

fn failure(script: &mut Script<'_>) -> Value {
    let cause = [
        json!({"name": "exception", "status": 1}),
        json!({"name": "gate_miss", "metric": "accuracy"}),
        json!({"name": "evaluator_crash"}),
        json!({"name": "cancelled"}),
    ][usize::from(script.below(4))]
    .clone();
    let blame = ["edit", "recipe", "gate", "infra"][usize::from(script.below(4))];
    json!({"blame": blame, "phase": "train", "cause": cause, "margin": script.number(), "retryable": false})
}
