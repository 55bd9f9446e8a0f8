//! The recipe, the parts of it that may be edited, and the surfaces on it.

use std::path::{Path, PathBuf};

use empiric_core::{
    Globs,
    task::{Recipe, Surface},
};

use super::Check;
use crate::{
    Host,
    diagnostic::did_you_mean,
    fetch::fetch,
    files,
    input::{ArtifactTable, At, RecipeTable, SurfaceTable},
};

/// A recipe and what validation found in it.
pub(super) struct Checked {
    pub(super) recipe: Recipe,
    pub(super) dir: PathBuf,
    files: Vec<String>,
    editable: Vec<String>,
}

impl Checked {
    /// Whether `path` is inside the recipe.
    pub(super) fn holds(&self, path: &Path) -> bool {
        !self.dir.as_os_str().is_empty() && path.starts_with(&self.dir)
    }

    /// Whether proposers may edit the file at `path`.
    pub(super) fn edits(&self, path: &Path) -> bool {
        path.strip_prefix(&self.dir)
            .is_ok_and(|name| self.editable.iter().any(|file| Path::new(file) == name))
    }
}

impl Check<'_> {
    pub(super) fn recipe(&mut self, table: Option<&RecipeTable>, host: &Host) -> Checked {
        let (root, dir) =
            table.map_or_else(Default::default, |table| self.recipe_root(table, host));
        let mut files = Vec::new();
        if let Some(dir) = &dir {
            match files::list(dir) {
                Ok(found) => files = found,
                Err(error) => {
                    self.problems.add(None, format!("cannot read the recipe: {error}"));
                }
            }
        }
        let edit = table.and_then(|table| table.edit.as_ref());
        if let Some(edit) = edit
            && edit.get().is_empty()
        {
            self.problems
                .add(edit.span(), "`recipe.edit` is empty, so that nothing can be improved")
                .label("no globs")
                .help("name the files that may change, such as `edit = [\"*.py\"]`");
        }
        let mut globs = Vec::new();
        for pattern in edit.into_iter().flat_map(At::get) {
            if self.glob(pattern, dir.as_deref().map(|dir| (dir, files.as_slice()))) {
                globs.push(pattern.get().clone());
            }
        }
        for pattern in table.into_iter().flat_map(|table| &table.protect) {
            if self.glob(pattern, None) {
                globs.push(format!("!{}", pattern.get()));
            }
        }
        let matcher = Globs::new(&globs);
        let editable: Vec<String> = matcher
            .map(|m| files.iter().filter(|file| m.matches(file)).cloned().collect())
            .unwrap_or_default();
        let writable = table.and_then(|table| table.writable).unwrap_or(false);
        let max_file_bytes = table
            .and_then(|table| table.max_file_size.as_ref())
            .map_or(1 << 20, |size| size.get().0);
        let max_data_bytes =
            table.and_then(|table| table.max_data.as_ref()).map(|size| size.get().0);
        Checked {
            recipe: Recipe { root, edit: globs, writable, max_file_bytes, max_data_bytes },
            dir: dir.unwrap_or_default(),
            files,
            editable,
        }
    }

    /// What `recipe.root` becomes, and the directory it stands for when there is one.
    fn recipe_root(&mut self, table: &RecipeTable, host: &Host) -> (String, Option<PathBuf>) {
        let default = if table.git.is_some() { "." } else { "recipe" };
        let written = table.root.as_ref().map_or(default, |root| root.get());
        let span = table.root.as_ref().and_then(At::span);
        let Some(root) = files::normal(written) else {
            self.problems
                .add(span, format!("recipe root `{written}` is not below the task's directory"))
                .label("must be relative, without `..`");
            return (String::new(), None);
        };
        let (base, name) = match (&table.git, &table.rev) {
            (None, None) => (self.root.to_owned(), root.clone()),
            (Some(git), Some(rev)) => match fetch(git.get(), rev.get(), self.root, host) {
                Ok(dir) => (dir, format!("{}@{}:{root}", git.get(), rev.get())),
                Err(error) => {
                    self.problems
                        .add(
                            git.span(),
                            format!("cannot take the recipe from `{}`: {error}", git.get()),
                        )
                        .label("not fetched");
                    return (String::new(), None);
                }
            },
            (Some(git), None) => {
                self.problems
                    .add(git.span(), "`recipe.git` needs `rev`")
                    .label("which commit?")
                    .help("add `rev` with a commit id or tag, so that everyone measures the same recipe");
                return (String::new(), None);
            }
            (None, Some(rev)) => {
                self.problems
                    .add(rev.span(), "`recipe.rev` needs `git`")
                    .label("of which repository?");
                return (String::new(), None);
            }
        };
        match fs_err::canonicalize(base.join(&root)) {
            Ok(dir) if dir.is_dir() => (name, Some(dir)),
            Ok(_) | Err(_) => {
                self.problems
                    .add(span, format!("recipe root `{root}` is not a directory"))
                    .label("no such directory")
                    .help("put the code to improve there, or set `recipe.root`");
                (name, None)
            }
        }
    }

    /// Checks one glob, and that it matches one of the files of a directory where one is given.
    fn glob(&mut self, pattern: &At<String>, matching: Option<(&Path, &[String])>) -> bool {
        let text = pattern.get();
        let relative = !text.starts_with(['!', '/']) && !text.split('/').any(|part| part == "..");
        let matcher = match Globs::new([text]) {
            Ok(globs) if relative => globs,
            Ok(_) => {
                self.problems
                    .add(pattern.span(), format!("glob `{text}` must be relative to the recipe"))
                    .label("no leading `!` or `/`, and no `..`")
                    .help("to take files away from `edit`, name them in `protect`");
                return false;
            }
            Err(error) => {
                self.problems
                    .add(pattern.span(), format!("`{text}` is not a glob: {}", error.why))
                    .label("here");
                return false;
            }
        };
        let Some((dir, files)) = matching else { return true };
        if !files.iter().any(|file| matcher.matches(file)) {
            let directory = dir.join(text).is_dir();
            let help = if directory {
                format!("for everything below it: `{}/**`", text.trim_end_matches('/'))
            } else if files.is_empty() {
                "the recipe has no files yet".to_owned()
            } else {
                let some: Vec<_> = files.iter().take(5).map(String::as_str).collect();
                format!(
                    "the recipe has {}{}",
                    some.join(", "),
                    if files.len() > 5 { ", ..." } else { "" }
                )
            };
            self.problems
                .add(pattern.span(), format!("glob `{text}` matches no file of the recipe"))
                .label("matches nothing")
                .help(help)
                .help_if(did_you_mean(text, files.iter().map(String::as_str)));
        }
        true
    }

    pub(super) fn surfaces(&mut self, tables: &[SurfaceTable], recipe: &Checked) -> Vec<Surface> {
        let mut surfaces: Vec<Surface> = Vec::new();
        for table in tables {
            let (Some(name), Some(owns)) = (&table.name, &table.owns) else { continue };
            self.name(Some(name), "surface name");
            if surfaces.iter().any(|other| other.name == *name.get()) {
                self.problems
                    .add(name.span(), format!("surface `{}` is declared twice", name.get()))
                    .label("again here");
            }
            if owns.get().is_empty() {
                self.problems
                    .add(owns.span(), format!("surface `{}` owns nothing", name.get()))
                    .label("no globs");
            }
            // A recipe that is not there has been reported already.
            let there = !recipe.dir.as_os_str().is_empty();
            for owned in owns.get().iter().filter(|_| there) {
                self.owned(owned, recipe);
            }
            surfaces.push(Surface {
                name: name.get().clone(),
                owns: owns.get().iter().map(|owned| owned.get().clone()).collect(),
                brief: table.brief.clone().unwrap_or_default(),
            });
        }
        surfaces
    }

    /// Checks that a surface owns something that can be edited.
    fn owned(&mut self, owned: &At<String>, recipe: &Checked) {
        let text = owned.get();
        let (pattern, symbol) = match text.split_once('#') {
            Some((file, symbol)) => (file, Some(symbol)),
            None => (text.as_str(), None),
        };
        let matcher = match Globs::new([pattern]) {
            Ok(globs) => globs,
            Err(error) => {
                self.problems
                    .add(owned.span(), format!("`{pattern}` is not a glob: {}", error.why))
                    .label("here");
                return;
            }
        };
        let matches = |files: &[String]| files.iter().any(|file| matcher.matches(file));
        if !matches(&recipe.files) {
            self.problems
                .add(owned.span(), format!("`{pattern}` matches no file of the recipe"))
                .label("matches nothing")
                .help_if(did_you_mean(pattern, recipe.files.iter().map(String::as_str)));
        } else if !matches(&recipe.editable) {
            self.problems
                .add(
                    owned.span(),
                    format!("`{pattern}` may not be edited, so no surface can own it"),
                )
                .label("protected")
                .help("add it to `recipe.edit`, or take it from the surface");
        } else if let Some(symbol) = symbol {
            let last = symbol.rsplit('.').next().unwrap_or(symbol);
            let text = fs_err::read_to_string(recipe.dir.join(pattern)).unwrap_or_default();
            let word = |c: char| c.is_alphanumeric() || c == '_';
            if last.is_empty() || !text.split(|c| !word(c)).any(|name| name == last) {
                self.problems
                    .add(owned.span(), format!("`{pattern}` has no symbol `{symbol}`"))
                    .label("not found")
                    .help("write one file and a name defined in it, such as `train.py#Model`");
            }
        }
    }

    pub(super) fn artifact(
        &mut self,
        table: Option<&ArtifactTable>,
        recipe: &Checked,
    ) -> Vec<String> {
        let patterns = table.map(|table| table.code.as_slice()).unwrap_or_default();
        for pattern in patterns {
            self.glob(pattern, Some((&recipe.dir, &recipe.files)));
        }
        patterns.iter().map(|pattern| pattern.get().clone()).collect()
    }
}
