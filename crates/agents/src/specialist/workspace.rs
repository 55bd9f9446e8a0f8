//! The recipe as one session edits it: in memory, clean at the start, against one parent.

use std::sync::Arc;

use empiric_core::{Globs, Task, TrialNo};

use crate::{Files, errands::Changes};

/// A copy of a trial's editable files, and what became of them.
pub(super) struct Workspace {
    pub(super) parent: TrialNo,
    base: Files,
    pub(super) files: Files,
    owned: Option<Owned>,
}

/// What a role may edit of files; symbols within them are checked on the tree.
struct Owned {
    surface: String,
    globs: Globs,
    files: Vec<String>,
}

impl Workspace {
    pub(super) fn new(task: &Task, surface: Option<&str>, parent: TrialNo, base: Files) -> Self {
        let surface = task.surfaces.iter().find(|known| Some(known.name.as_str()) == surface);
        let owned = surface.and_then(|surface| {
            let globs =
                Globs::new(surface.owns.iter().filter(|owner| !owner.contains('#'))).ok()?;
            let files =
                surface.owns.iter().filter_map(|owner| Some(owner.split_once('#')?.0.to_owned()));
            Some(Owned { surface: surface.name.clone(), globs, files: files.collect() })
        });
        Self { parent, files: base.clone(), base, owned }
    }

    /// Starts again from another trial.
    pub(super) fn rebase(&mut self, parent: TrialNo, base: Files) {
        (self.parent, self.files, self.base) = (parent, base.clone(), base);
    }

    /// Why the file at `path` may not be edited here, if it may not.
    pub(super) fn refuses(&self, path: &str) -> Option<String> {
        let owned = self.owned.as_ref()?;
        let mine = owned.globs.matches(path) || owned.files.iter().any(|file| file == path);
        (!mine).then(|| {
            format!("`{path}` is outside surface `{}`, which is all you own", owned.surface)
        })
    }

    pub(super) fn put(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), Arc::from(text));
    }

    pub(super) fn remove(&mut self, path: &str) -> bool {
        self.files.remove(path).is_some()
    }

    /// What differs from the parent.
    pub(super) fn changes(&self) -> Changes {
        let written = self.files.iter().filter(|(path, text)| self.base.get(*path) != Some(text));
        let gone = self.base.keys().filter(|path| !self.files.contains_key(*path));
        written
            .map(|(path, text)| (path.clone(), Some(text.to_string())))
            .chain(gone.map(|path| (path.clone(), None)))
            .collect()
    }

    pub(super) fn base(&self) -> &Files {
        &self.base
    }

    /// Bytes of all files, before and now.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let sum = |files: &Files| files.values().map(|text| text.len()).sum();
        (sum(&self.base), sum(&self.files))
    }
}
