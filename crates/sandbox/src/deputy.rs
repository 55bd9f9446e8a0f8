//! The deputy: sets permissions, owners and times of files in a unit's place, where they are the unit's own.
//!
//! Whoever owns a file may change these, Landlock has no say in it, and a unit below bubblewrap is the same user as
//! Empiric: it could lock a rival's files, make an evaluator look changed, or hide bytes in the times of files that
//! nobody counts. So the system call filter hands such calls to the helper (seccomp_unotify(2)). It opens what is meant,
//! looks where that lies, and does what was asked through the open descriptor if it lies in a writable view. Nothing is
//! let through to be done by the program itself, so nothing can change between the look and the deed.

use std::ffi::{CStr, OsStr};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::FileExt;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use seccompiler::BpfProgram;

use crate::Error;
use crate::policy::{Access, Policy};
use crate::seccomp::FCHMODAT2;

/// Longest path, with its end: `PATH_MAX`.
const PATH: usize = 4096;
/// What an owner or a group is that stays as it is.
const SAME: u32 = u32::MAX;

/// The helper's end.
#[derive(Debug)]
pub(crate) struct Deputy {
    listener: OwnedFd,
    /// Where files are the unit's own, without links.
    own: Vec<PathBuf>,
}

/// Installs the filter in the calling process, and hands its listener to whoever holds the other end of `line`.
pub(crate) fn appoint(filter: &BpfProgram, line: impl AsFd) -> Result<(), Errno> {
    let listener = install(filter)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let rights = [listener.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&rights));
    rustix::net::sendmsg(line, &[IoSlice::new(b"l")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[expect(unsafe_code, reason = "no safe interface to a filter with a listener")]
fn install(filter: &BpfProgram) -> Result<OwnedFd, Errno> {
    let program = libc::sock_fprog {
        len: filter.len().try_into().map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    let (operation, flags) =
        (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: `program` describes a live slice of instructions, which have the layout of `struct sock_filter`; the
    // kernel only reads it. What it answers is a new descriptor, or an error.
    unsafe {
        match libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) {
            -1 => Err(last()),
            fd => Ok(OwnedFd::from_raw_fd(fd as i32)),
        }
    }
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

impl Deputy {
    /// Takes the listener that the unit's program has sent down `line`, on behalf of `policy` and its directory for
    /// temporary files.
    pub(crate) fn receive(line: impl AsFd, policy: &Policy, tmp: &Path) -> Result<Self, Error> {
        let failed = || Error::io("hear from the unit's system call filter");
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = &mut [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(line, message, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .map_err(|errno| failed()(errno.into()))?;
        let listener = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        });
        let listener =
            listener.ok_or_else(|| failed()(std::io::ErrorKind::UnexpectedEof.into()))?;
        let writable = policy.views.iter().filter(|view| view.access == Access::Write);
        let own = writable.map(|view| view.host.as_path()).chain([tmp]);
        let own = own.filter_map(|path| path.canonicalize().ok()).collect();
        Ok(Self { listener, own })
    }

    /// Where questions come from.
    pub(crate) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Answers the next question, of which there must be one. Who asked may be gone meanwhile.
    pub(crate) fn answer(&self) {
        let Ok(asked) = self.asked() else { return };
        let error = match self.act(&asked) {
            Ok(()) => 0,
            Err(errno) => -errno.raw_os_error(),
        };
        let mut answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error, flags: 0 };
        let (listener, send) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND);
        #[expect(unsafe_code, reason = "no safe interface to this ioctl")]
        // SAFETY: the kernel reads a `seccomp_notif_resp` at the address, and `answer` is one.
        unsafe {
            libc::ioctl(listener, send, &raw mut answer);
        }
    }

    #[expect(unsafe_code, reason = "no safe interface to this ioctl")]
    fn asked(&self) -> Result<libc::seccomp_notif, Errno> {
        let (listener, receive) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV);
        // SAFETY: all fields are integers, of which zero is one; the kernel wants them so, and fills in a
        // `seccomp_notif` at the address.
        unsafe {
            let mut asked: libc::seccomp_notif = std::mem::zeroed();
            match libc::ioctl(listener, receive, &raw mut asked) {
                0 => Ok(asked),
                _ => Err(last()),
            }
        }
    }

    /// Whether who asked is still waiting, so that its number is no other process's.
    #[expect(unsafe_code, reason = "no safe interface to this ioctl")]
    fn waits(&self, id: u64) -> bool {
        let (listener, valid) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID);
        // SAFETY: the kernel reads a 64-bit integer at the address.
        unsafe { libc::ioctl(listener, valid, &raw const id) == 0 }
    }

    fn act(&self, asked: &libc::seccomp_notif) -> Result<(), Errno> {
        let [a, b, c, d, e, _] = asked.data.args;
        let here = libc::AT_FDCWD as u64;
        let follow = 0;
        let nofollow = libc::AT_SYMLINK_NOFOLLOW as u64;
        match i64::from(asked.data.nr) {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => chmod(&self.named(asked, here, a, follow)?, b),
            libc::SYS_fchmod => chmod(&self.open(asked, a)?, b),
            libc::SYS_fchmodat => chmod(&self.named(asked, a, b, follow)?, c),
            FCHMODAT2 => chmod(&self.named(asked, a, b, d)?, c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => chown(&self.named(asked, here, a, follow)?, b, c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => chown(&self.named(asked, here, a, nofollow)?, b, c),
            libc::SYS_fchown => chown(&self.open(asked, a)?, b, c),
            libc::SYS_fchownat => chown(&self.named(asked, a, b, e)?, c, d),
            libc::SYS_utimensat => {
                let file = match b {
                    0 => self.open(asked, a)?,
                    _ => self.named(asked, a, b, d)?,
                };
                let times = times(asked.pid, c)?;
                rustix::fs::utimensat(&file, c"", &times, AtFlags::EMPTY_PATH)
            }
            _ => Err(Errno::PERM),
        }
    }

    /// The file that the process calls by this descriptor, if it is the unit's own.
    fn open(&self, asked: &libc::seccomp_notif, descriptor: u64) -> Result<OwnedFd, Errno> {
        let path = process(asked.pid, &place(descriptor));
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|_| Errno::BADF)?;
        self.admit(asked, file)
    }

    /// The file that the process calls by a name at the address `name`, if it is the unit's own.
    fn named(
        &self,
        asked: &libc::seccomp_notif,
        directory: u64,
        name: u64,
        flags: u64,
    ) -> Result<OwnedFd, Errno> {
        let name = text(asked.pid, name)?;
        if name.is_empty() {
            let whole = flags & libc::AT_EMPTY_PATH as u64 != 0;
            return if whole { self.open(asked, directory) } else { Err(Errno::NOENT) };
        }
        // What processes call themselves is not what the helper is.
        let name = ["/proc/self/", "/proc/thread-self/"]
            .into_iter()
            .find_map(|own| {
                Some(process(asked.pid, OsStr::from_bytes(name.strip_prefix(own.as_bytes())?)))
            })
            .unwrap_or_else(|| PathBuf::from(OsStr::from_bytes(&name)));
        let base = process(asked.pid, &place(directory));
        let base = if name.is_absolute() { PathBuf::from("/") } else { base };
        let known = OFlags::PATH | OFlags::CLOEXEC;
        let base = rustix::fs::open(base, known, Mode::empty()).map_err(|_| Errno::BADF)?;
        let last = flags & libc::AT_SYMLINK_NOFOLLOW as u64 != 0;
        let known = if last { known | OFlags::NOFOLLOW } else { known };
        let file = rustix::fs::openat(base, &name, known, Mode::empty())?;
        self.admit(asked, file)
    }

    fn admit(&self, asked: &libc::seccomp_notif, file: OwnedFd) -> Result<OwnedFd, Errno> {
        if !self.waits(asked.id) {
            return Err(Errno::SRCH);
        }
        let place = rustix::fs::readlink(handle(&file), Vec::new())?;
        let place = Path::new(OsStr::from_bytes(place.as_bytes()));
        if self.own.iter().any(|own| place.starts_with(own)) { Ok(file) } else { Err(Errno::PERM) }
    }
}

/// Where `/proc` says that an argument which is a descriptor, or the working directory, leads.
fn place(directory: u64) -> std::ffi::OsString {
    // The kernel takes no more than the low half for it.
    match directory as u32 as i32 {
        libc::AT_FDCWD => "cwd".into(),
        descriptor => format!("fd/{descriptor}").into(),
    }
}

fn process(id: u32, file: &OsStr) -> PathBuf {
    Path::new("/proc").join(id.to_string()).join(file)
}

/// A name of an open file, which leads to the file itself.
fn handle(file: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The bytes before the first zero at `address` of a process's memory.
fn text(process: u32, address: u64) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; PATH];
    let read = memory(process)?.read_at(&mut buffer, address).map_err(|_| Errno::FAULT)?;
    let end = CStr::from_bytes_until_nul(&buffer[..read]).map_err(|_| Errno::NAMETOOLONG)?;
    Ok(end.to_bytes().to_vec())
}

fn memory(id: u32) -> Result<fs_err::File, Errno> {
    fs_err::File::open(process(id, OsStr::new("mem"))).map_err(|_| Errno::PERM)
}

/// Two `struct timespec` at `address`; no address means now.
fn times(process: u32, address: u64) -> Result<Timestamps, Errno> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    if address == 0 {
        return Ok(Timestamps { last_access: now, last_modification: now });
    }
    let mut buffer = [0; 32];
    memory(process)?.read_exact_at(&mut buffer, address).map_err(|_| Errno::FAULT)?;
    let word = |at: usize| i64::from_ne_bytes(std::array::from_fn(|byte| buffer[8 * at + byte]));
    let time = |at| Timespec { tv_sec: word(at), tv_nsec: word(at + 1) as _ };
    Ok(Timestamps { last_access: time(0), last_modification: time(2) })
}

/// Sets permissions, without those by which a program runs as somebody else.
fn chmod(file: &OwnedFd, mode: u64) -> Result<(), Errno> {
    rustix::fs::chmod(handle(file), Mode::from_raw_mode(mode as u32 & 0o1777))
}

/// Changes no owner, which a unit could not do anyway; leaves the file as it is where that is all that is asked.
fn chown(file: &OwnedFd, owner: u64, group: u64) -> Result<(), Errno> {
    let found = rustix::fs::fstat(file)?;
    let same = |asked: u64, now: u32| asked as u32 == SAME || asked as u32 == now;
    if same(owner, found.st_uid) && same(group, found.st_gid) { Ok(()) } else { Err(Errno::PERM) }
}
