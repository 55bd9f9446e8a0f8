//! A champion as a branch in the user's own repository, without touching their work tree, index or other branches.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use empiric_core::{CommitId, TreeId};
use gix::{
    ObjectId,
    refs::{FullName, transaction::PreviousValue},
};
use jiff::Timestamp;

use crate::{
    Error, Result, Store, check_path,
    history::{set_ref, write_commit},
    merge::merge_text,
    store::{blob, commit_id, isolated, object_id, put_blob},
    tree::{Change, Leaf, Put, changes, find, rewrite},
};

/// A branch to be written.
#[derive(Debug, Clone)]
pub struct Export<'a> {
    /// A directory in the user's repository.
    pub repository: &'a Path,
    /// The branch's short name.
    pub branch: &'a str,
    /// Where the recipe lies within the repository, with `/`; empty when it is the repository itself.
    pub prefix: &'a str,
    /// The tree that the study began with.
    pub baseline: TreeId,
    /// What became of it, oldest first: one commit each.
    pub steps: &'a [Step],
    /// Whether a branch of that name may be replaced.
    pub force: bool,
    /// The commits' time.
    pub at: Timestamp,
}

/// One commit of an exported branch.
#[derive(Debug, Clone)]
pub struct Step {
    /// The recipe's tree.
    pub tree: TreeId,
    /// The commit's message.
    pub message: String,
}

impl Store {
    /// Writes the branch on top of the repository's HEAD and returns its last commit.
    ///
    /// Only what the steps changed is changed; where HEAD has moved on since the baseline was imported, the changes
    /// are merged into it.
    ///
    /// # Errors
    /// When there are no steps, or the branch exists and `force` is off, is checked out, or HEAD has changes in the same lines.
    pub fn export_branch(&self, export: &Export<'_>) -> Result<CommitId> {
        let trust = gix::sec::trust::Mapping { full: isolated(), reduced: isolated() };
        let user =
            gix::ThreadSafeRepository::discover_opts(export.repository, Default::default(), trust)
                .map_err(Error::git(format_args!(
                    "find a git repository at {}",
                    export.repository.display()
                )))?
                .to_thread_local();
        let name = self.branch_name(&user, export)?;
        let head = head_commit(&user, export.repository)?;
        let mut tree = head.map(|head| commit_tree(&user, head)).transpose()?;
        let mut commit = head;
        let mut before = export.baseline;
        let repo = self.repo();
        for step in export.steps {
            let changes = changes(&repo, Some(object_id(before)), Some(object_id(step.tree)))?;
            let puts = transfer(&repo, &user, tree, export.prefix, &changes)?;
            let new = rewrite(&user, tree, &puts)?;
            let parents = commit.into_iter();
            commit = Some(write_commit(&user, new, parents, &step.message, export.at)?);
            tree = Some(new);
            before = step.tree;
        }
        let commit = commit.filter(|_| !export.steps.is_empty()).ok_or(Error::NothingToExport)?;
        let previous = if export.force { PreviousValue::Any } else { PreviousValue::MustNotExist };
        set_ref(&user, name, commit, previous, export.at)?;
        commit_id(&commit)
    }

    fn branch_name(&self, user: &gix::Repository, export: &Export<'_>) -> Result<FullName> {
        let Export { branch, prefix, .. } = *export;
        if !prefix.is_empty() {
            check_path(prefix).map_err(|fault| Error::path(prefix, fault))?;
        }
        let name = FullName::try_from(format!("refs/heads/{branch}"))
            .map_err(Error::git(format_args!("name a branch `{branch}`")))?;
        let repository = || -> PathBuf { export.repository.to_owned() };
        let action = || format!("look for branch `{branch}`");
        let exists = user.try_find_reference(&name).map_err(Error::git(action()))?.is_some();
        if exists && !export.force {
            return Err(Error::BranchExists {
                branch: branch.to_owned(),
                repository: repository(),
            });
        }
        let on = |repo: &gix::Repository| {
            repo.head_name().ok().flatten().is_some_and(|head| head == name)
        };
        let linked = user.worktrees().map_err(Error::git(action()))?;
        let checked_out = on(user)
            || user.main_repo().is_ok_and(|main| on(&main))
            || linked.into_iter().any(|worktree| {
                worktree.into_repo_with_possibly_inaccessible_worktree().is_ok_and(|repo| on(&repo))
            });
        if checked_out {
            let branch = branch.to_owned();
            return Err(Error::BranchCheckedOut { branch, repository: repository() });
        }
        Ok(name)
    }
}

/// The commit at HEAD; none when its branch is still unborn.
fn head_commit(user: &gix::Repository, repository: &Path) -> Result<Option<ObjectId>> {
    let action = || format!("read HEAD of {}", repository.display());
    let mut head = user.head().map_err(Error::git(action()))?;
    let id = head.try_peel_to_id().map_err(Error::git(action()))?;
    Ok(id.map(gix::Id::detach))
}

fn commit_tree(user: &gix::Repository, commit: ObjectId) -> Result<ObjectId> {
    let action = || format!("read HEAD of the repository ({commit})");
    let commit = user.find_commit(commit).map_err(Error::git(action()))?;
    Ok(commit.tree_id().map_err(Error::git(action()))?.detach())
}

/// Copies the changed files into the user's object store, merged with what HEAD has there.
fn transfer(
    repo: &gix::Repository,
    user: &gix::Repository,
    tree: Option<ObjectId>,
    prefix: &str,
    changes: &BTreeMap<String, Change>,
) -> Result<BTreeMap<String, Put>> {
    let mut puts = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (path, change) in changes {
        let full = if prefix.is_empty() { path.clone() } else { format!("{prefix}/{path}") };
        let head = tree.map(|tree| find(user, tree, &full)).transpose()?.flatten();
        match (head, change.new) {
            (None, None) => {}
            (Some(head), None) if same(change.old, head) => {
                puts.insert(full, Put::Delete);
            }
            (Some(head), Some(new)) if same(Some(new), head) => {}
            (None, Some(new)) => {
                puts.insert(full, copy(repo, user, new)?);
            }
            (Some(head), Some(new)) if same(change.old, head) => {
                puts.insert(full, copy(repo, user, new)?);
            }
            (Some(head), new) => match merged(repo, user, change.old, head, new)? {
                Some(put) => {
                    puts.insert(full, put);
                }
                None => conflicts.push(full),
            },
        }
    }
    if conflicts.is_empty() { Ok(puts) } else { Err(Error::ExportConflicts { paths: conflicts }) }
}

/// Ids are hashes of content, so they compare across repositories.
fn same(ours: Option<Leaf>, head: Leaf) -> bool {
    ours == Some(head)
}

fn copy(repo: &gix::Repository, user: &gix::Repository, leaf: Leaf) -> Result<Put> {
    let id = put_blob(user, &blob(repo, leaf.id)?)?;
    Ok(Put::Leaf(Leaf { mode: leaf.mode, id }))
}

fn merged(
    repo: &gix::Repository,
    user: &gix::Repository,
    old: Option<Leaf>,
    head: Leaf,
    new: Option<Leaf>,
) -> Result<Option<Put>> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
    if ![old, head, new].iter().all(|leaf| leaf.mode.is_file()) {
        return Ok(None);
    }
    let base = blob(repo, old.id)?;
    let Some(bytes) = merge_text(&base, &blob(user, head.id)?, &blob(repo, new.id)?) else {
        return Ok(None);
    };
    let mode = if head.mode == old.mode { new.mode } else { head.mode };
    Ok(Some(Put::Leaf(Leaf { mode, id: put_blob(user, &bytes)? })))
}
