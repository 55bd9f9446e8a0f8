//! Diffs and patches: each the other's inverse, and git agrees.

use std::collections::BTreeMap;

use empiric_core::trial::FileChange;
use proptest::prelude::*;

use super::{edits, empty, git, given, read_back, scratch, texts, tree_of};
use crate::{Error, Import, Mode, PathFault};

/// Paths with the lines added and removed.
fn counts(files: &[FileChange]) -> Vec<(&str, u32, u32)> {
    files.iter().map(|file| (file.path.as_str(), file.added, file.removed)).collect()
}

#[test]
fn a_diff_reads_as_git_writes_it() {
    let (_dir, store) = scratch();
    let lines: String = (1..=20).map(|i| format!("{i}\n")).collect();
    let a = texts(&[("n.txt", &lines), ("old", "gone"), ("e", "")]);
    let mut b = a.clone();
    b.remove("old");
    b.insert("n.txt".to_owned(), lines.replace("2\n3\n", "2\nthree\n").replace("20\n", "20"));
    b.insert("new file".to_owned(), "x\n".to_owned());
    let (a, b) = (tree_of(&store, &a), tree_of(&store, &b));
    let diff = store.diff(a, b).unwrap();
    assert_eq!(counts(&diff.files), [("n.txt", 2, 2), ("new file", 1, 0), ("old", 0, 1)]);
    assert_eq!(
        diff.unified(),
        "\
diff --git a/n.txt b/n.txt
index 0ff3bbb9c8bba2291654cd64067fa417ff54c508..93f0a69558976344ea1c5329932c40e4e41a78e5 100644
--- a/n.txt
+++ b/n.txt
@@ -1,6 +1,6 @@
 1
 2
-3
+three
 4
 5
 6
@@ -17,4 +17,4 @@
 17
 18
 19
-20
+20
\\ No newline at end of file
diff --git a/new file b/new file
new file mode 100644
index 0000000000000000000000000000000000000000..587be6b4c3f93f93c489c0111bba5596147a26cb
--- /dev/null
+++ b/new file\t
@@ -0,0 +1,1 @@
+x
diff --git a/old b/old
deleted file mode 100644
index bc99ab0395bd95dcc9bd3ba97c0342049586208d..0000000000000000000000000000000000000000
--- a/old
+++ /dev/null
@@ -1,1 +0,0 @@
-gone
\\ No newline at end of file
"
    );
    assert_eq!(store.diff(a, a).unwrap(), crate::Diff::default());
}

#[test]
fn binary_files_are_noted() {
    let (_dir, store) = scratch();
    let put = |bytes: &[u8]| BTreeMap::from([("w.bin".to_owned(), Some(bytes.to_vec()))]);
    let a = store.apply(empty(&store), &put(b"\x00\x01")).unwrap();
    let b = store.apply(a, &put(b"\xff")).unwrap();
    let diff = store.diff(a, b).unwrap();
    assert_eq!(counts(&diff.files), [("w.bin", 0, 0)]);
    assert!(diff.unified().ends_with("\nBinary files a/w.bin and b/w.bin differ\n"));
    let refused = store.apply_patch(a, diff.unified()).unwrap_err();
    assert_eq!(refused.to_string(), "patch of w.bin: it is binary; submit the file itself");
}

#[test]
fn git_patches_with_renames_and_modes_apply() {
    let (_dir, store) = scratch();
    let base = tree_of(&store, &texts(&[("a/from.py", "one\ntwo\nthree\n"), ("run", "x\n")]));
    let patch = "\
From 0123 Mon Sep 17 00:00:00 2001
Subject: [PATCH] a mail around it

---
diff --git a/a/from.py b/b/to.py
similarity index 60%
rename from a/from.py
rename to b/to.py
--- a/a/from.py
+++ b/b/to.py
@@ -1,3 +1,3 @@
 one
-two
+2
 three
diff --git a/run b/run
old mode 100644
new mode 100755
diff --git a/empty b/empty
new file mode 100644
index 0000000..e69de29
-- 
2.47.3
";
    let tree = store.apply_patch(base, patch).unwrap();
    assert_eq!(
        read_back(&store, tree),
        texts(&[("b/to.py", "one\n2\nthree\n"), ("empty", ""), ("run", "x\n")])
    );
    assert_eq!(store.list(tree).unwrap()[2].mode, Mode::Executable);
    let again = store.diff(base, tree).unwrap();
    assert_eq!(store.apply_patch(base, again.unified()).unwrap(), tree);
}

#[test]
fn a_plain_patch_finds_moved_lines() {
    let (_dir, store) = scratch();
    let base = tree_of(&store, &texts(&[("m.py", "new\nnew\na\nb\nc\nd\n")]));
    for (old, new) in [("a/m.py", "b/m.py"), ("m.py", "m.py")] {
        let patch = format!("--- {old}\n+++ {new}\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        let tree = store.apply_patch(base, &patch).unwrap();
        assert_eq!(read_back(&store, tree), texts(&[("m.py", "new\nnew\na\nB\nc\nd\n")]));
    }
}

#[test]
fn patches_that_do_not_fit_say_where() {
    let (_dir, store) = scratch();
    let base = tree_of(&store, &texts(&[("m.py", "a\nb\nc\n"), ("n.py", "1\n")]));
    for (patch, expected) in [
        ("", "patch: it changes no file; give a unified or git diff"),
        ("hello\n", "patch: it changes no file; give a unified or git diff"),
        (
            "--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-a\n+A\n@@ -2,2 +2,2 @@\n b\n-x\n+y\n",
            "patch of m.py, hunk 2: its lines are not at line 2 or anywhere after the previous hunk; the file has no line `x`",
        ),
        ("--- a/o.py\n+++ b/o.py\n@@ -1 +1 @@\n-a\n+A\n", "patch of o.py: no such file"),
        (
            "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+a\n",
            "patch of n.py: it would be created, but exists already",
        ),
        (
            "--- a/m.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
            "patch of m.py: it would be deleted, but has lines left over",
        ),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
            "patch of l: it would become a link or a submodule; only files may change",
        ),
    ] {
        assert_eq!(store.apply_patch(base, patch).unwrap_err().to_string(), expected);
    }
    let outside = "--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+a\n";
    let error = store.apply_patch(base, outside).unwrap_err();
    assert!(matches!(error, Error::Path { fault: PathFault::Relative, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_diff_applied_gives_the_other_tree(a in given::files(), b in given::files()) {
        let (_dir, store) = scratch();
        let (from, to) = (tree_of(&store, &a), tree_of(&store, &b));
        prop_assume!(from != to);
        let diff = store.diff(from, to).unwrap();
        let paths: Vec<_> = diff.files.iter().map(|file| file.path.clone()).collect();
        prop_assert_eq!(paths, edits(&a, &b).into_keys().collect::<Vec<_>>());
        let applied = store.apply_patch(from, diff.unified());
        prop_assert_eq!(applied.map_err(|e| e.to_string()), Ok(to), "{}", diff.unified());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn git_applies_a_diff_to_the_same_end(a in given::files(), b in given::files()) {
        let (dir, store) = scratch();
        let (from, to) = (tree_of(&store, &a), tree_of(&store, &b));
        prop_assume!(from != to);
        let work = dir.path().join("work");
        store.materialize(from, &work, None).unwrap();
        let diff = store.diff(from, to).unwrap();
        fs_err::write(dir.path().join("patch"), diff.unified()).unwrap();
        let Some(output) = git(&work, &["apply", "--whitespace=nowarn", "../patch"]) else { return Ok(()) };
        let talk = String::from_utf8_lossy(&output.stderr);
        prop_assert!(output.status.success(), "{}\n{}", talk, diff.unified());
        prop_assert_eq!(store.import(&work, &Import::default()).unwrap(), to);
    }
}
