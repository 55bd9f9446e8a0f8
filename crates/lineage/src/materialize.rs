//! Trees in slots: brings a directory to exactly the content of a tree.
//!
//! Everything is done relative to open directories and never through a symbolic link, so nothing that recipe code left
//! behind can lead a write outside. Every file is an inode of its own: nothing is shared with the store or with another
//! slot. A file that is known to be there is written over, not made anew, which costs a file system much less.

use std::{
    ffi::{CStr, CString},
    fs::Permissions,
    io::{self, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
};

use empiric_core::TreeId;
use gix::ObjectId;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode as Bits, OFlags},
    io::Errno,
};

use crate::{
    Error, Mode, PathFault, Result, Store,
    store::{blob, object_id},
    tree::{Leaf, by_name},
};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Store {
    /// Makes `dest` hold exactly `tree`, and returns how many files were written.
    ///
    /// Where `dest` is known to hold exactly `previous`, only what differs is touched. Otherwise, and when the
    /// directory turns out not to be as promised, everything in it is removed first. `dest` itself is kept or made.
    ///
    /// # Errors
    /// When an object is missing, or the directory cannot be written; it may then be half done, and must be
    /// materialised again without `previous`.
    pub fn materialize(
        &self,
        tree: TreeId,
        dest: &Path,
        previous: Option<TreeId>,
    ) -> Result<usize> {
        // A directory that somebody deleted holds nothing any more, whatever it was known to hold.
        let previous = previous.filter(|_| dest.is_dir());
        fs_err::create_dir_all(dest)?;
        let found = fs_err::symlink_metadata(dest)?;
        if found.is_dir() && found.permissions().mode() & 0o7777 != 0o755 {
            // Recipe code that may write here may have taken the permissions away.
            fs_err::set_permissions(dest, Permissions::from_mode(0o755))?;
        }
        let root = rustix::fs::open(dest, DIRECTORY, Bits::empty())
            .map_err(|errno| at(errno, "open", dest.as_os_str().as_encoded_bytes()))?;
        let mut writer = Writer { repo: self.repo(), written: 0 };
        if let Some(previous) = previous {
            if writer.level(root.as_fd(), Some(object_id(previous)), object_id(tree)).is_ok() {
                return Ok(writer.written);
            }
            writer.written = 0;
        }
        empty(root.as_fd())?;
        writer.level(root.as_fd(), None, object_id(tree))?;
        Ok(writer.written)
    }
}

struct Writer {
    repo: gix::Repository,
    written: usize,
}

impl Writer {
    /// Brings one directory from `old` to `new`.
    fn level(&mut self, dir: BorrowedFd<'_>, old: Option<ObjectId>, new: ObjectId) -> Result<()> {
        if old == Some(new) {
            return Ok(());
        }
        let mut before = by_name(&self.repo, old)?;
        for (name, node) in by_name(&self.repo, Some(new))? {
            let known = before.remove(&name);
            if known.as_ref() == Some(&node) {
                continue;
            }
            let file = c_name(&name)?;
            let known_tree = known.as_ref().and_then(|known| known.subtree());
            let same_mode = known.as_ref().is_some_and(|known| known.mode == node.mode);
            if let Some(leaf) = node.leaf().filter(|leaf| same_mode && leaf.mode.is_file())
                && self.write_over(dir, &file, leaf)?
            {
                continue;
            }
            if known.is_some() && (known_tree.is_none() || node.mode.is_some()) {
                remove(dir, &file)?;
            }
            match (node.leaf(), node.subtree()) {
                (Some(leaf), _) => self.file(dir, &file, leaf)?,
                (None, Some(subtree)) => {
                    if known_tree.is_none() {
                        rustix::fs::mkdirat(dir, &file, Bits::from_raw_mode(0o755))
                            .map_err(|errno| at(errno, "create", file.as_bytes()))?;
                    }
                    let inner = open_dir(dir, &file)?;
                    chmod(inner.as_fd(), 0o755, &file)?;
                    self.level(inner.as_fd(), known_tree, subtree)?;
                }
                (None, None) => {}
            }
        }
        before.keys().try_for_each(|name| remove(dir, &c_name(name)?))
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &CStr, leaf: Leaf) -> Result<()> {
        let fail = |errno| at(errno, "write", name.to_bytes());
        match leaf.mode {
            // An empty directory stands for it, as in a checkout without submodules.
            Mode::Submodule => {
                rustix::fs::mkdirat(dir, name, Bits::from_raw_mode(0o755)).map_err(fail)?;
            }
            Mode::Symlink => {
                let target = blob(&self.repo, leaf.id)?;
                rustix::fs::symlinkat(&c_name(&target)?, dir, name).map_err(fail)?;
            }
            Mode::Plain | Mode::Executable => {
                let bits = permissions(leaf.mode);
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rustix::fs::openat(dir, name, flags, Bits::from_raw_mode(bits))
                    .map_err(fail)?;
                chmod(file.as_fd(), bits, name)?;
                std::fs::File::from(file)
                    .write_all(&blob(&self.repo, leaf.id)?)
                    .map_err(|error| named(&error, "write", name.to_bytes()))?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Gives a file new content where it stands. Says no, and touches nothing, unless `name` is a plain file with the
    /// permissions it should have and no other name.
    fn write_over(&mut self, dir: BorrowedFd<'_>, name: &CStr, leaf: Leaf) -> Result<bool> {
        // Opening a pipe must not wait for its reader.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(dir, name, flags, Bits::empty()) else {
            return Ok(false);
        };
        let fail = |error: &io::Error| named(error, "write", name.to_bytes());
        let stat = rustix::fs::fstat(&file).map_err(|errno| fail(&errno.into()))?;
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !plain || stat.st_nlink != 1 || stat.st_mode & 0o7777 != permissions(leaf.mode) {
            return Ok(false);
        }
        let content = blob(&self.repo, leaf.id)?;
        let mut file = std::fs::File::from(file);
        // Cut to length afterwards: ext4 takes a file that is emptied first for one that must reach the disk on closing.
        file.write_all(&content)
            .and_then(|()| file.set_len(content.len() as u64))
            .map_err(|error| fail(&error))?;
        self.written += 1;
        Ok(true)
    }
}

fn permissions(mode: Mode) -> u32 {
    if mode == Mode::Executable { 0o755 } else { 0o644 }
}

/// Removes whatever `name` is; not being there is an error, since the caller was told that it is.
fn remove(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let fail = |errno| at(errno, "remove", name.to_bytes());
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(fail);
    }
    let inner = match open_dir(dir, name) {
        // Recipe code may have taken its own directory's permissions away.
        Err(_) if stat.st_mode & 0o700 != 0o700 => {
            rustix::fs::chmodat(dir, name, Bits::from_raw_mode(0o700), AtFlags::empty())
                .map_err(fail)?;
            open_dir(dir, name)?
        }
        opened => opened?,
    };
    if stat.st_mode & 0o700 != 0o700 {
        chmod(inner.as_fd(), 0o700, name)?;
    }
    empty(inner.as_fd())?;
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(fail)
}

/// Removes everything in a directory.
fn empty(dir: BorrowedFd<'_>) -> Result<()> {
    let fail = |errno| at(errno, "list", b"a slot's directory");
    let mut names = Vec::new();
    for entry in Dir::read_from(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.iter().try_for_each(|name| remove(dir, name))
}

fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    rustix::fs::openat(dir, name, DIRECTORY, Bits::empty())
        .map_err(|errno| at(errno, "open", name.to_bytes()))
}

fn chmod(fd: BorrowedFd<'_>, bits: u32, name: &CStr) -> Result<()> {
    rustix::fs::fchmod(fd, Bits::from_raw_mode(bits))
        .map_err(|errno| at(errno, "set the mode of", name.to_bytes()))
}

fn c_name(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| Error::path(String::from_utf8_lossy(name), PathFault::Character))
}

fn at(errno: Errno, action: &str, name: &[u8]) -> Error {
    named(&errno.into(), action, name)
}

fn named(error: &io::Error, action: &str, name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::Io(io::Error::new(error.kind(), format!("{action} `{name}` in a slot: {error}")))
}
