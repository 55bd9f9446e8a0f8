//! The verbs that ask something of a study: note, pause, resume, stop, submit.
//!
//! They post a request. A process at work on the study answers it within a moment; otherwise the next one does.

use std::{collections::BTreeMap, io::Read as _, path::Path, sync::Arc, time::Duration};

use empiric_agents::Edits;
use empiric_core::{Prediction, TrialNo, study::State, trial::Direction};
use empiric_engine::Layout;
use empiric_ledger::{Inbox, Reader, Request, RequestId, Submission};
use empiric_lineage::{Import, Store};
use empiric_report::TrialRow;
use serde_json::json;

use crate::{
    ambient,
    args::{Note, Study, Submit},
    exit::{Failure, Kind},
    live::Live,
    look, out,
    run::{self, Place},
    setup, words,
};

/// How often a waiting command looks for its answer.
const POLL: Duration = Duration::from_millis(100);
/// How long a command waits to see whether a process answers.
const PATIENCE: u32 = 20;

pub(crate) fn note(args: &Note) -> Result<(), Failure> {
    ask(&args.study, Request::Note { text: args.text.clone() }, args.json)
}

pub(crate) fn pause(args: &Study) -> Result<(), Failure> {
    ask(&args.study, Request::Pause, args.json)
}

pub(crate) fn resume(args: &Study) -> Result<(), Failure> {
    ask(&args.study, Request::Resume, args.json)
}

pub(crate) fn stop(args: &Study) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    if !at_work(&layout) {
        return Err(Failure::say(
            Kind::Study,
            "no process is at work on this study, so there is nothing to stop",
        ));
    }
    ask(&args.study, Request::Stop, args.json)
}

/// Posts a request and says whether it was answered.
pub(crate) fn ask(dir: &Path, request: Request, json: bool) -> Result<(), Failure> {
    let layout = look::layout(dir)?;
    let id = post(&layout, &ambient::user(), request)?;
    let mut answered = false;
    if at_work(&layout) {
        for _ in 0..PATIENCE {
            answered = Reader::open(layout.root())?.answer(id)?.is_some();
            if answered {
                break;
            }
            std::thread::sleep(POLL);
        }
    }
    if json {
        return Ok(out::json(&json!({"request": id.to_string(), "answered": answered}))?);
    }
    out::talk(if answered { "done" } else { "noted; the next session of this study takes it up" });
    Ok(())
}

fn post(layout: &Layout, by: &str, request: Request) -> Result<RequestId, Failure> {
    Ok(Inbox::of(layout.root()).post(by, request, (ambient::clock())())?)
}

/// Whether a process holds the study's lock.
pub(crate) fn at_work(layout: &Layout) -> bool {
    empiric_ledger::is_locked(layout.root())
}

pub(crate) fn submit(args: &Submit) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    let parent = match &args.parent {
        Some(word) => look::trial_no(&study, word)?,
        None => study.champion(),
    };
    let files = edited(args, &layout, &study, parent)?;
    let metric = study.task().metric.name.clone();
    let prediction = args.predict.map(|delta| Prediction {
        metric,
        direction: match delta {
            0.0 => Direction::Unchanged,
            delta if delta > 0.0 => Direction::Increase,
            _ => Direction::Decrease,
        },
        size: Some(delta.abs()),
    });
    let submission = Submission {
        files,
        parents: vec![parent],
        hypothesis: args.hypothesis.clone(),
        prediction,
    };
    let id = post(&layout, &args.by, Request::Submit { submission })?;
    if !args.wait {
        if args.json {
            return Ok(out::json(&json!({"request": id.to_string(), "answered": false}))?);
        }
        let when = if at_work(&layout) {
            "now"
        } else {
            "with the next session; --wait measures it at once"
        };
        out::talk(&format!("handed in; it is measured {when}"));
        return Ok(());
    }
    if study.state() == State::Paused {
        return Err(Failure::say(Kind::Study, "the study is paused, so the trial waits")
            .hint("`empiric resume` goes on"));
    }
    if !at_work(&layout) {
        measure_here(&layout, &study)?;
    }
    let trial = outcome(&layout, id)?;
    if args.json {
        return Ok(out::json(&TrialRow::from(&trial))?);
    }
    let study = Reader::open(layout.root())?.study()?;
    Ok(out::raw(&words::trial_page(&study, &trial))?)
}

/// What a file says, or standard input where `-` names it.
fn text(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs_err::read_to_string(path).map_err(|error| Failure::new(Kind::Input, error))
}

/// The edited files: from a patch, from blocks, or from a directory that holds the recipe as edited.
fn edited(
    args: &Submit,
    layout: &Layout,
    study: &empiric_core::Study,
    parent: TrialNo,
) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let store = Store::open(&layout.store())?;
    let base = study.trial(parent).and_then(|trial| trial.edit.as_ref()).map(|edit| edit.tree);
    let base = base
        .ok_or_else(|| Failure::say(Kind::Input, format!("{parent} has no tree to start from")))?;
    let unfit = |error: anyhow::Error| {
        Failure::new(Kind::Input, error)
            .hint(format!("the edit must fit the tree of {parent}; name another with --parent"))
    };
    let tree = match (&args.patch, &args.edits, &args.dir) {
        (Some(path), ..) => {
            store.apply_patch(base, &text(path)?).map_err(|error| unfit(error.into()))?
        }
        (None, Some(path), _) => {
            let edits = Edits::parse(&text(path)?).map_err(|error| unfit(error.into()))?;
            let files = store.files(base)?;
            let texts = files.iter().filter_map(|(path, bytes)| {
                Some((path.clone(), Arc::from(std::str::from_utf8(bytes).ok()?)))
            });
            let changed = edits.apply(&texts.collect()).map_err(|error| unfit(error.into()))?;
            let changed = changed.into_iter().map(|(path, text)| (path, Some(text.into_bytes())));
            store.apply(base, &changed.collect()).map_err(|error| unfit(error.into()))?
        }
        (None, None, Some(dir)) => store
            .import(dir, &Import::default())
            .map_err(|error| Failure::new(Kind::Input, error))?,
        (None, None, None) => {
            return Err(Failure::say(Kind::Usage, "name --patch, --edits or --dir"));
        }
    };
    let mut files = BTreeMap::new();
    for change in store.diff(base, tree)?.files {
        let text = match store.read(tree, &change.path)? {
            Some(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
                Failure::say(
                    Kind::Input,
                    format!("`{}` is not UTF-8 text; an edit is made of text", change.path),
                )
            })?),
            None => None,
        };
        files.insert(change.path, text);
    }
    if files.is_empty() {
        return Err(Failure::say(
            Kind::Input,
            format!("the edit changes nothing against {parent}"),
        ));
    }
    Ok(files)
}

/// Measures what was handed in, in this process, asking for no trials of its own.
fn measure_here(layout: &Layout, study: &empiric_core::Study) -> Result<(), Failure> {
    let (ready, asked) = setup::ready_again(layout)?;
    let place = Place::of(&asked)?;
    let settings = study.settings().clone();
    let options = run::options(ready, layout.clone(), settings, place, None, false)?;
    run::session(options, Live::quiet(), false)?;
    Ok(())
}

/// Waits until the request's trial has ended.
fn outcome(layout: &Layout, id: RequestId) -> Result<empiric_core::Trial, Failure> {
    loop {
        let reader = Reader::open(layout.root())?;
        if let Some(answer) = reader.answer(id)? {
            let Some(no) = answer.trial else {
                let why = answer.refusal.unwrap_or_else(|| "it became no trial".to_owned());
                return Err(Failure::say(
                    Kind::Study,
                    format!("the submission was refused: {why}"),
                ));
            };
            if let Some(trial) = reader.trial(no)?.filter(|trial| trial.outcome.is_some()) {
                return Ok(trial);
            }
        }
        if !at_work(layout) {
            // What ended between the look and now is there; otherwise nobody will measure it.
            let trial = reader.answer(id)?.and_then(|answer| answer.trial);
            let ended = trial
                .and_then(|no| reader.trial(no).ok().flatten())
                .filter(|trial| trial.outcome.is_some());
            return ended.ok_or_else(|| {
                Failure::say(Kind::Interrupted, "the session that was to measure it has ended")
                    .hint("hand it in again, or run the study on")
            });
        }
        std::thread::sleep(POLL);
    }
}
