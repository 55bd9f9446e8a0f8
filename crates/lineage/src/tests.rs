//! Tests of the whole crate, by subject, and what they share.

mod export;
mod hunks;
mod import;
mod merge;
mod patches;
mod rules;
mod slots;
mod store;
mod verify;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use empiric_core::TreeId;
use tempfile::TempDir;

use crate::{Store, store::tree_id, tree};

/// Text files by path; what most tests are about.
type Texts = BTreeMap<String, String>;

fn texts(files: &[(&str, &str)]) -> Texts {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn scratch() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::init(&dir.path().join("store.git")).unwrap();
    (dir, store)
}

fn empty(store: &Store) -> TreeId {
    tree_id(&tree::rewrite(&store.repo(), None, &BTreeMap::new()).unwrap()).unwrap()
}

/// The tree of exactly these files.
fn tree_of(store: &Store, files: &Texts) -> TreeId {
    let edits = files.iter().map(|(path, text)| (path.clone(), Some(text.clone().into_bytes())));
    store.apply(empty(store), &edits.collect()).unwrap()
}

/// The edits that turn one set of files into another.
fn edits(from: &Texts, to: &Texts) -> BTreeMap<String, Option<Vec<u8>>> {
    let gone = from.keys().filter(|path| !to.contains_key(*path)).map(|path| (path.clone(), None));
    let put = to
        .iter()
        .filter(|(path, text)| from.get(*path) != Some(text))
        .map(|(path, text)| (path.clone(), Some(text.clone().into_bytes())));
    gone.chain(put).collect()
}

fn read_back(store: &Store, tree: TreeId) -> Texts {
    store
        .files(tree)
        .unwrap()
        .into_iter()
        .map(|(path, bytes)| (path, String::from_utf8(bytes.to_vec()).unwrap()))
        .collect()
}

/// Runs git with nobody's configuration; none where git is not installed.
fn git(dir: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new("git")
        .current_dir(dir)
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "somebody")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "s@localhost")))
        .output()
        .ok()
}

/// Like `git`, for commands that must succeed; gives their output.
fn git_ok(dir: &Path, arguments: &[&str]) -> Option<String> {
    let output = git(dir, arguments)?;
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {talk}");
    Some(String::from_utf8(output.stdout).unwrap())
}

mod given {
    //! Generators of files.

    use proptest::prelude::*;

    use super::Texts;

    const PATHS: [&str; 9] =
        ["a", "a/b", "b c", "d/x.py", "d/y z.py", "d/e/f", "qu\"ote", "ünï/cödé", "z.toml"];

    pub(super) fn text() -> impl Strategy<Value = String> {
        let line =
            prop::sample::select(vec!["x", "y", "z", "", "def f():", "-- a", "++ b", "\\ c"]);
        (prop::collection::vec(line, 0..14), any::<bool>()).prop_map(|(lines, ended)| {
            let mut text = lines.join("\n");
            if ended && !text.is_empty() {
                text.push('\n');
            }
            text
        })
    }

    pub(super) fn files() -> impl Strategy<Value = Texts> {
        prop::collection::btree_map(prop::sample::select(PATHS.to_vec()), text(), 1..7).prop_map(
            |mut files| {
                if files.contains_key("a/b") {
                    files.remove("a");
                }
                files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
            },
        )
    }
}
