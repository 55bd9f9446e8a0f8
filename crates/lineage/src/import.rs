//! The baseline's tree, from a directory: what git tracks there, and what is neither ignored nor a by-product.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use empiric_core::{Globs, TreeId};
use ignore::WalkBuilder;

use crate::{
    Error, Mode, PathFault, Result, Store, check_path,
    store::{isolated, put_blob, tree_id},
    tree::{Leaf, Put, rewrite},
};

/// By-products that belong to no recipe unless git tracks them.
const BY_PRODUCTS: [&str; 4] = ["__pycache__", "node_modules", "target", ".venv"];

/// What to take from a directory.
///
/// `.git` is never taken. `__pycache__`, `*.pyc`, `target`, `node_modules`, `.venv` and, inside a git work tree,
/// whatever `.gitignore` names are taken only where git tracks them.
#[derive(Debug, Clone)]
pub struct Import {
    /// Globs of further paths to leave out, relative to the directory; `*` stays within one directory.
    pub skip: Vec<String>,
    /// Largest size of one file, bytes.
    pub max_file_bytes: u64,
    /// Largest size of all files together, bytes.
    pub max_total_bytes: u64,
}

impl Default for Import {
    fn default() -> Self {
        Self { skip: Vec::new(), max_file_bytes: 64 << 20, max_total_bytes: 1 << 30 }
    }
}

impl Store {
    /// Writes the tree of the files in `dir`. Executable bits and links that stay inside are kept.
    ///
    /// # Errors
    /// When a file is too large, a link leads out of the directory, a name is not safe, or no file is left.
    pub fn import(&self, dir: &Path, import: &Import) -> Result<TreeId> {
        let dir = fs_err::canonicalize(dir)?;
        let skip = Globs::new(&import.skip)?;
        let mut paths = tracked(&dir)?;
        paths.extend(untracked(&dir, &skip)?);
        let repo = self.repo();
        let mut puts = BTreeMap::new();
        let mut total = 0_u64;
        for path in paths {
            if path.ancestors().any(|part| skips(&skip, part)) {
                continue;
            }
            let name = path
                .to_str()
                .ok_or_else(|| Error::path(path.to_string_lossy(), PathFault::NotUtf8))?;
            let file = dir.join(&path);
            // Git may track what is not there any more: deleted, or its directory replaced by a link.
            let by_link = |part: &Path| !part.as_os_str().is_empty() && dir.join(part).is_symlink();
            if path.ancestors().skip(1).any(by_link) {
                continue;
            }
            let Ok(metadata) = fs_err::symlink_metadata(&file) else { continue };
            let (mode, bytes) = if metadata.is_symlink() {
                (Mode::Symlink, link_target(&file, &path)?)
            } else if metadata.is_file() {
                let size = metadata.len();
                total = total.saturating_add(size);
                if size > import.max_file_bytes || total > import.max_total_bytes {
                    let why = format!(
                        "at most {} bytes in one file and {} in all are taken; leave data out of the recipe",
                        import.max_file_bytes, import.max_total_bytes
                    );
                    return Err(Error::Import { path: name.to_owned(), why });
                }
                let executable = metadata.permissions().mode() & 0o100 != 0;
                let mode = if executable { Mode::Executable } else { Mode::Plain };
                (mode, fs_err::read(&file)?)
            } else {
                // Sockets, pipes and submodules: git does not take them either.
                continue;
            };
            check_path(name).map_err(|fault| Error::path(name, fault))?;
            let leaf = Leaf { mode, id: put_blob(&repo, &bytes)? };
            puts.insert(name.to_owned(), Put::Leaf(leaf));
        }
        if puts.is_empty() {
            return Err(Error::Import {
                path: dir.display().to_string(),
                why: "no file is left after ignore rules; name the directory that holds the code"
                    .to_owned(),
            });
        }
        tree_id(&rewrite(&repo, None, &puts)?)
    }
}

/// Where a link leads, if that is inside the directory.
fn link_target(file: &Path, path: &Path) -> Result<Vec<u8>> {
    let target = fs_err::read_link(file)?;
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        let inside = match component {
            Component::CurDir => true,
            Component::Normal(_) => {
                depth += 1;
                true
            }
            Component::ParentDir => depth.checked_sub(1).inspect(|up| depth = *up).is_some(),
            Component::RootDir | Component::Prefix(_) => false,
        };
        if !inside {
            return Err(Error::Import {
                path: path.display().to_string(),
                why: format!(
                    "it links to {}, outside the recipe; copy the file in",
                    target.display()
                ),
            });
        }
    }
    Ok(target.as_os_str().as_bytes().to_vec())
}

/// What the git repository around `dir` tracks below it; nothing where there is none.
fn tracked(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let trust = gix::sec::trust::Mapping { full: isolated(), reduced: isolated() };
    let Ok(repo) = gix::ThreadSafeRepository::discover_opts(dir, Default::default(), trust) else {
        return Ok(BTreeSet::new());
    };
    let repo = repo.to_thread_local();
    let Some(root) = repo.workdir().map(fs_err::canonicalize).transpose()? else {
        return Ok(BTreeSet::new());
    };
    let Ok(prefix) = dir.strip_prefix(&root) else { return Ok(BTreeSet::new()) };
    let index = repo
        .index_or_empty()
        .map_err(Error::git(format_args!("read the git index of {}", root.display())))?;
    Ok(index
        .entries()
        .iter()
        .filter_map(|entry| {
            let path = Path::new(std::ffi::OsStr::from_bytes(entry.path(&index)));
            path.strip_prefix(prefix).ok().map(Path::to_owned)
        })
        .filter(|path| path.file_name().is_some())
        .collect())
}

fn skips(skip: &Globs, path: &Path) -> bool {
    path.to_str().is_some_and(|path| skip.matches(path))
}

/// Files below `dir` that are neither ignored, nor by-products, nor skipped.
fn untracked(dir: &Path, skip: &Globs) -> Result<Vec<PathBuf>> {
    let (root, skip) = (dir.to_owned(), skip.clone());
    let walk = WalkBuilder::new(dir)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .filter_entry(move |entry| {
            let name = entry.file_name();
            let by_product = BY_PRODUCTS.iter().any(|by_product| name == *by_product)
                || Path::new(name).extension().is_some_and(|extension| extension == "pyc");
            let path = entry.path().strip_prefix(&root).unwrap_or(entry.path());
            entry.depth() == 0 || !(by_product || name == ".git" || skips(&skip, path))
        })
        .build();
    let mut paths = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| Error::Import {
            path: dir.display().to_string(),
            why: error.to_string(),
        })?;
        if entry.file_type().is_some_and(|kind| !kind.is_dir())
            && let Ok(path) = entry.path().strip_prefix(dir)
        {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}
