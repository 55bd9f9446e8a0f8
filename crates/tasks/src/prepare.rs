//! Makes a task's data once, deals its items to the splits, and says where each piece of it is.
//!
//! `[prepare]` is the task author's and runs unconfined: it may download. It runs in the task's directory and writes
//! below `$EMPIRIC_DATA`; data appear in the cache whole or not at all.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use empiric_core::{Digest, task::Visible};
use empiric_evaluate::DataEntry;

use crate::{
    Dealt, Environment, Error, Host, Loaded, Progress, files,
    process::{Job, begin, command, lock},
    splits::splits,
};

/// The data of a task, ready to be shown to its programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Data {
    /// Hash of all of it when it was prepared.
    pub(crate) digest: Digest,
    /// Its pieces in the order of the task.
    pub(crate) entries: Vec<DataEntry>,
    /// The splits, where the task has them made.
    pub(crate) splits: Option<Dealt>,
}

impl Data {
    /// Hash of the data as they are now; differs from `digest` when anything was changed, added or removed.
    ///
    /// # Errors
    /// When something cannot be read.
    pub(crate) fn current_digest(&self) -> io::Result<Digest> {
        digest(&self.entries, self.splits.as_ref())
    }
}

fn digest(entries: &[DataEntry], splits: Option<&Dealt>) -> io::Result<Digest> {
    let mut parts = Vec::new();
    for entry in entries {
        let content = if entry.path.is_dir() {
            let all = files::list_all(&entry.path)?;
            files::digest(&entry.path, all.iter().map(String::as_str))?
        } else {
            files::digest(Path::new(""), entry.path.to_str())?
        };
        let visible = match entry.visible {
            Visible::All => "all",
            Visible::Evaluator => "evaluator",
        };
        parts.extend([entry.name.clone(), visible.to_owned(), content.to_string()]);
    }
    if let Some(splits) = splits {
        parts.extend(["splits".to_owned(), splits.digest()?.to_string()]);
    }
    Ok(files::digest_of(parts.iter().map(String::as_str)))
}

/// The data of a task, made by its `[prepare]` if that has not been done for these files and this environment.
///
/// # Errors
/// When the command fails, takes too long, leaves out a declared piece, or `progress` says to stop; nothing is kept
/// then but its log.
pub(crate) fn prepare(
    loaded: &Loaded,
    environment: &Environment,
    host: &Host,
    progress: &mut Progress<'_>,
) -> Result<Data, Error> {
    let base = match &loaded.task.prepare {
        Some(run) => prepared(loaded, run, environment, host, progress)?,
        None => loaded.root.clone(),
    };
    let mut entries = Vec::new();
    for data in &loaded.task.data {
        let name = data.path.rsplit('/').next().unwrap_or_default().to_owned();
        entries.push(DataEntry {
            name,
            path: fs_err::canonicalize(base.join(&data.path))?,
            visible: data.visible,
        });
    }
    let declared = loaded.task.splits.as_ref();
    let splits = declared
        .map(|declared| splits(loaded, declared, &base.join(&declared.items), host))
        .transpose()?;
    Ok(Data { digest: digest(&entries, splits.as_ref())?, entries, splits })
}

/// The directory that holds `data/`, made by `run`.
fn prepared(
    loaded: &Loaded,
    run: &[String],
    environment: &Environment,
    host: &Host,
    progress: &mut Progress<'_>,
) -> Result<PathBuf, Error> {
    let all = host.cache.join("data");
    fs_err::create_dir_all(&all)?;
    let all = fs_err::canonicalize(all)?;
    let (source, env) = (loaded.source_digest.to_string(), environment.digest.to_string());
    let fields = ["data 1", &source, &env].into_iter().chain(run.iter().map(String::as_str));
    let key = &files::digest_of(fields).to_string()[..16];
    let (done, partial) = (all.join(key), all.join(format!("{key}.tmp")));
    if done.is_dir() {
        return Ok(done);
    }
    let _lock = lock(&all.join(format!("{key}.lock")), progress)?;
    if done.is_dir() {
        return Ok(done);
    }
    let log = all.join(format!("{key}.log"));
    for old in [&partial, &log] {
        if old.is_dir() {
            fs_err::remove_dir_all(old)?;
        } else if old.exists() {
            fs_err::remove_file(old)?;
        }
    }
    fs_err::create_dir_all(partial.join("data"))?;
    let what = run.join(" ");
    let mut command = program(loaded, run, &environment.path(&host.path));
    command.envs(&environment.vars).env("EMPIRIC_DATA", partial.join("data"));
    let job = Job { what: &what, command, log: &log, wall: Some(loaded.prepare_wall) };
    let made = begin(&format!("making the data: {what}"), progress)
        .and_then(|()| job.run(progress))
        .and_then(|()| whole(loaded, &what, &partial));
    if made.is_err() && partial.exists() {
        fs_err::remove_dir_all(&partial)?;
    }
    made?;
    fs_err::rename(&partial, &done)?;
    Ok(done)
}

/// The command of `[prepare]`, run in the task's directory.
fn program(loaded: &Loaded, run: &[String], path: &OsStr) -> Command {
    let (program, args) =
        run.split_first().map_or(("", run), |(program, args)| (program.as_str(), args));
    let program =
        if program.contains('/') { loaded.root.join(program) } else { PathBuf::from(program) };
    let mut command = command(program, path);
    command.args(args).current_dir(&loaded.root);
    command
}

/// Checks that `made` has every declared piece, and makes it read-only.
fn whole(loaded: &Loaded, what: &str, made: &Path) -> Result<(), Error> {
    for declared in &loaded.task.data {
        if !made.join(&declared.path).exists() {
            let below = declared.path.strip_prefix("data").unwrap_or_default();
            return Err(Error::NoData {
                command: what.to_owned(),
                path: declared.path.clone(),
                written: format!("$EMPIRIC_DATA{below}"),
            });
        }
    }
    Ok(files::make_read_only(made)?)
}
