//! Which descriptors a unit's program inherits: the three standard ones, a pipe pair where granted, nothing else.
//!
//! This module, with [`Entry`], the zygote's fork and the deputy's calls hold the crate's only `unsafe` code.

use std::io::{Error as IoError, Result as IoResult, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::confine::Confinement;
use crate::zygote::Unborn;

/// The descriptor from which bubblewrap reads the system call filter.
pub(crate) const SECCOMP: RawFd = 5;
/// The descriptors from which it reads files that are copied in.
pub(crate) const COPIES: std::ops::Range<RawFd> = 6..18;

/// Marks every descriptor but the standard three to be closed on exec, and occupies the numbers that programs are
/// handed, so that no other descriptor of the helper (such as the standard library's own) ever has one of them.
pub(crate) fn seal() -> IoResult<Vec<OwnedFd>> {
    close_others_on_exec()?;
    let mut held = Vec::new();
    loop {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        if fd.as_raw_fd() >= COPIES.end {
            return Ok(held);
        }
        held.push(fd);
    }
}

#[expect(unsafe_code, reason = "no safe interface to close_range")]
fn close_others_on_exec() -> IoResult<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: the call takes no pointers and closes nothing; it only sets the close-on-exec flag.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(IoError::last_os_error()),
    }
}

/// Makes `connection` standard input, and moves the pipe pair out of the numbers that programs are handed.
pub(crate) fn settle(unborn: Unborn) -> IoResult<Option<[OwnedFd; 2]>> {
    rustix::stdio::dup2_stdin(&unborn.connection)?;
    let away = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(&fd, COPIES.end);
    let Some([read, write]) = unborn.pipes else { return Ok(None) };
    Ok(Some([away(read)?, away(write)?]))
}

/// What the forked child goes through before it becomes the program: prepared values and system calls, no decisions.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The helper, whose death is the child's.
    pub(crate) helper: Pid,
    /// Control group doors.
    pub(crate) doors: Vec<OwnedFd>,
    /// Resource limits.
    pub(crate) limits: Vec<(Resource, Rlimit)>,
    /// Where the program starts, unless bubblewrap sees to it.
    pub(crate) cwd: Option<PathBuf>,
    /// Landlock and the filter, where bubblewrap does not do it.
    pub(crate) confinement: Option<Confinement>,
    /// Descriptors handed over, with the number they get.
    pub(crate) given: Vec<(OwnedFd, RawFd)>,
}

/// What a failed [`Entry`] looks like to the helper; exec itself never answers so.
pub(crate) const ENTRY_FAILED: Errno = Errno::NOTRECOVERABLE;

impl Entry {
    /// Makes `command`'s child pass through this entry. Its standard error carries the reason of a failure.
    #[expect(
        unsafe_code,
        reason = "joining groups, limits and Landlock must happen in the child, before exec"
    )]
    pub(crate) fn guard(mut self, command: &mut Command) {
        let enter = move || {
            self.enter().map_err(|why| {
                std::io::stderr().write_all(why.as_bytes()).ok();
                ENTRY_FAILED.into()
            })
        };
        // SAFETY: the helper is single-threaded (`helper::run` refuses to go on otherwise), so no lock can be held
        // across the fork and the child may do whatever the parent could.
        unsafe { command.pre_exec(enter) };
    }

    fn enter(&mut self) -> Result<(), String> {
        let step = |what: &'static str| move |errno: Errno| format!("{what}: {errno}");
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(step("bind to the helper"))?;
        if rustix::process::getppid() != Some(self.helper) {
            return Err("the helper has died".into());
        }
        rustix::process::setsid().map_err(step("start a session"))?;
        // The helper blocks what it reads; a program that inherited this could not end its own workers.
        SigSet::all().thread_unblock().map_err(|errno| format!("unblock signals: {errno}"))?;
        for door in &self.doors {
            rustix::io::write(door, b"0").map_err(step("enter the control group"))?;
        }
        for (resource, limit) in &self.limits {
            rustix::process::setrlimit(*resource, *limit).map_err(step("set a resource limit"))?;
        }
        if let Some(cwd) = &self.cwd {
            rustix::process::chdir(cwd).map_err(step("change to the working directory"))?;
        }
        if let Some(confinement) = &mut self.confinement {
            confinement.enter().map_err(|error| error.chain())?;
        }
        self.given
            .iter()
            .try_for_each(|(fd, number)| give(fd, *number))
            .map_err(|error| error.to_string())
    }
}

#[expect(unsafe_code, reason = "descriptor numbers are the interface here")]
fn give(fd: &impl AsFd, number: RawFd) -> IoResult<()> {
    // SAFETY: `number` is one that `seal` occupied; nothing in this forked child owns or uses it any more.
    match unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) } {
        -1 => Err(IoError::last_os_error()),
        _ => Ok(()),
    }
}
