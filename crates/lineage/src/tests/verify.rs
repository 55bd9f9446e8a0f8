//! Damage to the store, found and named.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use empiric_core::TrialNo;
use jiff::Timestamp;
use tempfile::TempDir;

use super::{git_ok, scratch, texts, tree_of};
use crate::{CommitSpec, Expected, Store};

fn study() -> (TempDir, Store, Vec<Expected>) {
    let (dir, store) = scratch();
    let mut expected = Vec::new();
    let mut parents = Vec::new();
    for no in 0..3 {
        let text = format!("lr = {no}\n");
        let tree = tree_of(&store, &texts(&[("lib/kept.py", "x = 1\n"), ("train.py", &text)]));
        let at = Timestamp::from_second(i64::from(no)).unwrap();
        let spec = CommitSpec { trial: TrialNo(no), tree, parents: &parents, message: "m", at };
        let commit = store.commit(&spec).unwrap();
        expected.push(Expected { trial: TrialNo(no), commit, tree });
        parents = vec![commit];
    }
    (dir, store, expected)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn every_flipped_byte_is_found() {
    let (_dir, store, expected) = study();
    assert_eq!(store.verify(expected.clone()).unwrap(), []);
    let files = files(store.dir());
    assert!(files.len() > 12, "{files:?}");
    for path in files {
        let sound = fs_err::read(&path).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        for i in 0..sound.len() {
            let mut bad = sound.clone();
            bad[i] ^= 0xff;
            fs_err::write(&path, bad).unwrap();
            // A handle of its own, as another run would have.
            let faults = store.clone().verify(expected.clone()).unwrap();
            assert!(!faults.is_empty(), "byte {i} of {}", path.display());
        }
        fs_err::write(&path, sound).unwrap();
    }
    assert_eq!(store.verify(expected).unwrap(), []);
}

#[test]
fn faults_name_their_trial() {
    let (_dir, store, mut expected) = study();
    let blob = store.list(expected[2].tree).unwrap()[1].id.to_string();
    let object = store.dir().join("objects").join(&blob[..2]).join(&blob[2..]);
    fs_err::write(store.dir().join("refs/empiric/trials/t1"), "0123\n").unwrap();
    fs_err::remove_file(&object).unwrap();
    expected[0].tree = expected[1].tree;
    let [a, b, c] = store.verify(expected.clone()).unwrap().try_into().unwrap();
    let [first, second] = [&expected[0], &expected[1]];
    assert_eq!(
        a.to_string(),
        format!("t0: commit {} does not hold tree {}", first.commit, first.tree)
    );
    assert_eq!(
        b.to_string(),
        format!("t1: `refs/empiric/trials/t1` does not point at commit {}", second.commit)
    );
    assert!(c.to_string().starts_with(&format!("t2: object {blob} is missing")), "{c}");
}

#[test]
fn a_store_that_git_packed_is_sound() {
    let (_dir, store, expected) = study();
    if git_ok(store.dir(), &["gc", "--quiet"]).is_some() {
        let reopened = Store::open(store.dir()).unwrap();
        assert_eq!(reopened.verify(expected.clone()).unwrap(), []);
        assert_eq!(store.verify(expected).unwrap(), []);
    }
}
