//! Removes what a unit leaves, however deep it lies and whatever permissions were taken from it.
//!
//! Everything is done relative to open directories and through no link. Directories are lifted to the top before they are
//! removed, so that depth costs neither descriptors nor stack nor the length of a path.

use std::ffi::{CStr, CString};
use std::io::{ErrorKind, Result as IoResult};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPEN: u32 = 0o700;

/// Removes `path` and, where it is a directory, all below it. No unit that can write there may be running. One that is
/// not there is no error.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(path: &Path) -> IoResult<()> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.is_dir() => return fs_err::remove_file(path),
        Ok(_) => {}
    }
    let top = unlocked(rustix::fs::CWD, path)?;
    let mut lifted = 0;
    let mut pending = entries(&top)?;
    while let Some((name, directory)) = pending.pop() {
        if !directory {
            gone(rustix::fs::unlinkat(&top, &name, AtFlags::empty()))?;
            continue;
        }
        let dir = unlocked(top.as_fd(), name.as_c_str())?;
        for (inner, directory) in entries(&dir)? {
            if directory {
                // Who moves a directory changes its entry for the parent.
                drop(unlocked(dir.as_fd(), inner.as_c_str())?);
                pending.push((lift(dir.as_fd(), &inner, top.as_fd(), &mut lifted)?, true));
            } else {
                gone(rustix::fs::unlinkat(&dir, &inner, AtFlags::empty()))?;
            }
        }
        gone(rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR))?;
    }
    fs_err::remove_dir(path)
}

/// Opens a directory, giving it back the permissions that its owner took away.
pub(crate) fn unlocked<P: rustix::path::Arg + Copy>(
    dir: BorrowedFd<'_>,
    name: P,
) -> Result<OwnedFd, Errno> {
    let own = Mode::from_raw_mode(OPEN);
    match rustix::fs::openat(dir, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // By what is open and not by its name, which may be another's by now.
            let known = DIRECTORY | OFlags::PATH;
            let known = rustix::fs::openat(dir, name, known, Mode::empty())?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", known.as_raw_fd()), own)?;
            rustix::fs::openat(&known, c".", DIRECTORY, Mode::empty())
        }
        Err(errno) => Err(errno),
        Ok(opened) => {
            if rustix::fs::fstat(&opened)?.st_mode & OPEN != OPEN {
                rustix::fs::fchmod(&opened, own)?;
            }
            Ok(opened)
        }
    }
}

/// Names in a directory, and whether each is one itself.
pub(crate) fn entries(dir: impl AsFd) -> Result<Vec<(CString, bool)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // Some file systems do not say.
        let kind = Some(entry.file_type()).filter(|kind| *kind != FileType::Unknown);
        let kind = kind.map_or_else(|| stated(dir.as_fd(), name), Ok)?;
        found.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

fn stated(dir: BorrowedFd<'_>, name: &CStr) -> Result<FileType, Errno> {
    let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// Moves a directory to the top, under a name that nothing there has.
fn lift(
    dir: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    lifted: &mut u64,
) -> Result<CString, Errno> {
    loop {
        *lifted += 1;
        let fresh = CString::new(format!("lifted-{lifted}")).map_err(|_| Errno::INVAL)?;
        match rustix::fs::statat(top, &fresh, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                rustix::fs::renameat(dir, name, top, &fresh)?;
                return Ok(fresh);
            }
            Ok(_) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn whatever_was_left_goes_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let (out, other) = (home.path().join("out"), home.path().join("other"));
        std::fs::create_dir_all(out.join("a/b/c")).unwrap();
        std::fs::create_dir_all(out.join("lifted-1/lifted-2")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("kept"), "").unwrap();
        std::fs::write(out.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&other, out.join("a/link")).unwrap();
        for locked in ["a/b/c", "a/b", "a"] {
            std::fs::set_permissions(out.join(locked), Permissions::from_mode(0o000)).unwrap();
        }
        remove(&out).unwrap();
        remove(&out).unwrap();
        let left: Vec<_> =
            std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["other"]);
        assert!(other.join("kept").exists());
    }

    /// More than most processes have descriptors, and far more than a path has room for.
    #[test]
    fn depth_is_no_refuge() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let mut dir = rustix::fs::open(&out, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&dir, c"deeper", Mode::from_raw_mode(OPEN)).unwrap();
            dir = rustix::fs::openat(&dir, c"deeper", DIRECTORY, Mode::empty()).unwrap();
        }
        remove(&out).unwrap();
        assert!(!out.exists());
    }
}
