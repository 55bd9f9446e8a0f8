//! `empiric check`: the baseline's noise, and edits whose outcome is known, through the real path, before a night is
//! spent on the task.

use std::sync::Arc;

use empiric_core::{
    Budget, Study, TrialNo,
    study::{Rules, Settings},
    task::Task,
};
use empiric_engine::{Ended, Layout};
use empiric_ledger::{Inbox, Reader, Request, RequestId, Submission};
use empiric_report::Noise;
use serde::Serialize;

use crate::{
    ambient,
    args::Check,
    canaries::{Canary, canaries},
    exit::{Failure, Kind},
    live::Live,
    out,
    run::{self, Place},
    setup, words,
};

#[derive(Serialize)]
struct Row {
    name: &'static str,
    expected: String,
    seen: String,
    ok: bool,
}

#[derive(Serialize)]
struct Estimate {
    replicate_wall_s: f64,
    replicate_cpu_s: f64,
    slots: usize,
    trials_per_hour: f64,
}

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let mut ready = setup::ready(setup::load(&args.task)?)?;
    let (level, capabilities) = setup::level(args.machine.sandbox)?;
    let dir = tempfile::Builder::new().prefix("empiric-check-").tempdir()?;
    let layout = Layout::new(dir.path());
    let asked = Arc::clone(&ready.installation.task);
    let times = patience(ambient::load());
    if times > 1.0 {
        let task = Arc::make_mut(&mut ready.installation.task);
        let stages = task.stages.iter_mut().map(|stage| &mut stage.command);
        for command in stages.chain(&mut task.evaluator).chain(&mut task.predictor) {
            command.limits.wall_s *= times;
        }
        out::talk(&format!("this machine is busy: wall limits are {times} times as long here"));
    }
    let task = Arc::clone(&ready.installation.task);
    // One slot for the canaries that wait, one for those that work, unless GPUs are short.
    let slots = args.machine.slots.map_or_else(
        || run::default_slots(&task).max(if task.gpus() == 0 { 2 } else { 1 }),
        usize::from,
    );
    let canaries = canaries(&asked, &ready.loaded.recipe_dir)?;
    let inbox = Inbox::of(layout.root());
    let mut requests = Vec::new();
    for canary in &canaries {
        let submission = Submission {
            files: canary.files.clone(),
            parents: vec![TrialNo::BASELINE],
            hypothesis: format!("canary: {}", canary.name),
            prediction: None,
        };
        requests.push(inbox.post("check", Request::Submit { submission }, (ambient::clock())())?);
    }
    let settings =
        Settings { seed: 0, budget: Budget::default(), arms: Vec::new(), rules: Rules::default() };
    let place = Place { slots, level, cgroup: capabilities.cgroup };
    let options = run::options(ready, layout.clone(), settings, place, None, false)?;
    if !args.json {
        out::talk(&format!(
            "measuring the baseline of {} and {} canaries",
            task.name,
            canaries.len()
        ));
    }
    let live = if args.json { Live::quiet() } else { Live::new(false) };
    let ended = run::session(options, live, false)?;
    let reader = Reader::open(layout.root())?;
    let study = reader.study()?;
    match ended {
        Ended::Finished(_) => {}
        Ended::Stopped(why) | Ended::Paused(why) => {
            return Err(Failure::say(Kind::Interrupted, format!("stopped: {why}")));
        }
        Ended::Broken(why) | Ended::Unasked(why) => return Err(Failure::say(Kind::Broken, why)),
    }
    let rows = canaries.iter().zip(requests).map(|(canary, id)| row(&reader, &study, canary, id));
    let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
    tell(args, &study, &task, slots, &rows)
}

/// How many times as long a unit may take where so many programs want to run on each processor: a canary that takes its
/// turn among them is to meet the limit that is meant for it.
fn patience(load: f64) -> f64 {
    load.ceil().clamp(1.0, 10.0)
}

/// What became of one canary.
fn row(reader: &Reader, study: &Study, canary: &Canary, id: RequestId) -> Result<Row, Failure> {
    let no = reader.answer(id)?.and_then(|answer| answer.trial);
    let trial = match no {
        Some(no) => reader.trial(no)?,
        None => None,
    };
    let seen = trial.as_ref().map_or_else(|| "no answer".to_owned(), words::outcome);
    let ok = trial.as_ref().is_some_and(|trial| canary.expected.met(study, trial));
    Ok(Row { name: canary.name, expected: canary.expected.words(), seen, ok })
}

fn tell(
    args: &Check,
    study: &Study,
    task: &Task,
    slots: usize,
    rows: &[Row],
) -> Result<(), Failure> {
    let summary = empiric_decide::summary(study);
    let noise_sd = summary.noise.sd.unwrap_or(0.0);
    let noise = Noise::of(study);
    let baseline = study.trial(TrialNo::BASELINE);
    let costs: Vec<_> = baseline
        .into_iter()
        .flat_map(|trial| &trial.replicates)
        .filter_map(|replicate| replicate.result.as_ref().map(|result| result.cost))
        .collect();
    let n = costs.len().max(1) as f64;
    let wall = costs.iter().map(|cost| cost.wall_s).sum::<f64>() / n;
    let estimate = Estimate {
        replicate_wall_s: wall,
        replicate_cpu_s: costs.iter().map(|cost| cost.cpu_s).sum::<f64>() / n,
        slots,
        trials_per_hour: if wall > 0.0 { 3600.0 * slots as f64 / wall } else { 0.0 },
    };
    let ok = rows.iter().all(|row| row.ok);
    if args.json {
        out::json(&serde_json::json!({
            "ok": ok, "noise_sd": noise_sd, "smallest_effect": noise.smallest_effect, "noise": noise,
            "canaries": rows, "estimate": estimate,
        }))?;
    } else {
        for row in rows {
            let mark = if row.ok { "ok  " } else { "FAIL" };
            out::line(&format!(
                "{mark}  {:<10} expected {:<20} seen {}",
                row.name, row.expected, row.seen
            ))?;
        }
        let metric = &task.metric.name;
        if let Some(estimate) = &summary.baseline {
            out::line(&format!(
                "baseline         {metric} {} (n={})",
                words::number(estimate.mean),
                estimate.n
            ))?;
            out::line(&format!("noise sd         {}", words::number(noise_sd)))?;
            let alarm = noise.alarm(summary.noise.deterministic, estimate.mean);
            out::line(&format!("can be found     {alarm}"))?;
        }
        out::line(&format!(
            "cost             {} a replicate, about {:.0} trials an hour on {slots} slots",
            words::seconds(estimate.replicate_wall_s),
            estimate.trials_per_hour
        ))?;
    }
    if ok {
        return Ok(());
    }
    let failed: Vec<_> = rows.iter().filter(|row| !row.ok).map(|row| row.name).collect();
    Err(Failure::say(Kind::Broken, format!("canaries not as expected: {}", failed.join(", "))))
}
