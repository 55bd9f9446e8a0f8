//! Two trials made one: a three-way merge of trees, file by file and line by line.

use std::collections::{BTreeMap, BTreeSet};

use empiric_core::TreeId;
use gix::ObjectId;

use crate::{
    Mode, Result, Store,
    diff::text,
    store::{blob, object_id, put_blob, tree_id},
    tree::{Change, Leaf, Put, changes, rewrite},
};

/// What a merge of two trees came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Both sides' changes, in one tree.
    Clean(TreeId),
    /// The files that both sides changed in ways that exclude each other, in order of path.
    Conflicts(Vec<String>),
}

impl Store {
    /// Puts the changes that `theirs` made since `base` on top of `ours`.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn merge(&self, base: TreeId, ours: TreeId, theirs: TreeId) -> Result<Merge> {
        let repo = self.repo();
        let [base, ours, theirs] = [base, ours, theirs].map(object_id);
        let our_changes = changes(&repo, Some(base), Some(ours))?;
        let their_changes = changes(&repo, Some(base), Some(theirs))?;
        let mut puts = BTreeMap::new();
        let mut conflicts = BTreeSet::new();
        for (path, their) in &their_changes {
            let our = our_changes.get(path);
            let merged = match our {
                None => Some(their.new),
                Some(our) => merge_leaf(&repo, their.old, our.new, their.new)?,
            };
            let current = our.map_or(their.old, |our| our.new);
            match merged {
                None => {
                    conflicts.insert(path.clone());
                }
                Some(merged) if merged == current => {}
                Some(Some(leaf)) => {
                    puts.insert(path.clone(), Put::Leaf(leaf));
                }
                Some(None) => {
                    puts.insert(path.clone(), Put::Delete);
                }
            }
        }
        conflicts.extend(obstructed(&our_changes, &their_changes));
        conflicts.extend(obstructed(&their_changes, &our_changes));
        if !conflicts.is_empty() {
            return Ok(Merge::Conflicts(conflicts.into_iter().collect()));
        }
        tree_id(&rewrite(&repo, Some(ours), &puts)?).map(Merge::Clean)
    }
}

/// Files that one side adds below a path where the other side has put a file.
fn obstructed<'a>(
    above: &'a BTreeMap<String, Change>,
    below: &'a BTreeMap<String, Change>,
) -> impl Iterator<Item = String> + 'a {
    let stands = |path: &str| above.get(path).is_some_and(|change| change.new.is_some());
    below
        .iter()
        .filter(|(_, change)| change.new.is_some())
        .filter(move |(path, _)| path.match_indices('/').any(|(i, _)| stands(&path[..i])))
        .map(|(path, _)| path.clone())
}

/// What both sides together make of one file: outer none is a conflict, inner none a deletion.
#[expect(clippy::option_option, reason = "conflict and deletion are different results")]
fn merge_leaf(
    repo: &gix::Repository,
    base: Option<Leaf>,
    ours: Option<Leaf>,
    theirs: Option<Leaf>,
) -> Result<Option<Option<Leaf>>> {
    if ours == theirs || theirs == base {
        return Ok(Some(ours));
    }
    if ours == base {
        return Ok(Some(theirs));
    }
    let (Some(base), Some(ours), Some(theirs)) = (base, ours, theirs) else { return Ok(None) };
    if ![base, ours, theirs].iter().all(|leaf| leaf.mode.is_file()) {
        return Ok(None);
    }
    let mode: Mode = if ours.mode == base.mode { theirs.mode } else { ours.mode };
    let id = merge_content(repo, base.id, ours.id, theirs.id)?;
    Ok(id.map(|id| Some(Leaf { mode, id })))
}

fn merge_content(
    repo: &gix::Repository,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<Option<ObjectId>> {
    if theirs == base || theirs == ours {
        return Ok(Some(ours));
    }
    if ours == base {
        return Ok(Some(theirs));
    }
    match merge_text(&blob(repo, base)?, &blob(repo, ours)?, &blob(repo, theirs)?) {
        Some(merged) => put_blob(repo, &merged).map(Some),
        None => Ok(None),
    }
}

/// Both sides' changes of one text; none when they touch the same lines or anything is binary.
pub(crate) fn merge_text(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let (base, ours, theirs) = (text(base)?, text(ours)?, text(theirs)?);
    diffy::merge(base, ours, theirs).ok().map(String::into_bytes)
}
