//! What `run` tries before a study begins: the canaries that end within moments. Their outcome is noted in the ledger.

use std::{path::Path, sync::Arc};

use empiric_core::{Blame, Purpose, study::Fixed};
use empiric_engine::{Edited, LocalRunner, Options, Rehearsal};
use empiric_ledger::{Inbox, Reader, Request};
use tokio::signal::unix;
use tokio_util::sync::CancellationToken;

use crate::{
    ambient,
    canaries::canaries,
    exit::{Failure, Kind},
    out,
    runtime::runtime,
};

/// Who notes the outcome.
const BY: &str = "check";

/// Tries the quick canaries on the task that `options` are about to study, unless that was done in this study already.
///
/// A canary that the evaluator or the machine trips over is told and noted: the baseline will show whether it matters.
///
/// # Errors
/// When one is measured that must not be, or fails as it must not.
pub(crate) fn preflight(options: &Options, quiet: bool) -> Result<(), Failure> {
    let fixed = (options.fixed)()?;
    if resumed(options, &fixed) {
        return Ok(());
    }
    let task = &options.installation.task;
    let canaries: Vec<_> =
        canaries(task, &options.recipe)?.into_iter().filter(|canary| canary.quick).collect();
    let names: Vec<&str> = canaries.iter().map(|canary| canary.name).collect();
    if !quiet {
        out::talk(&format!("trying {} canaries first: {}", canaries.len(), names.join(", ")));
    }
    let ends = tried(options, canaries.iter().map(|canary| canary.files.clone()).collect())?;
    let mut tripped = Vec::new();
    for (canary, end) in canaries.iter().zip(ends) {
        match end {
            Some(failure) if canary.expected.met_by(&failure) => {}
            Some(failure) if matches!(failure.blame, Blame::Evaluator | Blame::Infra) => {
                tripped.push(format!("{}: {failure}", canary.name));
            }
            end => {
                let seen = end.map_or_else(|| "a measurement".to_owned(), |end| end.to_string());
                return Err(Failure::say(
                    Kind::Broken,
                    format!(
                        "the canary `{}` was not stopped: expected {}, seen {seen}; nothing was run",
                        canary.name,
                        canary.expected.words()
                    ),
                )
                .hint("mend the evaluator: what an edit like this yields could not be believed; `empiric check` tries all canaries")
                .hint("--no-check runs the study all the same"));
            }
        }
    }
    for what in &tripped {
        out::talk(&format!(
            "warning: canary {what}; an evaluator that finds the artefact at fault should exit with status {}",
            empiric_evaluate::contract::BAD_ARTIFACT_STATUS
        ));
    }
    let but =
        if tripped.is_empty() { String::new() } else { format!(", but {}", tripped.join("; ")) };
    let text = format!("canaries as expected: {}{but}", names.join(", "));
    let inbox = Inbox::of(options.layout.root());
    inbox.post(BY, Request::Note { text }, (ambient::clock())())?;
    Ok(())
}

/// Whether there is a study here already that measures as now, or one of another task, which will be refused.
fn resumed(options: &Options, fixed: &Fixed) -> bool {
    let study = Reader::open(options.layout.root()).and_then(|reader| reader.study());
    study.is_ok_and(|study| {
        study.task() != &options.installation.task
            || study.fixed().is_none_or(|before| before == *fixed)
    })
}

fn tried(
    options: &Options,
    edits: Vec<Edited>,
) -> Result<Vec<Option<empiric_core::Failure>>, Failure> {
    let dir = tempfile::Builder::new().prefix("empiric-check-").tempdir()?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut interrupts = unix::signal(unix::SignalKind::interrupt())?;
        let mut terminations = unix::signal(unix::SignalKind::terminate())?;
        let cancel = CancellationToken::new();
        let rehearsal = rehearse(options, dir.path(), edits, cancel.clone());
        let mut rehearsal = std::pin::pin!(rehearsal);
        let ends = tokio::select! {
            ends = &mut rehearsal => return Ok(ends?),
            _ = interrupts.recv() => { cancel.cancel(); rehearsal.await }
            _ = terminations.recv() => { cancel.cancel(); rehearsal.await }
        };
        ends?;
        Err(Failure::say(Kind::Interrupted, "interrupted before the study began"))
    })
}

/// What becomes of each of `edits`: the failure it ends with, or none when it is measured.
async fn rehearse(
    options: &Options,
    dir: &Path,
    edits: Vec<Edited>,
    cancel: CancellationToken,
) -> Result<Vec<Option<empiric_core::Failure>>, empiric_engine::Error> {
    let (exe, cgroup) = (options.exe.clone(), options.cgroup.clone());
    let runner = LocalRunner::new(exe, options.level, cgroup, Arc::new(()), cancel);
    let installation = options.installation.clone();
    let mut rehearsal =
        Rehearsal::open(dir, installation, &options.recipe, &options.gpus, runner).await?;
    let seed = Purpose::Search.seed(options.settings.seed, 0);
    let mut ends = Vec::new();
    for edit in edits {
        ends.push(rehearsal.measure(Some(edit), seed).await?.failure);
    }
    Ok(ends)
}
