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
