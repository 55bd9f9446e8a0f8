//! Searches compared: the real policies, tuner and decisions against Optuna's samplers, on noisy standard functions written
//! as recipes, where the truth is known, and on the bundled tasks, where it is measured.
//!
//! On functions everything runs in this process but Optuna; on tasks everything is run as people run it. Prints figures and
//! says of each claim whether they bear it out. Built and run by `cargo xtask bench search`.

mod each;
mod functions;
mod journal;
mod literal;
mod optuna;
mod spaces;
mod table;
mod tasks;
mod world;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use empiric_agents::Tuner;
use empiric_core::{TrialNo, seed};
use empiric_search::POLICIES;

use crate::{
    each::each_seed,
    functions::{Function, functions},
    journal::Journal,
    optuna::{METHODS, Optuna},
    spaces::{Space, spaces},
    table::{Column, Standing, comparison, table},
    tasks::{Ground, tasks},
    world::{Found, Plan, normal, search},
};

const USAGE: &str = "\
usage: empiric-arena [--trials N] [--seeds N] [--python PROGRAM] [--only WORD]
                     [--exe PROGRAM --tasks DIR --journal FILE]

  --trials  trials of each search: 100 on functions, 24 on tasks
  --seeds   searches by each method: 20
  --python  an interpreter that has optuna and cmaes; without it Optuna is left out
  --exe     the empiric that runs the studies of the bundled tasks
  --tasks   where the bundled tasks are: these are compared too
  --journal where what was measured on tasks is written, and read by the same programs that go on
  --only    functions and tasks whose name contains this";

/// Slots that the regret of parallelism is read at; the first is what the others are compared with.
const SLOTS: [usize; 3] = [1, 4, 16];

/// What is asked on the command line.
#[derive(Default)]
struct Words {
    trials: Option<u32>,
    seeds: Option<u64>,
    python: Option<PathBuf>,
    exe: Option<PathBuf>,
    tasks: Option<PathBuf>,
    journal: Option<PathBuf>,
    only: String,
}

/// How much is run.
#[derive(Clone, Copy)]
struct Size {
    trials: u32,
    seeds: u64,
}

fn main() -> ExitCode {
    let words = match read(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(error) => {
            talk(format!("error: {error:#}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match compare(&words) {
        Err(error) if !went_away(&error) => {
            talk(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Whether whoever read the figures has read enough.
fn went_away(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Words> {
    let mut read = Words::default();
    while let Some(name) = words.next() {
        let mut value = || words.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--trials" => read.trials = Some(value()?.parse().context("--trials is no number")?),
            "--seeds" => read.seeds = Some(value()?.parse().context("--seeds is no number")?),
            "--python" => read.python = Some(value()?.into()),
            "--exe" => read.exe = Some(value()?.into()),
            "--tasks" => read.tasks = Some(value()?.into()),
            "--journal" => read.journal = Some(value()?.into()),
            "--only" => read.only = value()?,
            _ => bail!("{name} is unknown"),
        }
    }
    Ok(read)
}

/// What is asked, and how the tuner stands on all of it together.
fn compare(words: &Words) -> anyhow::Result<()> {
    let size =
        |trials| Size { trials: words.trials.unwrap_or(trials), seeds: words.seeds.unwrap_or(20) };
    let mut functions = functions();
    functions.retain(|function| function.name.contains(&words.only));
    let mut spaces = spaces();
    spaces.retain(|space| words.tasks.is_some() && space.task.contains(&words.only));
    if functions.is_empty() && spaces.is_empty() {
        bail!("--only {}: no name of what is compared contains it", words.only);
    }
    let mut standings = Vec::new();
    if let Some(dir) = words.tasks.as_ref().filter(|_| !spaces.is_empty()) {
        standings.push(bundled(words, size(24), dir, &spaces)?);
    }
    if !functions.is_empty() {
        standings.extend(arena(words, size(100), &functions)?);
    }
    if standings.len() > 1 {
        let both = standings.into_iter().fold(Standing::default(), Standing::and);
        say("\nTuner beside the best of Optuna's samplers, on functions and tasks together")?;
        say(both.claims())?;
    }
    Ok(())
}

/// The functions, in this process: how the tuner stands beside Optuna, where that is to be had.
fn arena(words: &Words, size: Size, functions: &[Function]) -> anyhow::Result<Option<Standing>> {
    let names: Vec<&str> = functions.iter().map(|function| function.name).collect();
    let default = POLICIES[0].name;
    let columns = policies(size, functions, &names)?;
    let ours = columns.iter().find(|column| column.name == default).context("no default policy")?;
    let standing = match &words.python {
        Some(python) => Some(beside(size, functions, &names, python, ours)?),
        None => {
            say("\nOptuna is left out: no --python was given")?;
            None
        }
    };
    parallel(size, functions, &names, ours)?;
    Ok(standing)
}

/// The default policy beside Optuna's samplers.
fn beside(
    size: Size,
    functions: &[Function],
    names: &[&str],
    python: &Path,
    ours: &Column,
) -> anyhow::Result<Standing> {
    let mut rivals = Vec::new();
    for method in METHODS {
        rivals.push(rival(size, functions, python, method, method, |_| size.trials)?);
    }
    // A trial of ours is several measurements; so that nobody can say they decide it, TPE is given as many.
    let (means, name) = (&ours.evaluations, "tpe, same runs");
    rivals.push(rival(size, functions, python, "tpe", name, |at| means[at])?);
    say(format!(
        "\nTuner with `{}` beside Optuna: {} trials, {} seeds, one slot",
        ours.name, size.trials, size.seeds
    ))?;
    say(
        "share of the possible gain that the final choice truly has; interquartile mean, 95 % interval",
    )?;
    let mut shown = vec![ours];
    shown.extend(&rivals);
    say(table(names, &shown))?;
    let (text, standing) = comparison(names, ours, &rivals[..METHODS.len()]);
    say(text)?;
    Ok(standing)
}

/// The bundled tasks, really run.
fn bundled(words: &Words, size: Size, dir: &Path, spaces: &[Space]) -> anyhow::Result<Standing> {
    let names: Vec<&str> = spaces.iter().map(|space| space.task).collect();
    let (exe, python) = (words.exe.as_deref(), words.python.as_deref());
    let journal = words.journal.as_deref().context("--tasks needs --journal")?;
    let journal = Journal::open(journal)?;
    let ground = Ground {
        exe: exe.context("--tasks needs --exe")?,
        tasks: dir,
        python: python.context("--tasks needs --python")?,
        trials: size.trials,
        seeds: size.seeds,
        journal: &journal,
    };
    let (columns, lines) = tasks(&ground, spaces)?;
    say(format!(
        "\nTuner with `{}` beside Optuna on the bundled tasks: {} trials, {} seeds, one slot",
        POLICIES[0].name, size.trials, size.seeds
    ))?;
    say("share of the largest gain that any search had, on seeds that none has seen")?;
    say(table(&names, &columns.iter().collect::<Vec<_>>()))?;
    for line in lines {
        say(line)?;
    }
    let (text, standing) = comparison(&names, &columns[0], &columns[1..]);
    say(text)?;
    Ok(standing)
}

/// Every policy with the tuner, one slot.
fn policies(size: Size, functions: &[Function], names: &[&str]) -> anyhow::Result<Vec<Column>> {
    let mut columns = Vec::new();
    for entry in POLICIES {
        columns.push(own(size, functions, entry.name, 1)?);
    }
    say(format!(
        "\nPolicies, the tuner as proposer: {} trials, {} seeds",
        size.trials, size.seeds
    ))?;
    say(table(names, &columns.iter().collect::<Vec<_>>()))?;
    Ok(columns)
}

/// The default policy at other numbers of slots.
fn parallel(
    size: Size,
    functions: &[Function],
    names: &[&str],
    alone: &Column,
) -> anyhow::Result<()> {
    let mut columns = Vec::new();
    for slots in &SLOTS[1..] {
        let mut column = own(size, functions, POLICIES[0].name, *slots)?;
        column.name = format!("{slots} slots");
        columns.push(column);
    }
    say(format!("\nRegret of parallelism: `{}`, {} trials each", POLICIES[0].name, size.trials))?;
    let mut shown = vec![alone];
    shown.extend(&columns);
    say(table(names, &shown))?;
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

fn own(size: Size, functions: &[Function], policy: &str, slots: usize) -> anyhow::Result<Column> {
    let mut column = Column::new(policy);
    let mut stale = 0.0;
    for function in functions {
        let run = |(): &mut (), seed| {
            let plan = Plan { policy, trials: size.trials, slots, seed };
            search(function, plan, &Tuner::default())
        };
        let runs: Vec<Found> = each_seed(0..size.seeds, || Ok(()), run)?;
        let replicates: u32 = runs.iter().map(|found| found.replicates).sum();
        stale += runs.iter().map(|found| found.staleness).sum::<f64>();
        column.evaluations.push(replicates / u32::try_from(runs.len().max(1))?);
        column.scores.push(runs.iter().map(|found| found.share).collect());
    }
    column.staleness = stale / (size.seeds as f64 * functions.len() as f64);
    Ok(column)
}

fn rival(
    size: Size,
    functions: &[Function],
    python: &Path,
    method: &str,
    name: &str,
    trials: impl Fn(usize) -> u32 + Sync,
) -> anyhow::Result<Column> {
    let mut column = Column::new(name);
    for (at, function) in functions.iter().enumerate() {
        let label = format!("noise {method} {}", function.name);
        let run = |optuna: &mut Optuna, seed| {
            let value = |n, settings: &_| {
                let noise = normal(&mut seed::stream(seed, &label, TrialNo(n)));
                Ok(function.truth(settings) + function.noise_sd() * noise)
            };
            let best = optuna.search(&function.literals, method, seed, trials(at), value)?;
            Ok(function.share(&best))
        };
        column.scores.push(each_seed(0..size.seeds, || Optuna::start(python), run)?);
        column.evaluations.push(trials(at) + 1);
    }
    Ok(column)
}

/// Says something to whoever waits; a closed standard error loses it.
pub(crate) fn talk(text: impl AsRef<str>) {
    writeln!(std::io::stderr().lock(), "{}", text.as_ref()).ok();
}

/// Prints one line.
fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}
