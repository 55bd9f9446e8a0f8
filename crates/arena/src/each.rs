//! Independent runs on all cores.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
};

/// What `run` makes of each of `seeds`, in their order; every thread begins with a `start` of its own.
///
/// # Errors
/// The first that any run ends with.
pub(crate) fn each_seed<S, T: Send>(
    seeds: impl IntoIterator<Item = u64, IntoIter: Send>,
    start: impl Fn() -> anyhow::Result<S> + Sync,
    run: impl Fn(&mut S, u64) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let seeds = Mutex::new(seeds.into_iter());
    let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
    let made = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    let mut state = None;
                    while let Some(seed) = next() {
                        let state = match &mut state {
                            Some(state) => state,
                            none => none.insert(start()?),
                        };
                        let run = run(state, seed)?;
                        made.lock().unwrap_or_else(PoisonError::into_inner).push((seed, run));
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(seed, _)| *seed);
    Ok(made.into_iter().map(|(_, run)| run).collect())
}
