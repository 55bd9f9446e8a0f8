//! Real units, run through a real helper, at every level this machine has.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says what broke by panicking, and what it skips"
)]

mod endings;
mod ends;
mod isolation;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use empiric_sandbox::{
    Access, Capabilities, Ending, Level, Policy, Report, Unit, View, Zygote, probe,
};

static FOUND: LazyLock<Capabilities> = LazyLock::new(probe);

/// The levels to test at; what is missing is said.
fn levels() -> Vec<Level> {
    let mut levels = vec![Level::None];
    match &FOUND.landlock {
        Ok(_) => levels.push(Level::Landlock),
        Err(why) => eprintln!("SKIPPED at landlock: {why}"),
    }
    match &FOUND.bwrap {
        Ok(()) => levels.push(Level::Bwrap),
        Err(why) => eprintln!("SKIPPED at bwrap: {why}"),
    }
    levels
}

/// The levels that hide and refuse things.
fn sandboxes() -> Vec<Level> {
    levels().into_iter().filter(|level| *level != Level::None).collect()
}

/// Helpers are forks of the example program beside this test: cargo builds it with the tests unless asked for `--test`
/// alone.
static ZYGOTE: LazyLock<Zygote> = LazyLock::new(|| Zygote::new(program()));

fn program() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("examples/unit")
}

/// A place for one unit: a working directory it may write, a secret beside it, and where its report goes.
struct Place {
    dir: tempfile::TempDir,
    level: Level,
}

impl Place {
    fn new(level: Level) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        std::fs::write(dir.path().join("secret"), "the answers").unwrap();
        Self { dir, level }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A unit that runs a bash script in the writable directory.
    fn script(&self, script: &str) -> Unit {
        let mut unit = self.argv(["bash", "-c", script]);
        unit.policy.limits.wall = Duration::from_secs(20);
        unit
    }

    fn argv<const N: usize>(&self, argv: [&str; N]) -> Unit {
        let work = View { host: self.path("work"), inside: "/unit".into(), access: Access::Write };
        let mut policy = Policy::new(argv, self.level.path(&work));
        policy.views = vec![work];
        Unit {
            policy,
            level: self.level,
            cgroup: FOUND.cgroup.clone(),
            record: self.path("unit.alive"),
        }
    }
}

fn run(unit: &Unit) -> Report {
    ZYGOTE.launch(unit, None).unwrap().run().unwrap()
}

/// Runs a script at every given level and checks its ending.
fn expect(levels: &[Level], script: &str, ending: &Ending) {
    for &level in levels {
        let report = run(&Place::new(level).script(script));
        assert_eq!(&report.ending, ending, "{script:?} at {level}: {report:#?}");
    }
}

/// Whether any process has `mark` in its command line. Tests look for words of their own making.
fn anyone(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    })
}

/// Waits for something that happens soon.
fn soon(what: &str, done: impl Fn() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
