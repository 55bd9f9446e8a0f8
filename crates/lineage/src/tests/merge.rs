//! Three-way merges, against git's own.

use proptest::prelude::*;

use super::{Texts, git, read_back, scratch, texts, tree_of};
use crate::Merge;

fn merged(
    base: &[(&str, &str)],
    ours: &[(&str, &str)],
    theirs: &[(&str, &str)],
) -> Result<Texts, Vec<String>> {
    let (_dir, store) = scratch();
    let [base, ours, theirs] = [base, ours, theirs].map(|files| tree_of(&store, &texts(files)));
    match store.merge(base, ours, theirs).unwrap() {
        Merge::Clean(tree) => Ok(read_back(&store, tree)),
        Merge::Conflicts(paths) => Err(paths),
    }
}

#[test]
fn changes_of_both_sides_come_together() {
    let base = [("m.py", "1\n2\n3\n4\n5\n"), ("gone", "x"), ("kept", "k")];
    let ours = [("m.py", "one\n2\n3\n4\n5\n"), ("gone", "x"), ("kept", "k"), ("o/new", "o")];
    let theirs = [("m.py", "1\n2\n3\n4\nfive\n"), ("kept", "k"), ("t/new", "t")];
    let both = [("kept", "k"), ("m.py", "one\n2\n3\n4\nfive\n"), ("o/new", "o"), ("t/new", "t")];
    assert_eq!(merged(&base, &ours, &theirs), Ok(texts(&both)));
    assert_eq!(merged(&base, &theirs, &ours), Ok(texts(&both)));
    assert_eq!(merged(&base, &ours, &ours), Ok(texts(&ours)));
    assert_eq!(merged(&base, &base, &theirs), Ok(texts(&theirs)));
}

#[test]
fn what_excludes_each_other_conflicts() {
    let base = [("f", "1\n"), ("g", "1\n")];
    for (ours, theirs, paths) in [
        ([("f", "2\n"), ("g", "1\n")].as_slice(), [("f", "3\n"), ("g", "1\n")].as_slice(), ["f"]),
        (&[("g", "1\n")], &[("f", "3\n"), ("g", "1\n")], ["f"]),
        (
            &[("f", "1\n"), ("g", "1\n"), ("n", "1")],
            &[("f", "1\n"), ("g", "1\n"), ("n", "2")],
            ["n"],
        ),
        (
            &[("f", "1\n"), ("g", "1\n"), ("n", "1")],
            &[("f", "1\n"), ("g", "1\n"), ("n/x", "2")],
            ["n/x"],
        ),
        (
            &[("f", "1\n"), ("g", "1\n"), ("n/x", "1")],
            &[("f", "1\n"), ("g", "1\n"), ("n", "2")],
            ["n/x"],
        ),
    ] {
        assert_eq!(
            merged(&base, ours, theirs),
            Err(paths.map(str::to_owned).to_vec()),
            "{ours:?} {theirs:?}"
        );
    }
}

/// Unlike lines, few changes: merges that are about something.
fn version() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::option::weighted(0.2, 0..3_u8), 16).prop_map(|edits| {
        edits
            .iter()
            .enumerate()
            .map(|(i, edit)| match edit {
                None => format!("line {i}\n"),
                Some(0) => String::new(),
                Some(1) => format!("line {i}\ninserted after {i}\n"),
                Some(_) => format!("changed {i}\n"),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn git_merges_to_the_same_text(ours in version(), theirs in version()) {
        let base: String = (0..16).map(|i| format!("line {i}\n")).collect();
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("base", &base), ("ours", &ours), ("theirs", &theirs)] {
            fs_err::write(dir.path().join(name), text).unwrap();
        }
        let ours = merged(&[("f", &base)], &[("f", &ours)], &[("f", &theirs)]);
        let Some(theirs) = git(dir.path(), &["merge-file", "-p", "ours", "base", "theirs"]) else {
            return Ok(());
        };
        let theirs = theirs.status.success().then(|| String::from_utf8(theirs.stdout).unwrap());
        prop_assert_eq!(ours.ok().map(|files| files["f"].clone()), theirs);
    }
}
