//! The verbs that ask something of a study: note, pause, resume, stop, submit.
//!
//! They post a request. A process at work on the study answers it within a moment; otherwise the next one does.

use std::{io::Read as _, path::Path, time::Duration};

use empiric_core::{Cause, Trial, study::State};
use empiric_engine::{Desk, Draft, Form, Handle, Standing, named};
use empiric_ledger::{Answer, Request, RequestId};
use empiric_report::TrialRow;
use serde_json::json;

use crate::{
    ambient,
    args::{Note, Study, Submit},
    exit::{Failure, Kind},
    live::Live,
    look, out, run, words,
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
    if !look::desk(&args.study)?.at_work() {
        return Err(Failure::say(
            Kind::Study,
            "no process is at work on this study, so there is nothing to stop",
        ));
    }
    ask(&args.study, Request::Stop, args.json)
}

/// Posts a request and says whether it was answered.
pub(crate) fn ask(dir: &Path, request: Request, json: bool) -> Result<(), Failure> {
    let desk = look::desk(dir)?;
    let id = desk.post(&ambient::user(), request)?;
    let answer = answered(&desk, id)?;
    let (trial, refusal) = answer.clone().map_or((None, None), |told| (told.trial, told.refusal));
    if let Some(why) = refusal {
        return Err(Failure::say(Kind::Study, format!("it was refused: {why}")));
    }
    if json {
        let mut told = json!({"request": id.to_string(), "answered": answer.is_some()});
        if let Some(trial) = trial {
            told["trial"] = json!(trial);
        }
        return Ok(out::json(&told)?);
    }
    out::talk(&match (answer, trial) {
        (None, _) => "noted; the next session of this study takes it up".to_owned(),
        (Some(_), None) => "done".to_owned(),
        (Some(_), Some(trial)) => format!("done, as {trial}"),
    });
    Ok(())
}

/// What became of the request, if a process at work answers it within a moment.
fn answered(desk: &Desk, id: RequestId) -> Result<Option<Answer>, Failure> {
    for _ in 0..PATIENCE {
        if let Some(answer) = desk.answer(id)? {
            return Ok(Some(answer));
        }
        if !desk.at_work() {
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(None)
}

pub(crate) fn submit(args: &Submit) -> Result<(), Failure> {
    let desk = look::desk(&args.study)?;
    let study = desk.study()?;
    let parent = args.parent.as_deref().map(|word| named(&study, word)).transpose()?;
    let form = match (&args.patch, &args.edits, &args.dir) {
        (Some(path), ..) => Form::Patch(text(path)?),
        (None, Some(path), _) => Form::Blocks(text(path)?),
        (None, None, Some(dir)) => Form::Directory(dir.clone()),
        (None, None, None) => {
            return Err(Failure::say(Kind::Usage, "name --patch, --edits or --dir"));
        }
    };
    let draft = Draft {
        form,
        parent: parent.map(|trial| trial.no),
        hypothesis: args.hypothesis.clone(),
        predict: args.predict,
    };
    let fitting = desk.fit(&study, draft)?;
    if args.check {
        return check(args, &desk, &study, &fitting);
    }
    let id = desk.submit(&args.by, fitting)?;
    if !args.wait {
        let answered = answered(&desk, id)?.is_some();
        let trial = match desk.standing(Handle::Request(id))? {
            Standing::Taken(trial) => Some(trial.no),
            Standing::Waiting | Standing::Refused(_) => None,
        };
        if args.json {
            return Ok(out::json(
                &json!({"request": id.to_string(), "answered": answered, "trial": trial}),
            )?);
        }
        match trial {
            Some(no) => out::talk(&format!("handed in as {no}; it is measured now")),
            None => out::talk(
                "handed in; it is measured with the next session; --wait measures it at once",
            ),
        }
        return Ok(());
    }
    if study.state() == State::Paused {
        return Err(Failure::say(Kind::Study, "the study is paused, so the trial waits")
            .hint("`empiric resume` goes on"));
    }
    if !desk.at_work() {
        // Measures what was handed in, in this process, asking for no trials of its own.
        run::session(run::answering(desk.layout(), &study)?, Live::quiet(), false)?;
    }
    let trial = outcome(&desk, Handle::Request(id))?;
    if args.json {
        return Ok(out::json(&TrialRow::from(&trial))?);
    }
    Ok(out::raw(&words::trial_page(&desk.study()?, &trial))?)
}

/// Says what the static checks make of an edit, which is not handed in.
fn check(
    args: &Submit,
    desk: &Desk,
    study: &empiric_core::Study,
    fitting: &empiric_engine::Fitting,
) -> Result<(), Failure> {
    let files: Vec<_> = fitting
        .changes
        .iter()
        .map(|file| json!({"path": file.path, "added": file.added, "removed": file.removed}))
        .collect();
    let Some(failure) = desk.check(study, fitting)? else {
        if args.json {
            return Ok(out::json(&json!({"parent": fitting.parent, "files": files, "ok": true}))?);
        }
        out::talk(&format!("it fits {} and passes the static checks", fitting.parent));
        return Ok(());
    };
    let what = format!("{}: {}", failure.cause, failure.excerpt);
    let what = if let Cause::DuplicateTree { of } = failure.cause {
        format!("the edit leads to the tree of {of}, which was measured already")
    } else {
        what.trim_end_matches([':', ' ']).to_owned()
    };
    Err(Failure::say(Kind::Input, what))
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

/// Waits until a trial has ended.
pub(crate) fn outcome(desk: &Desk, handle: Handle) -> Result<Trial, Failure> {
    loop {
        // Looked at first: what ended between the two looks is then seen by the second.
        let at_work = desk.at_work();
        match desk.standing(handle)? {
            Standing::Refused(why) => {
                return Err(Failure::say(
                    Kind::Study,
                    format!("the submission was refused: {why}"),
                ));
            }
            Standing::Taken(trial) if trial.outcome.is_some() => return Ok(*trial),
            Standing::Taken(_) | Standing::Waiting => {}
        }
        if !at_work {
            return Err(Failure::say(
                Kind::Interrupted,
                "no process is at work on this study, so nobody measures the trial",
            )
            .hint("run the study on, or hand the trial in with --wait"));
        }
        std::thread::sleep(POLL);
    }
}
