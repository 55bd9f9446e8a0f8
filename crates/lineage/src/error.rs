//! What can go wrong in the git store.

use std::{fmt::Display, io, path::PathBuf};

use crate::PathFault;

/// The result of an operation on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the store, of its input, or of the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The git library failed.
    #[error("{action}: {source}")]
    Git {
        /// What was being done, to what.
        action: String,
        /// The library's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The directory is not a store.
    #[error("{} is not a lineage store: {why}", .dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// What is missing or different.
        why: &'static str,
    },
    /// An object of the store is not what it should be.
    #[error("object {id} is damaged: {why}; `empiric verify` lists every damaged object")]
    Damaged {
        /// Its id.
        id: String,
        /// In which way.
        why: String,
    },
    /// A path may not be in a recipe.
    #[error("path `{path}`: {fault}")]
    Path {
        /// The path.
        path: String,
        /// The reason.
        fault: PathFault,
    },
    /// A directory cannot become a recipe's tree.
    #[error("cannot import `{path}`: {why}")]
    Import {
        /// The file or directory.
        path: String,
        /// The reason and the remedy.
        why: String,
    },
    /// A patch is not understood or does not fit its base.
    #[error("patch{}{}: {why}", prefixed(" of ", .file.as_ref()), prefixed(", hunk ", .hunk.as_ref()))]
    Patch {
        /// The file it is for, once known.
        file: Option<String>,
        /// The hunk, counted from 1, where one is at fault.
        hunk: Option<usize>,
        /// What is wrong.
        why: String,
    },
    /// A glob in the task is malformed.
    #[error(transparent)]
    Glob(#[from] empiric_core::globs::GlobError),
    /// The task has no such surface.
    #[error("no surface named `{name}`; the task has {known}")]
    UnknownSurface {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The branch is there already.
    #[error("branch `{branch}` exists in {}; choose another name or force the export", .repository.display())]
    BranchExists {
        /// The branch.
        branch: String,
        /// The user's repository.
        repository: PathBuf,
    },
    /// The branch is checked out, and an export must not change what a work tree is on.
    #[error("branch `{branch}` is checked out in {}; choose another name", .repository.display())]
    BranchCheckedOut {
        /// The branch.
        branch: String,
        /// The user's repository.
        repository: PathBuf,
    },
    /// An export without a single step.
    #[error("there is nothing to export; the study has no champion yet")]
    NothingToExport,
    /// The user's own changes since the study began are in the same lines.
    #[error("export conflicts with the repository's HEAD in {}; commit the baseline or export a patch", .paths.join(", "))]
    ExportConflicts {
        /// The files.
        paths: Vec<String>,
    },
}

impl Error {
    /// Turns an error of the git library into one that says what was being done.
    pub(crate) fn git<E>(action: impl Display) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Git { action: action.to_string(), source: source.into() }
    }

    pub(crate) fn path(path: impl Into<String>, fault: PathFault) -> Self {
        Self::Path { path: shown(&path.into()), fault }
    }
}

/// As much of somebody else's text as a message may hold.
pub(crate) fn shown(text: &str) -> String {
    text.trim_end().chars().filter(|c| !c.is_control()).take(240).collect()
}

fn prefixed<T: Display>(prefix: &str, value: Option<&T>) -> String {
    value.map(|value| format!("{prefix}{value}")).unwrap_or_default()
}
