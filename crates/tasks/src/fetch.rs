//! Takes a recipe from a repository: once, by the `git` program, without its history.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use crate::{
    Error, Host, files,
    process::{Job, command, lock},
};

/// Directory with the files of `git` at `rev`. Relative addresses start from `root`.
pub(crate) fn fetch(git: &str, rev: &str, root: &Path, host: &Host) -> Result<PathBuf, Error> {
    let recipes = host.cache.join("recipes");
    fs_err::create_dir_all(&recipes)?;
    let recipes = fs_err::canonicalize(recipes)?;
    // A local repository is another one in another directory.
    let place = if git.contains("://") { "" } else { root.to_str().unwrap_or_default() };
    let key = files::digest_of(["recipe 1", place, git, rev]).to_string();
    let (done, partial, log) = (
        recipes.join(&key[..16]),
        recipes.join(format!("{}.tmp", &key[..16])),
        recipes.join(format!("{}.log", &key[..16])),
    );
    let mut go_on = |_: crate::Step<'_>| ControlFlow::Continue(());
    let _lock = lock(&recipes.join(format!("{}.lock", &key[..16])), &mut go_on)?;
    if done.is_dir() {
        return Ok(done);
    }
    if partial.exists() {
        fs_err::remove_dir_all(&partial)?;
    }
    let mut run = |what: &str, args: &[&str], dir: &Path| {
        let mut git = command("git", &host.path);
        git.args(args).current_dir(dir).env("GIT_TERMINAL_PROMPT", "0");
        Job { what, command: git, log: &log, wall: None }.run(&mut go_on)
    };
    let target =
        partial.to_str().ok_or_else(|| std::io::Error::other("path of the cache is not UTF-8"))?;
    run("git clone", &["clone", "--quiet", "--no-checkout", "--", git, target], root)?;
    let commit = format!("{rev}^{{commit}}");
    run(
        "git rev-parse",
        &["rev-parse", "--quiet", "--verify", "--end-of-options", &commit],
        &partial,
    )?;
    run("git checkout", &["checkout", "--quiet", "--detach", "--end-of-options", rev], &partial)?;
    fs_err::remove_dir_all(partial.join(".git"))?;
    fs_err::rename(&partial, &done)?;
    Ok(done)
}
