//! A roster of specialists through a whole study of a real task, by the program that people run: what it costs, that
//! every request is in the ledger, that nobody edits what is not its own, and that it can be replayed.
//!
//! The models are scripted: each reads a file of its surface, moves a number in it, now and then runs the smoke stage or
//! leaves an idea, and now and then reaches for what another role owns.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};
use empiric_core::{Event, Outcome};
use empiric_ledger::Reader;
use empiric_testkit::model::{Asked, ModelServer, Say};
use serde_json::{Value, json};

use crate::{Words, say};

/// A role: its name, its surface, and the numbers that it moves.
struct Part {
    role: &'static str,
    surface: &'static str,
    file: &'static str,
    knobs: &'static [&'static str],
}

const PARTS: [Part; 9] = [
    Part { role: "width", surface: "model", file: "model.py", knobs: &["EMBED", "HIDDEN"] },
    Part { role: "context", surface: "model", file: "model.py", knobs: &["CONTEXT", "INIT_SCALE"] },
    Part {
        role: "optimiser",
        surface: "training",
        file: "train.py",
        knobs: &["LEARNING_RATE", "WEIGHT_DECAY", "BETA1"],
    },
    Part { role: "schedule", surface: "training", file: "train.py", knobs: &["STEPS", "WARMUP"] },
    Part { role: "batch", surface: "training", file: "train.py", knobs: &["BATCH"] },
    Part {
        role: "data",
        surface: "data",
        file: "data.py",
        knobs: &["PRIMER_BYTES", "PRIMER_CHUNK"],
    },
    Part { role: "packing", surface: "packing", file: "pack.py", knobs: &["CLIP"] },
    Part {
        role: "counts",
        surface: "adaptation",
        file: "adapt.py",
        knobs: &["TABLE_ROWS", "PRIMER_WEIGHT", "INCREMENT"],
    },
    Part {
        role: "mixing",
        surface: "adaptation",
        file: "adapt.py",
        knobs: &["BACKOFF", "BACKOFF_GROWTH", "DIVERSITY"],
    },
];

/// The roster as a file: the parts, and an analyst who may work anywhere.
fn roster() -> String {
    let mut text: String = PARTS
        .iter()
        .map(|Part { role, surface, knobs, .. }| {
            format!(
                "[[role]]\nname = \"{role}\"\nsurface = \"{surface}\"\nbrief = \"{}\"\n",
                knobs.join(", ")
            )
        })
        .collect();
    text.push_str("[[role]]\nname = \"analyst\"\nbrief = \"evidence\"\nradius = 20\n");
    text
}

/// Thinks by rules: every conversation by a number of its own.
fn mind(asked: &Asked) -> Say {
    let text = asked.text();
    let owned = PARTS.iter().find(|part| text.contains(&format!("the {} researcher", part.role)));
    let n = asked.number();
    // An analyst is held to the surface that was asked for; it looks which files it may edit.
    let part = owned.unwrap_or(&PARTS[n as usize % PARTS.len()]);
    if asked.results == 0 {
        return Say::tool("read_file", json!({"path": part.file}));
    }
    let last = asked.last();
    // One in twelve reaches for what is not its own; every other of these does not take no for an answer.
    let refused = text.contains("belongs to") || text.contains("outside");
    let reaches = if asked.results == 1 { 12 } else { 24 };
    if n.is_multiple_of(reaches) && (asked.results == 1 || refused) {
        let other = if part.file == "pack.py" { "data.py" } else { "pack.py" };
        return Say::tool("write_file", json!({"path": other, "text": "mine now\n"}));
    }
    if asked.results == 1 {
        return edit(part, last, n);
    }
    let submit = Say::tool(
        "submit",
        json!({
            "hypothesis": format!("the {} is not where it should be", part.knobs.join(" or ")),
            "direction": "decrease", "size": 0.01, "reach": "parameter",
        }),
    );
    if last.contains("once") || last.contains("refused") || asked.results > 6 {
        return Say::tool("give_up", json!({"reason": "nothing here moves"}));
    }
    match n / 7 % 10 {
        0 if asked.results == 2 => Say::tool("smoke", json!({})),
        3 if asked.results == 2 => {
            let idea = json!({"text": format!("move the {} further, {n}", part.knobs[0]), "reach": "parameter"});
            Say::tool("add_idea", idea)
        }
        _ => submit,
    }
}

/// Moves one number of the file that was read by a factor that hardly anybody else uses.
fn edit(part: &Part, read: &str, n: u64) -> Say {
    let knob = part.knobs[n as usize % part.knobs.len()];
    let found = read.lines().find_map(|line| {
        let line = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let value = line.strip_prefix(knob)?.strip_prefix(" = ")?;
        Some(value.split_whitespace().next()?.to_owned())
    });
    let Some(old) = found else {
        return Say::tool("give_up", json!({"reason": format!("there is no {knob}")}));
    };
    let factor = 0.5 * 4_f64.powf((n / 3 % 1009) as f64 / 1009.0);
    let new = match (old.contains('.'), old.parse::<f64>()) {
        (true, Ok(value)) => format!("{:.6}", value * factor),
        (false, Ok(value)) => format!("{}", (value * factor).round().max(1.0)),
        (_, Err(_)) => return Say::tool("give_up", json!({"reason": "it is no number"})),
    };
    let arguments = json!({
        "path": part.file, "search": format!("{knob} = {old}"), "replace": format!("{knob} = {new}"),
    });
    Say::tool("replace", arguments)
}

/// What the ledger has of a study.
#[derive(Default)]
struct Found {
    outcomes: BTreeMap<String, u32>,
    trials: u32,
    calls: u64,
    attempts: u64,
    rehearsed: u32,
    ideas: u32,
    outside: u32,
    strays: Vec<String>,
}

impl Found {
    fn read(study: &Path, owned: impl Fn(&str) -> Vec<String>) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let reader = Reader::open(study)?;
        let mut after = 0;
        loop {
            let page = reader.records(after, 1000)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = last.seq;
            page.iter().for_each(|record| found.take(&record.event, &owned));
        }
    }

    fn take(&mut self, event: &Event, owned: impl Fn(&str) -> Vec<String>) {
        if let Event::Called { call, .. } = event {
            self.calls += 1;
            self.attempts += u64::from(call.attempts);
        } else if let Event::Rehearsed { .. } = event {
            self.rehearsed += 1;
        } else if let Event::IdeaAdded { .. } = event {
            self.ideas += 1;
        } else if let Event::Proposed { trial, edit } = event {
            let Some(surface) = edit.surface.as_deref() else { return };
            let own = owned(surface);
            let stray = edit.files.iter().find(|file| !own.contains(&file.path));
            self.strays
                .extend(stray.map(|file| format!("{trial} of {surface} edits {}", file.path)));
        } else if let Event::Concluded { outcome, trial } = event {
            self.trials += u32::from(trial.0 > 0);
            let name = match outcome {
                Outcome::Valid { verdict, .. } => verdict.to_string(),
                Outcome::Failed(failure) => failure.cause.name().to_owned(),
            };
            self.outside += u32::from(name == "outside_surface");
            *self.outcomes.entry(name).or_default() += 1;
        }
    }
}

pub(crate) fn measure(words: &Words, scratch: &Path) -> anyhow::Result<()> {
    let server = ModelServer::on(0, false, mind)?;
    let list = format!(
        "[provider.bench]\nwire = \"chat\"\nurl = \"{}\"\n[price]\n\"bench/scripted\" = {{ input = 1, output = 4 }}\n",
        server.url()
    );
    fs_err::write(scratch.join("models.toml"), list)?;
    fs_err::write(scratch.join("roster.toml"), roster())?;
    let study = scratch.join("study");
    let task = words.task.as_deref().context("--task must name tasks/golf")?;
    say(format!(
        "specialists: {} roles, {} slots, {} trials of {}, by a scripted model server",
        PARTS.len() + 1,
        words.slots,
        words.trials,
        task.display()
    ))?;
    let began = Instant::now();
    let ended = Command::new(&words.exe)
        .arg("run")
        .arg(task)
        .args(["--arm", "specialists", "--model", "bench/scripted", "--no-check", "--seed", "1"])
        .args(["--trials", &words.trials.to_string(), "--slots", &words.slots.to_string()])
        .arg("--study")
        .arg(&study)
        .arg("--models-file")
        .arg(scratch.join("models.toml"))
        .arg("--roster")
        .arg(scratch.join("roster.toml"))
        .stdout(Stdio::null())
        .output()
        .context("run the study")?;
    let took = began.elapsed().as_secs_f64();
    if !ended.status.success() {
        bail!("the study ended with {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
    let heard = server.count();
    drop(server);
    let owned = |surface: &str| match surface {
        "adaptation" => vec!["adapt.py".to_owned(), "predict.py".to_owned()],
        other => PARTS
            .iter()
            .filter(|part| part.surface == other)
            .map(|part| part.file.to_owned())
            .collect(),
    };
    let found = Found::read(&study, owned)?;
    say(format!("  finished {} trials in {took:.0} s; {:?}", found.trials, found.outcomes))?;
    say(format!("  {} smoke stages, {} ideas left behind", found.rehearsed, found.ideas))?;
    say(format!(
        "  {} trials ended because their role reached for another's surface; {} edits lie outside their own",
        found.outside,
        found.strays.len()
    ))?;
    say(format!(
        "  the server heard {heard} requests; the ledger has {} in {} calls",
        found.attempts, found.calls
    ))?;
    let began = Instant::now();
    let verified =
        Command::new(&words.exe).arg("verify").arg(&study).args(["--replay", "--json"]).output()?;
    let verified: Value =
        serde_json::from_slice(&verified.stdout).context("read the verification")?;
    say(format!(
        "  replayed {} proposals from {} calls in {:.0} s: {}",
        verified["replayed"]["proposals"],
        verified["replayed"]["calls"],
        began.elapsed().as_secs_f64(),
        if verified["ok"] == true { "equal".to_owned() } else { verified["faults"].to_string() }
    ))?;
    let equal = verified["ok"] == true && verified["replayed"]["calls"] == found.calls;
    if !equal || found.attempts != heard || !found.strays.is_empty() || found.outside == 0 {
        bail!("that is not as it should be: {:?}", found.strays);
    }
    Ok(())
}
