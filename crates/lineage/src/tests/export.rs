//! Champions as branches in a repository of the user's.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use super::{edits, git_ok, scratch, texts, tree_of};
use crate::{Error, Export, Import, Step, Store};

const BASE: [(&str, &str); 2] = [("lib.py", "k = 1\n"), ("train.py", "a\nb\nc\nd\ne\n")];

/// A repository with the recipe in `ml/recipe`, on branch `main`; none where git is not installed.
fn repository(dir: &TempDir) -> Option<PathBuf> {
    let root = dir.path().join("user");
    fs_err::create_dir_all(root.join("ml/recipe")).unwrap();
    for (name, text) in BASE {
        fs_err::write(root.join("ml/recipe").join(name), text).unwrap();
    }
    fs_err::write(root.join("README"), "read me\n").unwrap();
    git_ok(&root, &["init", "-q", "-b", "main"])?;
    git_ok(&root, &["add", "."])?;
    git_ok(&root, &["commit", "-q", "-m", "theirs"])?;
    Some(root)
}

fn steps(store: &Store, changes: &[(&str, &str)]) -> Vec<Step> {
    let base = texts(&BASE);
    let mut now = base;
    changes
        .iter()
        .map(|(name, text)| {
            now.insert((*name).to_owned(), (*text).to_owned());
            Step { tree: tree_of(store, &now), message: format!("change {name}") }
        })
        .collect()
}

fn export<'a>(root: &'a Path, store: &Store, steps: &'a [Step], force: bool) -> Export<'a> {
    Export {
        repository: root,
        branch: "empiric/golf",
        prefix: "ml/recipe",
        baseline: tree_of(store, &texts(&BASE)),
        steps,
        force,
        at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn a_branch_grows_on_head_and_nothing_else_moves() {
    let (dir, store) = scratch();
    let Some(root) = repository(&dir) else { return };
    // Work of the user's own since the baseline: committed, staged, and neither.
    fs_err::write(root.join("ml/recipe/train.py"), "A\nb\nc\nd\ne\n").unwrap();
    git_ok(&root, &["commit", "-aqm", "more of theirs"]).unwrap();
    fs_err::write(root.join("README"), "staged\n").unwrap();
    git_ok(&root, &["add", "README"]).unwrap();
    fs_err::write(root.join("README"), "not staged\n").unwrap();
    let state = || {
        ["status --porcelain", "rev-parse HEAD main"]
            .map(|words| git_ok(&root, &words.split(' ').collect::<Vec<_>>()).unwrap())
    };
    let before = state();

    let steps = steps(&store, &[("train.py", "a\nb\nc\nd\nE\n"), ("new.py", "n\n")]);
    let commit = store.export_branch(&export(&root, &store, &steps, false)).unwrap();
    assert_eq!(state(), before);
    let show = |what: &str| git_ok(&root, &["show", what]).unwrap();
    assert_eq!(git_ok(&root, &["rev-parse", "empiric/golf"]).unwrap(), format!("{commit}\n"));
    assert_eq!(show("empiric/golf:ml/recipe/train.py"), "A\nb\nc\nd\nE\n");
    assert_eq!(show("empiric/golf:ml/recipe/new.py"), "n\n");
    assert_eq!(show("empiric/golf:README"), "read me\n");
    let log = git_ok(&root, &["log", "--format=%s", "empiric/golf"]).unwrap();
    assert_eq!(log, "change new.py\nchange train.py\nmore of theirs\ntheirs\n");
    git_ok(&root, &["fsck", "--strict"]).unwrap();

    let nothing = store
        .export_branch(&Export { branch: "empiric/none", ..export(&root, &store, &[], false) });
    assert!(matches!(nothing, Err(Error::NothingToExport)));
    let again = store.export_branch(&export(&root, &store, &steps[..1], false));
    assert!(matches!(again, Err(Error::BranchExists { .. })));
    store.export_branch(&export(&root, &store, &steps[..1], true)).unwrap();
    git_ok(&root, &["worktree", "add", "-q", "../other", "empiric/golf"]).unwrap();
    let refused = store.export_branch(&export(&root, &store, &steps, true));
    assert!(matches!(refused, Err(Error::BranchCheckedOut { .. })));
}

#[test]
fn changes_in_the_same_lines_conflict() {
    let (dir, store) = scratch();
    let Some(root) = repository(&dir) else { return };
    fs_err::write(root.join("ml/recipe/lib.py"), "k = 2\n").unwrap();
    git_ok(&root, &["commit", "-aqm", "theirs"]).unwrap();
    let steps = steps(&store, &[("lib.py", "k = 3\n")]);
    match store.export_branch(&export(&root, &store, &steps, false)) {
        Err(Error::ExportConflicts { paths }) => assert_eq!(paths, ["ml/recipe/lib.py"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(git_ok(&root, &["branch", "--format=%(refname:short)"]).unwrap(), "main\n");
}

#[test]
fn an_imported_baseline_goes_back_whole() {
    let (dir, store) = scratch();
    let Some(root) = repository(&dir) else { return };
    let baseline = store.import(&root, &Import::default()).unwrap();
    let gone = edits(&texts(&[("ml/recipe/lib.py", "")]), &texts(&[("x", "1")]));
    let step = Step { tree: store.apply(baseline, &gone).unwrap(), message: "m".to_owned() };
    let base = export(&root, &store, std::slice::from_ref(&step), false);
    store.export_branch(&Export { prefix: "", baseline, ..base }).unwrap();
    let names = git_ok(&root, &["ls-tree", "-r", "--name-only", "empiric/golf"]).unwrap();
    assert_eq!(names, "README\nml/recipe/train.py\nx\n");
}
