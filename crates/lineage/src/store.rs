//! The store itself: a bare git repository with a fixed skeleton, and the objects in it.
//!
//! Objects and refs are loose files, each written whole under a temporary name and renamed, so that a killed process
//! leaves nothing half-written. They are not flushed one by one: after a loss of power the newest objects may be
//! missing or empty, which `verify` reports. `sync` flushes all of them at once.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use empiric_core::{CommitId, TreeId};
use gix::{
    ObjectId,
    odb::pack::cache::{self, object::MemoryCappedHashmap},
};

use crate::{Error, Result};

/// The skeleton: files of the repository whose content never changes.
pub(crate) const SKELETON: [(&str, &str); 2] = [
    (
        "config",
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n\tlogallrefupdates = false\n[gc]\n\tauto = 0\n",
    ),
    ("HEAD", "ref: refs/heads/main\n"),
];
const DIRECTORIES: [&str; 4] =
    ["objects/info", "objects/pack", "refs/heads", "refs/empiric/trials"];

/// Bytes of objects remembered: a trial's trees are read many times over, and the champion's for every trial.
const REMEMBERED: usize = 4 << 20;

/// A handle on the git store of one study, cheap to share between threads.
#[derive(Clone)]
pub struct Store {
    dir: PathBuf,
    repo: gix::ThreadSafeRepository,
    remembered: Remembered,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish()
    }
}

impl Store {
    /// Makes the bare repository `dir` (such as `STUDY/store.git`), or finishes one whose making was interrupted.
    ///
    /// # Errors
    /// When the directory cannot be written, or holds another repository.
    pub fn init(dir: &Path) -> Result<Self> {
        for name in DIRECTORIES {
            fs_err::create_dir_all(dir.join(name))?;
        }
        for (name, content) in SKELETON {
            let path = dir.join(name);
            if !path.exists() {
                let fresh = dir.join(format!("{name}.new"));
                fs_err::File::create(&fresh)?.write_all(content.as_bytes())?;
                fs_err::rename(fresh, path)?;
            }
        }
        Self::open(dir)
    }

    /// Opens the store at `dir`.
    ///
    /// # Errors
    /// When there is none, or its skeleton was changed.
    pub fn open(dir: &Path) -> Result<Self> {
        for (name, content) in SKELETON {
            match fs_err::read(dir.join(name)) {
                Ok(found) if found == content.as_bytes() => {}
                Ok(_) => {
                    let why = "its `config` or `HEAD` is not as Empiric wrote it";
                    return Err(Error::NotAStore { dir: dir.to_owned(), why });
                }
                Err(_) => {
                    let why = "its `config` or `HEAD` is missing";
                    return Err(Error::NotAStore { dir: dir.to_owned(), why });
                }
            }
        }
        let options = isolated().open_path_as_is(true);
        let mut repo = gix::ThreadSafeRepository::open_opts(dir, options)
            .map_err(Error::git(format_args!("open {}", dir.display())))?;
        repo.refs.write_reflog = gix::refs::store::WriteReflog::Disable;
        Ok(Self { dir: dir.to_owned(), repo, remembered: Remembered::new() })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes everything written so far survive a loss of power, in one flush of the file system that holds the store.
    ///
    /// # Errors
    /// When the file system reports a failed write.
    pub fn sync(&self) -> Result<()> {
        let dir = fs_err::File::open(&self.dir)?;
        rustix::fs::syncfs(&dir).map_err(std::io::Error::from)?;
        Ok(())
    }

    /// A handle for the calling thread.
    pub(crate) fn repo(&self) -> gix::Repository {
        let mut repo = self.repo.to_thread_local();
        let remembered = self.remembered.clone();
        repo.objects.set_object_cache(move || Box::new(remembered.clone()));
        repo
    }
}

/// Objects read lately, shared by the handles of all threads. An object never changes, so none is ever out of date.
#[derive(Clone)]
struct Remembered(Arc<Mutex<MemoryCappedHashmap>>);

impl Remembered {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(MemoryCappedHashmap::new(REMEMBERED))))
    }

    fn held(&self) -> MutexGuard<'_, MemoryCappedHashmap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl cache::Object for Remembered {
    fn put(&mut self, id: ObjectId, kind: gix::object::Kind, data: &[u8]) {
        self.held().put(id, kind, data);
    }

    fn get(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Option<gix::object::Kind> {
        self.held().get(id, out)
    }
}

/// Options that read no configuration but the repository's own, and no environment.
pub(crate) fn isolated() -> gix::open::Options {
    gix::open::Options::isolated().with(gix::sec::Trust::Full)
}

/// The content of a blob.
pub(crate) fn blob(repo: &gix::Repository, id: ObjectId) -> Result<Vec<u8>> {
    let mut blob = repo.find_blob(id).map_err(Error::git(format_args!("read blob {id}")))?;
    Ok(blob.take_data())
}

/// Writes a blob.
pub(crate) fn put_blob(repo: &gix::Repository, bytes: &[u8]) -> Result<ObjectId> {
    Ok(repo.write_blob(bytes).map_err(Error::git("write a blob"))?.detach())
}

pub(crate) fn object_id(tree: TreeId) -> ObjectId {
    ObjectId::Sha1(tree.0)
}

pub(crate) fn commit_object(commit: CommitId) -> ObjectId {
    ObjectId::Sha1(commit.0)
}

/// The bytes of a SHA-1 id; the store holds no others.
pub(crate) fn sha1(id: &gix::oid) -> Result<[u8; 20]> {
    id.as_bytes().try_into().map_err(|_| Error::Damaged {
        id: id.to_string(),
        why: "it is not a SHA-1 id, and other object formats are not supported".to_owned(),
    })
}

pub(crate) fn tree_id(id: &gix::oid) -> Result<TreeId> {
    sha1(id).map(TreeId)
}

pub(crate) fn commit_id(id: &gix::oid) -> Result<CommitId> {
    sha1(id).map(CommitId)
}
