//! The harness's side: from a unit to its report, over one connection.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::policy::{Level, Policy};
use crate::report::Report;
use crate::zygote::{self, Unborn};
use crate::{Error, door};

/// The descriptor from which a piped unit's program reads its peer.
pub const PIPE_READ: i32 = 3;
/// The descriptor on which a piped unit's program writes to its peer.
pub const PIPE_WRITE: i32 = 4;

/// One unit to run: a policy, and how far this machine can enforce it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// What to run and what it is granted.
    pub policy: Policy,
    /// How it is held; from [`probe`](crate::probe()), or the user's word.
    pub level: Level,
    /// What accounts for it; from [`probe`](crate::probe()).
    pub cgroup: Cgroup,
    /// Where the helper records what the unit is while it lives: an absolute path in a directory that the unit's program
    /// cannot write. Units that follow each other can share it. Beside it, the extension `tmp` is the helper's.
    pub record: PathBuf,
}

/// Where helpers come from: a process of this program that forks one for every unit, started when first needed and
/// again if it dies. Dropping it lets the running units be.
#[derive(Debug)]
pub struct Zygote {
    exe: PathBuf,
    apart: bool,
    running: Mutex<Option<Running>>,
}

impl Zygote {
    /// Helpers are forks of `exe`, the program whose `__unit` verb calls [`crate::unit_main`].
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self { exe: exe.into(), apart: false, running: Mutex::new(None) }
    }

    /// Puts the units, where the machine lets it, into one empty network that they share, which spares each the making
    /// of its own. Only for units that follow each other, and none of which is granted [`Network::Full`](crate::Network::Full).
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Starts a helper for `unit`, which waits for its request.
    ///
    /// # Errors
    /// When the unit cannot be written as JSON, which only paths that are not UTF-8 cause, or no helper can be started.
    pub fn launch(&self, unit: &Unit, pipes: Option<Pipes>) -> Result<Launch, Error> {
        let mut request = serde_json::to_vec(unit)
            .map_err(|source| Error::Record { path: unit.record.clone(), source })?;
        request.push(b'\n');
        let failed = || Error::io("start the unit's helper");
        let (connection, theirs) = UnixStream::pair().map_err(failed())?;
        let pipes = pipes.map(|Pipes { read, write }| [read, write]);
        let unborn = Unborn { connection: theirs.into(), pipes };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = running.as_ref().map(|running| zygote::send(&running.control, &unborn));
        if !matches!(sent, Some(Ok(()))) {
            let fresh = running.insert(Running::start(&self.exe, self.apart).map_err(failed())?);
            zygote::send(&fresh.control, &unborn).map_err(failed())?;
        }
        Ok(Launch { connection, request })
    }

    /// The process id of the zygote, once it has been started.
    pub fn id(&self) -> Option<u32> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.child.id())
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    control: OwnedFd,
}

impl Running {
    fn start(exe: &Path, apart: bool) -> std::io::Result<Self> {
        let (control, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut command = Command::new(exe);
        command.arg("__unit").args(apart.then_some(zygote::APART));
        command.env_clear().current_dir("/").process_group(0);
        let child = command.stdin(theirs).stdout(Stdio::null()).spawn()?;
        Ok(Self { child, control })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Half of a closed socket is enough of a goodbye; a zygote that is gone already needs none.
        rustix::net::shutdown(&self.control, Shutdown::Both).ok();
        self.child.wait().ok();
    }
}

/// A unit ready to run.
///
/// Write `request` to `connection`, and read the answer up to its end: that is the unit's end, and [`answered`] makes
/// the report of it. Closing the connection, or its writing half, cancels the unit, and so does `SIGTERM` to its helper,
/// which has a process group of its own, so that a terminal's interrupt does not reach it.
#[derive(Debug)]
pub struct Launch {
    /// The line to the helper.
    pub connection: UnixStream,
    /// What to write to it.
    pub request: Vec<u8>,
}

impl Launch {
    /// Starts a unit granted [`Network::Door`](crate::Network::Door), and waits until its door is open, which is before its
    /// program starts. What the program connects to [`DOOR`](crate::DOOR) is accepted from the listener.
    ///
    /// # Errors
    /// When there is no door, because the helper could not make one or the unit was not granted one.
    pub fn door(&mut self) -> Result<TcpListener, Error> {
        self.connection
            .write_all(&std::mem::take(&mut self.request))
            .map_err(Error::io("start a unit with a door"))?;
        door::receive(&mut self.connection)
    }

    /// Runs the unit to its end, for callers that have a thread to spare.
    ///
    /// # Errors
    /// When the helper leaves no report.
    pub fn run(mut self) -> Result<Report, Error> {
        // A helper that is already gone shows in the missing report.
        self.connection.write_all(&self.request).ok();
        let mut answer = Vec::new();
        self.connection.read_to_end(&mut answer).map_err(Error::io("hear of the unit's end"))?;
        answered(&answer)
    }
}

/// The report in all that a helper said.
///
/// # Errors
/// When there is none, with what was said instead.
pub fn answered(answer: &[u8]) -> Result<Report, Error> {
    serde_json::from_slice(answer)
        .map_err(|_| Error::NoReport { said: String::from_utf8_lossy(answer).trim().to_owned() })
}

/// One unit's two ends of a [`pipe_pair`].
#[derive(Debug)]
pub struct Pipes {
    read: OwnedFd,
    write: OwnedFd,
}

/// Two pipes that join two units: what one writes on [`PIPE_WRITE`] the other reads from [`PIPE_READ`].
///
/// # Errors
/// When the process is out of descriptors.
pub fn pipe_pair() -> Result<(Pipes, Pipes), Error> {
    let pipe = || std::io::pipe().map_err(Error::io("make a pipe between two units"));
    let ((left_read, right_write), (right_read, left_write)) = (pipe()?, pipe()?);
    Ok((
        Pipes { read: left_read.into(), write: left_write.into() },
        Pipes { read: right_read.into(), write: right_write.into() },
    ))
}
