//! Whether the store still holds what the ledger says it holds.
//!
//! Content is hashed again, so a flipped byte anywhere that content depends on is found. (A loose object also has up to
//! seven bits of padding in its compressed form that nothing depends on.)

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::Path,
};

use empiric_core::{CommitId, TreeId, TrialNo};
use gix::{
    ObjectId,
    objs::{Find as _, Kind},
    zlib::{Decompress, FlushDecompress, Status},
};

use crate::{
    Mode, Result, Store,
    history::ref_path,
    store::{SKELETON, commit_object, object_id},
    tree::nodes,
};

/// One trial as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The trial.
    pub trial: TrialNo,
    /// Its commit.
    pub commit: CommitId,
    /// Its tree.
    pub tree: TreeId,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first trial that it touches; none for something no trial needs.
    pub trial: Option<TrialNo>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trial {
            Some(trial) => write!(f, "{trial}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Store {
    /// Checks the skeleton of the repository, every expected trial (its ref, commit, parents, tree and all files),
    /// and every other loose object. An empty result means that all is well.
    ///
    /// # Errors
    /// When the store's directory cannot be listed. Whatever is wrong with its content is a fault, not an error.
    pub fn verify(&self, expected: impl IntoIterator<Item = Expected>) -> Result<Vec<Fault>> {
        let mut repo = self.repo();
        // What lies on the disk is in question, not what was read of it earlier.
        repo.object_cache_size(None);
        let mut check = Check { dir: self.dir(), repo, seen: HashMap::new(), faults: Vec::new() };
        for (name, content) in SKELETON {
            if fs_err::read(self.dir().join(name)).ok().as_deref() != Some(content.as_bytes()) {
                check.fault(None, format!("`{name}` of the store is not as Empiric wrote it"));
            }
        }
        for expected in expected {
            check.trial(&expected);
        }
        check.rest()?;
        Ok(check.faults)
    }
}

struct Check<'a> {
    dir: &'a Path,
    repo: gix::Repository,
    /// Objects looked at so far, and whether they are sound.
    seen: HashMap<ObjectId, bool>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, trial: Option<TrialNo>, what: String) {
        self.faults.push(Fault { trial, what });
    }

    fn trial(&mut self, expected: &Expected) {
        let Expected { trial, commit, tree } = *expected;
        if let Some(what) = self.ref_fault(trial, commit) {
            self.fault(Some(trial), what);
        }
        let id = commit_object(commit);
        if self.object(Some(trial), id, Some(Kind::Commit)) {
            let (has, parents) = self.commit_parts(id).unzip();
            if has != Some(object_id(tree)) {
                self.fault(Some(trial), format!("commit {commit} does not hold tree {tree}"));
            }
            for parent in parents.into_iter().flatten() {
                self.object(Some(trial), parent, Some(Kind::Commit));
            }
        }
        self.tree(trial, object_id(tree));
    }

    fn commit_parts(&self, id: ObjectId) -> Option<(ObjectId, Vec<ObjectId>)> {
        let commit = self.repo.find_commit(id).ok()?;
        let parents = commit.parent_ids().map(gix::Id::detach).collect();
        Some((commit.tree_id().ok()?.detach(), parents))
    }

    fn ref_fault(&self, trial: TrialNo, commit: CommitId) -> Option<String> {
        let name = ref_path(trial);
        let found = match fs_err::read(self.dir.join(&name)) {
            Ok(bytes) => (bytes == format!("{commit}\n").as_bytes()).then_some(()),
            // Somebody may have packed the refs with git.
            Err(_) => self
                .repo
                .try_find_reference(name.as_str())
                .ok()
                .flatten()
                .filter(|found| {
                    found.try_id().is_some_and(|id| id.detach() == commit_object(commit))
                })
                .map(|_| ()),
        };
        found.is_none().then(|| format!("`{name}` does not point at commit {commit}"))
    }

    /// Checks a tree and all that it holds, each object once in a whole run.
    fn tree(&mut self, trial: TrialNo, root: ObjectId) {
        let mut pending = vec![root];
        while let Some(tree) = pending.pop() {
            if self.seen.contains_key(&tree) {
                continue;
            }
            if !self.object(Some(trial), tree, Some(Kind::Tree)) {
                continue;
            }
            match nodes(&self.repo, tree) {
                Ok(nodes) => {
                    for node in nodes {
                        match node.mode {
                            None => pending.push(node.id),
                            Some(Mode::Submodule) => {}
                            Some(Mode::Plain | Mode::Executable | Mode::Symlink) => {
                                self.object(Some(trial), node.id, Some(Kind::Blob));
                            }
                        }
                    }
                }
                Err(error) => self.fault(Some(trial), error.to_string()),
            }
        }
    }

    /// Every loose object that no trial led to.
    fn rest(&mut self) -> Result<()> {
        let mut rest = BTreeSet::new();
        for dir in fs_err::read_dir(self.dir.join("objects"))? {
            let dir = dir?;
            let Some(head) =
                dir.file_name().to_str().filter(|name| name.len() == 2).map(str::to_owned)
            else {
                continue;
            };
            for file in fs_err::read_dir(dir.path())? {
                let name = format!("{head}{}", file?.file_name().to_string_lossy());
                if let Ok(id) = ObjectId::from_hex(name.as_bytes()) {
                    rest.insert(id);
                }
            }
        }
        for id in rest {
            self.object(None, id, None);
        }
        Ok(())
    }

    /// Whether an object is there, is of the kind meant, and hashes to its name; says so once if not.
    fn object(&mut self, trial: Option<TrialNo>, id: ObjectId, kind: Option<Kind>) -> bool {
        if let Some(sound) = self.seen.get(&id) {
            return *sound;
        }
        let fault = self.object_fault(id, kind);
        self.seen.insert(id, fault.is_none());
        match fault {
            Some(why) => {
                self.fault(trial, format!("object {id} {why}"));
                false
            }
            None => true,
        }
    }

    fn object_fault(&self, id: ObjectId, wanted: Option<Kind>) -> Option<String> {
        // Not through the repository, which knows the empty tree without looking.
        let mut data = Vec::new();
        let kind = match self.repo.objects.try_find(&id, &mut data) {
            Ok(Some(found)) => found.kind,
            Ok(None) => return Some("is missing".to_owned()),
            Err(error) => return Some(format!("is unreadable: {error}")),
        };
        if let Some(wanted) = wanted
            && wanted != kind
        {
            return Some(format!("is a {kind}, not a {wanted}"));
        }
        match gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, &data) {
            Ok(hash) if hash == id => {}
            Ok(_) | Err(_) => return Some("does not hash to its name".to_owned()),
        }
        let hex = id.to_string();
        let (head, tail) = hex.split_at(2);
        // Reading stops when all content is there, so what follows it in the file is looked at here.
        let file = fs_err::read(self.dir.join("objects").join(head).join(tail)).ok()?;
        (!is_whole(&file, kind, &data)).then(|| "is damaged after its content".to_owned())
    }
}

/// Whether a loose object's file is one zlib stream of exactly this content, with nothing after it.
fn is_whole(file: &[u8], kind: Kind, data: &[u8]) -> bool {
    let mut whole = gix::objs::encode::loose_header(kind, data.len() as u64).to_vec();
    whole.extend_from_slice(data);
    let mut out = vec![0; whole.len() + 1];
    let mut stream = Decompress::new();
    let status = stream.decompress(file, &mut out, FlushDecompress::Finish);
    out.truncate(whole.len());
    matches!(status, Ok(Status::StreamEnd))
        && out == whole
        && stream.total_out() == whole.len() as u64
        && stream.total_in() == file.len() as u64
}
