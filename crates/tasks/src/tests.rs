//! Tests on files of real tasks in temporary directories.

mod build;
mod diagnostics;
mod units;

use std::{ops::ControlFlow, path::Path};

use tempfile::TempDir;

use crate::{Diagnostic, Host, Loaded, Step, load};

/// A task in a directory of its own.
pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) host: Host,
}

/// A task file without faults.
pub(super) const GOOD: &str = r#"schema = 1
name = "golf"
summary = "small"
[recipe]
edit = ["*.py"]
protect = ["fixed.py"]
[[surface]]
name = "model"
owns = ["train.py#Model"]
[[data]]
path = "data/public"
[[data]]
path = "data/hidden"
visible = "evaluator"
[[stage]]
name = "train"
run = ["python", "train.py"]
limits = { wall = "1m30s", memory = "1GiB" }
[evaluator]
run = ["python", "evaluate.py"]
[metric]
name = "bpb"
goal = "minimize"
[[gate]]
metric = "train.cpu_seconds"
max = 5
"#;

impl Fixture {
    /// The files that `GOOD` asks for, with `text` as the task file.
    pub(super) fn new(text: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let fixture = Self { host: Host { cache: dir.path().join("cache"), path }, dir };
        fixture.write("task.toml", text);
        fixture.write("recipe/train.py", "class Model: pass\n");
        fixture.write("recipe/fixed.py", "");
        fixture.write("recipe/lib/deep.py", "");
        fixture.write("evaluate.py", "");
        fixture.write("data/public/a", "public");
        fixture.write("data/hidden/a", "hidden");
        fixture
    }

    pub(super) fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("task")
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    pub(super) fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        load(&self.root(), &self.host)
    }

    pub(super) fn good(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// `line: message | help` of each problem.
pub(super) fn told(problems: &[Diagnostic]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| {
            let line = problem.position().map_or(0, |(line, _)| line);
            format!("{line}: {} | {}", problem.message, problem.help.as_deref().unwrap_or("-"))
        })
        .collect()
}

/// Goes on, whatever happens.
pub(super) fn on(_: Step<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Names in a directory, sorted.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs_err::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
