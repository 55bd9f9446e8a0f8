//! Baselines from directories.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::{git_ok, scratch};
use crate::{Error, Import, Mode, Store};

fn write(root: &Path, files: &[&str]) {
    for name in files {
        let path = root.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, name).unwrap();
    }
}

fn imported(store: &Store, root: &Path, import: &Import) -> Vec<String> {
    let tree = store.import(root, import).unwrap();
    store.list(tree).unwrap().into_iter().map(|entry| entry.path).collect()
}

#[test]
fn by_products_stay_out() {
    let (dir, store) = scratch();
    let root = dir.path().join("recipe");
    write(
        &root,
        &["train.py", "lib/x.py", ".config", "lib/__pycache__/x.pyc", "y.pyc", "target/z"],
    );
    write(&root, &["node_modules/m/i.js", ".venv/bin/python", "notes/a.txt", "notes/b.md", ".git"]);
    let import =
        Import { skip: vec!["notes/*.md".to_owned(), "lib".to_owned()], ..Import::default() };
    assert_eq!(imported(&store, &root, &import), [".config", "notes/a.txt", "train.py"]);
}

#[test]
fn git_says_what_belongs_to_a_repository() {
    let (dir, store) = scratch();
    let root = dir.path().join("repo");
    write(&root, &["src/train.py", "src/data.bin", "src/target/kept.py", "src/cache/x", "other/o"]);
    fs_err::write(root.join(".gitignore"), "*.bin\ncache/\n").unwrap();
    if git_ok(&root, &["init", "-q"]).is_none() {
        return;
    }
    git_ok(&root, &["add", "-f", "src/train.py", "src/data.bin", "src/target/kept.py"]);
    write(&root, &["src/new.py", "src/new.bin", "src/__pycache__/new.pyc"]);
    fs_err::remove_file(root.join("src/train.py")).unwrap();
    // A directory that became a link is a link, whatever git still tracks below it.
    write(&root, &["src/moved/m.py"]);
    git_ok(&root, &["add", "src/moved/m.py"]);
    fs_err::rename(root.join("src/moved"), root.join("src/now")).unwrap();
    symlink("now", root.join("src/moved")).unwrap();
    assert_eq!(
        imported(&store, &root.join("src"), &Import::default()),
        ["data.bin", "moved", "new.py", "now/m.py", "target/kept.py"]
    );
}

#[test]
fn modes_and_inner_links_are_kept() {
    let (dir, store) = scratch();
    let root = dir.path().join("recipe");
    write(&root, &["run.sh", "lib/x.py"]);
    fs_err::set_permissions(root.join("run.sh"), PermissionsExt::from_mode(0o750)).unwrap();
    symlink("../run.sh", root.join("lib/go")).unwrap();
    let tree = store.import(&root, &Import::default()).unwrap();
    let modes: Vec<_> = store.list(tree).unwrap().into_iter().map(|e| (e.path, e.mode)).collect();
    assert_eq!(
        modes,
        [
            ("lib/go".to_owned(), Mode::Symlink),
            ("lib/x.py".to_owned(), Mode::Plain),
            ("run.sh".to_owned(), Mode::Executable)
        ]
    );
    let slot = dir.path().join("slot");
    store.materialize(tree, &slot, None).unwrap();
    assert_eq!(store.import(&slot, &Import::default()).unwrap(), tree);
}

#[test]
fn what_cannot_be_a_recipe_is_refused() {
    let (dir, store) = scratch();
    let root = dir.path().join("recipe");
    let refused = |import: &Import| match store.import(&root, import) {
        Err(Error::Import { path, why }) => format!("{path}: {why}"),
        other => panic!("{other:?}"),
    };
    write(&root, &["a.py"]);
    let small = Import { max_file_bytes: 3, ..Import::default() };
    assert!(refused(&small).starts_with("a.py: at most 3 bytes"));
    for target in ["/etc/passwd", "..", "x/../../y"] {
        symlink(target, root.join("out")).unwrap();
        let expected = format!("out: it links to {target}, outside the recipe; copy the file in");
        assert_eq!(refused(&Import::default()), expected);
        fs_err::remove_file(root.join("out")).unwrap();
    }
    fs_err::remove_file(root.join("a.py")).unwrap();
    assert!(refused(&Import::default()).contains("no file is left"));
    write(&root, &["c:\\x"]);
    assert!(matches!(store.import(&root, &Import::default()), Err(Error::Path { .. })));
}
