//! The zygote: `empiric __unit`, one process per harness that forks a helper for every unit.
//!
//! A helper needs none of what starting a program costs (loading, linking, page faults: more than all else it does),
//! so it is forked from a process that has paid for that once. The harness sends one end of a socket pair per unit; it
//! becomes the helper's standard input, and its life is the unit's.
//!
//! A zygote may stand [`APART`]: in an empty network of its own that all its helpers share, which spares each unit the
//! making of one. Units that follow each other can share it, because they have no sockets but local ones and none
//! outlives its unit. Units side by side must not: they could meet under an abstract name.

use std::io::{IoSlice, IoSliceMut, Result as IoResult};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::ForkResult;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::WaitOptions;

use crate::Error;

/// The word that asks for a zygote apart, where that can be had.
pub(crate) const APART: &str = "apart";

/// Leaves the network for an empty one; says whether this machine lets root, or a user namespace, do so.
pub(crate) fn leave_network() -> Result<bool, Error> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() {
        return Ok(unshare(CloneFlags::CLONE_NEWNET).is_ok());
    }
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
        return Ok(false);
    }
    let same = |id: u32| format!("{id} {id} 1");
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", same(user.as_raw())),
        ("gid_map", same(group.as_raw())),
    ];
    for (file, text) in maps {
        fs_err::write(format!("/proc/self/{file}"), text)
            .map_err(Error::io("stay the same user in an empty network"))?;
    }
    Ok(true)
}

/// Descriptors of a unit: its connection, and a pipe pair where it has one.
const MOST: usize = 3;

/// What a helper is handed.
pub(crate) struct Unborn {
    /// Its line to the harness.
    pub(crate) connection: OwnedFd,
    /// The two ends of a pipe pair, meant for the program.
    pub(crate) pipes: Option<[OwnedFd; 2]>,
}

/// Sends the descriptors of one unit down `control`.
pub(crate) fn send(control: impl AsFd, unborn: &Unborn) -> IoResult<()> {
    let mut fds = vec![unborn.connection.as_fd()];
    fds.extend(unborn.pipes.iter().flatten().map(AsFd::as_fd));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(control, &[IoSlice::new(b"u")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next unit's descriptors; none when the harness is gone.
fn receive(control: impl AsFd) -> IoResult<Option<Unborn>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = &mut [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(control, message, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    let mut fds = rights.flatten();
    let Some(connection) = fds.next() else { return Ok(None) };
    Ok(Some(Unborn { connection, pipes: fds.next().zip(fds.next()).map(|(r, w)| [r, w]) }))
}

/// Serves the harness on standard input. Returns in every helper with what it was handed, and in the zygote itself
/// with nothing, once the harness is gone.
pub(crate) fn serve() -> Result<Option<Unborn>, Error> {
    let tasks =
        fs_err::read_dir("/proc/self/task").map_err(Error::io("count the zygote's threads"))?;
    if tasks.count() != 1 {
        return Err(Error::Unsupported("the zygote must be single-threaded".into()));
    }
    let failed = |errno: nix::Error| Error::io("watch for the ends of helpers")(errno.into());
    let ends = SigSet::from(Signal::SIGCHLD);
    ends.thread_block().map_err(failed)?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(failed)?;
    while let Some(unborn) = next(&signals)? {
        match fork() {
            Ok(ForkResult::Child) => {
                ends.thread_unblock().map_err(failed)?;
                return Ok(Some(unborn));
            }
            Ok(ForkResult::Parent { .. }) => {}
            // The harness reads this, and then the end of the connection, where a report should be.
            Err(errno) => {
                let said = format!("fork a helper: {errno}\n");
                rustix::io::write(&unborn.connection, said.as_bytes()).ok();
            }
        }
    }
    Ok(None)
}

/// Waits for the next unit, and for helpers meanwhile.
fn next(signals: &SignalFd) -> Result<Option<Unborn>, Error> {
    let control = rustix::stdio::stdin();
    loop {
        let mut fds = [
            PollFd::new(&control, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("wait for a unit")(errno.into())),
        }
        let asked = !fds[0].revents().is_empty();
        while signals.read_signal().is_ok_and(|signal| signal.is_some()) {}
        while rustix::process::wait(WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
        if asked {
            return receive(control).map_err(Error::io("receive a unit"));
        }
    }
}

#[expect(unsafe_code, reason = "no safe interface to fork")]
fn fork() -> nix::Result<ForkResult> {
    // SAFETY: `serve` refuses to go on in a process with more than one thread, so no lock can be held across the fork and
    // the child may do whatever the parent could.
    unsafe { nix::unistd::fork() }
}
