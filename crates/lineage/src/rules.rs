//! What an edit may do, checked on the trees before and after it: nobody's word is taken for what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use empiric_core::{Cause, Failure, Globs, Phase, Task, TreeId};
use gix::ObjectId;

use crate::{
    Error, Mode, Result, Store, check_path,
    error::shown,
    python,
    store::{blob, object_id},
    tree::{Change, Leaf, changes, leaves, size},
};

/// The rules of one task, compiled.
#[derive(Debug, Clone)]
pub struct Rules {
    edit: Globs,
    surfaces: BTreeMap<String, Surface>,
    max_file_bytes: u64,
}

#[derive(Debug, Clone)]
struct Surface {
    globs: Globs,
    /// File and symbol.
    symbols: Vec<(String, String)>,
}

impl Rules {
    /// Compiles the task's `edit` globs, surfaces and size limit.
    ///
    /// # Errors
    /// [`Error::Glob`] names the malformed glob.
    pub fn new(task: &Task) -> Result<Self> {
        let surfaces = task
            .surfaces
            .iter()
            .map(|surface| {
                let symbols = surface.owns.iter().filter_map(|owner| owner.split_once('#'));
                let globs = surface.owns.iter().filter(|owner| !owner.contains('#'));
                let compiled = Surface {
                    globs: Globs::new(globs)?,
                    symbols: symbols
                        .map(|(file, symbol)| (file.to_owned(), symbol.to_owned()))
                        .collect(),
                };
                Ok((surface.name.clone(), compiled))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            edit: Globs::new(&task.recipe.edit)?,
            surfaces,
            max_file_bytes: task.recipe.max_file_bytes,
        })
    }

    /// Whether proposers may change the file at `path`.
    #[must_use]
    pub fn editable(&self, path: &str) -> bool {
        check_path(path).is_ok() && !is_git_file(path) && self.edit.matches(path)
    }

    /// Checks the edit that made `new` of `parent`; where `surface` is given, it must lie within that surface.
    ///
    /// The failure found is the first in order of path, in phase `static`; none means that the edit may be made.
    ///
    /// # Errors
    /// When the store fails, or the task has no such surface.
    pub fn check(
        &self,
        store: &Store,
        parent: TreeId,
        new: TreeId,
        surface: Option<&str>,
    ) -> Result<Option<Failure>> {
        let surface = surface.map(|name| self.surface(name)).transpose()?;
        let repo = store.repo();
        let changes = changes(&repo, Some(object_id(parent)), Some(object_id(new)))?;
        if changes.is_empty() {
            return Ok(Some(Failure::new(Phase::Static, Cause::EmptyEdit)));
        }
        for (path, change) in &changes {
            let found = match self.check_file(&repo, path, *change)? {
                Some(failure) => Some(failure),
                None => check_surface(&repo, path, *change, surface)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        if let Some(failure) = check_case(&repo, object_id(new), &changes)? {
            return Ok(Some(failure));
        }
        for (path, change) in changes.iter().filter(|(path, _)| path.ends_with(".py")) {
            if let Some(failure) = check_syntax(&repo, path, *change)? {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    fn surface(&self, name: &str) -> Result<&Surface> {
        self.surfaces.get(name).ok_or_else(|| {
            let known: Vec<_> = self.surfaces.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::UnknownSurface { name: name.to_owned(), known }
        })
    }

    fn check_file(
        &self,
        repo: &gix::Repository,
        path: &str,
        change: Change,
    ) -> Result<Option<Failure>> {
        if let Err(fault) = check_path(path) {
            return Ok(Some(forbidden(path, fault.to_string())));
        }
        if !self.editable(path) {
            let cause = Cause::ProtectedPath { path: path.to_owned() };
            return Ok(Some(Failure::new(Phase::Static, cause)));
        }
        let odd = [change.old, change.new].into_iter().flatten().find(|leaf| !leaf.mode.is_file());
        if let Some(leaf) = odd {
            let what = if leaf.mode == Mode::Symlink { "symbolic link" } else { "submodule" };
            return Ok(Some(forbidden(path, format!("{what}s may not be added or changed"))));
        }
        if let Some(leaf) = change.new {
            let bytes = size(repo, leaf.id)?;
            if bytes > self.max_file_bytes {
                let over = bytes - self.max_file_bytes;
                let why = format!("{bytes} bytes; at most {} are allowed", self.max_file_bytes);
                return Ok(Some(forbidden(path, why).margin(-(over as f64))));
            }
        }
        Ok(None)
    }
}

/// Git reads these wherever they stand, so no edit may bring them in.
fn is_git_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".gitattributes", ".gitmodules"].iter().any(|git| name.eq_ignore_ascii_case(git))
}

fn forbidden(path: &str, why: String) -> Failure {
    Failure::new(Phase::Static, Cause::ForbiddenFile { path: path.to_owned() }).excerpt(why)
}

fn content(repo: &gix::Repository, leaf: Option<Leaf>) -> Result<Option<Vec<u8>>> {
    leaf.map(|leaf| blob(repo, leaf.id)).transpose()
}

fn check_surface(
    repo: &gix::Repository,
    path: &str,
    change: Change,
    surface: Option<&Surface>,
) -> Result<Option<Failure>> {
    let Some(surface) = surface else { return Ok(None) };
    if surface.globs.matches(path) {
        return Ok(None);
    }
    let symbols: Vec<&str> = surface
        .symbols
        .iter()
        .filter(|(file, _)| file == path)
        .map(|(_, symbol)| symbol.as_str())
        .collect();
    let failure = Failure::new(Phase::Static, Cause::OutsideSurface { path: path.to_owned() });
    let same_mode = change.old.map(|leaf| leaf.mode) == change.new.map(|leaf| leaf.mode);
    let (Some(old), Some(new)) = (content(repo, change.old)?, content(repo, change.new)?) else {
        return Ok(Some(failure));
    };
    if symbols.is_empty() || !same_mode {
        return Ok(Some(failure));
    }
    let (old, new) = (python::outside(&old, &symbols), python::outside(&new, &symbols));
    if old == new {
        return Ok(None);
    }
    let differing = new
        .iter()
        .zip(&old)
        .find(|(new, old)| new != old)
        .map_or_else(|| new.get(old.len()).or(old.get(new.len())), |(new, _)| Some(new));
    let line = String::from_utf8_lossy(differing.map_or(&[], Vec::as_slice)).into_owned();
    Ok(Some(failure.excerpt(format!("outside {}: `{}`", symbols.join(", "), shown(&line)))))
}

/// Added paths that differ from others only in letter case would be one file on some machines.
fn check_case(
    repo: &gix::Repository,
    new: ObjectId,
    changes: &BTreeMap<String, Change>,
) -> Result<Option<Failure>> {
    let added: BTreeSet<&str> = changes
        .iter()
        .filter(|(_, change)| change.old.is_none())
        .map(|(path, _)| path.as_str())
        .collect();
    if added.is_empty() {
        return Ok(None);
    }
    let all = leaves(repo, new)?;
    let mut seen: HashMap<String, &str> = HashMap::new();
    // Paths that were there first, so that it is an added one that collides.
    let old = all.keys().map(String::as_str).filter(|path| !added.contains(path));
    for path in old.chain(added.iter().copied()) {
        let ends = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
        for part in ends.map(|end| &path[..end]) {
            let first = *seen.entry(part.to_lowercase()).or_insert(part);
            if first != part && added.contains(path) {
                let why = format!("differs from {first} only in letter case");
                return Ok(Some(forbidden(path, why)));
            }
        }
    }
    Ok(None)
}

fn check_syntax(repo: &gix::Repository, path: &str, change: Change) -> Result<Option<Failure>> {
    let Some(new) = content(repo, change.new)? else { return Ok(None) };
    let errors = python::errors(&new);
    let Some(line) = errors.first() else { return Ok(None) };
    // What the parent had already may be a gap of the grammar, not of the edit.
    let before = content(repo, change.old)?.map_or(0, |old| python::errors(&old).len());
    if errors.len() <= before {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&new);
    let shown = shown(text.lines().nth(line - 1).unwrap_or_default());
    let cause = Cause::Syntax { path: path.to_owned() };
    Ok(Some(Failure::new(Phase::Static, cause).excerpt(format!("line {line}: `{shown}`"))))
}
