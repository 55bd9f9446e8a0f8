//! Trees in slots: exactly the tree, whatever was there.

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt as _, PermissionsExt, symlink},
    path::Path,
};

use proptest::prelude::*;

use super::{given, scratch, texts, tree_of};
use crate::{Import, tree};

/// Every path below `dir`: kind and permissions, and content or target.
fn everything(dir: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(at) = pending.pop() {
        for entry in fs_err::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                pending.push(path);
                Vec::new()
            } else if metadata.is_symlink() {
                fs_err::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs_err::read(&path).unwrap()
            };
            let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
            found.insert(name, (format!("{mode:o}"), content));
        }
    }
    found
}

#[test]
fn leftovers_of_every_kind_go() {
    let (dir, store) = scratch();
    let outside = dir.path().join("outside");
    fs_err::create_dir(&outside).unwrap();
    fs_err::write(outside.join("precious"), "keep me").unwrap();
    let tree = tree_of(&store, &texts(&[("d/f", "new\n"), ("linked", "new\n"), ("g", "")]));

    let slot = dir.path().join("slots/0");
    fs_err::create_dir_all(slot.join("deep/er")).unwrap();
    fs_err::write(slot.join("deep/er/junk"), "").unwrap();
    fs_err::write(slot.join(".hidden"), "").unwrap();
    symlink(&outside, slot.join("d")).unwrap();
    symlink("/nonexistent", slot.join("dangling")).unwrap();
    fs_err::hard_link(outside.join("precious"), slot.join("linked")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, slot.join("g"), 0o600.into()).unwrap();
    for locked in [slot.join("deep"), slot.clone()] {
        fs_err::set_permissions(locked, PermissionsExt::from_mode(0o000)).unwrap();
    }

    assert_eq!(store.materialize(tree, &slot, None).unwrap(), 3);
    assert_eq!(fs_err::metadata(&slot).unwrap().mode(), 0o40_755);
    let file = |text: &str| ("100644".to_owned(), text.as_bytes().to_vec());
    assert_eq!(
        everything(&slot),
        BTreeMap::from([
            ("d".to_owned(), ("40755".to_owned(), Vec::new())),
            ("d/f".to_owned(), file("new\n")),
            ("g".to_owned(), file("")),
            ("linked".to_owned(), file("new\n")),
        ])
    );
    assert_eq!(fs_err::read_to_string(outside.join("precious")).unwrap(), "keep me");
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn only_what_differs_is_written() {
    let (dir, store) = scratch();
    let a = tree_of(&store, &texts(&[("d/f", "1\n"), ("d/g", "1\n"), ("h", "1\n")]));
    let b = tree_of(&store, &texts(&[("d/f", "2\n"), ("d/g", "1\n"), ("h", "1\n")]));
    let slot = dir.path().join("slot");
    assert_eq!(store.materialize(a, &slot, None).unwrap(), 3);
    let before = fs_err::metadata(slot.join("d/g")).unwrap().ino();
    assert_eq!(store.materialize(a, &slot, Some(a)).unwrap(), 0);
    assert_eq!(store.materialize(b, &slot, Some(a)).unwrap(), 1);
    assert_eq!(fs_err::metadata(slot.join("d/g")).unwrap().ino(), before);
    assert_eq!(store.import(&slot, &Import::default()).unwrap(), b);
}

#[test]
fn a_slot_that_is_not_as_promised_is_made_anew() {
    let (dir, store) = scratch();
    let a = tree_of(&store, &texts(&[("d/f", "1\n")]));
    let b = tree_of(&store, &texts(&[("d/f", "2\n")]));
    let slot = dir.path().join("slot");
    let outside = dir.path().join("outside");
    fs_err::create_dir(&outside).unwrap();
    fs_err::write(outside.join("f"), "keep me").unwrap();
    store.materialize(a, &slot, None).unwrap();
    fs_err::remove_dir_all(slot.join("d")).unwrap();
    symlink(&outside, slot.join("d")).unwrap();
    store.materialize(b, &slot, Some(a)).unwrap();
    assert_eq!(store.import(&slot, &Import::default()).unwrap(), b);
    assert_eq!(fs_err::read_to_string(outside.join("f")).unwrap(), "keep me");
}

#[test]
fn a_file_is_written_over_only_where_nobody_else_has_it() {
    let (dir, store) = scratch();
    let a = tree_of(&store, &texts(&[("f", "a longer text\n")]));
    let b = tree_of(&store, &texts(&[("f", "short\n")]));
    let (slot, outside) = (dir.path().join("slot"), dir.path().join("outside"));
    let file = slot.join("f");
    let ino = || fs_err::symlink_metadata(&file).unwrap().ino();
    let becomes_b = || {
        assert_eq!(store.materialize(b, &slot, Some(a)).unwrap(), 1);
        assert_eq!(store.import(&slot, &Import::default()).unwrap(), b);
    };

    store.materialize(a, &slot, None).unwrap();
    let before = ino();
    becomes_b();
    assert_eq!(ino(), before);

    type Spoil<'a> = &'a dyn Fn();
    let linked: Spoil<'_> = &|| fs_err::hard_link(&file, &outside).unwrap();
    let led_away: Spoil<'_> = &|| {
        fs_err::rename(&file, &outside).unwrap();
        symlink(&outside, &file).unwrap();
    };
    let a_pipe: Spoil<'_> = &|| {
        fs_err::rename(&file, &outside).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o644.into()).unwrap();
    };
    let changed: Spoil<'_> = &|| {
        fs_err::copy(&file, &outside).unwrap();
        fs_err::set_permissions(&file, PermissionsExt::from_mode(0o4777)).unwrap();
    };
    for spoil in [linked, led_away, a_pipe, changed] {
        store.materialize(a, &slot, None).unwrap();
        spoil();
        becomes_b();
        assert_eq!(fs_err::read_to_string(&outside).unwrap(), "a longer text\n");
        assert_eq!(fs_err::symlink_metadata(&file).unwrap().mode(), 0o100_644);
        fs_err::remove_file(&outside).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_slot_becomes_exactly_the_tree(a in given::files(), b in given::files()) {
        let (dir, store) = scratch();
        let (from, to) = (tree_of(&store, &a), tree_of(&store, &b));
        let [moved, fresh] = ["moved", "fresh"].map(|name| dir.path().join(name));
        store.materialize(from, &moved, None).unwrap();
        let written = store.materialize(to, &moved, Some(from)).unwrap();
        store.materialize(to, &fresh, None).unwrap();
        prop_assert_eq!(everything(&moved), everything(&fresh));
        prop_assert_eq!(store.import(&moved, &Import::default()).unwrap(), to);
        let object = |tree| Some(crate::store::object_id(tree));
        let changes = tree::changes(&store.repo(), object(from), object(to)).unwrap();
        prop_assert_eq!(written, changes.values().filter(|change| change.new.is_some()).count());
    }
}
