//! Texts that are read from others.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use empiric_agents::{Edits, Files};
use empiric_core::{Bound, Gate, Globs, Split, Task, TreeId};
use empiric_evaluate::{Printed, contract};
use empiric_lineage::{Import, Rules, Store, check_path};
use fs_err as fs;
use tempfile::TempDir;

use super::bounded;

/// Uses of a scratch directory before it is made anew, so that it does not grow with the time that is spent.
const USES: u32 = 500;

/// The parts of an input between NUL bytes, as text.
fn parts<const N: usize>(data: &[u8]) -> [String; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0).map(String::from_utf8_lossy);
    std::array::from_fn(|_| parts.next().unwrap_or_default().replace('\0', "\u{fffd}"))
}

/// A directory with the files that a task names, in which `task.toml` is written anew each time.
pub(super) fn task_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let root = dir.path().join("task");
    for (file, text) in [
        ("recipe/train.py", "class Model:\n    x = 1\n"),
        ("recipe/model.py", "x = 1\n"),
        ("evaluate.py", ""),
        ("prepare.py", ""),
        ("data/hidden/x", "1\n"),
    ] {
        let path = root.join(file);
        let made = fs::create_dir_all(path.parent().unwrap_or(&root));
        made.and_then(|()| fs::write(&path, text)).unwrap_or_else(|error| panic!("{error}"));
    }
    (dir, root)
}

/// A task file. What is accepted can be stored and used by every crate that compiles a part of it; what is refused says
/// where in the file.
pub(super) fn task(data: &[u8]) {
    thread_local! { static DIR: (TempDir, PathBuf) = task_dir(); }
    DIR.with(|(dir, root)| {
        fs::write(root.join("task.toml"), data).unwrap_or_else(|error| panic!("{error}"));
        let host = empiric_tasks::Host {
            cache: dir.path().join("cache"),
            // Nothing is fetched: there is no git there.
            path: dir.path().join("bin").into(),
        };
        match empiric_tasks::load(root, &host) {
            Ok(loaded) => usable(&loaded.task),
            Err(problems) => {
                assert!(!problems.is_empty(), "refused without a reason");
                for problem in problems {
                    bounded(&problem);
                    bounded(&problem.label.clone().unwrap_or_default());
                    if let Some(span) = &problem.span {
                        assert!(problem.source.get(span.clone()).is_some(), "{span:?} is no place");
                        assert!(problem.position().is_some());
                    }
                }
            }
        }
    });
}

#[expect(clippy::expect_used, reason = "a target ends by its panic")]
fn usable(task: &Task) {
    let stored = serde_json::to_string(task).expect("a task can be stored");
    assert_eq!(&serde_json::from_str::<Task>(&stored).expect("and read back"), task);
    Rules::new(task).expect("its globs compile");
    Printed::new(task).expect("its pattern compiles");
    assert!(!task.stages.is_empty());
    let stages = task.stages.iter().map(|stage| &stage.command);
    for command in stages.chain(&task.evaluator).chain(&task.predictor) {
        assert!(!command.run.is_empty());
        assert!(command.limits.wall_s.is_finite() && command.limits.wall_s > 0.0);
    }
    for gate in &task.gates {
        assert!(matches!(gate.bound, Bound::Max(limit) | Bound::Min(limit) if limit.is_finite()));
    }
}

/// An evaluator's result. What is accepted is finite, within its bounds, and the same when written again.
pub(super) fn result(data: &[u8]) {
    let contract::Told { measurements, feedback, .. } = match contract::parse_result(data) {
        Ok(read) => read,
        Err(error) => return bounded(&error),
    };
    assert!(measurements.len() <= 1000 && feedback.0.len() <= 2048);
    assert_eq!(contract::Feedback::new(&feedback.0), feedback, "harmless already");
    let mut splits: BTreeMap<Split, BTreeMap<&str, f64>> = BTreeMap::new();
    for found in &measurements {
        assert!(found.value.is_finite() && (found.value != 0.0 || found.value.is_sign_positive()));
        assert!(!found.metric.is_empty() && found.metric.len() <= 200);
        let before = splits.entry(found.split).or_default().insert(&found.metric, found.value);
        assert_eq!(before, None, "{} twice", found.metric);
    }
    let of = |split| splits.get(&split).cloned().unwrap_or_default();
    let again = serde_json::json!({
        "metrics": of(Split::Search), "feedback": feedback.0,
        "splits": {"select": of(Split::Select), "report": of(Split::Report)},
    });
    let read =
        contract::parse_result(again.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let (mut twice, same) = (read.measurements, read.feedback);
    let mut once = measurements.clone();
    for list in [&mut once, &mut twice] {
        list.sort_by(|a, b| (a.split, &a.metric).cmp(&(b.split, &b.metric)));
    }
    assert_eq!((once, feedback), (twice, same));
}

/// A git store that is made anew now and then.
struct Scratch {
    store: Store,
    base: TreeId,
    uses: u32,
    _dir: TempDir,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::create_dir_all(dir.path().join("recipe/lib"))?;
        fs::write(dir.path().join("recipe/lib/util.py"), "x = 1\n")?;
        let store = Store::init(&dir.path().join("store.git"))?;
        let base = store.import(&dir.path().join("recipe"), &Import::default())?;
        Ok(Self { store, base, uses: 0, _dir: dir })
    }

    /// The base with this text as `model.py`.
    fn tree(&self, text: &str) -> TreeId {
        let files = [("model.py".to_owned(), Some(text.as_bytes().to_vec()))];
        self.store.apply(self.base, &files.into()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The difference of two trees of texts, applied to the first, gives the second.
    fn there_and_back(&self, a: TreeId, b: TreeId) {
        if a == b {
            return;
        }
        let diff = self.store.diff(a, b).unwrap_or_else(|error| panic!("{error}"));
        let back = self.store.apply_patch(a, diff.unified());
        let back = back.unwrap_or_else(|error| panic!("{error} in\n{}", diff.unified()));
        assert_eq!(back, b, "of\n{}", diff.unified());
    }
}

/// A patch: the text of a file before, the same after, and a patch of anybody's.
pub(super) fn patch(data: &[u8]) {
    thread_local! { static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) }; }
    let [before, after, patch] = parts(data);
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.as_ref().is_none_or(|scratch| scratch.uses >= USES) {
            *scratch = None;
            *scratch = Some(Scratch::new().unwrap_or_else(|error| panic!("{error}")));
        }
        let Some(scratch) = scratch else { return };
        scratch.uses += 1;
        let a = scratch.tree(&before);
        let b = scratch.tree(&after);
        scratch.there_and_back(a, b);
        match scratch.store.apply_patch(a, &patch) {
            Err(error) => bounded(&error),
            Ok(tree) => {
                let files = scratch.store.files(tree).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(files.keys().find(|path| check_path(path).is_err()), None);
                scratch.there_and_back(a, tree);
            }
        }
    });
}

/// Edits in blocks: the text of a file, anybody's edits of it, and what else the file could be.
pub(super) fn edits(data: &[u8]) {
    let [before, text, after] = parts(data);
    let files = Files::from([("model.py".to_owned(), Arc::from(before.as_str()))]);
    match Edits::parse(&text).and_then(|edits| Ok((edits.apply(&files)?, edits))) {
        Err(error) => bounded(&error),
        Ok((changed, edits)) => {
            assert!(changed.keys().all(|path| text.contains(path.as_str())), "a path from nowhere");
            // No more comes out than went in: the blocks' text, and line ends that the file asks for.
            let most = before.len() + 2 * text.len();
            assert!(changed.values().all(|text| text.len() <= most));
            assert_eq!(edits.apply(&files).as_ref(), Ok(&changed));
        }
    }
    let markers = ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"];
    let plain = |text: &str| {
        !text.contains('\r') && !text.lines().any(|line| markers.contains(&line.trim_end()))
    };
    if before.ends_with('\n')
        && (after.is_empty() || after.ends_with('\n'))
        && plain(&before)
        && plain(&after)
    {
        let text =
            format!("model.py\n{}\n{before}{}\n{after}{}\n", markers[0], markers[1], markers[2]);
        let changed = Edits::parse(&text).and_then(|edits| edits.apply(&files));
        assert_eq!(changed.map(|files| files["model.py"].clone()), Ok(after));
    }
}

/// What a program of the quick mode printed, with or without a pattern of the task's own.
pub(super) fn printed(data: &[u8]) {
    let [pattern, text] = parts(data);
    // What is read is of interest here, not how long a regular expression takes to compile.
    if pattern.len() > 60 {
        return;
    }
    let mut task = quick();
    task.pattern = (!pattern.is_empty()).then_some(pattern);
    let Ok(printed) = Printed::new(&task) else { return };
    let values = printed.read(&text);
    let names: BTreeSet<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), values.len(), "a name twice");
    assert!(names.iter().all(|name| name.len() <= 200));
    if task.pattern.is_none() {
        // What is printed last wins, whatever came before.
        let last = printed.read(&format!("{text}\nloss: -0.5\n"));
        assert!(last.contains(&("loss".to_owned(), -0.5)), "{last:?}");
    }
}

/// A task whose metric is what it prints.
pub(super) fn quick() -> Task {
    let words = serde_json::json!({
        "name": "quick", "summary": "",
        "recipe": {"root": ".", "edit": ["**"], "writable": false, "max_file_bytes": 1000},
        "surfaces": [], "environment": {"python": null, "requirements": null, "vars": {}}, "prepare": null,
        "data": [], "artifact_code": [], "predictor": null, "evaluator": null, "pattern": null,
        "stages": [{"name": "train", "run": ["x"], "limits": empiric_core::task::Limits::default()}],
        "metric": {"name": "loss", "goal": "minimize"}, "gates": [], "network": "none",
    });
    let mut task: Task = serde_json::from_value(words).unwrap_or_else(|error| panic!("{error}"));
    task.gates = vec![Gate { metric: "accuracy".to_owned(), bound: Bound::Min(0.5) }];
    task
}

/// Globs, and a path that they do or do not match.
pub(super) fn globs(data: &[u8]) {
    let [patterns, path] = parts(data);
    match Globs::new(patterns.lines()) {
        Err(error) => bounded(&error),
        Ok(globs) => {
            let taken = patterns.lines().chain(["!**"]);
            let none = Globs::new(taken).unwrap_or_else(|error| panic!("{error}"));
            assert!(!none.matches(&path) || path.is_empty(), "`!**` takes everything away");
            std::hint::black_box(globs.matches(&path));
        }
    }
    if !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        assert!(
            Globs::new([&path]).is_ok_and(|globs| globs.matches(&path)),
            "{path} is not itself"
        );
    }
}
