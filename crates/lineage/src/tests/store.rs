//! Trees, edits, commits and refs.

use std::{collections::BTreeMap, process::Command};

use empiric_core::{CommitId, TrialNo};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{edits, empty, git_ok, given, read_back, scratch, texts, tree_of};
use crate::{CommitSpec, Error, Mode, PathFault, Store};

fn put(path: &str) -> BTreeMap<String, Option<Vec<u8>>> {
    BTreeMap::from([(path.to_owned(), Some(b"1\n".to_vec()))])
}

fn fault(store: &Store, edits: &BTreeMap<String, Option<Vec<u8>>>) -> PathFault {
    let base = tree_of(store, &texts(&[("d/f", "1\n"), ("top", "1\n")]));
    match store.apply(base, edits) {
        Err(Error::Path { fault, .. }) => fault,
        other => panic!("{edits:?} gave {other:?}"),
    }
}

fn spec(trial: u32, tree: empiric_core::TreeId, parents: &[CommitId]) -> CommitSpec<'_> {
    CommitSpec {
        trial: TrialNo(trial),
        tree,
        parents,
        message: "widen the context\n\nby one\0byte",
        at: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

#[test]
fn unsafe_paths_are_refused() {
    use PathFault::*;
    let (_dir, store) = scratch();
    for (path, expected) in [
        ("", Empty),
        ("/etc/passwd", Absolute),
        ("../x", Relative),
        ("d/../../x", Relative),
        ("./x", Relative),
        ("d//x", Empty),
        ("d/", Empty),
        (".git", GitDirectory),
        (".git/hooks/post-commit", GitDirectory),
        ("d/.GIT/config", GitDirectory),
        ("git~1/config", GitDirectory),
        ("GIT~1", GitDirectory),
        (".g\u{200c}it/config", GitDirectory),
        (".git\u{feff}", GitDirectory),
        (".git./config", GitDirectory),
        (".git /config", GitDirectory),
        (".git::$INDEX_ALLOCATION/x", Character),
        ("d\\x", Character),
        ("c:x", Character),
        ("a\nb", Character),
        ("a\0b", Character),
        ("a\u{9b}31m", Character),
        (&"n".repeat(256), TooLong),
        (&"d/".repeat(2001), TooLong),
        (&format!("{}f", "d/".repeat(65)), TooLong),
        ("top/x", BelowFile),
        ("d", IsDirectory),
    ] {
        assert_eq!(fault(&store, &put(path)), expected, "{path:?}");
    }
    for (path, expected) in [("gone", Missing), ("d", IsDirectory), ("d/gone", Missing)] {
        let edits = BTreeMap::from([(path.to_owned(), None)]);
        assert_eq!(fault(&store, &edits), expected, "deleting {path:?}");
    }
}

#[test]
fn an_edit_keeps_modes_and_reuses_subtrees() {
    let (dir, store) = scratch();
    let root = dir.path().join("recipe");
    for name in ["deep/er", "other"] {
        fs_err::create_dir_all(root.join(name)).unwrap();
    }
    fs_err::write(root.join("deep/er/run.sh"), "#!/bin/sh\n").unwrap();
    fs_err::write(root.join("other/x"), "x").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(root.join("deep/er/run.sh"), executable).unwrap();
    let base = store.import(&root, &crate::Import::default()).unwrap();

    let new = BTreeMap::from([("deep/er/run.sh".to_owned(), Some(b"#!/bin/bash\n".to_vec()))]);
    let new = store.apply(base, &new).unwrap();
    let listed: Vec<_> =
        store.list(new).unwrap().into_iter().map(|e| (e.path, e.mode, e.size)).collect();
    assert_eq!(
        listed,
        [
            ("deep/er/run.sh".to_owned(), Mode::Executable, 12),
            ("other/x".to_owned(), Mode::Plain, 1)
        ]
    );
    let repo = store.repo();
    let other = |tree| crate::tree::by_name(&repo, Some(crate::store::object_id(tree))).unwrap();
    assert_eq!(other(base).get(&b"other"[..]), other(new).get(&b"other"[..]));
    assert_eq!(store.read(new, "other/x").unwrap(), Some(b"x".to_vec()));
    assert_eq!(store.read(new, "other").unwrap(), None);
    assert_eq!(store.apply(new, &BTreeMap::new()).unwrap(), new);
}

#[test]
fn trials_are_commits_that_git_finds_sound() {
    let (_dir, store) = scratch();
    let a = tree_of(&store, &texts(&[("train.py", "lr = 1\n"), ("lib/x.py", "")]));
    let b = store.apply(a, &put("lib/y.py")).unwrap();
    let baseline = store.commit(&spec(0, a, &[])).unwrap();
    let left = store.commit(&spec(1, b, &[baseline])).unwrap();
    let right = store.commit(&spec(2, empty(&store), &[baseline])).unwrap();
    let merge = store.commit(&spec(3, b, &[left, right])).unwrap();
    assert_eq!(store.commit(&spec(1, b, &[baseline])).unwrap(), left, "again, the same commit");
    assert_eq!(store.commit_of(TrialNo(3)).unwrap(), Some(merge));
    assert_eq!(store.commit_of(TrialNo(4)).unwrap(), None);
    assert_eq!(store.tree_of(left).unwrap(), b);
    assert_eq!(store.merge_base(left, right).unwrap(), Some(baseline));
    assert_eq!(store.merge_base(merge, right).unwrap(), Some(right));
    store.sync().unwrap();

    let Some(talk) = git_ok(store.dir(), &["fsck", "--strict", "--full", "--no-dangling"]) else {
        return;
    };
    assert_eq!(talk, "");
    let log = git_ok(store.dir(), &["log", "--format=%an <%ae> %ct %s", "refs/empiric/trials/t1"]);
    let line = "Empiric <empiric@localhost> 1700000000 widen the context\n";
    assert_eq!(log.unwrap(), line.repeat(2));
}

#[test]
fn environment_and_home_have_no_say() {
    let hostile = tempfile::tempdir().unwrap();
    fs_err::write(hostile.path().join("config"), "[core]\n\tbare = maybe\n[user\n").unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::store::trials_are_commits_that_git_finds_sound"])
        .env_clear()
        .env("GIT_CONFIG_GLOBAL", hostile.path().join("config"))
        .env("GIT_DIR", "/nonexistent")
        .env("GIT_OBJECT_DIRECTORY", "/nonexistent")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(String::from_utf8_lossy(&status.stdout).contains("1 passed"));
}

#[test]
fn threads_commit_side_by_side() {
    let (_dir, store) = scratch();
    let base = tree_of(&store, &texts(&[("train.py", "lr = 1\n")]));
    let root = store.commit(&spec(0, base, &[])).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..20 {
                    let trial = 1 + thread * 20 + i;
                    // Half of the contents are the same in all threads, so that writes of one object meet.
                    let text = format!("lr = {}\n", if i % 2 == 0 { i } else { trial });
                    let edit = BTreeMap::from([("train.py".to_owned(), Some(text.into_bytes()))]);
                    let tree = store.apply(base, &edit).unwrap();
                    let commit = store.commit(&spec(trial, tree, &[root])).unwrap();
                    assert_eq!(store.commit_of(TrialNo(trial)).unwrap(), Some(commit));
                }
            });
        }
    });
    let expected = (1..=160).map(|trial| {
        let commit = store.commit_of(TrialNo(trial)).unwrap().unwrap();
        let tree = store.tree_of(commit).unwrap();
        crate::Expected { trial: TrialNo(trial), commit, tree }
    });
    assert_eq!(store.verify(expected).unwrap(), []);
    if let Some(talk) = git_ok(store.dir(), &["fsck", "--strict", "--full", "--no-dangling"]) {
        assert_eq!(talk, "");
    }
}

#[test]
fn what_a_killed_process_leaves_bars_nothing() {
    let (_dir, store) = scratch();
    let tree = tree_of(&store, &texts(&[("a", "1")]));
    for leftover in ["refs/empiric/trials/t1.lock", "t1.new", "objects/.tmpX"] {
        fs_err::write(store.dir().join(leftover), "12").unwrap();
    }
    let commit = store.commit(&spec(1, tree, &[])).unwrap();
    assert_eq!(store.commit_of(TrialNo(1)).unwrap(), Some(commit));
    let expected = crate::Expected { trial: TrialNo(1), commit, tree };
    assert_eq!(store.verify([expected]).unwrap(), []);
}

#[test]
fn a_store_is_made_once_and_recognised() {
    let (dir, store) = scratch();
    let tree = tree_of(&store, &texts(&[("a", "1")]));
    Store::init(store.dir()).unwrap();
    let opened = Store::open(store.dir()).unwrap();
    assert_eq!(opened.read(tree, "a").unwrap(), Some(b"1".to_vec()));
    assert!(matches!(Store::open(dir.path()), Err(Error::NotAStore { .. })));
    fs_err::remove_file(store.dir().join("HEAD")).unwrap();
    assert!(matches!(Store::open(store.dir()), Err(Error::NotAStore { .. })));
    Store::init(store.dir()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn edits_do_what_they_say(a in given::files(), b in given::files()) {
        let (_dir, store) = scratch();
        let base = tree_of(&store, &a);
        prop_assert_eq!(read_back(&store, base), a.clone());
        let new = store.apply(base, &edits(&a, &b)).unwrap();
        prop_assert_eq!(read_back(&store, new), b.clone());
        prop_assert_eq!(new, tree_of(&store, &b), "one content, one id");
    }
}
