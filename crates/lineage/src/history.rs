//! Trials as commits: their parents are their parent trials, and a ref keeps each one.

use empiric_core::{CommitId, TreeId, TrialNo};
use empiric_doors::{self as doors, Door};
use gix::{
    ObjectId,
    refs::{
        FullName,
        transaction::{PreviousValue, RefEdit},
    },
};
use jiff::Timestamp;

use crate::{
    Error, Result, Store,
    store::{commit_id, commit_object, object_id, tree_id},
};

const NAME: &str = "Empiric";
const EMAIL: &str = "empiric@localhost";

/// What a trial's commit holds.
#[derive(Debug, Clone)]
pub struct CommitSpec<'a> {
    /// The trial.
    pub trial: TrialNo,
    /// Its tree.
    pub tree: TreeId,
    /// The commits of its parent trials.
    pub parents: &'a [CommitId],
    /// Its hypothesis, or another text.
    pub message: &'a str,
    /// When it was made.
    pub at: Timestamp,
}

impl Store {
    /// Commits a trial and points its ref at it, whatever the ref pointed at before.
    ///
    /// The same specification always gives the same commit, so doing it again after a crash does no harm.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn commit(&self, spec: &CommitSpec<'_>) -> Result<CommitId> {
        doors::before(Door::Commit);
        let repo = self.repo();
        let parents = spec.parents.iter().copied().map(commit_object);
        let id = write_commit(&repo, object_id(spec.tree), parents, spec.message, spec.at)?;
        // Not through a lock file: one left behind by a killed process would bar this trial for ever.
        let fresh = self.dir().join(format!("{}.new", spec.trial));
        fs_err::write(&fresh, format!("{id}\n"))?;
        fs_err::rename(&fresh, self.dir().join(ref_path(spec.trial)))?;
        doors::after(Door::Commit);
        commit_id(&id)
    }

    /// The commit that a trial's ref points at; none when the trial was never committed.
    ///
    /// # Errors
    /// When the ref is malformed.
    pub fn commit_of(&self, trial: TrialNo) -> Result<Option<CommitId>> {
        let repo = self.repo();
        let found = repo
            .try_find_reference(ref_path(trial).as_str())
            .map_err(Error::git(format_args!("read the ref of {trial}")))?;
        match found.as_ref().and_then(|found| found.try_id()) {
            Some(id) => commit_id(&id).map(Some),
            None => Ok(None),
        }
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn tree_of(&self, commit: CommitId) -> Result<TreeId> {
        let repo = self.repo();
        let found = repo
            .find_commit(commit_object(commit))
            .map_err(Error::git(format_args!("read commit {commit}")))?;
        tree_id(&found.tree_id().map_err(Error::git(format_args!("read commit {commit}")))?)
    }

    /// The nearest common ancestor of two trials; none when they share none.
    ///
    /// # Errors
    /// When a commit is missing.
    pub fn merge_base(&self, a: CommitId, b: CommitId) -> Result<Option<CommitId>> {
        let repo = self.repo();
        let base = repo
            .merge_base(commit_object(a), commit_object(b))
            .map_err(Error::git(format_args!("find the common ancestor of {a} and {b}")))?;
        base.map(|id| commit_id(&id)).transpose()
    }
}

pub(crate) fn ref_path(trial: TrialNo) -> String {
    format!("refs/empiric/trials/{trial}")
}

pub(crate) fn write_commit(
    repo: &gix::Repository,
    tree: ObjectId,
    parents: impl Iterator<Item = ObjectId>,
    message: &str,
    at: Timestamp,
) -> Result<ObjectId> {
    let signature = signature(at);
    // `git fsck` refuses NUL in a message.
    let message = format!("{}\n", message.replace('\0', "\u{fffd}").trim_end());
    let commit = gix::objs::Commit {
        tree,
        parents: parents.collect(),
        author: signature.clone(),
        committer: signature,
        encoding: None,
        message: message.into(),
        extra_headers: Vec::new(),
    };
    Ok(repo.write_object(commit).map_err(Error::git("write a commit"))?.detach())
}

/// Sets a ref in a repository that others use too, under git's own locks.
pub(crate) fn set_ref(
    repo: &gix::Repository,
    name: FullName,
    target: ObjectId,
    previous: PreviousValue,
    at: Timestamp,
) -> Result<()> {
    let action = format!("set {}", name.as_bstr());
    let signature = signature(at);
    let mut time = gix::date::parse::TimeBuf::default();
    let edit = RefEdit::update(name, target, previous, "empiric");
    repo.edit_references_as([edit], Some(signature.to_ref(&mut time)))
        .map_err(Error::git(action))?;
    Ok(())
}

fn signature(at: Timestamp) -> gix::actor::Signature {
    gix::actor::Signature {
        name: NAME.into(),
        email: EMAIL.into(),
        time: gix::date::Time::new(at.as_second(), 0),
    }
}
