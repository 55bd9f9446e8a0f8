//! A study followed line by line, for whatever is no terminal.

use std::time::Duration;

use empiric_core::study::State;
use empiric_engine::Layout;
use empiric_report::Status;

use super::follow::Follower;
use crate::{exit::Failure, live, out, run::shown, words};

/// Between looks at the ledger.
const TICK: Duration = Duration::from_millis(200);

/// Prints every event as JSON, as `run --json` does, and ends with the summary when nobody is at work any more.
pub(super) fn json(layout: &Layout) -> Result<(), Failure> {
    let mut follower = Follower::open(layout)?;
    until_over(&mut follower, |record, _| out::json(&live::flat(record)))?;
    let Some(sight) = follower.sight() else { return Ok(()) };
    let mut summary = serde_json::to_value(status(sight.status))?;
    if let Some(object) = summary.as_object_mut() {
        object.insert("event".to_owned(), "study_summary".into());
    }
    Ok(out::json(&summary)?)
}

/// Prints what happens from now on, and ends with the summary when nobody is at work any more.
pub(super) fn lines(layout: &Layout) -> Result<(), Failure> {
    let mut follower = Follower::open(layout)?;
    follower.catch_up()?;
    if let Some(sight) = follower.sight().filter(|sight| sight.at_work) {
        let study = &sight.study;
        let ended = study.trials().len() - study.open_trials().len();
        out::line(&format!("{} of {ended} trials that ended so far:", sight.feed.len().min(10)))?;
        for told in sight.feed.iter().rev().take(10).rev() {
            out::line(&told.text)?;
        }
    }
    until_over(&mut follower, |record, study| match live::line(record, study) {
        Some(line) => out::line(&line),
        None => Ok(()),
    })?;
    let Some(sight) = follower.sight() else { return Ok(()) };
    Ok(out::raw(&words::summary(&status(sight.status), &sight.study, &shown(layout)))?)
}

/// Hands every new event to `each` until nobody is at work and nothing is left to read.
fn until_over(
    follower: &mut Follower,
    mut each: impl FnMut(&empiric_core::Record, &empiric_core::Study) -> std::io::Result<()>,
) -> Result<(), Failure> {
    loop {
        // Asked before reading: what was written by then is read.
        let at_work = follower.at_work();
        let mut printed = Ok(());
        let any = follower.follow(|record, study| {
            if printed.is_ok() {
                printed = each(record, study);
            }
        })?;
        printed?;
        match (any, at_work) {
            (true, _) => {}
            (false, true) => std::thread::sleep(TICK),
            (false, false) => return Ok(()),
        }
    }
}

/// The status, of a study that nobody is at work on.
fn status(mut status: Status) -> Status {
    if status.state == State::Running {
        // Its last session was killed before it could say so.
        status.state = State::Stopped;
    }
    status
}
