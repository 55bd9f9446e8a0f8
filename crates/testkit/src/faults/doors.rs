//! A hard exit on both sides of every door of a study.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use anyhow::{Context as _, Result};
use empiric_core::{
    Blame, Budget, Event, IdeaChange, IdeaNo, Outcome, Reach, Sketch, TrialNo, idea::Level,
};
use empiric_doors::{Door, Point};
use empiric_ledger::{Inbox, Request, Submission};
use serde_json::json;

use super::{Home, Setting, Table, events, history::History, left_running, state, verified};
use crate::{
    model::{Asked, ModelServer, Say},
    tasks::{SMOKE, TRAIN, WINNING_KNOBS, patch},
};

/// What makes the program end itself at a point; only programs built with debug assertions know it.
const CRASH_AT: &str = "EMPIRIC_CRASH_AT";
/// Enough for some proposals and the closing comparison, in each of two arms; what is handed in has none of it: one that
/// wins, one that the evaluator crashes on, and that one once more.
const TRIALS: u32 = 8;
const ALL_TRIALS: u32 = 2 * TRIALS + 3;

/// Lets one study die at every point of [`empiric_doors::ALL`] in turn, resumed by the same command each time.
///
/// The program must be built with debug assertions: no other can be crashed so.
///
/// # Errors
/// When the program cannot be run, or its study not be read.
pub fn doors(setting: &Setting, table: &mut Table<'_>) -> Result<()> {
    let home = setting.home()?;
    let study = home.path().join("study");
    let task = home.path().join("task/task.toml");
    let text = fs_err::read_to_string(&task)?;
    fs_err::write(&task, text.replacen("[[stage]]", &format!("{SMOKE}[[stage]]"), 1))?;
    let evaluator = home.path().join("task/evaluate.sh");
    let text = fs_err::read_to_string(&evaluator)?;
    fs_err::write(&evaluator, format!("{CRASHES}{text}"))?;
    let page = Arc::new(OnceLock::new());
    let address = Arc::clone(&page);
    let server = ModelServer::start(move |asked: &Asked| {
        mind(asked, address.get().map_or("", String::as_str))
    })?;
    // The server of models has no pages; that there is none is written down as a page would be.
    let url = server.url();
    page.set(format!("{url}/page")).ok();
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let mut words = setting.run(TRIALS);
    words.extend(["--web".to_owned(), host]);
    let arms = ["--arm", "tuner", "--arm", "specialists", "--model", "test/one", "--base-url"];
    words.extend(arms.map(str::to_owned));
    words.push(url);
    let mut history = History::default();
    let (mut points, mut missed, mut left, mut faults) = (0, Vec::new(), Vec::new(), Vec::new());
    for point in Point::all() {
        points += 1;
        prepare(&home, point, &history)?;
        let ablate = ["ablate", "study", "--json"].map(str::to_owned);
        let apart = point.door == Door::Append("ablation_opened");
        let mut command = home.command(if apart { &ablate[..] } else { &words });
        command.env(CRASH_AT, point.to_string());
        let ended = events(command)?;
        if ended.code.is_some() {
            missed.push(format!("{point}: {}", state(&ended)));
        }
        match left_running(&home).as_str() {
            "none" => {}
            found => left.push(format!("{point}: {found}")),
        }
        history.look(&study)?;
        if !history.records.is_empty() {
            match verified(&home)?.as_str() {
                "ok" => {}
                found => faults.push(format!("{point}: {found}")),
            }
        }
    }
    let ended = home.start(&words)?.end()?;
    history.look(&study)?;
    let all = |list: Vec<String>, well: &str| {
        if list.is_empty() { well.to_owned() } else { list.join("; ") }
    };
    let every = format!("all {points} passed");
    table.same(format!("a hard exit at {points} doors"), &every, &all(missed, &every));
    table.same("  then", &format!("finished with {ALL_TRIALS} trials"), &state(&ended));
    history.tell(table);
    table.same("  processes left, each time", "none", &all(left, "none"));
    table.same("  verify, each time", "ok", &all(faults, "ok"));
    table.same("  verify, at the end", "ok", &verified(&home)?);
    Ok(())
}

/// Does what a session needs to come to `point`: the evaluator changes, or a request waits.
fn prepare(home: &Home, point: Point, history: &History) -> Result<()> {
    if point.door == Door::Append("segment_opened") {
        let evaluator = home.path().join("task/evaluate.sh");
        let text = fs_err::read_to_string(&evaluator)?;
        return Ok(fs_err::write(evaluator, format!("{text}# {point}\n"))?);
    }
    let note = || Request::Note { text: point.to_string() };
    let idea = || Request::IdeaAdd {
        sketch: Sketch {
            text: point.to_string(),
            reach: Reach::Parameter,
            surface: None,
            priority: Level::default(),
            risk: Level::default(),
        },
    };
    let (drop, reason) = (IdeaNo(1), "enough of it".to_owned());
    let budget = Budget { trials: Some(TRIALS), ..Budget::default() };
    let requeue = match point.door == Door::Append("requeued") {
        true => lost(home, history)?,
        false => TrialNo::BASELINE,
    };
    let needed = [
        (Door::Request, Request::Submit { submission: winning() }),
        (Door::Append("requeued"), Request::Requeue { trial: requeue }),
        (Door::Append("noted"), note()),
        (Door::Answered, note()),
        (Door::Append("idea_added"), idea()),
        (
            Door::Append("idea_changed"),
            Request::IdeaChange { idea: drop, change: IdeaChange::Dropped { reason } },
        ),
        (Door::Append("budget_set"), Request::Budget { budget }),
        (Door::Append("pinned"), Request::Pin { trial: TrialNo::BASELINE }),
        (Door::Append("unpinned"), Request::Unpin { trial: TrialNo::BASELINE }),
        (Door::Append("paused"), Request::Pause),
        (Door::Append("resumed"), Request::Resume),
        (Door::Stop, Request::Stop),
        (Door::Append("stopped"), Request::Stop),
        (Door::Seal, Request::Stop),
    ];
    let inbox = Inbox::of(&home.path().join("study"));
    for (_, request) in needed.into_iter().filter(|(door, _)| *door == point.door) {
        // One that was not answered before the last session died waits still.
        if inbox.waiting()?.posted.iter().all(|posted| posted.request != request) {
            inbox.post("faults", request, jiff::Timestamp::now())?;
        }
    }
    Ok(())
}

/// A model that turns a knob, tries it, asks for a page, and writes down what it thinks it has learnt before it hands it in.
fn mind(asked: &Asked, page: &str) -> Say {
    let number = asked.number();
    if asked.results > 0 {
        let hypothesis = format!("more of the rate, {number}");
        return Say::tool(
            "submit",
            json!({"hypothesis": hypothesis, "direction": "decrease", "size": 0.1, "reach": "parameter"}),
        );
    }
    let rate = 0.2 + number as f64 / 1e6;
    let knobs = format!("rate = {rate}\nwidth = 12\ndecay = 0.5\nwarmup = 30\nclip = 2.0\n");
    Say::tools([
        ("write_file", json!({"path": "knobs.toml", "text": knobs})),
        ("smoke", json!({})),
        ("fetch", json!({"url": page})),
        ("add_insight", json!({"text": format!("rates, {number}"), "trials": ["t0"]})),
    ])
}

/// What has the evaluator crash on an artefact that says so.
const CRASHES: &str = "grep -q crash \"$EMPIRIC_ARTIFACTS/model.toml\" && exit 1\n";

/// A trial that is lost to the evaluator, and so may be measured again; handed in and waited for where there is none yet.
fn lost(home: &Home, history: &History) -> Result<TrialNo> {
    let known = history.records.iter().find_map(|record| {
        let Event::Concluded { trial, outcome: Outcome::Failed(failure) } = &record.event else {
            return None;
        };
        (failure.blame == Blame::Evaluator).then_some(*trial)
    });
    if let Some(no) = known {
        return Ok(no);
    }
    let train = format!("{TRAIN}echo crash > \"$EMPIRIC_OUT/model.toml\"\n");
    fs_err::write(home.path().join("crash.patch"), patch("train.sh", TRAIN, &train))?;
    let words = ["submit", "study", "--parent", "t0", "--patch", "crash.patch", "--hypothesis"];
    let more = ["it may be too much for the evaluator", "--wait", "--json"];
    let said = home.say(words.into_iter().chain(more))?;
    let json: serde_json::Value = serde_json::from_str(&said.out)
        .with_context(|| format!("read what submit says: {}{}", said.out, said.talk))?;
    let no = json["trial"].as_str().context("submit names no trial")?;
    Ok(no.parse()?)
}

/// A trial that is kept for certain, so that there is a champion to close with, and not without a quarantine: it comes
/// with a seed of its own.
fn winning() -> Submission {
    let seeded = "import random\n\nrandom.seed(7)\n".to_owned();
    let files = BTreeMap::from([
        ("knobs.toml".to_owned(), Some(WINNING_KNOBS.to_owned())),
        ("seeded.py".to_owned(), Some(seeded)),
    ]);
    let hypothesis = "the best knobs there are".to_owned();
    Submission { files, parents: vec![TrialNo::BASELINE], hypothesis, prediction: None }
}
