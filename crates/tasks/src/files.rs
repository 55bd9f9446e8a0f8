//! Files of a task: which there are, which globs match them, and what they hash to.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use empiric_core::Digest;

/// Names that are never part of a task: version control, caches of interpreters and tools.
const IGNORED: [&str; 10] = [
    ".git",
    ".hg",
    ".venv",
    "__pycache__",
    "node_modules",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".DS_Store",
];

/// A directory with one of these in it is a study or a virtual environment, whatever its name.
const MARKS: [&str; 2] = ["ledger.db", "pyvenv.cfg"];

/// Files and symbolic links of a task below `root` in sorted order, relative to it with `/`; all but ignored names,
/// studies and virtual environments.
pub(crate) fn list(root: &Path) -> io::Result<Vec<String>> {
    walk(root, |path| {
        let ignored =
            path.file_name().is_some_and(|name| IGNORED.iter().any(|ignored| name == *ignored));
        ignored
            || path.extension().is_some_and(|e| e == "pyc")
            || MARKS.iter().any(|mark| path.join(mark).is_file())
    })
}

/// Every file and symbolic link below `root` in sorted order, relative to it with `/`.
pub(crate) fn list_all(root: &Path) -> io::Result<Vec<String>> {
    walk(root, |_| false)
}

fn walk(root: &Path, skip: impl Fn(&Path) -> bool) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = entry.path();
            let relative = dir.join(entry.file_name());
            if skip(&path) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                pending.push(relative);
            } else {
                let name = relative.to_str().ok_or_else(|| {
                    io::Error::other(format!(
                        "name of `{}` is not UTF-8; rename it",
                        path.display()
                    ))
                })?;
                found.push(name.to_owned());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Hash of `files` below `root`: names, contents, executable bits, targets of links.
pub(crate) fn digest<'a>(
    root: &Path,
    files: impl IntoIterator<Item = &'a str>,
) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    for name in files {
        field(&mut hasher, name.as_bytes());
        entry(&mut hasher, &root.join(name))?;
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

fn entry(hasher: &mut blake3::Hasher, path: &Path) -> io::Result<()> {
    if fs_err::symlink_metadata(path)?.is_symlink() {
        hasher.update(b"l");
        field(hasher, fs_err::read_link(path)?.as_os_str().as_encoded_bytes());
    }
    if path.is_file() {
        let executable = fs_err::metadata(path)?.permissions().mode() & 0o100 != 0;
        hasher.update(if executable { b"x" } else { b"f" });
        let mut content = blake3::Hasher::new();
        content.update_reader(fs_err::File::open(path)?)?;
        hasher.update(content.finalize().as_bytes());
    }
    Ok(())
}

/// Hashes `bytes` so that no two sequences of fields look alike.
pub(crate) fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

/// Hash of a sequence of texts.
pub(crate) fn digest_of<'a>(fields: impl IntoIterator<Item = &'a str>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for text in fields {
        field(&mut hasher, text.as_bytes());
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Takes the write permission of all files below `root`. Directories keep theirs, so that whoever owns them can
/// delete them; links are left alone.
pub(crate) fn make_read_only(root: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            make_read_only(&entry.path())?;
        } else if kind.is_file() {
            let mut permissions = entry.metadata()?.permissions();
            permissions.set_mode(permissions.mode() & !0o222);
            fs_err::set_permissions(entry.path(), permissions)?;
        }
    }
    Ok(())
}

/// Whether `path` is `base` or lies below it; both relative with `/`.
pub(crate) fn within(path: &str, base: &str) -> bool {
    base == "." || Path::new(path).starts_with(base)
}

/// `path` without `.` and doubled separators; none when it is absolute or leaves its base by `..`.
pub(crate) fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::Normal(part) => parts.push(part.to_str()?),
            std::path::Component::RootDir
            | std::path::Component::Prefix(_)
            | std::path::Component::ParentDir => return None,
        }
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}
