//! Slots: named work directories with the GPUs that belong to them.

use std::{
    collections::VecDeque,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use empiric_core::TreeId;
use empiric_evaluate::SlotDirs;
use fs_err as fs;

/// Why a pool cannot be made or recovered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More GPUs are asked for than there are.
    #[error(
        "{slots} slots of {each} GPUs need {needed} GPUs, but this machine shows {found}; use fewer slots"
    )]
    Gpus {
        /// Slots asked for.
        slots: usize,
        /// GPUs of each.
        each: usize,
        /// GPUs needed.
        needed: usize,
        /// GPUs found.
        found: usize,
    },
    /// Not even one slot's GPUs are there.
    #[error(
        "the task asks for {each} GPUs in each slot, and this machine shows {found} (by `/dev/nvidia*`)"
    )]
    NoGpus {
        /// GPUs of each slot.
        each: usize,
        /// GPUs found.
        found: usize,
    },
    /// A work directory cannot be made or read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Something that an earlier session started is still alive.
    #[error("end what an earlier session left in {path}", path = path.display())]
    Orphan {
        /// Where its record is.
        path: PathBuf,
        /// Why it could not be ended.
        #[source]
        source: empiric_sandbox::Error,
    },
}

/// One place where a replicate can run.
#[derive(Debug)]
pub struct Slot {
    /// Its directories and GPUs.
    pub dirs: SlotDirs,
    /// The tree that its recipe directory is known to hold.
    pub holds: Option<TreeId>,
}

/// The free slots.
#[derive(Debug)]
pub struct Pool {
    free: VecDeque<Slot>,
    names: Vec<String>,
}

impl Pool {
    /// `slots` slots below `root`, each with `gpus` of the GPUs in `available`.
    ///
    /// # Errors
    /// When there are not enough GPUs, or a directory cannot be made.
    pub fn local(root: &Path, slots: usize, gpus: usize, available: &[u32]) -> Result<Self, Error> {
        if gpus > available.len() {
            return Err(Error::NoGpus { each: gpus, found: available.len() });
        }
        let needed = slots * gpus;
        if needed > available.len() {
            return Err(Error::Gpus { slots, each: gpus, needed, found: available.len() });
        }
        let mut free = VecDeque::new();
        for index in 0..slots {
            let name = format!("s{index}");
            let path = root.join(&name);
            let own = available[index * gpus..(index + 1) * gpus].to_vec();
            let dirs = SlotDirs::new(&name, &path, own);
            for dir in [&dirs.recipe, &dirs.out, &dirs.result, &dirs.units] {
                fs::create_dir_all(dir)?;
            }
            // What recipe code leaves here, while it is here, is for nobody else on this machine.
            if fs::metadata(&path)?.permissions().mode() & 0o777 != 0o700 {
                fs::set_permissions(&path, Permissions::from_mode(0o700))?;
            }
            free.push_back(Slot { dirs, holds: None });
        }
        let names = free.iter().map(|slot| slot.dirs.name.clone()).collect();
        Ok(Self { free, names })
    }

    /// The names of all slots, free or not.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes a free slot, one that holds `tree` already if there is one.
    pub fn take(&mut self, tree: TreeId) -> Option<Slot> {
        let at = self.free.iter().position(|slot| slot.holds == Some(tree)).unwrap_or(0);
        self.free.remove(at)
    }

    /// Gives a slot back.
    pub fn give(&mut self, slot: Slot) {
        self.free.push_back(slot);
    }
}

/// Ends whatever an earlier session started in the slots below `root`, found by the identity each unit recorded.
///
/// # Errors
/// When something cannot be ended; nothing may run beside it.
pub fn recover(root: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for slot in entries {
        let Ok(units) = fs::read_dir(slot?.path().join("units")) else { continue };
        for unit in units {
            let path = unit?.path();
            if path.extension().is_some_and(|extension| extension == "alive") {
                empiric_sandbox::reap_orphans(&path)
                    .map_err(|source| Error::Orphan { path, source })?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_own_disjoint_gpus_and_prefer_the_tree_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut pool = Pool::local(dir.path(), 2, 2, &[4, 5, 6, 7]).unwrap();
        let (a, b) = (TreeId([1; 20]), TreeId([2; 20]));
        let mut first = pool.take(a).unwrap();
        let second = pool.take(a).unwrap();
        assert_eq!((&first.dirs.gpus[..], &second.dirs.gpus[..]), (&[4, 5][..], &[6, 7][..]));
        assert!(pool.take(a).is_none());

        first.holds = Some(b);
        pool.give(second);
        pool.give(first);
        assert_eq!(pool.take(b).unwrap().dirs.name, "s0");
    }

    #[test]
    fn too_few_gpus_is_said_with_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let error = Pool::local(dir.path(), 2, 1, &[0]).unwrap_err().to_string();
        assert_eq!(
            error,
            "2 slots of 1 GPUs need 2 GPUs, but this machine shows 1; use fewer slots"
        );
        let error = Pool::local(dir.path(), 1, 2, &[0]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the task asks for 2 GPUs in each slot, and this machine shows 1 (by `/dev/nvidia*`)"
        );
    }
}
