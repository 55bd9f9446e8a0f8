//! The threads that a command works with.

use tokio::runtime::{Builder, Runtime};

use crate::exit::{Failure, Kind};

/// Threads that a command may need at once before it has work for more.
const THREADS: usize = 8;

/// The runtime of a command. It would wait for ever for a thread that this user cannot have, so a few are tried first.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let mut parked = Vec::new();
    let tried = (0..THREADS).try_for_each(|_| {
        parked.push(std::thread::Builder::new().spawn(std::thread::park)?);
        Ok(())
    });
    for thread in parked {
        thread.thread().unpark();
        thread.join().ok();
    }
    tried.map_err(|error: std::io::Error| {
        let error = anyhow::Error::new(error).context("start a thread");
        Failure::new(Kind::Internal, error).hint(
            "this user has as many processes and threads as it can have (`ulimit -u`): end some, and the same command goes on",
        )
    })?;
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
