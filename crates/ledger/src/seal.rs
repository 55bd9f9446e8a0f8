//! The seal of a closed ledger: the hash of the whole file and its head, beside it.
//!
//! The chain vouches for events and a rebuild vouches for projections; the seal also finds a changed byte that lies in
//! neither (answers, page slack, header), and a tail that was cut off cleanly. It is absent while somebody writes and
//! after a writer was killed; absence is no fault.

use std::path::{Path, PathBuf};

use empiric_core::Digest;
use serde::{Deserialize, Serialize};

use crate::{Error, Head, schema};

/// The content of `ledger.seal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    /// Events in the ledger.
    events: u64,
    /// Hash of the last one.
    head: Digest,
    /// BLAKE3 of `ledger.db`.
    file: Digest,
}

impl Seal {
    /// Seals the ledger in `dir`, which nobody writes; leaves it unsealed while its log is not folded in.
    pub(crate) fn write(dir: &Path, head: Head) -> Result<(), Error> {
        if !is_settled(dir) {
            return Ok(());
        }
        let seal = Self { events: head.seq, head: head.hash, file: hash(&schema::path(dir))? };
        let text = serde_json::to_string_pretty(&seal).map_err(std::io::Error::from)?;
        let temporary = dir.join("ledger.seal.new");
        fs_err::write(&temporary, text + "\n")?;
        Ok(fs_err::rename(temporary, path(dir))?)
    }

    /// The seal of the ledger in `dir`, if it has one that can be read.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        match fs_err::read(path(dir)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(|error| {
                std::io::Error::other(format!(
                    "read {}: {error}; run `empiric verify`, then remove it to go on without it",
                    path(dir).display()
                ))
            })?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Breaks the seal: somebody is about to write.
    pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
        match fs_err::remove_file(path(dir)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The head it vouches for.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.events, hash: self.head }
    }

    /// Whether the file is what was sealed.
    pub(crate) fn holds(&self, dir: &Path) -> Result<bool, Error> {
        Ok(is_settled(dir) && hash(&schema::path(dir))? == self.file)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("ledger.seal")
}

/// Whether the write-ahead log is absent or empty, so that `ledger.db` is all there is.
pub(crate) fn is_settled(dir: &Path) -> bool {
    fs_err::metadata(dir.join("ledger.db-wal")).map_or(true, |log| log.len() == 0)
}

fn hash(path: &Path) -> Result<Digest, Error> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs_err::File::open(path)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}
