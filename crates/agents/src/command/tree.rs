//! An agent's work tree: written plain, read back with suspicion.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::Path,
};

use crate::Files;

/// Most bytes of one file, of all changed files, and most files that are looked at.
const FILE: u64 = 1 << 20;
const ALL: u64 = 16 << 20;
const COUNT: usize = 20_000;
/// Directories in which agents and interpreters keep things of their own.
const IGNORED: [&str; 12] = [
    ".git",
    ".claude",
    ".codex",
    ".gemini",
    ".opencode",
    ".cache",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    ".venv",
    "node_modules",
];

/// Writes the files below `root`.
pub(super) fn write(root: &Path, files: &Files) -> io::Result<()> {
    for (path, text) in files {
        let path = root.join(path);
        if let Some(dir) = path.parent() {
            fs_err::create_dir_all(dir)?;
        }
        fs_err::write(path, text.as_bytes())?;
    }
    Ok(())
}

/// What differs below `root`, by path: new text, or none where a file is gone. Links are not followed and count as no
/// files; so do files that are no text, which no edit of text can be.
pub(super) fn difference(
    root: &Path,
    before: &Files,
) -> io::Result<BTreeMap<String, Option<String>>> {
    let mut edits: BTreeMap<String, Option<String>> =
        before.keys().map(|path| (path.clone(), None)).collect();
    let (mut dirs, mut count, mut size) = (vec![String::new()], 0, 0);
    while let Some(dir) = dirs.pop() {
        for entry in fs_err::read_dir(root.join(&dir))? {
            let entry = entry?;
            count += 1;
            if count > COUNT {
                return Err(io::Error::other(format!("there are more than {COUNT} files")));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !IGNORED.contains(&name) {
                    dirs.push(path);
                }
                continue;
            }
            // What an agent leaves of its own beside the recipe is no edit, and a recipe's own file of that name is.
            if !kind.is_file() || (name.starts_with(".aider") && !before.contains_key(&path)) {
                continue;
            }
            let Some(text) = read(&entry.path(), &path, before)? else { continue };
            if before.get(&path).is_some_and(|old| **old == *text) {
                edits.remove(&path);
                continue;
            }
            size += text.len() as u64;
            if size > ALL {
                return Err(io::Error::other(format!("more than {ALL} bytes have changed")));
            }
            edits.insert(path, Some(text));
        }
    }
    Ok(edits)
}

/// A file's text; none of one that is no text, unless the recipe has it.
fn read(host: &Path, path: &str, before: &Files) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    // The agent has ended, so nobody puts a link here any more.
    fs_err::File::open(host)?.take(FILE + 1).read_to_end(&mut bytes)?;
    let ours = before.contains_key(path);
    if bytes.len() as u64 > FILE {
        return if ours {
            Err(io::Error::other(format!("{path} is longer than {FILE} bytes")))
        } else {
            Ok(None)
        };
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) if ours => Err(io::Error::other(format!("{path} is no text any more"))),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect()
    }

    #[test]
    fn what_differs_is_the_edit_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs_err::create_dir(&root).unwrap();
        let before = files(&[("a.py", "one\n"), ("deep/b.py", "two\n"), ("deep/c.py", "three\n")]);
        write(&root, &before).unwrap();
        assert_eq!(difference(&root, &before).unwrap(), BTreeMap::new());
        fs_err::write(root.join("a.py"), "ONE\n").unwrap();
        fs_err::remove_file(root.join("deep/b.py")).unwrap();
        fs_err::write(root.join("deep/new.py"), "new\n").unwrap();
        fs_err::write(root.join(".aider.chat.history.md"), "chat").unwrap();
        fs_err::create_dir(root.join("__pycache__")).unwrap();
        fs_err::write(root.join("__pycache__/a.pyc"), "x").unwrap();
        fs_err::write(root.join("blob.bin"), b"\xff\xfe").unwrap();
        fs_err::write(dir.path().join("secret"), "the answers").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link.py")).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("dir")).unwrap();
        let edits = difference(&root, &before).unwrap();
        let expected =
            [("a.py", Some("ONE\n")), ("deep/b.py", None), ("deep/new.py", Some("new\n"))];
        let expected: BTreeMap<String, Option<String>> = expected
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.map(str::to_owned)))
            .collect();
        assert_eq!(edits, expected);
    }

    #[test]
    fn a_file_of_the_recipe_that_became_a_link_or_no_text_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let before = files(&[("a.py", "one\n")]);
        write(dir.path(), &before).unwrap();
        fs_err::remove_file(dir.path().join("a.py")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("a.py")).unwrap();
        assert_eq!(
            difference(dir.path(), &before).unwrap(),
            BTreeMap::from([("a.py".to_owned(), None)])
        );
        fs_err::remove_file(dir.path().join("a.py")).unwrap();
        fs_err::write(dir.path().join("a.py"), b"\xff").unwrap();
        assert!(
            difference(dir.path(), &before).unwrap_err().to_string().contains("no text any more")
        );
    }
}
