//! What verdicts are worth: error, power, price and bias over simulated studies, with the decision code that real ones
//! run. Prints tables with Monte Carlo errors, and whether each aim is met, which is the exit status too. Run by
//! `cargo xtask bench decide`; an example of this crate, so that it needs nothing but this crate.

mod beside;
mod rivals;
mod studies;
mod world;

use std::{
    io::Write,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, bail};
use empiric_core::study::{ErrorControl, Rules};

use self::{
    studies::{Found, Plan},
    world::{KINDS, Kind},
};

/// How much is simulated.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Studies per line of a table.
    studies: u64,
    /// Trials per study.
    trials: u32,
    /// Studies at a time.
    threads: usize,
}

/// One trial in so many is better than its champion where any is.
const EVERY: u32 = 10;
const LEVEL: f64 = 0.05;
const EFFECTS: [f64; 5] = [0.5, 1.0, 2.0, 2.5, 4.0];

const USAGE: &str = "usage: bench [--short] [--studies N] [--trials N] [--threads N]";

fn main() -> anyhow::Result<ExitCode> {
    match run(read(std::env::args().skip(1))?) {
        Err(error) if went_away(&error) => Ok(ExitCode::SUCCESS),
        met => Ok(if met? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// Whether whoever read the tables has read enough.
fn went_away(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Size> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut size = Size { studies: 200, trials: 500, threads };
    while let Some(name) = words.next() {
        if name == "--short" {
            (size.studies, size.trials) = (40, 200);
            continue;
        }
        let value = words.next().and_then(|text| text.parse::<u32>().ok()).context(USAGE)?;
        match name.as_str() {
            "--studies" => size.studies = value.max(2).into(),
            "--trials" => size.trials = value.max(10),
            "--threads" => size.threads = value.max(1) as usize,
            _ => bail!("{name} is unknown; {USAGE}"),
        }
    }
    Ok(size)
}

/// Prints one line.
fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}

fn run(size: Size) -> anyhow::Result<bool> {
    say(format!(
        "{} studies of {} trials a line, level {LEVEL}; ± is one Monte Carlo standard error",
        size.studies, size.trials
    ))?;
    let mut met = false_keeps(size)?;
    met &= power(size)?;
    met &= bias(size)?;
    met &= beside::by_item(size)?;
    met &= beside::ablation(size)?;
    met &= cost()?;
    say(if met { "\nevery aim is met" } else { "\nNOT every aim is met" })?;
    Ok(met)
}

fn rules(error: ErrorControl) -> Rules {
    Rules { error, level: LEVEL, ..Rules::default() }
}

fn false_keeps(size: Size) -> anyhow::Result<bool> {
    say("\nfalse keeps, where no trial is better than the baseline")?;
    say(format!(
        "{:<24} {:>22} {:>22} {:>20} {:>24}",
        "noise",
        "fwer: studies with any",
        "fdr: false share",
        "contests a study",
        "published: false keeps"
    ))?;
    let mut met = true;
    for kind in KINDS {
        let plan =
            |error| Plan { kind, rules: rules(error), trials: size.trials, every: 0, effect: 0.0 };
        let fwer = simulate(size, &plan(ErrorControl::Fwer))?;
        let fdr = simulate(size, &plan(ErrorControl::Fdr))?;
        let any = |found: &[Found]| {
            Mean::of(found.iter().map(|study| f64::from(u8::from(study.false_keeps > 0))))
        };
        let (fwer_any, fdr_share) = (any(&fwer), any(&fdr));
        let contests = Mean::of(fwer.iter().map(|study| f64::from(study.contests)));
        let published: Vec<Found> = (0..size.studies)
            .map(|stream| rivals::published(&plan(ErrorControl::Fwer), stream))
            .collect();
        let published = Mean::of(published.iter().map(|study| f64::from(study.false_keeps)));
        let aim = fwer_any.mean <= LEVEL && fdr_share.mean <= LEVEL;
        met &= aim;
        say(format!(
            "{:<24} {:>22} {:>22} {:>20} {:>24}  {}",
            kind.name(),
            fwer_any.show(3),
            fdr_share.show(3),
            contests.show(1),
            published.show(1),
            verdict(aim)
        ))?;
    }
    Ok(met)
}

fn power(size: Size) -> anyhow::Result<bool> {
    say(format!(
        "\npower and price, normal noise, one trial in {EVERY} better by the effect; Welch: n replicates of every trial and \
         champion, Bonferroni over {} trials,\nthe largest n whose power is not above ours under fwer",
        size.trials
    ))?;
    say(format!(
        "{:<8} {:>6} {:>15} {:>15} {:>18} {:>16} {:>13} {:>18} {:>9}",
        "effect",
        "error",
        "found",
        "false share",
        "replicates",
        "a trial without",
        "Welch n",
        "Welch replicates",
        "ratio"
    ))?;
    let mut met = true;
    let mut least = 2;
    for effect in EFFECTS {
        for error in [ErrorControl::Fwer, ErrorControl::Fdr] {
            let plan = Plan {
                kind: Kind::Gaussian,
                rules: rules(error),
                trials: size.trials,
                every: EVERY,
                effect,
            };
            let found = simulate(size, &plan)?;
            let idle = simulate(
                Size { studies: (size.studies / 4).max(1), ..size },
                &Plan { every: 0, effect: 0.0, ..plan },
            )?;
            let share = Mean::of(
                found
                    .iter()
                    .map(|study| f64::from(study.true_keeps) / f64::from(study.better.max(1))),
            );
            let false_share = Mean::of(found.iter().map(|study| {
                f64::from(study.false_keeps)
                    / f64::from((study.false_keeps + study.true_keeps).max(1))
            }));
            let replicates = Mean::of(found.iter().map(|study| study.replicates as f64));
            let without =
                Mean::of(idle.iter().map(|study| study.replicates as f64 / f64::from(size.trials)));
            let keeps = Mean::of(found.iter().map(|study| f64::from(study.true_keeps)));
            let rival = if error == ErrorControl::Fwer {
                let alpha = LEVEL / f64::from(size.trials);
                let mut n = 2;
                while rivals::welch_power(effect, n + 1, alpha, 4000) <= share.mean && n < 400 {
                    n += 1;
                }
                least = n;
                n
            } else {
                least
            };
            // Every trial, and every champion afresh: the one that a keep was chosen by is selected.
            let price = rival as f64 * (f64::from(size.trials) + 1.0 + keeps.mean);
            let ratio = replicates.mean / price;
            let aim = effect != 2.0 || (ratio <= 0.6 && false_share.mean <= LEVEL);
            met &= aim;
            say(format!(
                "{effect:<8} {:>6} {:>15} {:>15} {:>18} {:>16} {rival:>13} {price:>18.0} {ratio:>9.2}  {}",
                if error == ErrorControl::Fwer { "fwer" } else { "fdr" },
                share.show(3),
                false_share.show(3),
                replicates.show(0),
                without.show(2),
                if effect == 2.0 { verdict(aim) } else { "" }
            ))?;
        }
    }
    Ok(met)
}

fn bias(size: Size) -> anyhow::Result<bool> {
    say("\nreported minus true gain of kept trials, in standard deviations of a replicate (fdr)")?;
    say(format!(
        "{:<24} {:>7} {:>8} {:>18} {:>16} {:>22}",
        "noise", "effect", "keeps", "bias", "95 % interval", "published rule's bias"
    ))?;
    let mut met = true;
    for (kind, effects) in [
        (Kind::Gaussian, &EFFECTS[..]),
        (Kind::Heavy, &EFFECTS[1..3]),
        (Kind::Uneven, &EFFECTS[2..4]),
    ] {
        for effect in effects {
            let plan = Plan {
                kind,
                rules: rules(ErrorControl::Fdr),
                trials: size.trials,
                every: EVERY,
                effect: *effect,
            };
            let found = simulate(size, &plan)?;
            let errors = || found.iter().flat_map(|study| &study.errors);
            let bias = Mean::of(errors().map(|(error, _)| *error));
            let held = Mean::of(errors().map(|(_, held)| f64::from(u8::from(*held))));
            let published: Vec<Found> =
                (0..size.studies).map(|stream| rivals::published(&plan, stream)).collect();
            let published =
                Mean::of(published.iter().flat_map(|study| &study.errors).map(|(error, _)| *error));
            // A mean within two standard errors of the limit says nothing against it.
            let aim = bias.mean.abs() <= 0.05 + if bias.se > 0.02 { 2.0 * bias.se } else { 0.0 };
            met &= aim;
            say(format!(
                "{:<24} {effect:>7} {:>8} {:>18} {:>16} {:>22}  {}",
                kind.name(),
                bias.n,
                bias.show(3),
                held.show(3),
                published.show(2),
                verdict(aim)
            ))?;
        }
    }
    Ok(met)
}

/// What one decision costs as a study grows.
fn cost() -> anyhow::Result<bool> {
    say("\ntime of one decision, studies without and with keeps (one trial in ten better by 2)")?;
    let mut met = true;
    for (trials, every) in [(500, 0), (5000, 0), (500, EVERY), (5000, EVERY)] {
        let plan = Plan {
            kind: Kind::Gaussian,
            rules: rules(ErrorControl::Fdr),
            trials,
            every,
            effect: 2.0,
        };
        let found = studies::run(&plan, 1)?;
        let micros = found.thinking.as_secs_f64() * 1e6 / found.steps as f64;
        let aim = micros < 200.0;
        met &= aim;
        say(format!(
            "{trials:>6} trials, {:>4} keeps: {micros:>6.1} µs a step over {} steps  {}",
            found.true_keeps + found.false_keeps,
            found.steps,
            verdict(aim)
        ))?;
    }
    Ok(met)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

/// Simulates `size.studies` studies of `plan`, a few at a time.
fn simulate(size: Size, plan: &Plan) -> anyhow::Result<Vec<Found>> {
    each(size, |stream| studies::run(plan, stream))
}

/// One result for each of `size.studies` studies, a few at a time.
fn each<T: Send>(
    size: Size,
    study: impl Fn(u64) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let stream = next.fetch_add(1, Ordering::Relaxed);
            if stream >= size.studies {
                return anyhow::Ok(found);
            }
            found.push(study(stream)?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..size.threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().ok().context("a simulation panicked")??);
        }
        Ok(all)
    })
}

/// A mean and its standard error.
struct Mean {
    mean: f64,
    se: f64,
    n: usize,
}

impl Mean {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let sample =
            values.fold(empiric_core::Sample::default(), |sample, value| sample.with(value));
        let se = sample.sd().unwrap_or(0.0) / (sample.n.max(1) as f64).sqrt();
        Self { mean: sample.mean, se, n: sample.n }
    }

    fn show(&self, digits: usize) -> String {
        format!("{:.digits$} ± {:.digits$}", self.mean, self.se)
    }
}
