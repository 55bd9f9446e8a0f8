//! A task made ready on this machine: environment built, data made, splits dealt, and a watch over all of it.

use std::{path::Path, sync::Arc};

use empiric_evaluate::{self as evaluate, Installation};

use crate::{Environments, Error, Host, Loaded, Progress, Watch, bare, prepare};

/// A task that can be run here.
#[derive(Debug)]
pub struct Installed {
    /// Where everything is.
    pub installation: Installation,
    /// Whether it is still what it was.
    pub watch: Watch,
}

/// Makes a task ready; what was made before for the same files is taken from the cache.
///
/// # Errors
/// When its environment cannot be built or its data not be made, or `progress` says to stop.
pub fn install(
    loaded: &Loaded,
    host: &Host,
    progress: &mut Progress<'_>,
) -> Result<Installed, Error> {
    let environment = Environments::new(host).ensure(loaded, progress)?;
    let data = prepare(loaded, &environment, host, progress)?;
    let bare = bare(loaded, &environment, &data, host, progress)?;
    let watch = Watch::new(loaded, &data, &environment, bare.as_ref())?;
    let data_dir = data.entries.first().and_then(|entry| entry.path.parent());
    let splits = data.splits.as_ref();
    let installation = Installation {
        task: Arc::new(loaded.task.clone()),
        root: loaded.root.clone(),
        path: environment.bin.iter().cloned().collect(),
        read: environment.read_paths,
        vars: environment.vars,
        bare: bare.map(|bare| evaluate::Bare {
            path: vec![bare.bin],
            read: bare.read_paths,
            vars: bare.vars,
        }),
        splits: splits
            .map(|dealt| Arc::new(evaluate::Dealt::new(dealt.path.clone(), &dealt.assignment))),
        data_dir: data_dir.map_or_else(|| loaded.root.clone(), Path::to_owned),
        data: data.entries,
    };
    Ok(Installed { installation, watch })
}
