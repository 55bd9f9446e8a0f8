//! `cargo xtask`: what people and CI do with this repository, in one place that needs nothing but Rust.

mod bench;
mod book;
mod cheats;
mod check;
mod demo;
mod faults;
mod fuzz;
mod interop;
mod machine;
mod tools;
#[cfg(test)]
mod walls;
mod web;

use std::process::ExitCode;

use crate::tools::{build, say};

const USAGE: &str = "\
usage: cargo xtask <what>

  demo              install what is missing, build, run a study of tasks/golf and say what to type next
  test [--short]    everything that CI runs; --short leaves out fault injection, cheats, doc tests and the supply chain
  web               build the page of `empiric serve`, so that the next build takes it in
  page [DIR]        try the page in a browser with a study that runs; pictures of it go to DIR
  schemathesis [OPTION]...
                    hand the REST interface whatever its document allows, and much that it does not
  faults [--short]  kill, damage and starve studies, and see that they recover; --short in two minutes
  cheats [--level LEVEL] [--short | NAME...]
                    hand the corpus of cheats/, or what of it begins like a name, to real studies, and see what is caught
  fuzz [--minutes N] [TARGET]...
                    hands anything at all to what reads other people's input; 10 minutes each
  book [--shots]    the generated pages of docs/, and the book where mdBook is installed; --shots pictures a study
  interop [STUDY]   exports read back by DuckDB, Polars, TensorBoard, RO-Crate's reader and an MLflow server, all from PyPI
  bench engine [--trials N] [--slots N]
                    what Empiric itself costs per trial, with the tuner and with a model that answers at once, and how
                    busy it keeps its slots
  bench decide [--short] [--studies N] [--trials N] [--threads N]
                    what its verdicts are worth over simulated studies: error, power, price, bias
  bench serve [--trials N] [--asks N]
                    what looking at a study of 100,000 trials costs: every endpoint, the server's memory, a
                    browser's first paint
  bench specialists [--trials N] [--slots N]
                    ten roles through a study of tasks/golf by a scripted model server: ownership, record, replay
  bench digest      what the digest that proposers read costs, and how large it is
  bench search [--tasks] [--trials N] [--seeds N] [--only NAME]
                    tuner and policies against Optuna, on noisy functions written as recipes; with --tasks the tuner on
                    the bundled tasks too: hours, which may be cut short; the same command goes on";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        say(format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["demo"] => demo::run(),
        ["test"] => check::run(false),
        ["test", "--short"] => check::run(true),
        ["web"] => web::run(),
        ["page"] => web::try_in_a_browser(None),
        ["page", dir] => web::try_in_a_browser(Some(dir)),
        ["schemathesis", ref more @ ..] => web::schemathesis(more),
        ["faults"] => faults(false),
        ["faults", "--short"] => faults(true),
        ["cheats", "--level", level, ref more @ ..] => cheats(level, more),
        ["cheats", ref more @ ..] => cheats("auto", more),
        ["fuzz", ref more @ ..] => fuzz::run(more),
        ["book"] => book::run(false),
        ["book", "--shots"] => book::run(true),
        ["interop"] => interop::run(None),
        ["interop", study] => interop::run(Some(study)),
        ["bench", "engine", ref more @ ..] => bench::engine(more),
        ["bench", "search", ref more @ ..] => bench::search(more),
        ["bench", "specialists", ref more @ ..] => bench::specialists(more),
        ["bench", "digest"] => bench::digest(),
        ["bench", "decide", ref more @ ..] => bench::decide(more),
        ["bench", "serve", ref more @ ..] => bench::serve(more),
        ["help" | "--help" | "-h"] => {
            say(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            say(USAGE);
            Ok(ExitCode::from(2))
        }
    }
}

fn faults(short: bool) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let crashable = build("empiric-cli", "empiric", false)?;
    let exe = if short { crashable.clone() } else { build("empiric-cli", "empiric", true)? };
    faults::run(short, &exe, &crashable)
}

fn cheats(level: &str, more: &[&str]) -> anyhow::Result<ExitCode> {
    machine::ready()?;
    let (short, only) = match more {
        ["--short"] => (true, &[][..]),
        only => (false, only),
    };
    // What takes time here are recipes, not Empiric.
    let exe = build("empiric-cli", "empiric", false)?;
    cheats::run(&cheats::Asked { short, level, only }, &exe)
}
