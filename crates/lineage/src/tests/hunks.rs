use std::collections::BTreeMap;

use empiric_core::{Hunk, TreeId};
use proptest::prelude::*;

use super::{empty, read_back, scratch};
use crate::Store;

fn tree(store: &Store, base: TreeId, files: &[(&str, Option<&str>)]) -> TreeId {
    let edits: BTreeMap<String, Option<Vec<u8>>> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.map(|text| text.as_bytes().to_vec())))
        .collect();
    store.apply(base, &edits).unwrap()
}

#[test]
fn a_difference_is_told_by_stretches_and_taken_back_one_by_one() {
    let (_dir, store) = scratch();
    let store = &store;
    let a = tree(
        store,
        empty(store),
        &[("a.py", Some("1\n2\n3\n4\n5\n")), ("gone.py", Some("x\n")), ("b", Some("\0\u{1}"))],
    );
    let b = tree(
        store,
        a,
        &[
            ("a.py", Some("1\ntwo\n3\n4\n5\n6\n")),
            ("gone.py", None),
            ("b", Some("\0\u{2}")),
            ("new.py", Some("y\n")),
        ],
    );
    let hunk = |path: &str, before, after| Hunk { path: path.to_owned(), before, after };
    let hunks = store.hunks(a, b).unwrap();
    assert_eq!(
        hunks,
        [
            hunk("a.py", [2, 1], [2, 1]),
            hunk("a.py", [6, 0], [6, 1]),
            hunk("b", [0, 0], [0, 0]),
            hunk("gone.py", [0, 0], [0, 0]),
            hunk("new.py", [0, 0], [0, 0]),
        ]
    );
    assert_eq!(store.without(a, b, &[]).unwrap(), b);
    assert_eq!(store.without(a, b, &[0, 1, 2, 3, 4]).unwrap(), a);
    let some = store.without(a, b, &[0, 3]).unwrap();
    let expected =
        tree(store, b, &[("a.py", Some("1\n2\n3\n4\n5\n6\n")), ("gone.py", Some("x\n"))]);
    assert_eq!(some, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_is_left_out_the_rest_stays(
        old in prop::collection::vec(0..6_u8, 0..24),
        new in prop::collection::vec(0..6_u8, 0..24),
        drop in prop::collection::vec(any::<bool>(), 24),
    ) {
        let (_dir, store) = scratch();
        let store = &store;
        let text = |lines: &[u8]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let a = tree(store, empty(store), &[("keep", Some("k")), ("f", Some(&text(&old)))]);
        let b = tree(store, a, &[("f", Some(&text(&new)))]);
        let hunks = store.hunks(a, b).unwrap();
        let dropped: Vec<usize> = (0..hunks.len()).filter(|at| drop[*at]).collect();
        let some = store.without(a, b, &dropped).unwrap();
        prop_assert_eq!(store.without(a, b, &(0..hunks.len()).collect::<Vec<_>>()).unwrap(), a);
        let gone: i64 = dropped
            .iter()
            .map(|at| i64::from(hunks[*at].before[1]) - i64::from(hunks[*at].after[1]))
            .sum();
        let lines = read_back(store, some)["f"].lines().count() as i64;
        prop_assert_eq!(lines, new.len() as i64 + gone);
    }
}
