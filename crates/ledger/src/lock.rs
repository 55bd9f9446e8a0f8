//! One writer per study: an advisory lock that the kernel drops with its holder, however that ends.

use std::{
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use fs_err::File;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::Error;

/// The name of the lock file in a study's directory.
const NAME: &str = "lock";

/// The right to write to a study, until dropped. Children do not inherit it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the study in `dir` and writes this process's id into it.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be written.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let mut file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
                return Err(Error::Locked { pid: pid.to_owned(), path });
            }
            Err(errno) => return Err(std::io::Error::from(errno).into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

/// Whether a process writes to the study in `dir` at this moment.
#[must_use]
pub fn is_locked(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(NAME)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}
