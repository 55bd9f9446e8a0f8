//! Replicates against a scripted runner: what each way of ending is classified as.

use std::{collections::VecDeque, fs::Permissions, os::unix::fs::PermissionsExt as _, sync::Mutex};

use empiric_core::{
    Goal, Metric,
    task::{Command, Environment, Limits, Network, Recipe, Stage},
};
use empiric_sandbox::{Captured, Ending};

use super::*;

pub(crate) fn task() -> Task {
    let command =
        |program: &str| Command { run: vec![program.to_owned()], limits: Limits::default() };
    Task {
        name: "tiny".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: vec!["*".to_owned()],
            writable: false,
            max_file_bytes: 1 << 20,
            max_data_bytes: None,
        },
        surfaces: Vec::new(),
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: vec![Stage { name: "train".to_owned(), command: command("train") }],
        predictor: None,
        evaluator: Some(command("evaluate")),
        metric: Metric { name: "loss".to_owned(), goal: Goal::Minimize, unit: String::new() },
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

/// Plays back endings; writes a result when the evaluator runs.
struct Script {
    endings: Mutex<VecDeque<(Ending, &'static str)>>,
    result: &'static str,
}

impl Script {
    fn play(&self, unit: &UnitSpec) -> Report {
        let (ending, printed) =
            self.endings.lock().unwrap().pop_front().expect("an ending for each unit");
        if unit.name == "evaluator" && !self.result.is_empty() {
            fs::write(unit.policy.env[contract::RESULT].clone(), self.result).unwrap();
        }
        let stdout = Captured {
            head: printed.to_owned(),
            total_bytes: printed.len() as u64,
            ..Captured::default()
        };
        let report = serde_json::json!({
            "ending": ending, "level": "none", "accounting": "watchdog", "stdout": stdout,
            "stderr": Captured::default(),
            "usage": {"wall_seconds": 1.0, "cpu_seconds": 0.5, "peak_memory_bytes": 7, "peak_rss_bytes": 7,
                      "disk_bytes": 0, "refused_forks": 0},
            "identity": {"helper": {"pid": 1, "start": 1}, "program": null, "leaves": []},
        });
        serde_json::from_value(report).unwrap()
    }
}

impl Runner for Script {
    fn level(&self) -> Level {
        Level::None
    }

    async fn run(&self, unit: UnitSpec) -> Result<Report, Lost> {
        Ok(self.play(&unit))
    }

    async fn run_joined(
        &self,
        first: UnitSpec,
        second: UnitSpec,
    ) -> Result<(Report, Report), Lost> {
        Ok((self.play(&first), self.play(&second)))
    }

    async fn keep_log(&self, _: String) -> Option<String> {
        None
    }
}

fn run(task: Task, endings: &[(Ending, &'static str)], result: &'static str) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let dirs = SlotDirs::new("s0", dir.path(), Vec::new());
    fs::create_dir_all(&dirs.recipe).unwrap();
    let installation = Installation {
        task: std::sync::Arc::new(task),
        root: dir.path().to_owned(),
        path: Vec::new(),
        read: Vec::new(),
        vars: std::collections::BTreeMap::new(),
        bare: None,
        data: Vec::new(),
        data_dir: dir.path().to_owned(),
        splits: None,
    };
    let script = Script { endings: Mutex::new(endings.to_vec().into()), result };
    let future = measure(&script, &installation, &dirs, Seed(1));
    // Nothing in the script ever waits.
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(measured) => measured,
        std::task::Poll::Pending => panic!("the script never waits"),
    }
}

fn failure(measured: &Measured) -> (Phase, &Cause, empiric_core::Blame) {
    let failure = measured.failure.as_ref().expect("a failure");
    (failure.phase, &failure.cause, failure.blame)
}

const OK: (Ending, &str) = (Ending::Exit(0), "");

#[test]
fn a_good_run_yields_harness_and_evaluator_metrics() {
    let measured = run(task(), &[OK, OK], r#"{"metrics": {"loss": 2, "train.cpu_seconds": 0}}"#);
    assert_eq!(measured.failure, None);
    let values: Vec<_> =
        measured.measurements.iter().map(|m| (m.metric.as_str(), m.value, m.provenance)).collect();
    assert_eq!(
        values,
        [
            ("train.wall_seconds", 1.0, Provenance::Harness),
            ("train.cpu_seconds", 0.5, Provenance::Harness),
            ("train.peak_memory_bytes", 7.0, Provenance::Harness),
            ("artifact_bytes", 0.0, Provenance::Harness),
            ("loss", 2.0, Provenance::Evaluator),
        ],
        "an evaluator cannot overwrite what the harness measures"
    );
    assert_eq!(measured.cost.cpu_s, 1.0);
}

#[test]
fn how_a_recipe_ends_decides_the_cause() {
    use empiric_core::Blame::{Budget, Infra, Recipe};
    let cases = [
        (Ending::Exit(1), Cause::Exception { status: 1 }, Recipe),
        (Ending::Signal(11), Cause::Signal { signal: 11 }, Recipe),
        (Ending::OutOfMemory, Cause::OutOfMemory, Budget),
        (Ending::WallLimit, Cause::WallLimit, Budget),
        (Ending::CpuLimit, Cause::CpuLimit, Budget),
        (Ending::OutputFlood, Cause::OutputFlood, Budget),
        (Ending::DiskLimit, Cause::DiskLimit, Budget),
        (Ending::ProcessLimit, Cause::ProcessLimit, Budget),
        (Ending::Denied("ptrace".to_owned()), Cause::Denied, Recipe),
        (Ending::NotExecutable("no sh".to_owned()), Cause::Exception { status: 127 }, Recipe),
        (Ending::Lost("bwrap".to_owned()), Cause::SandboxFailed, Infra),
        (Ending::Cancelled, Cause::Cancelled, Infra),
    ];
    for (ending, cause, blame) in cases {
        // Whatever it printed, how it ended comes first.
        let said = "MemoryError: out of memory\nKilled\nTimeoutExpired\nAssertionError\nnan\n";
        let measured = run(task(), &[(ending.clone(), said)], "");
        assert_eq!(failure(&measured), (Phase::Train, &cause, blame), "{ending:?}");
    }
}

#[test]
fn the_evaluator_answers_for_itself_and_only_for_itself() {
    use empiric_core::Blame::{Evaluator, Recipe};
    let cases = [
        (Ending::Exit(1), Cause::EvaluatorCrash, Evaluator),
        (Ending::Exit(3), Cause::BadArtifact, Recipe),
        (Ending::WallLimit, Cause::EvaluatorLimit, Evaluator),
        (Ending::Exit(0), Cause::MalformedResult, Evaluator),
    ];
    for (ending, cause, blame) in cases {
        let measured = run(task(), &[OK, (ending.clone(), "")], "");
        assert_eq!(failure(&measured), (Phase::Score, &cause, blame), "{ending:?}");
    }
    let absent = run(task(), &[OK, (Ending::NotExecutable("no sh here".to_owned()), "")], "");
    assert_eq!(failure(&absent).1, &Cause::EvaluatorCrash);
    assert_eq!(absent.failure.unwrap().excerpt, "no sh here");
    let slow = run(task(), &[OK, (Ending::WallLimit, "half way")], "");
    assert_eq!(slow.failure.unwrap().excerpt, "wall limit\nhalf way");
    let nan = run(task(), &[OK, OK], r#"{"metrics": {"loss": NaN}}"#);
    assert_eq!(
        failure(&nan),
        (Phase::Score, &Cause::NonFiniteMetric { metric: "loss".to_owned() }, Recipe)
    );
    let missing = run(task(), &[OK, OK], r#"{"metrics": {"other": 1}}"#);
    assert_eq!(
        failure(&missing),
        (Phase::Score, &Cause::MetricMissing { metric: "loss".to_owned() }, Evaluator)
    );
}

#[test]
fn a_predictor_that_dies_is_the_cause_of_what_the_evaluator_makes_of_it() {
    let mut with_predictor = task();
    with_predictor.predictor = with_predictor.evaluator.clone();
    let measured =
        run(with_predictor.clone(), &[OK, (Ending::Exit(3), ""), (Ending::OutOfMemory, "")], "");
    assert_eq!(failure(&measured).1, &Cause::OutOfMemory);
    let measured = run(with_predictor, &[OK, (Ending::Exit(1), ""), (Ending::Signal(13), "")], "");
    assert_eq!(
        failure(&measured).1,
        &Cause::EvaluatorCrash,
        "a broken pipe is not the predictor's fault"
    );

    let mut with_predictor = task();
    with_predictor.predictor = with_predictor.evaluator.clone();
    for (ending, said, cause) in [
        (Ending::Exit(1), "ValueError: shapes differ", Cause::Exception { status: 1 }),
        (Ending::Exit(1), "BrokenPipeError: [Errno 32] Broken pipe", Cause::BadArtifact),
        (Ending::Signal(13), "", Cause::BadArtifact),
    ] {
        let measured =
            run(with_predictor.clone(), &[OK, (Ending::Exit(3), ""), (ending, said)], "");
        assert_eq!(failure(&measured).1, &cause, "{said}");
    }
}

#[test]
fn without_an_evaluator_the_printed_metric_is_self_reported() {
    let mut quick = task();
    quick.evaluator = None;
    let measured = run(quick.clone(), &[(Ending::Exit(0), "epoch 9 loss: 0.25")], "");
    let found = measured.measurements.iter().find(|m| m.metric == "loss").unwrap();
    assert_eq!((found.value, found.provenance), (0.25, Provenance::Recipe));
    let nan = run(quick.clone(), &[(Ending::Exit(0), "loss: nan")], "");
    assert_eq!(failure(&nan).1, &Cause::NonFiniteMetric { metric: "loss".to_owned() });
    let silent = run(quick, &[OK], "");
    assert_eq!(
        failure(&silent),
        (
            Phase::Train,
            &Cause::MetricMissing { metric: "loss".to_owned() },
            empiric_core::Blame::Recipe
        )
    );
}

#[test]
fn what_a_recipe_made_of_its_output_directory_is_gone() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let locked = out.join("deep/er");
    fs::create_dir_all(&locked).unwrap();
    fs::write(locked.join("note"), "for whoever comes next").unwrap();
    // Long names make a directory take room that it keeps when they are gone.
    for number in 0..100 {
        fs::write(out.join(format!("{number:0200}")), "").unwrap();
    }
    for path in [&locked, &out.join("deep"), &out] {
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    }
    fresh(&out).unwrap();

    let new = dir.path().join("new");
    fs::create_dir(&new).unwrap();
    let told = |path| fs::metadata(path).map(|found| (found.mode(), found.size())).unwrap();
    assert_eq!(told(&out), told(&new));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn a_directory_is_emptied_in_place_and_never_through_a_link() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let (result, elsewhere) = (dir.path().join("result"), dir.path().join("elsewhere"));
    emptied(&result).unwrap();
    fs::create_dir(result.join("sub")).unwrap();
    fs::write(result.join("sub/file"), "").unwrap();
    fs::write(result.join(RESULT_FILE), "{}").unwrap();
    let before = fs::metadata(&result).unwrap().ino();
    emptied(&result).unwrap();
    assert_eq!(fs::read_dir(&result).unwrap().count(), 0);
    assert_eq!(fs::metadata(&result).unwrap().ino(), before);

    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "").unwrap();
    fs::remove_dir(&result).unwrap();
    symlink(&elsewhere, &result).unwrap();
    emptied(&result).unwrap();
    assert!(fs::symlink_metadata(&result).unwrap().is_dir());
    assert!(elsewhere.join("precious").exists());
}
