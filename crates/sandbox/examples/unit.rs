//! The smallest program with a `__unit` verb, and what a unit costs: `unit LEVEL COUNT` runs `true` that often and
//! prints processor milliseconds per unit, beside those of bare bubblewrap with the same namespaces.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use empiric_sandbox::{Ending, Level, Policy, Unit, Zygote, probe, unit_main};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["__unit", ..] => unit_main(std::env::args_os().skip(2)),
        [level, count] => match (level, count.parse()) {
            ("bwrap", Ok(count)) => measure(Level::Bwrap, count),
            ("landlock", Ok(count)) => measure(Level::Landlock, count),
            ("none", Ok(count)) => measure(Level::None, count),
            _ => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}

fn measure(level: Level, count: u32) -> ExitCode {
    let Ok(exe) = std::env::current_exe() else { return ExitCode::FAILURE };
    let unit = Unit {
        policy: Policy::new(["/usr/bin/true"], "/"),
        level,
        cgroup: probe().cgroup,
        record: std::env::temp_dir().join(format!("unit-{}.alive", std::process::id())),
    };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
    let zygote = Zygote::new(exe).apart();
    let ours = per_run(count, move || {
        let report = zygote.launch(&unit, None).and_then(|launch| launch.run());
        assert!(matches!(&report, Ok(report) if report.ending == Ending::Exit(0)), "{report:?}");
    });
    let bare = per_run(count, || bare_bwrap(Path::new("/usr/bin/bwrap")));
    println!(
        "{level}: {:.2} ms CPU, {:.2} ms wall per unit; bare bwrap {:.2} and {:.2}",
        ours.0, ours.1, bare.0, bare.1
    );
    ExitCode::SUCCESS
}

fn bare_bwrap(program: &Path) {
    let binds = [
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--symlink",
        "usr/lib",
        "/lib",
    ];
    let options = [
        "--unshare-all",
        "--die-with-parent",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
    ];
    let mut command = Command::new(program);
    command.args(binds).args(options).arg("/usr/bin/true").stdin(Stdio::null());
    assert!(command.status().is_ok_and(|status| status.success()));
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
}

/// Processor and wall milliseconds per run, descendants included.
fn per_run(count: u32, run: impl Fn()) -> (f64, f64) {
    let cpu = || {
        let of = |who| {
            getrusage(who)
                .map_or(0, |used| (used.user_time() + used.system_time()).num_microseconds())
        };
        (of(UsageWho::RUSAGE_CHILDREN) + of(UsageWho::RUSAGE_SELF)) as f64 / 1000.0
    };
    let (before, start) = (cpu(), std::time::Instant::now());
    (0..count).for_each(|_| run());
    // Processes count once they have been waited for; a zygote is when it is dropped.
    drop(run);
    let each = f64::from(count);
    ((cpu() - before) / each, start.elapsed().as_secs_f64() * 1000.0 / each)
}
