//! `cargo xtask fuzz`: each target of `fuzz/` for some minutes, from the seeds and from what earlier runs found.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};

use crate::tools::{command, must, root, say, works};

/// Minutes a target runs when nothing else is said.
const MINUTES: u64 = 10;
/// Longest input, bytes: room for a task file and for a page of events.
const LONGEST: u64 = 16_384;

pub(crate) fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    let (minutes, named) = match words {
        ["--minutes", minutes, named @ ..] => (minutes.parse().context("read --minutes")?, named),
        named => (MINUTES, named),
    };
    let targets = targets()?;
    if let Some(unknown) = named.iter().find(|name| !targets.iter().any(|known| known == *name)) {
        bail!("there is no fuzz target `{unknown}`; known are {}", targets.join(", "));
    }
    if !works("cargo", &["fuzz", "--version"]) {
        bail!("fuzzing needs `cargo install cargo-fuzz --locked`");
    }
    must(&mut cargo_fuzz(&["build"]))?;
    let mut failed = 0;
    for target in targets.iter().filter(|name| named.is_empty() || named.contains(&name.as_str())) {
        say(format!("\n== {target}: {minutes} minutes"));
        let (ok, last) = drive(target, 60 * minutes)?;
        failed += u32::from(!ok);
        say(format!(
            "== {target}: {}, {last}",
            if ok { "nothing found" } else { "FOUND something" }
        ));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The targets, by the names of their drivers.
fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// The targets are built with options of the compiler that only a nightly toolchain has; where there is none, the
/// toolchain of this repository is told to be one.
fn cargo_fuzz(words: &[&str]) -> Command {
    let nightly = works("cargo", &["+nightly", "--version"]);
    let toolchain = if nightly { &["+nightly"][..] } else { &[] };
    let mut cargo = command("cargo", toolchain.iter().chain(&["fuzz"]).chain(words));
    // What this program was built by is not what the targets are built by.
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    if !nightly {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    cargo
}

/// Runs one target; whether it found nothing, and the driver's last word: `Done 12345 runs in 601 second(s)`.
fn drive(target: &str, seconds: u64) -> anyhow::Result<(bool, String)> {
    let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    fs_err::create_dir_all(root().join(&corpus))?;
    let limits = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={LONGEST}"),
        "-timeout=20".to_owned(),
        "-rss_limit_mb=4096".to_owned(),
    ];
    let mut fuzz = cargo_fuzz(&["run", target, &corpus, &seeds, "--"]);
    let mut child = fuzz.args(limits).stderr(Stdio::piped()).spawn().context("start cargo fuzz")?;
    let mut last = String::new();
    for line in child.stderr.take().into_iter().flat_map(|err| BufReader::new(err).split(b'\n')) {
        let line = String::from_utf8_lossy(&line?).into_owned();
        // Each new input is a line of its own; thousands of them say nothing.
        if !line.contains("NEW ") && !line.contains("REDUCE ") {
            say(&line);
        }
        if line.starts_with("Done ") || line.starts_with("SUMMARY") {
            last = line;
        }
    }
    Ok((child.wait()?.success(), last))
}
