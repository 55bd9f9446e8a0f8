//! Trials per second, and what each costs at the start and at the end of a long study.

use std::{path::Path, sync::Arc};

use empiric_agents::{Proposer, Tuner};
use empiric_core::Event;
use empiric_engine::{Layout, Recorder};

use crate::{
    Words,
    instant::Instant,
    meter::{self, Metered, Reading},
    say,
    study::{Bench, bytes_below},
    task,
};

/// Trials whose cost is compared at the two ends.
const COST: usize = 100;
/// Trials whose speed is compared at the two ends.
const SPEED: usize = 500;

/// The loop with the embedded tuner; trials per second.
pub(crate) fn tuner(words: &Words, scratch: &Path) -> anyhow::Result<f64> {
    say(format!(
        "engine: {} trials of two shell scripts by the embedded tuner, {} slots",
        words.trials, words.slots
    ))?;
    let scratch = scratch.join("tuner");
    let (readings, layout) = watched(words, &scratch, Tuner::default(), None)?;
    cost(&readings)?;
    let trials = readings.len() - 1;
    say(format!("  peak memory of the dispatcher {:.1} MB", meter::peak_memory()? as f64 / 1e6))?;
    disk(&layout, trials)?;
    verified(&layout)?;
    say(
        "  reference on two cores: OpenEvolve 0.4.0 88 trials/s at the start, 5 ms growing to 56 ms per trial over 2,000, no isolation; ShinkaEvolve 0.0.7 4-6 trials/s",
    )?;
    Ok(per_second(&readings))
}

/// The same loop with a model that answers at once, over HTTP, each call recorded; trials per second.
pub(crate) fn models(words: &Words, scratch: &Path) -> anyhow::Result<f64> {
    say(format!(
        "engine: {} trials of the same by a model that answers at once, {} slots",
        words.trials, words.slots
    ))?;
    let scratch = scratch.join("models");
    let Instant { proposer, recorder, server } = Instant::start(&scratch.join("study"))?;
    let (readings, layout) = watched(words, &scratch, proposer, Some(recorder))?;
    cost(&readings)?;
    say(format!("  {} requests were answered", server.count()))?;
    disk(&layout, readings.len() - 1)?;
    verified(&layout)?;
    Ok(per_second(&readings))
}

/// Runs a study of the trivial task to its end, with a reading at the end of each trial.
fn watched<P: Proposer + 'static>(
    words: &Words,
    scratch: &Path,
    proposer: P,
    recorder: Option<Arc<Recorder>>,
) -> anyhow::Result<(Vec<Reading>, Layout)> {
    let proposer = Arc::new(Metered::new(proposer));
    let bench = Bench {
        loaded: task::make(&scratch.join("task"), 0)?,
        dir: scratch.join("study"),
        exe: words.exe.clone(),
        slots: words.slots,
        trials: words.trials,
        proposer: proposer.clone(),
        recorder,
    };
    let mut readings: Vec<Reading> = Vec::with_capacity(words.trials as usize + 1);
    let (mut metered, mut replicates, mut sandbox) = (0.0, 0, String::new());
    let layout = bench.run(|notice| {
        let event = &notice.record.event;
        if let Event::Measured { result, .. } = event {
            metered += result.cost.cpu_s;
            replicates += 1;
        } else if let Event::Concluded { .. } = event {
            // The baseline's end is where the first trial begins.
            readings.push(Reading::now(&proposer, metered));
        } else if let Event::SessionStarted { sandbox: level, cgroup, .. } = event {
            sandbox = format!("{level}, {cgroup}");
        }
    })?;
    let trials = readings.len() - 1;
    say(format!("  {trials} trials, {replicates} replicates, sandbox {sandbox}"))?;
    speed(&readings)?;
    shares(&readings)?;
    Ok((readings, layout))
}

fn verified(layout: &Layout) -> anyhow::Result<()> {
    let verified = empiric_engine::verify(layout)?;
    let fault = verified.faults.first().map_or("no fault", |fault| &fault.what);
    say(format!(
        "  verified {} events, {} commits, {} verdicts: {fault}",
        verified.events, verified.checked.commits, verified.checked.verdicts
    ))
}

/// The readings of the first and of the last `width` trials, ends included.
fn ends(readings: &[Reading], width: usize) -> (&[Reading], &[Reading]) {
    let width = width.min(readings.len() - 1);
    (&readings[..=width], &readings[readings.len() - 1 - width..])
}

fn per_second(readings: &[Reading]) -> f64 {
    match readings {
        [first, .., last] => (readings.len() - 1) as f64 / (last.at - first.at).as_secs_f64(),
        _ => f64::NAN,
    }
}

fn speed(readings: &[Reading]) -> anyhow::Result<()> {
    let (first, last) = ends(readings, SPEED);
    say(format!(
        "  {:.1} trials/s; first {} {:.1}, last {} {:.1}",
        per_second(readings),
        first.len() - 1,
        per_second(first),
        last.len() - 1,
        per_second(last)
    ))
}

/// How much of the machine the study had: figures of a machine that does other work besides are not to be compared.
fn shares(readings: &[Reading]) -> anyhow::Result<()> {
    let [first, .., last] = readings else { return Ok(()) };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = (last.at - first.at).as_secs_f64() * cores as f64;
    let own = (last.own - first.own) + (last.children - first.children);
    let machine = (last.machine - first.machine).as_secs_f64();
    say(format!(
        "  {cores} cores were busy {:.0} % of the time, {:.0} % with processes of this study",
        100.0 * machine / all,
        100.0 * own.as_secs_f64() / all
    ))
}

/// Whose CPU time it is.
const WHOSE: [&str; 4] =
    ["dispatcher", "  its proposals", "sandbox helpers", "recipe, evaluator, bubblewrap"];

/// CPU milliseconds per trial, in the order of [`WHOSE`]: all of this process; the part of it in the proposer; of the
/// helpers outside what they metered; what they metered.
fn milliseconds(readings: &[Reading]) -> [f64; 4] {
    let [first, .., last] = readings else { return [f64::NAN; 4] };
    let trials = (readings.len() - 1) as f64;
    let own = (last.own - first.own).as_secs_f64();
    let children = (last.children - first.children).as_secs_f64();
    let metered = last.metered - first.metered;
    let proposals = (last.proposals - first.proposals).as_secs_f64();
    [own, proposals, children - metered, metered].map(|seconds| 1e3 * seconds / trials)
}

fn cost(readings: &[Reading]) -> anyhow::Result<()> {
    let (first, last) = ends(readings, COST);
    let (begin, end) = (milliseconds(first), milliseconds(last));
    say(format!("  CPU ms per trial               first {COST:<4} last {COST:<4} last/first"))?;
    for ((name, begin), end) in WHOSE.iter().zip(begin).zip(end) {
        say(format!("    {name:<30} {begin:>7.2} {end:>9.2} {:>11.2}", end / begin))?;
    }
    Ok(())
}

fn disk(layout: &Layout, trials: usize) -> anyhow::Result<()> {
    let root = layout.root();
    let parts = [
        ("ledger", root.join("ledger.db")),
        ("git store", layout.store()),
        ("blobs", root.join("blobs")),
    ];
    say("  bytes per trial on disk     apparent  allocated")?;
    let mut sum = (0, 0);
    for (name, path) in parts {
        let (apparent, allocated) = if path.exists() { bytes_below(&path)? } else { (0, 0) };
        sum = (sum.0 + apparent, sum.1 + allocated);
        row(name, apparent, allocated, trials)?;
    }
    row("together", sum.0, sum.1, trials)
}

fn row(name: &str, apparent: u64, allocated: u64, trials: usize) -> anyhow::Result<()> {
    let each = |bytes: u64| bytes as f64 / trials as f64;
    say(format!("    {name:<22} {:>9.0} {:>10.0}", each(apparent), each(allocated)))
}
