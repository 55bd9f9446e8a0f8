//! A rehearsal: edits whose outcome is known go through store, rules and one replicate each, before a study begins.
//!
//! Nothing of it enters a ledger; what it finds is for whoever is about to spend a night.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use empiric_core::{Failure, Purpose};
use empiric_executor::{LocalRunner, Logs, Pool};
use empiric_lineage::{Import, Rules, Store};
use tokio_util::sync::CancellationToken;

use crate::{Error, Options, dispatcher::blocking};

/// What each path becomes; none is a file taken away.
pub type Edited = BTreeMap<String, Option<String>>;

/// Nobody reads them.
struct NoLogs;

impl Logs for NoLogs {
    fn keep(&self, _: &str) -> Option<empiric_core::BlobId> {
        None
    }
}

/// What becomes of each of `edits` to the unedited recipe: the failure it ends with, or none when it is measured.
///
/// Works in `dir`, which the caller removes. When `cancel` is called, what runs ends and the failures say so.
///
/// # Errors
/// When the recipe cannot be imported, or `dir` not be written.
pub async fn rehearse(
    options: &Options,
    dir: &Path,
    edits: Vec<Edited>,
    cancel: CancellationToken,
) -> Result<Vec<Option<Failure>>, Error> {
    let task = &options.installation.task;
    let rules = Arc::new(Rules::new(task)?);
    let gpus = task.stages.iter().map(|stage| stage.command.limits.gpus).max().unwrap_or(0);
    let mut pool = Pool::local(&dir.join("slots"), 1, gpus as usize, &options.gpus)?;
    let runner = LocalRunner::new(
        options.exe.clone(),
        options.level,
        options.cgroup.clone(),
        Arc::new(NoLogs),
        cancel,
    );
    let (path, recipe) = (dir.join("store.git"), options.recipe.clone());
    let (store, base) = blocking(move || {
        let store = Store::init(&path)?;
        let base = store.import(&recipe, &Import::default())?;
        Ok::<_, Error>((Arc::new(store), base))
    })
    .await??;
    let seed = Purpose::Search.seed(options.settings.seed, 0);
    let mut ends = Vec::new();
    for edit in edits {
        let Some(slot) = pool.take(base) else { break };
        let (store, rules) = (Arc::clone(&store), Arc::clone(&rules));
        let recipe = slot.dirs.recipe.clone();
        let refused = blocking(move || {
            let edit = edit.into_iter().map(|(path, text)| (path, text.map(String::into_bytes)));
            let tree = store.apply(base, &edit.collect())?;
            let refused = rules.check(&store, base, tree, None)?;
            if refused.is_none() {
                store.materialize(tree, &recipe, None)?;
            }
            Ok::<_, Error>(refused)
        })
        .await??;
        ends.push(match refused {
            Some(failure) => Some(failure),
            None => {
                let installation = &options.installation;
                empiric_evaluate::measure(&runner, installation, &slot.dirs, seed).await.failure
            }
        });
        pool.give(slot);
    }
    Ok(ends)
}
