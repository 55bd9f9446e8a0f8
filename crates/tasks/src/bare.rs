//! A compiled copy of an environment for recipe code that must not read its sources: for tasks whose data are made of
//! what is installed.
//!
//! The copy has what programs need to run and nothing to read: modules are compiled without their docstrings, tests and
//! hidden modules are left out, and of the system come the shared libraries that something in it is linked with.

use std::{collections::BTreeMap, io, path::Path, path::PathBuf};

use crate::{
    Data, Environment, Error, Host, Loaded, Progress, files,
    process::{Job, begin, command, lock},
};

/// Part of every key: raised when copies are made in another way.
const BUILDER: &str = "bare 1";
const SCRIPT: &str = include_str!("bare.py");
/// Where the script lists the libraries outside the copy, a line each.
const LIBRARIES: &str = "libraries";

/// Where recipe code runs instead of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bare {
    /// The copy.
    pub(crate) root: PathBuf,
    /// Directory to look programs up in; there is no other.
    pub(crate) bin: PathBuf,
    /// Everything outside the task that programs must be able to read, under these very paths.
    pub(crate) read_paths: Vec<PathBuf>,
    /// Variables to set besides the environment's.
    pub(crate) vars: BTreeMap<String, String>,
}

/// The compiled copy for a task that hides something; made if it is not there.
///
/// # Errors
/// When `[prepare]` wrote no list, the copy cannot be made, or `progress` says to stop.
pub(crate) fn bare(
    loaded: &Loaded,
    environment: &Environment,
    data: &Data,
    host: &Host,
    progress: &mut Progress<'_>,
) -> Result<Option<Bare>, Error> {
    let Some(hide) = &loaded.task.hide else { return Ok(None) };
    let list = listed(loaded, data, hide)?;
    let hidden = fs_err::read_to_string(&list)?;
    let bin = environment.bin.clone().unwrap_or_default();
    let all = host.cache.join("environments");
    fs_err::create_dir_all(&all)?;
    let all = fs_err::canonicalize(all)?;
    let parts = [BUILDER, SCRIPT, &environment.digest.to_string(), &bin.to_string_lossy(), &hidden];
    let key = format!("bare-{}", &files::digest_of(parts).to_string()[..16]);
    let (done, partial) = (all.join(&key), all.join(format!("{key}.tmp")));
    let _lock = lock(&all.join(format!("{key}.lock")), progress)?;
    if !done.is_dir() {
        if partial.exists() {
            fs_err::remove_dir_all(&partial)?;
        }
        fs_err::create_dir_all(&partial)?;
        let log = all.join(format!("{key}.log"));
        let made = begin("compiling a copy of the environment without its sources", progress)
            .and_then(|()| make(environment, host, &partial, &list, &log, progress));
        if let Err(error) = made {
            fs_err::remove_dir_all(&partial)?;
            return Err(error);
        }
        files::make_read_only(&partial)?;
        fs_err::rename(&partial, &done)?;
    }
    let libraries = fs_err::read_to_string(done.join(LIBRARIES))?;
    let mut read_paths = vec![done.clone()];
    read_paths.extend(libraries.lines().map(PathBuf::from).filter(|path| path.is_file()));
    let vars = BTreeMap::from([("PYTHONHOME".to_owned(), done.to_string_lossy().into_owned())]);
    Ok(Some(Bare { bin: done.join("bin"), read_paths, vars, root: done }))
}

/// Where the list that the task names is on this machine.
fn listed(loaded: &Loaded, data: &Data, hide: &str) -> Result<PathBuf, Error> {
    let entries = loaded.task.data.iter().zip(&data.entries);
    let found = entries
        .filter_map(|(declared, entry)| {
            let below = Path::new(hide).strip_prefix(&declared.path).ok()?;
            Some(if below.as_os_str().is_empty() {
                entry.path.clone()
            } else {
                entry.path.join(below)
            })
        })
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let text = format!("`sandbox.hide` names `{hide}`, and no such file was prepared");
        io::Error::new(io::ErrorKind::NotFound, text).into()
    })
}

fn make(
    environment: &Environment,
    host: &Host,
    into: &Path,
    list: &Path,
    log: &Path,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    if log.exists() {
        fs_err::remove_file(log)?;
    }
    let path = environment.path(&host.path);
    let mut command = command(Path::new("python"), &path);
    command.args([
        "-I".as_ref(),
        "-c".as_ref(),
        SCRIPT.as_ref(),
        into.as_os_str(),
        list.as_os_str(),
    ]);
    command.envs(&environment.vars);
    Job { what: "compiling the environment", command, log, wall: None }.run(progress)
}
