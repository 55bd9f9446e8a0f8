//! What Empiric writes for other programs, read back by those programs: DuckDB, Polars, TensorBoard, RO-Crate's own reader,
//! OpenTelemetry's messages and a real MLflow server, each from PyPI.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::{
    machine,
    tools::{build, command, must, root, say},
};

/// What is installed, once, in `target/interop`.
const PACKAGES: [&str; 6] =
    ["mlflow", "tensorboard", "duckdb", "polars", "rocrate", "opentelemetry-proto"];

/// Runs a study of `tasks/golf`, or takes the one in `study`, and exports it everywhere.
pub(crate) fn run(study: Option<&str>) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let dir = root().join("target/interop");
    let python = dir.join("venv/bin/python");
    if !python.exists() {
        say(
            "making an environment with mlflow, tensorboard, duckdb, polars, rocrate and opentelemetry-proto; this takes minutes",
        );
        must(command("python3", ["-m", "venv"]).arg(dir.join("venv")))?;
        must(command(&python, ["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    }
    let exe = build("empiric-cli", "empiric", false)?;
    let out = dir.join("out");
    if out.exists() {
        fs_err::remove_dir_all(&out)?;
    }
    fs_err::create_dir_all(&out)?;
    let study = match study {
        Some(study) => std::path::absolute(study)?,
        None => {
            let study = out.join("study");
            let flags = ["--slots", "2", "--trials", "12", "--seed", "2"];
            must(command(&exe, ["run", "tasks/golf", "--study"]).arg(&study).args(flags))?;
            study
        }
    };
    let status =
        command(&exe, ["status", "--json"]).arg(&study).stderr(Stdio::inherit()).output()?;
    if !status.status.success() {
        bail!("`empiric status` ended with {}", status.status);
    }
    fs_err::write(out.join("status.json"), status.stdout)?;
    let script = root().join("xtask/interop.py");
    must(&mut command(&python, [&script, &exe, &study, &out])).context("read the exports back")?;
    Ok(ExitCode::SUCCESS)
}
