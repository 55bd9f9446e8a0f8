//! From how a unit ended to who is to blame. The ending is looked at first; text only illustrates.

use empiric_core::{
    Blame, Cause, Failure, Phase,
    quote::{Keep, bounded},
};
use empiric_sandbox::{Ending, Report};

use crate::contract;

/// The signal that ends who writes to a pipe that nobody reads.
const SIGPIPE: i32 = 13;
/// Longest excerpt, bytes.
const EXCERPT: usize = 600;

/// The failure of a recipe's unit that ended as `report` says; none when it succeeded.
pub(crate) fn recipe(report: &Report, phase: Phase) -> Option<Failure> {
    let failure = |cause| Failure::new(phase, cause).excerpt(excerpt(report));
    Some(match &report.ending {
        Ending::Exit(0) => return None,
        Ending::Exit(status) => failure(Cause::Exception { status: *status }),
        Ending::Signal(signal) => failure(Cause::Signal { signal: *signal }),
        Ending::NotExecutable(why) => {
            failure(Cause::Exception { status: 127 }).excerpt(bounded(why, EXCERPT, Keep::Head))
        }
        Ending::OutOfMemory => failure(Cause::OutOfMemory),
        Ending::WallLimit => failure(Cause::WallLimit),
        Ending::CpuLimit => failure(Cause::CpuLimit),
        Ending::OutputFlood => failure(Cause::OutputFlood),
        Ending::DiskLimit => failure(Cause::DiskLimit),
        Ending::ProcessLimit => failure(Cause::ProcessLimit),
        Ending::Denied(what) => failure(Cause::Denied).excerpt(bounded(what, EXCERPT, Keep::Head)),
        Ending::Cancelled => failure(Cause::Cancelled),
        Ending::Lost(why) => {
            failure(Cause::SandboxFailed).excerpt(bounded(why, EXCERPT, Keep::Head))
        }
    })
}

/// The failure of an evaluator that ended as `evaluator` says, beside a predictor that ended as `predictor` says.
///
/// A predictor that failed by itself is the cause of whatever the evaluator then made of it.
pub(crate) fn evaluator(evaluator: &Report, predictor: Option<&Report>) -> Option<Failure> {
    let phase = Phase::Score;
    let failure = |cause| Failure::new(phase, cause).excerpt(excerpt(evaluator));
    let own = match &evaluator.ending {
        Ending::Exit(0) => return None,
        Ending::Exit(contract::BAD_ARTIFACT_STATUS) => failure(Cause::BadArtifact),
        Ending::Cancelled => return Some(failure(Cause::Cancelled)),
        Ending::Lost(why) => {
            return Some(failure(Cause::SandboxFailed).excerpt(bounded(why, EXCERPT, Keep::Head)));
        }
        Ending::WallLimit
        | Ending::CpuLimit
        | Ending::OutOfMemory
        | Ending::OutputFlood
        | Ending::DiskLimit
        | Ending::ProcessLimit => {
            // Which limit it was is not in the cause.
            let said = format!("{}\n{}", evaluator.ending, excerpt(evaluator));
            failure(Cause::EvaluatorLimit).excerpt(said.trim_end())
        }
        Ending::NotExecutable(why) | Ending::Denied(why) => {
            failure(Cause::EvaluatorCrash).excerpt(bounded(why, EXCERPT, Keep::Head))
        }
        Ending::Exit(_) | Ending::Signal(_) => failure(Cause::EvaluatorCrash),
    };
    // A predictor that waits for a dead evaluator ends by a broken pipe or is cancelled: no fault of its own then.
    let blamed = predictor.filter(|report| {
        !matches!(report.ending, Ending::Exit(0) | Ending::Cancelled) && !deserted(report)
    });
    let protocol = own.cause == Cause::BadArtifact || own.cause == Cause::EvaluatorLimit;
    match blamed.and_then(|report| recipe(report, phase)) {
        Some(failure)
            if protocol || failure.blame == Blame::Infra || failure.blame == Blame::Budget =>
        {
            Some(failure)
        }
        _ => Some(own),
    }
}

/// Whether a unit failed because nobody was at the other end of its pipe any more.
fn deserted(report: &Report) -> bool {
    match report.ending {
        Ending::Signal(signal) => signal == SIGPIPE,
        // Its own words are all there is to tell by.
        Ending::Exit(_) => {
            let said = excerpt(report);
            let last = said.lines().next_back().unwrap_or_default();
            last.contains("BrokenPipe") || last.contains("Broken pipe")
        }
        Ending::NotExecutable(_)
        | Ending::OutOfMemory
        | Ending::WallLimit
        | Ending::CpuLimit
        | Ending::OutputFlood
        | Ending::DiskLimit
        | Ending::ProcessLimit
        | Ending::Denied(_)
        | Ending::Cancelled
        | Ending::Lost(_) => false,
    }
}

/// The last lines of what it printed, standard error first.
fn excerpt(report: &Report) -> String {
    let stderr = report.stderr.text();
    let source = if stderr.trim().is_empty() { report.stdout.text() } else { stderr };
    bounded(source.trim_end(), EXCERPT, Keep::Tail)
}
