//! Benchmarks: built optimised, run with the program that people run.

use std::process::ExitCode;

use crate::{
    machine,
    tools::{build, command, must},
};

/// What Empiric costs per trial, and how busy its slots are.
pub(crate) fn engine(words: &[&str]) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let exe = build("empiric-cli", "empiric", true)?;
    let bench = build("empiric-bench", "empiric-bench", true)?;
    must(command(bench, ["engine", "--exe"]).arg(exe).args(words))?;
    Ok(ExitCode::SUCCESS)
}

/// What verdicts are worth, on simulated studies: error, power, price and bias. It fails when an aim is not met.
pub(crate) fn decide(words: &[&str]) -> anyhow::Result<ExitCode> {
    let run = ["run", "--release", "--package", "empiric-decide", "--example", "bench", "--"];
    must(command("cargo", run).args(words))?;
    Ok(ExitCode::SUCCESS)
}
