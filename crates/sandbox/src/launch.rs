//! The harness's side: a unit as a command that any process API can spawn.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::policy::{Level, Policy};
use crate::report::Report;

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
    /// Where the report goes: an absolute path in a directory that the unit's program cannot write. Beside it, the
    /// extensions `alive`, `partial` and `tmp` are the helper's.
    pub report: PathBuf,
}

/// What the helper reads from its standard input: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) unit: Unit,
    /// Standard output and error are the two ends of a pipe pair, meant for the program.
    pub(crate) piped: bool,
}

/// A unit ready to be spawned.
///
/// Spawn `command`, write `request` to its standard input, and hold that input open: closing it cancels the unit,
/// and so does `SIGTERM`. The unit has ended when the helper has exited; then the report is at [`Unit::report`].
/// The helper has its own process group, so that a terminal's interrupt does not reach it.
#[derive(Debug)]
pub struct Launch {
    /// The helper's command line, with standard input piped.
    pub command: Command,
    /// What to write to its standard input.
    pub request: Vec<u8>,
    /// Where the report will be.
    pub report: PathBuf,
}

impl Unit {
    /// The helper's command, where `exe` is the program whose `__unit` verb calls [`crate::unit_main`].
    ///
    /// # Errors
    /// When the unit cannot be written as JSON, which only paths that are not UTF-8 cause.
    pub fn launch(&self, exe: &Path, pipes: Option<Pipes>) -> Result<Launch, Error> {
        use std::os::unix::process::CommandExt;
        let request = Request { unit: self.clone(), piped: pipes.is_some() };
        let mut request = serde_json::to_vec(&request)
            .map_err(|source| Error::Record { path: self.report.clone(), source })?;
        request.push(b'\n');
        let mut command = Command::new(exe);
        command.arg("__unit").env_clear().current_dir("/").process_group(0).stdin(Stdio::piped());
        match pipes {
            Some(Pipes { read, write }) => command.stdout(read).stderr(write),
            None => command.stdout(Stdio::null()).stderr(Stdio::inherit()),
        };
        Ok(Launch { command, request, report: self.report.clone() })
    }
}

impl Launch {
    /// Spawns the unit and waits for its end, for callers that have a thread to spare.
    ///
    /// # Errors
    /// When the helper cannot be started or leaves no report.
    pub fn run(mut self) -> Result<Report, Error> {
        let mut child = self.command.spawn().map_err(Error::io("start the unit's helper"))?;
        // A helper that is already gone shows in the missing report.
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            input.write_all(&self.request).ok();
        }
        let status = child.wait().map_err(Error::io("wait for the unit's helper"))?;
        drop(input);
        let none =
            || Error::NoReport { path: self.report.clone(), how: format!("ended with {status}") };
        Report::read(&self.report)?.ok_or_else(none)
    }
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
