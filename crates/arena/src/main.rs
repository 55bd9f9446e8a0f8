//! Searches compared where the truth is known: the real policies, tuner and decisions against Optuna's samplers, on noisy
//! standard functions written as recipes.
//!
//! Everything runs in this process but Optuna. Prints figures and says of each claim whether they bear it out. Built and
//! run by `cargo xtask bench search`.

mod functions;
mod optuna;
mod table;
mod world;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use empiric_agents::Tuner;
use empiric_search::POLICIES;

use crate::{
    functions::{Function, functions},
    optuna::{METHODS, Optuna},
    table::{Column, comparison, table},
    world::{Found, Plan, search},
};

const USAGE: &str = "\
usage: empiric-arena [--trials N] [--seeds N] [--python PROGRAM] [--only WORD]

  --python  an interpreter that has optuna and cmaes; without it Optuna is left out
  --only    functions whose name contains this";

/// Slots that the regret of parallelism is read at; the first is what the others are compared with.
const SLOTS: [usize; 3] = [1, 4, 16];

/// What is asked on the command line.
struct Words {
    trials: u32,
    seeds: u64,
    python: Option<PathBuf>,
    only: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let words = read(std::env::args().skip(1))?;
    let functions: Vec<Function> =
        functions().into_iter().filter(|function| function.name.contains(&words.only)).collect();
    match arena(&words, &functions) {
        Err(error) if went_away(&error) => Ok(ExitCode::SUCCESS),
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

/// Whether whoever read the figures has read enough.
fn went_away(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Words> {
    let mut read = Words { trials: 100, seeds: 20, python: None, only: String::new() };
    while let Some(name) = words.next() {
        let value = words.next().with_context(|| format!("a value is missing; {USAGE}"))?;
        match name.as_str() {
            "--trials" => read.trials = value.parse().context("--trials is no number")?,
            "--seeds" => read.seeds = value.parse().context("--seeds is no number")?,
            "--python" => read.python = Some(value.into()),
            "--only" => read.only = value,
            _ => bail!("{name} is unknown; {USAGE}"),
        }
    }
    Ok(read)
}

fn arena(words: &Words, functions: &[Function]) -> anyhow::Result<()> {
    let default = POLICIES[0].name;
    let columns = policies(words, functions)?;
    let ours = columns.iter().find(|column| column.name == default).context("no default policy")?;
    if let Some(python) = &words.python {
        let mut rivals = Vec::new();
        for method in METHODS {
            rivals.push(rival(words, functions, python, method, method, |_| words.trials)?);
        }
        // A trial of ours is several measurements; so that nobody can say they decide it, TPE is given as many.
        let (means, name) = (&ours.evaluations, "tpe, same runs");
        rivals.push(rival(words, functions, python, "tpe", name, |at| means[at])?);
        say(format!(
            "\nTuner with `{default}` beside Optuna: {} trials, {} seeds, one slot",
            words.trials, words.seeds
        ))?;
        say(
            "share of the possible gain that the final choice truly has; interquartile mean, 95 % interval",
        )?;
        let mut shown = vec![ours];
        shown.extend(&rivals);
        say(table(functions, &shown))?;
        say(comparison(functions, ours, &rivals[..METHODS.len()]))?;
    } else {
        say("\nOptuna is left out: no --python was given")?;
    }
    parallel(words, functions, ours)
}

/// Every policy with the tuner, one slot.
fn policies(words: &Words, functions: &[Function]) -> anyhow::Result<Vec<Column>> {
    let mut columns = Vec::new();
    for entry in POLICIES {
        columns.push(own(words, functions, entry.name, 1)?);
    }
    say(format!(
        "\nPolicies, the tuner as proposer: {} trials, {} seeds",
        words.trials, words.seeds
    ))?;
    say(table(functions, &columns.iter().collect::<Vec<_>>()))?;
    Ok(columns)
}

/// The default policy at other numbers of slots.
fn parallel(words: &Words, functions: &[Function], alone: &Column) -> anyhow::Result<()> {
    let mut columns = Vec::new();
    for slots in &SLOTS[1..] {
        let mut column = own(words, functions, POLICIES[0].name, *slots)?;
        column.name = format!("{slots} slots");
        columns.push(column);
    }
    say(format!("\nRegret of parallelism: `{}`, {} trials each", POLICIES[0].name, words.trials))?;
    let mut shown = vec![alone];
    shown.extend(&columns);
    say(table(functions, &shown))?;
    for column in shown {
        say(format!(
            "  {}: {:+.4} against one slot; {:.1} verdicts came in between ask and start",
            column.name,
            column.overall() - alone.overall(),
            column.staleness
        ))?;
    }
    Ok(())
}

fn own(
    words: &Words,
    functions: &[Function],
    policy: &str,
    slots: usize,
) -> anyhow::Result<Column> {
    let mut column = Column::new(policy);
    let mut stale = 0.0;
    for function in functions {
        let runs = (0..words.seeds).map(|seed| {
            search(function, Plan { policy, trials: words.trials, slots, seed }, &Tuner::default())
        });
        let runs: Vec<Found> = runs.collect::<anyhow::Result<_>>()?;
        let replicates: u32 = runs.iter().map(|found| found.replicates).sum();
        stale += runs.iter().map(|found| found.staleness).sum::<f64>();
        column.evaluations.push(replicates / u32::try_from(runs.len().max(1))?);
        column.scores.push(runs.iter().map(|found| found.share).collect());
    }
    column.staleness = stale / (words.seeds as f64 * functions.len() as f64);
    Ok(column)
}

fn rival(
    words: &Words,
    functions: &[Function],
    python: &std::path::Path,
    method: &str,
    name: &str,
    trials: impl Fn(usize) -> u32,
) -> anyhow::Result<Column> {
    let mut column = Column::new(name);
    let mut optuna = Optuna::start(python)?;
    for (at, function) in functions.iter().enumerate() {
        let runs = (0..words.seeds).map(|seed| optuna.search(function, method, seed, trials(at)));
        column.scores.push(runs.collect::<anyhow::Result<_>>()?);
        column.evaluations.push(trials(at) + 1);
    }
    Ok(column)
}

/// Prints one line.
fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}
