//! Runs the task author's programs: output to a file, a limit on time, and nothing left behind.

use std::{
    ffi::OsStr,
    fs::TryLockError,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::ControlFlow,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use crate::Error;

/// Hears what is going on, several times a second while something is; answers whether to go on.
pub type Progress<'a> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'a;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Something began; a sentence such as `installing requirements.txt`.
    Began(&'a str),
    /// It has not ended yet.
    Waiting,
}

/// How often a waiting caller is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// How much of the end of a log goes into a message.
const EXCERPT: u64 = 4 << 10;

/// Variables that would make a program find another Python or repository than the one it is meant for.
const MISLEADING: [&str; 8] = [
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
];

/// A command for `program` with programs looked up in `path`.
pub(crate) fn command(program: impl AsRef<OsStr>, path: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path).stdin(Stdio::null());
    for name in MISLEADING {
        command.env_remove(name);
    }
    command
}

/// The file that `name` stands for in `path`.
pub(crate) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(
        |file| {
            fs_err::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        },
    )
}

/// One program to be run to its end.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// What it is called in messages.
    pub(crate) what: &'a str,
    pub(crate) command: Command,
    /// File that its output is appended to.
    pub(crate) log: &'a Path,
    pub(crate) wall: Option<Duration>,
}

impl Job<'_> {
    /// Waits until the program and every process of its group have ended.
    pub(crate) fn run(mut self, progress: &mut Progress<'_>) -> Result<(), Error> {
        let log =
            fs_err::OpenOptions::new().create(true).append(true).open(self.log)?.into_parts().0;
        let start = log.metadata()?.len();
        self.command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = self
            .command
            .spawn()
            .map_err(|error| Error::Start { what: self.what.to_owned(), error })?;
        let ended = wait(&mut child, self.wall, progress);
        // Whoever the program left in its group ends with it. Not reaped yet, its id cannot be anyone else's.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let status = child.wait()?;
        match ended? {
            End::Exit if status.success() => Ok(()),
            End::Exit => Err(self.failed(status, start)),
            End::Limit(limit) => Err(Error::TimedOut {
                what: self.what.to_owned(),
                limit,
                excerpt: excerpt(self.log, start),
            }),
            End::Cancel => Err(Error::Cancelled),
        }
    }

    fn failed(&self, status: ExitStatus, start: u64) -> Error {
        Error::Failed {
            what: self.what.to_owned(),
            status,
            excerpt: excerpt(self.log, start),
            log: self.log.to_owned(),
        }
    }
}

enum End {
    Exit,
    Limit(Duration),
    Cancel,
}

fn wait(child: &mut Child, wall: Option<Duration>, progress: &mut Progress<'_>) -> io::Result<End> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let start = Instant::now();
    loop {
        let left = wall.map(|wall| wall.saturating_sub(start.elapsed()));
        if let (Some(wall), Some(Duration::ZERO)) = (wall, left) {
            return Ok(End::Limit(wall));
        }
        let slice = left.map_or(TICK, |left| left.min(TICK));
        let timeout = Timespec::try_from(slice).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(End::Exit),
            Err(error) => return Err(error.into()),
        }
        if progress(Step::Waiting).is_break() {
            return Ok(End::Cancel);
        }
    }
}

/// The end of what was written to `log` after its first `start` bytes.
fn excerpt(log: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs_err::File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(EXCERPT))))?;
        let mut bytes = Vec::new();
        file.take(EXCERPT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n' || *c == '\t')
        .collect::<String>()
        .trim()
        .to_owned()
}

/// A lock held between processes; ends when dropped.
#[derive(Debug)]
pub(crate) struct Lock(
    #[expect(dead_code, reason = "closing the file ends the lock")] std::fs::File,
);

/// Takes the lock of `file`, waiting for whoever holds it.
pub(crate) fn lock(file: &Path, progress: &mut Progress<'_>) -> Result<Lock, Error> {
    let file = fs_err::OpenOptions::new().create(true).append(true).open(file)?.into_parts().0;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let step = if told {
            Step::Waiting
        } else {
            Step::Began("waiting for another process to finish the same")
        };
        told = true;
        if progress(step).is_break() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(TICK);
    }
}

/// Tells `progress` that `what` begins.
pub(crate) fn begin(what: &str, progress: &mut Progress<'_>) -> Result<(), Error> {
    if progress(Step::Began(what)).is_break() { Err(Error::Cancelled) } else { Ok(()) }
}
