//! What Empiric itself costs, measured on real studies of a task that does next to nothing.
//!
//! Prints counts and ratios, never a verdict: whoever reads them knows the machine. Built and run by
//! `cargo xtask bench`, which hands over the `empiric` program whose `__unit` verb is the sandbox helper.

mod instant;
mod meter;
mod specialists;
mod steady;
mod study;
mod task;
mod throughput;
mod utilisation;

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

const USAGE: &str =
    "usage: empiric-bench engine|specialists --exe EMPIRIC [--trials N] [--slots N] [--task DIR]";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Engine,
    Specialists,
}

/// What is asked on the command line.
struct Words {
    what: What,
    exe: PathBuf,
    task: Option<PathBuf>,
    trials: u32,
    slots: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let words = read(std::env::args_os().skip(1))?;
    let scratch = tempfile::tempdir().context("make a directory for the studies")?;
    let measured = match words.what {
        What::Engine => engine(&words, scratch.path()),
        What::Specialists => specialists::measure(&words, scratch.path()),
    };
    match measured {
        Err(error) if went_away(&error) => Ok(ExitCode::SUCCESS),
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

/// Whether whoever read the figures has read enough.
fn went_away(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn read(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<Words> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A unit waits for the kernel now and then; twice as many slots as cores keep the cores busy meanwhile.
    let (what, trials, slots) = match words.next().as_deref().and_then(|word| word.to_str()) {
        Some("engine") => (What::Engine, 5000, 2 * cores),
        Some("specialists") => (What::Specialists, 300, 8),
        Some(_) | None => bail!("{USAGE}"),
    };
    let mut read = Words { what, exe: PathBuf::new(), task: None, trials, slots };
    while let Some(name) = words.next() {
        let value = words.next().with_context(|| format!("a value is missing; {USAGE}"))?;
        let number =
            || value.to_str().and_then(|text| text.parse::<u32>().ok()).context("not a number");
        match name.to_str() {
            Some("--exe") => read.exe = value.into(),
            Some("--task") => read.task = Some(value.into()),
            Some("--trials") => read.trials = number()?.max(2),
            Some("--slots") => read.slots = number()?.max(1) as usize,
            _ => bail!("{} is unknown; {USAGE}", name.display()),
        }
    }
    if !read.exe.is_file() {
        bail!("--exe must name the empiric program; {USAGE}");
    }
    Ok(read)
}

fn engine(words: &Words, scratch: &Path) -> anyhow::Result<()> {
    let tuner = throughput::tuner(words, scratch)?;
    let models = throughput::models(words, scratch)?;
    say(format!(
        "  with models that answer at once {models:.1} trials/s, with the tuner {tuner:.1}: {:.1} % fewer",
        100.0 * (1.0 - models / tuner)
    ))?;
    for slots in [4, 8, 16] {
        utilisation::measure(words, scratch, slots)?;
    }
    say(utilisation::REFERENCE)
}

/// Prints one line.
fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}
