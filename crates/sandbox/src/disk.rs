//! Counts the bytes that the writable views hold.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::clear::{entries, unlocked};

/// Directories within each other that are counted. No honest program has half as many, and each costs a descriptor.
const DEEPEST: u32 = 100;
/// What lies deeper, or cannot be looked into, holds more than any limit allows.
const UNCOUNTABLE: u64 = i64::MAX.unsigned_abs();

/// Bytes allocated below `root`, following no link and leaving out what has just gone.
pub(crate) fn allocated(root: &Path) -> u64 {
    match rustix::fs::lstat(root) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Directory => {
            blocks(&found)
        }
        Ok(_) => directory(CWD, root, DEEPEST),
        Err(_) => 0,
    }
}

fn directory<P: rustix::path::Arg + Copy>(dir: BorrowedFd<'_>, name: P, deepest: u32) -> u64 {
    let counted = || {
        let dir = unlocked(dir, name)?;
        let mut bytes = blocks(&rustix::fs::fstat(&dir)?);
        for (name, is_directory) in entries(&dir)? {
            let own = match (is_directory, deepest) {
                (true, 0) => UNCOUNTABLE,
                (true, _) => directory(dir.as_fd(), name.as_c_str(), deepest - 1),
                (false, _) => rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(0, |found| blocks(&found)),
            };
            bytes = own.saturating_add(bytes).min(UNCOUNTABLE);
        }
        Ok(bytes)
    };
    match counted() {
        Ok(bytes) => bytes,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => 0,
        Err(_) => UNCOUNTABLE,
    }
}

/// `st_blocks` counts units of 512 bytes whatever the file system: stat(2).
fn blocks(found: &rustix::fs::Stat) -> u64 {
    found.st_blocks.unsigned_abs() * 512
}
