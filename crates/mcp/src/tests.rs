//! A client and a server in one process, over a study whose ledger is written by hand.

mod hygiene;
mod over_http;
mod proposals;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use empiric_core::{
    Ask, CommitId, Edit, Event, Failure, Hypothesis, Inspection, Measurement, Operator, Outcome,
    Phase, Provenance, Purpose, ReplicateId, Split, TreeId, TrialNo, Verdict, outcome::Cause,
    trial::Measured,
};
use empiric_engine::{Desk, Layout};
use empiric_ledger::{Inbox, Mail};
use empiric_lineage::Store;
use empiric_testkit::story::{self, Story};
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
        ReadResourceRequestParams, ResourceContents,
    },
    service::RunningService,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Measurer, Service};

/// The recipe of the study: one file that may be edited, one that may not.
const MODEL: &str = "depth = 4\nwidth = 8\n";

/// A study on disk, and the client's end of a connection to its server.
struct Room {
    dir: TempDir,
    client: RunningService<RoleClient, ClientConfig>,
    woken: Arc<Woken>,
}

/// Counts how often it is woken, and measures nothing.
struct Woken(Mutex<u32>, Mutex<Option<String>>);

impl Measurer for Woken {
    fn wake(&self) {
        *self.0.lock().unwrap() += 1;
    }

    fn trouble(&self) -> Option<String> {
        self.1.lock().unwrap().clone()
    }
}

/// A study of two trials in `dir`: the baseline, whose tree is real, and one that failed with `failed`.
fn study(dir: &Path, failed: Option<(Edit, Failure)>) -> Story {
    let store = Store::init(&Layout::new(dir).store()).unwrap();
    let files = BTreeMap::from([
        ("model.py".to_owned(), Some(MODEL.as_bytes().to_vec())),
        ("evaluate.sh".to_owned(), Some(b"exit 0\n".to_vec())),
    ]);
    let tree = store.apply(store.import(&empty(), &Default::default()).unwrap(), &files).unwrap();
    let mut story = Story::empty(story::task());
    propose(&mut story, TrialNo::BASELINE, edit("task", "the unedited recipe", tree));
    for index in 0..5 {
        measure(&mut story, index);
    }
    let outcome = Outcome::Valid {
        verdict: Verdict::Baseline,
        reason: "2.6 bits".to_owned(),
        gain: None,
        gain_interval: None,
    };
    story.push(Event::Concluded { trial: TrialNo::BASELINE, outcome });
    if let Some((edit, failure)) = failed {
        propose(&mut story, TrialNo(1), edit);
        story.push(Event::Concluded { trial: TrialNo(1), outcome: Outcome::Failed(failure) });
    }
    story
}

fn empty() -> std::path::PathBuf {
    let dir = tempfile::tempdir().unwrap().keep();
    std::fs::write(dir.join("evaluate.sh"), "exit 0\n").unwrap();
    dir
}

fn edit(by: &str, hypothesis: &str, tree: TreeId) -> Edit {
    Edit {
        proposer: by.to_owned(),
        operator: Operator::Improve,
        parents: Vec::new(),
        surface: None,
        hypothesis: Hypothesis { text: hypothesis.to_owned(), prediction: None },
        tree,
        commit: CommitId([0; 20]),
        files: Vec::new(),
        inspection: Inspection::default(),
        detail: Value::Null,
        thought: Default::default(),
    }
}

fn propose(story: &mut Story, trial: TrialNo, edit: Edit) {
    let ask = Ask { operator: Operator::Improve, parents: Vec::new(), surface: None };
    story.push(Event::Asked { trial, arm: "submitted".to_owned(), ask });
    story.push(Event::Proposed { trial, edit });
}

/// A replicate of the baseline, whose values of the three splits are told apart by their first digits.
fn measure(story: &mut Story, index: u32) {
    let replicate = ReplicateId(uuid::Uuid::from_u128(u128::from(index) + 1));
    let (trial, purpose) = (TrialNo::BASELINE, Purpose::Search);
    let seed = story.study.seed(trial, purpose, index);
    story.push(Event::Leased { replicate, trial, purpose, index, seed, slot: "cpu0".to_owned() });
    let on = |split, value| Measurement {
        metric: "bpb".to_owned(),
        value: value + f64::from(index) / 100.0,
        split,
        provenance: Provenance::Evaluator,
    };
    let measurements =
        vec![on(Split::Search, 2.5), on(Split::Select, 77.5), on(Split::Report, 88.5)];
    let result = Measured { measurements, ..Measured::default() };
    story.push(Event::Measured { replicate, trial, result });
}

/// Writes a study into `dir`, on a thread of its own: a ledger must not be waited for within a runtime.
fn write(dir: &Path, story: fn(&Path) -> Story) {
    std::thread::scope(|scope| {
        scope.spawn(|| story(dir).write(dir).unwrap());
    });
}

impl Room {
    async fn open(story: fn(&Path) -> Story, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), story);
        let desk = Desk::new(Layout::new(dir.path()), Arc::new(jiff::Timestamp::now));
        let woken = Arc::new(Woken(Mutex::new(0), Mutex::new(Some("it is a test".to_owned()))));
        let service = Service::new(desk, Some(Arc::clone(&woken) as Arc<dyn Measurer>), None);
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (server, client) = tokio::join!(
            service.serve(theirs),
            ClientConfig::new(ClientCapabilities::default(), Implementation::new(name, "1"))
                .serve(ours),
        );
        #[expect(clippy::disallowed_methods, reason = "it ends with its client")]
        tokio::spawn(server.unwrap().waiting());
        Self { dir, client: client.unwrap(), woken }
    }

    /// A study of a baseline alone.
    async fn plain() -> Self {
        Self::open(|dir| study(dir, None), "a coding agent").await
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        self.client.call_tool(request).await.unwrap()
    }

    /// The structured answer.
    async fn told(&self, tool: &'static str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
        result.structured_content.unwrap()
    }

    /// The words of a refusal.
    async fn refused(&self, tool: &'static str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result.is_error, Some(true), "{tool}: {result:?}");
        words(&result)
    }

    async fn resource(&self, uri: &str) -> String {
        let read = self.client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
        read.contents
            .iter()
            .map(|part| match part {
                ResourceContents::TextResourceContents { text, .. } => text.clone(),
                other @ (ResourceContents::BlobResourceContents { .. } | _) => panic!("{other:?}"),
            })
            .collect()
    }

    fn mail(&self) -> Mail {
        Inbox::of(self.dir.path()).waiting().unwrap()
    }
}

/// The text of an answer.
fn words(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.clone()).collect()
}

#[tokio::test]
async fn every_tool_and_every_parameter_is_explained() {
    let room = Room::plain().await;
    let tools = room.client.list_all_tools().await.unwrap();
    for tool in &tools {
        assert!(tool.description.as_ref().is_some_and(|about| about.len() > 40), "{}", tool.name);
        let properties = tool.input_schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            assert!(schema["description"].is_string(), "{} of {}: {schema}", name, tool.name);
        }
        assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
    }
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names[..2], ["get_task", "get_lineage"]);
    let error = room.refused("no_such_tool", json!({})).await;
    assert!(names.iter().all(|name| error.contains(name)), "{error}");
    let error = room.refused("get_trial", json!({"trail": "t0"})).await;
    assert!(error.contains("`trial`"), "{error}");
    let info = room.client.peer_info().unwrap();
    assert!(info.instructions.as_ref().is_some_and(|text| text.contains("propose_trial")));
}

#[tokio::test]
async fn a_study_is_told_by_tools_and_by_resources() {
    let room = Room::open(
        |dir| {
            let failure = Failure::new(Phase::Score, Cause::ArtifactTooLarge).margin(-250.0);
            study(dir, Some((edit("a person", "keep wider counts", TreeId([7; 20])), failure)))
        },
        "agent",
    )
    .await;
    let task = room.told("get_task", json!({})).await;
    assert_eq!(task["metric"]["goal"], "minimize");
    assert_eq!(task["editable"], json!(["*.py"]));
    assert_eq!(task["baseline"]["replicates"], 5);
    let trial = room.told("get_trial", json!({"trial": "t1"})).await;
    assert_eq!(trial["outcome"]["failed"], "artifact_too_large");
    assert_eq!(trial["outcome"]["margin"], -250.0);
    assert_eq!(trial["by"], "a person");
    let listed = room.told("list_trials", json!({"outcome": "failed"})).await;
    assert_eq!(listed["trials"].as_array().unwrap().len(), 1);
    let page = room.told("list_trials", json!({"limit": 1})).await;
    assert_eq!(page["trials"][0]["trial"], "t1", "the newest first");
    let rest = room.told("list_trials", json!({"limit": 1, "cursor": page["next"]})).await;
    assert_eq!(rest["trials"][0]["trial"], "t0");
    let lineage = room.told("get_lineage", json!({})).await;
    let digest = lineage["arms"].as_array().unwrap().iter().find(|one| one["arm"] == "submitted");
    let digest = digest.unwrap()["digest"].as_str().unwrap();
    assert!(digest.contains("t1 artifact_too_large") && digest.contains("«keep wider"), "{digest}");
    let error = room.refused("get_lineage", json!({"arm": "nobody"})).await;
    assert!(error.contains("submitted"), "{error}");
    let failures = room.told("failures", json!({})).await;
    assert_eq!(failures["failures"][0]["trials"], 1);

    assert_eq!(words(&room.call("read_file", json!({"path": "model.py"})).await), MODEL);
    let part = json!({"trial": "t0", "path": "model.py", "from_line": 2, "lines": 1});
    assert_eq!(words(&room.call("read_file", part).await), "width = 8\n");
    let files = room.told("read_file", json!({"trial": "baseline"})).await;
    assert_eq!(
        files["files"][0],
        json!({"path": "evaluate.sh", "editable": false, "bytes": 7, "lines": 1})
    );
    let error = room.refused("read_file", json!({"path": "../../etc/passwd"})).await;
    assert!(error.contains("has no file"), "{error}");

    for (uri, part) in [
        ("empiric://task", "minimize"),
        ("empiric://lineage", "artifact_too_large"),
        ("empiric://ideas", "in_all"),
        ("empiric://trials", "keep wider counts"),
        ("empiric://failures", "artifact_too_large"),
        ("empiric://notes", "in_all"),
        ("empiric://trial/t1", "keep wider counts"),
        ("empiric://trial/t0/files/model.py", "width = 8"),
    ] {
        let text = room.resource(uri).await;
        assert!(text.contains(part), "{uri}: {text}");
    }
    for uri in
        ["empiric://trial/t9", "empiric://elsewhere", "file:///etc/passwd", "empiric://trial/t0/x"]
    {
        let read = room.client.read_resource(ReadResourceRequestParams::new(uri)).await;
        assert!(read.is_err(), "{uri}: {read:?}");
    }
}
