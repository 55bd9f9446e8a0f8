//! The main job, shown: from a fresh checkout to a confirmed gain.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    machine,
    tools::{build, command, must, root, say, works},
    web,
};

const TASK: &str = "tasks/golf";
/// Some sixty seconds on two idle cores.
const TRIALS: &str = "30";
/// Cap for slower machines. Trials under way and the closing comparison may go beyond it by some twenty seconds.
const WALL: &str = "60s";
/// Its second trial is kept, so that a machine at half its speed gets there within the cap as well.
const SEED: &str = "4";

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    machine::ready()?;
    if works("node", &["--version"])
        && works("npm", &["--version"])
        && let Err(error) = web::build_page()
    {
        say(format!("note: the page of `empiric serve` is left out: {error:#}"));
    }
    let exe = build("empiric-cli", "empiric", true)?;
    let study = fresh(&root().join("studies"));
    let shown = study.strip_prefix(root()).unwrap_or(&study).to_owned();
    let began = Instant::now();
    let flags = ["--slots", "2", "--trials", TRIALS, "--budget", WALL, "--seed", SEED];
    must(empiric(&exe, &["run", TASK, "--study"]).arg(&shown).args(flags))?;
    let took = began.elapsed().as_secs_f64();
    must(empiric(&exe, &["report"]).arg(&shown))?;
    confirmed(&exe, &shown)?;
    let (exe, shown) = (exe.strip_prefix(root()).unwrap_or(&exe).display(), shown.display());
    say(format!(
        "
The study took {took:.0} s and is in {shown}; open {shown}/report.html in a browser.
Next, with `empiric` for {exe}:
  empiric trials {shown}             what was tried, and what became of it
  empiric diff {shown} champion      what the improvement is
  empiric serve {shown}              look at it in a browser
  empiric verify {shown}             check every event, commit and decision
  empiric export {shown} --patch champion.patch
  empiric run {TASK} --study {shown} --trials 100      go on with this study
  empiric run . --edit 'src/**' --eval 'COMMAND' --metric loss:min    study your own code"
    ));
    Ok(ExitCode::SUCCESS)
}

fn empiric(exe: &Path, words: &[&str]) -> Command {
    command(exe, words)
}

/// A directory that holds no study yet.
fn fresh(studies: &Path) -> PathBuf {
    let named = |n: u32| studies.join(format!("demo-{n}"));
    let n = (1..).find(|n| !named(*n).exists()).unwrap_or_default();
    named(n)
}

/// Fails unless the study ended with a champion whose interval excludes zero.
fn confirmed(exe: &Path, study: &Path) -> anyhow::Result<()> {
    let output = empiric(exe, &["status", "--json"]).arg(study).output()?;
    let status: Value =
        serde_json::from_slice(&output.stdout).context("read what `empiric status` says")?;
    let lower = &status["champion"]["gain_interval"][0];
    if lower.as_f64().is_none_or(|lower| lower <= 0.0) {
        bail!("the study ended without a confirmed gain: {}", status["champion"]);
    }
    Ok(())
}
