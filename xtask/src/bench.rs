//! Benchmarks: built optimised, run with the program that people run.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    machine,
    tools::{build, command, must, root, say, works},
    web,
};

/// What Empiric costs per trial, and how busy its slots are.
pub(crate) fn engine(words: &[&str]) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let exe = build("empiric-cli", "empiric", true)?;
    let bench = build("empiric-bench", "empiric-bench", true)?;
    must(command(bench, ["engine", "--exe"]).arg(exe).args(words))?;
    Ok(ExitCode::SUCCESS)
}

/// Ten specialists through a study of `tasks/golf`. It fails when a request is not in the ledger, an edit lies outside its
/// role's surface, or the study does not replay.
pub(crate) fn specialists(words: &[&str]) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let exe = build("empiric-cli", "empiric", true)?;
    let bench = build("empiric-bench", "empiric-bench", true)?;
    let golf = root().join("tasks/golf");
    must(command(bench, ["specialists", "--exe"]).arg(exe).arg("--task").arg(golf).args(words))?;
    Ok(ExitCode::SUCCESS)
}

/// The tuner and the policies against Optuna's samplers, where the truth is known; with `--tasks`, the tuner on the bundled
/// tasks too, which may be cut short and gone on with.
pub(crate) fn search(words: &[&str]) -> anyhow::Result<ExitCode> {
    let arena = build("empiric-arena", "empiric-arena", true)?;
    let real = words.contains(&"--tasks");
    let mut bench = command(&arena, words.iter().filter(|word| **word != "--tasks"));
    if real {
        machine::ready()?;
        let exe = build("empiric-cli", "empiric", true)?;
        let journal = exe.with_file_name("search-tasks.jsonl");
        bench.arg("--tasks").arg(root().join("tasks")).arg("--exe").arg(exe);
        bench.arg("--journal").arg(journal);
    }
    match optuna(&arena) {
        Some(python) => {
            bench.arg("--python").arg(python);
        }
        None => say(
            "note: Optuna cannot be had here (python3 with venv, and a package index, are needed)",
        ),
    }
    must(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}

/// An interpreter that has Optuna, in a virtual environment beside the built programs; made when there is none.
fn optuna(arena: &std::path::Path) -> Option<PathBuf> {
    let home = arena.parent()?.parent()?.join("optuna");
    let python = home.join("bin/python");
    let has = |python: &std::path::Path| {
        works(python.to_str().unwrap_or(""), &["-c", "import optuna, cmaes"])
    };
    if !has(&python) {
        say("making a virtual environment with Optuna");
        must(command("python3", ["-m", "venv"]).arg(&home)).ok()?;
        must(&mut command(&python, ["-m", "pip", "install", "--quiet", "optuna", "cmaes"])).ok()?;
    }
    has(&python).then_some(python)
}

/// What verdicts are worth, on simulated studies: error, power, price and bias. It fails when an aim is not met.
pub(crate) fn decide(words: &[&str]) -> anyhow::Result<ExitCode> {
    let run = ["run", "--release", "--package", "empiric-decide", "--example", "bench", "--"];
    must(command("cargo", run).args(words))?;
    Ok(ExitCode::SUCCESS)
}

/// What looking at a large study costs: every endpoint of the server, its memory, and when a browser shows something. It
/// fails when an aim is not met.
pub(crate) fn serve(words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut paint: Vec<std::ffi::OsString> = Vec::new();
    match web::build_page() {
        Ok(()) => {
            let script = root().join("web/tests/paint.mjs");
            paint.extend(["--paint".into(), script.into_os_string()]);
        }
        Err(error) => say(format!("note: no page to look at in a browser: {error:#}")),
    }
    let run = ["run", "--release", "--package", "empiric-serve", "--example", "serve-bench", "--"];
    must(command("cargo", run).args(words).args(paint))?;
    Ok(ExitCode::SUCCESS)
}

/// What the digest that proposers read costs and how large it is, by the size of the study.
pub(crate) fn digest() -> anyhow::Result<ExitCode> {
    must(&mut command(
        "cargo",
        ["run", "--release", "--package", "empiric-agents", "--example", "digest"],
    ))?;
    Ok(ExitCode::SUCCESS)
}
