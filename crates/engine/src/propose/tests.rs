//! What proposers are handed of a real store.

use empiric_core::{Event, Operator, Record, study::Settings};
use serde_json::json;

use super::*;

const BASE: &str = "rate = 1\nwidth = 8\n";

/// A store with a baseline and two trials of it, and the study that says so.
struct Bench {
    _dir: tempfile::TempDir,
    trees: Trees,
}

impl Bench {
    fn new(texts: [&str; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recipe = dir.path().join("recipe");
        fs_err::create_dir(&recipe).unwrap();
        fs_err::write(recipe.join("train.py"), BASE).unwrap();
        let store = Store::init(&dir.path().join("store.git")).unwrap();
        let base = store.import(&recipe, &empiric_lineage::Import::default()).unwrap();
        let task = json!({
            "name": "bench", "summary": "",
            "recipe": {"root": "recipe", "edit": ["*.py"], "writable": false, "max_file_bytes": 1000},
            "surfaces": [], "environment": {"python": null, "requirements": null, "vars": {}}, "prepare": null,
            "data": [], "artifact_code": [], "predictor": null, "evaluator": null, "pattern": null,
            "stages": [{"name": "train", "run": ["x"], "limits": empiric_core::task::Limits::default()}],
            "metric": {"name": "loss", "goal": "minimize"}, "gates": [], "network": "none",
        });
        let task: empiric_core::Task = serde_json::from_value(task).unwrap();
        let rules = Arc::new(Rules::new(&task).unwrap());
        let settings = Settings {
            seed: 0,
            budget: empiric_core::Budget::default(),
            arms: vec![empiric_core::study::Arm::of("tuner", "greedy")],
            rules: empiric_core::study::Rules::default(),
        };
        let study = empiric_core::StudyId(uuid::Uuid::nil());
        let mut events = vec![Event::StudyOpened { study, task: Arc::new(task), settings }];
        let mut first: Option<CommitId> = None;
        for (n, text) in [BASE].into_iter().chain(texts).enumerate() {
            let trial = TrialNo(n as u32);
            let files = BTreeMap::from([("train.py".to_owned(), Some(text.as_bytes().to_vec()))]);
            let tree = store.apply(base, &files).unwrap();
            let parents: Vec<CommitId> = first.into_iter().collect();
            let at = Timestamp::UNIX_EPOCH;
            let spec = CommitSpec { tree, parents: &parents, message: "x\n", at, trial };
            let commit = store.commit(&spec).unwrap();
            first = first.or(Some(commit));
            let parents = if n == 0 { Vec::new() } else { vec![TrialNo::BASELINE] };
            let ask = Ask { operator: Operator::Tune, parents: parents.clone(), surface: None };
            events.push(Event::Asked { trial, arm: "tuner".to_owned(), ask });
            events.push(Event::Proposed {
                trial,
                edit: Edit {
                    proposer: "tuner".to_owned(),
                    operator: Operator::Tune,
                    parents,
                    surface: None,
                    hypothesis: Hypothesis { text: "x".to_owned(), prediction: None },
                    tree,
                    commit,
                    files: Vec::new(),
                    thought: None,
                    inspection: empiric_core::Inspection::default(),
                    detail: serde_json::Value::Null,
                },
            });
        }
        let records: Vec<Record> = events
            .into_iter()
            .enumerate()
            .map(|(n, event)| Record { seq: n as u64 + 1, at: Timestamp::UNIX_EPOCH, event })
            .collect();
        let study = Study::replay(&records).unwrap();
        Self { _dir: dir, trees: Trees { store: Arc::new(store), rules, study } }
    }
}

#[test]
fn parents_that_change_the_same_lines_conflict() {
    let bench = Bench::new(["rate = 2\nwidth = 8\n", "rate = 3\nwidth = 8\n"]);
    let error = bench.trees.merge(TrialNo(1), TrialNo(2)).unwrap_err();
    let failure = Failure::from(error);
    assert_eq!((failure.phase, &failure.cause), (Phase::Propose, &Cause::MergeConflict));
    assert!(failure.excerpt.contains("train.py"), "{}", failure.excerpt);
}

#[test]
fn a_change_on_one_side_alone_merges() {
    let bench = Bench::new(["rate = 2\nwidth = 8\n", BASE]);
    let files = bench.trees.merge(TrialNo(1), TrialNo(2)).unwrap();
    assert_eq!(&*files["train.py"], "rate = 2\nwidth = 8\n");
}
