//! The git store of a study: trees, edits, diffs, merges, the rules an edit must keep, and the trees in slots.
//!
//! Every trial is a commit in a bare repository that plain `git` can read. What changed between two trials is always
//! computed here, from trees; nobody's claim about it is believed. No user or system configuration of git is read,
//! and no type of the git library appears in the interface.

mod diff;
mod edit;
mod error;
mod export;
mod history;
mod hunks;
mod import;
mod materialize;
mod merge;
mod patch;
mod path;
mod python;
mod rules;
mod store;
mod tree;
mod verify;

pub use diff::Diff;
pub use error::{Error, Result};
pub use export::{Export, Step};
pub use history::CommitSpec;
pub use import::Import;
pub use merge::Merge;
pub use path::{PathFault, check_path};
pub use rules::Rules;
pub use store::Store;
pub use tree::{Entry, FileId, Files, Mode};
pub use verify::{Expected, Fault};

#[cfg(test)]
mod tests;
