//! Patches written by others, applied to a tree: git's extended format or plain unified diffs of several files.

use std::collections::BTreeMap;

use diffy::{
    Line, Patch,
    patch_set::{FileMode, FileOperation, FilePatch, ParseOptions, PatchSet},
};
use empiric_core::TreeId;
use gix::ObjectId;

use crate::{
    Error, Mode, Result, Store, check_path,
    diff::text,
    error::shown,
    store::{blob, object_id, put_blob, tree_id},
    tree::{Leaf, Put, find, rewrite},
};

impl Store {
    /// The tree that `base` becomes under `patch`.
    ///
    /// Hunks may have moved, but every context and deleted line must be there exactly. Several patches of one file
    /// apply in turn.
    ///
    /// # Errors
    /// [`Error::Patch`] names the file and the hunk that does not fit; [`Error::Path`] an unsafe path.
    pub fn apply_patch(&self, base: TreeId, patch: &str) -> Result<TreeId> {
        let repo = self.repo();
        let mut target = Target { repo: &repo, base: object_id(base), files: BTreeMap::new() };
        let git = patch.lines().any(|line| line.starts_with("diff --git "));
        let options = if git { ParseOptions::gitdiff() } else { ParseOptions::unidiff() };
        if !git && !patch.lines().any(|line| line.starts_with("--- ")) {
            return Err(refuse(None, None, "it changes no file; give a unified or git diff"));
        }
        for file in PatchSet::parse(patch, options) {
            target.apply(&file.map_err(|error| refuse(None, None, error.to_string()))?)?;
        }
        let puts = target.puts()?;
        tree_id(&rewrite(&repo, Some(object_id(base)), &puts)?)
    }
}

fn refuse(file: Option<&str>, hunk: Option<usize>, why: impl Into<String>) -> Error {
    Error::Patch { file: file.map(shown), hunk, why: shown(&why.into()) }
}

/// A file while it is being patched.
#[derive(Clone)]
struct Draft {
    text: String,
    mode: Mode,
}

/// The base tree, and on top of it the files patched so far; none is a file taken away.
struct Target<'a> {
    repo: &'a gix::Repository,
    base: ObjectId,
    files: BTreeMap<String, Option<Draft>>,
}

impl Target<'_> {
    fn apply(&mut self, file: &FilePatch<'_, str>) -> Result<()> {
        let (from, to, keep) = paths(file.operation());
        let name = to.or(from).unwrap_or_default();
        for path in [from, to].into_iter().flatten() {
            check_path(path).map_err(|fault| Error::path(path, fault))?;
        }
        let patch = file
            .patch()
            .as_text()
            .ok_or_else(|| refuse(Some(name), None, "it is binary; submit the file itself"))?;
        let old = match from {
            Some(from) => {
                Some(self.current(from)?.ok_or_else(|| refuse(Some(from), None, "no such file"))?)
            }
            None => None,
        };
        if let Some(to) = to
            && from != Some(to)
            && self.current(to)?.is_some()
        {
            return Err(refuse(Some(to), None, "it would be created, but exists already"));
        }
        let before = old.as_ref().map_or("", |draft| &draft.text);
        let text = apply_hunks(before, patch)
            .map_err(|(hunk, why)| refuse(Some(name), Some(hunk), why))?;
        if to.is_none() && !text.is_empty() {
            return Err(refuse(Some(name), None, "it would be deleted, but has lines left over"));
        }
        let mode = match file.new_mode() {
            Some(FileMode::Regular) => Mode::Plain,
            Some(FileMode::Executable) => Mode::Executable,
            Some(FileMode::Symlink | FileMode::Gitlink) if to.is_some() => {
                let why = "it would become a link or a submodule; only files may change";
                return Err(refuse(Some(name), None, why));
            }
            Some(_) | None => old.as_ref().map_or(Mode::Plain, |draft| draft.mode),
        };
        if let Some(from) = from
            && !keep
        {
            self.files.insert(from.to_owned(), None);
        }
        if let Some(to) = to {
            self.files.insert(to.to_owned(), Some(Draft { text, mode }));
        }
        Ok(())
    }

    fn current(&self, path: &str) -> Result<Option<Draft>> {
        if let Some(draft) = self.files.get(path) {
            return Ok(draft.clone());
        }
        let Some(leaf) = find(self.repo, self.base, path)? else { return Ok(None) };
        if !leaf.mode.is_file() {
            return Err(refuse(Some(path), None, "it is a link or a submodule"));
        }
        let bytes = blob(self.repo, leaf.id)?;
        let text = text(&bytes).ok_or_else(|| refuse(Some(path), None, "it is binary"))?;
        Ok(Some(Draft { text: text.to_owned(), mode: leaf.mode }))
    }

    fn puts(self) -> Result<BTreeMap<String, Put>> {
        let mut puts = BTreeMap::new();
        for (path, draft) in self.files {
            let put = match draft {
                Some(Draft { text, mode }) => {
                    Put::Leaf(Leaf { mode, id: put_blob(self.repo, text.as_bytes())? })
                }
                None if find(self.repo, self.base, &path)?.is_some() => Put::Delete,
                // Created and taken away again by the same patch.
                None => continue,
            };
            puts.insert(path, put);
        }
        Ok(puts)
    }
}

/// Where a file comes from, where it goes, and whether the source stays.
fn paths<'a>(operation: &'a FileOperation<'_, str>) -> (Option<&'a str>, Option<&'a str>, bool) {
    let strip = |path: &'a str, side: &str| path.strip_prefix(side).unwrap_or(path);
    match operation {
        FileOperation::Delete(path) => (Some(strip(path, "a/")), None, false),
        FileOperation::Create(path) => (None, Some(strip(path, "b/")), false),
        FileOperation::Modify { original, modified } => {
            match (original.strip_prefix("a/"), modified.strip_prefix("b/")) {
                (Some(original), Some(modified)) => (Some(original), Some(modified), false),
                _ => (Some(original), Some(modified), false),
            }
        }
        FileOperation::Rename { from, to } => (Some(from), Some(to), false),
        FileOperation::Copy { from, to } => (Some(from), Some(to), true),
    }
}

/// The text after all hunks, in order; each is put at the fitting place nearest to where it says it belongs.
fn apply_hunks(before: &str, patch: &Patch<'_, str>) -> Result<String, (usize, String)> {
    let lines: Vec<&str> = before.split_inclusive('\n').collect();
    let mut out = String::with_capacity(before.len());
    let mut done = 0;
    let mut drift = 0_isize;
    for (i, hunk) in patch.hunks().iter().enumerate() {
        let wanted: Vec<&str> = hunk
            .lines()
            .iter()
            .filter_map(|line| match line {
                Line::Context(text) | Line::Delete(text) => Some(*text),
                Line::Insert(_) => None,
            })
            .collect();
        let said = hunk.old_range().start();
        // An empty range names the line before it.
        let start = if hunk.old_range().is_empty() { said } else { said.saturating_sub(1) };
        let last = lines.len().checked_sub(wanted.len());
        let at = last
            .filter(|last| *last >= done)
            .and_then(|last| {
                let hint = start.saturating_add_signed(drift).clamp(done, last);
                let fits = |at: &usize| lines[*at..*at + wanted.len()] == wanted[..];
                let distance = |at: &usize| at.abs_diff(hint);
                (done..=last).filter(fits).min_by_key(distance)
            })
            .ok_or_else(|| (i + 1, missing(&lines, &wanted, said)))?;
        drift = at as isize - start as isize;
        out.extend(lines[done..at].iter().copied());
        for line in hunk.lines() {
            if let Line::Context(text) | Line::Insert(text) = line {
                out.push_str(text);
            }
        }
        done = at + wanted.len();
    }
    out.extend(lines[done..].iter().copied());
    Ok(out)
}

/// Says which line of a hunk the file does not have.
fn missing(lines: &[&str], wanted: &[&str], said: usize) -> String {
    match wanted.iter().find(|wanted| !lines.contains(wanted)) {
        Some(line) => format!(
            "its lines are not at line {said} or anywhere after the previous hunk; the file has no line `{}`",
            line.trim_end().chars().take(120).collect::<String>()
        ),
        None => format!("its lines are not at line {said} or anywhere after the previous hunk"),
    }
}
