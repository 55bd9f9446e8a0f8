//! The studies that are served: one, or every one in a directory. A name in a request is only ever looked up among
//! those that are there; it never becomes a path.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{held::Held, problem::Problem};

/// Studies held open at one time; the one that was looked at longest ago is closed for another.
const OPEN: usize = 8;
/// Most studies of a directory.
const MOST: usize = 1000;

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One study.
    Study(PathBuf),
    /// Those in a directory, looked for again at every request that lists them.
    Directory(PathBuf),
}

impl Source {
    /// What lies at `path`: a study, or a directory that may hold some.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        let path = fs_err::canonicalize(path)?;
        if is_study(&path) {
            return Ok(Self::Study(path));
        }
        fs_err::read_dir(&path)?;
        Ok(Self::Directory(path))
    }

    /// The studies by name.
    pub(crate) fn studies(&self) -> BTreeMap<String, PathBuf> {
        let named = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        match self {
            Self::Study(path) => {
                let name = named(path).unwrap_or_else(|| "study".to_owned());
                BTreeMap::from([(name, path.clone())])
            }
            Self::Directory(dir) => {
                let entries = fs_err::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
                let dirs = entries.map(|entry| entry.path()).filter(|path| is_study(path));
                dirs.filter_map(|path| Some((named(&path)?, path))).take(MOST).collect()
            }
        }
    }
}

fn is_study(dir: &Path) -> bool {
    dir.join("ledger.db").is_file()
}

type Shared = Arc<Mutex<Option<Held>>>;

/// The open ones.
#[derive(Default)]
struct Open {
    /// Looks so far.
    turn: u64,
    /// By name, with the turn of the last look.
    studies: BTreeMap<String, (u64, Shared)>,
}

/// See the module.
pub(crate) struct Shelf {
    source: Source,
    open: Mutex<Open>,
}

impl Shelf {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, open: Mutex::default() }
    }

    /// The studies by name.
    pub(crate) fn studies(&self) -> BTreeMap<String, PathBuf> {
        self.source.studies()
    }

    /// Looks at study `name`, brought up to date. Blocks; looks at one study wait for one another.
    pub(crate) fn look<T>(
        &self,
        name: &str,
        look: impl FnOnce(&mut Held) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let dir = self.studies().remove(name);
        let dir = dir.ok_or_else(|| Problem::missing("there is no such study here"))?;
        let shared = self.take(name);
        let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Another study may have taken the place of one that was deleted.
        if held.as_ref().is_some_and(|held| !held.is_at(&dir)) {
            *held = None;
        }
        let held = match &mut *held {
            Some(held) => held,
            none => none.insert(Held::open(&dir)?),
        };
        held.refresh()?;
        look(held)
    }

    fn take(&self, name: &str) -> Shared {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.turn += 1;
        let turn = open.turn;
        if !open.studies.contains_key(name) && open.studies.len() >= OPEN {
            let oldest = open.studies.iter().min_by_key(|(_, (turn, _))| *turn);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                open.studies.remove(&oldest);
            }
        }
        let place = open.studies.entry(name.to_owned()).or_default();
        place.0 = turn;
        Arc::clone(&place.1)
    }
}
