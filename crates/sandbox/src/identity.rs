//! What a unit is to a later harness: which processes and control groups to end, by id and start time and never by
//! name, if the one that started it is gone.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::{Error, cgroup, clear, tree};

/// A process, told apart from later ones with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks after boot: proc(5), `/proc/PID/stat`, field 22.
    start: u64,
}

impl Process {
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Some(Self { pid: pid.as_raw_nonzero().get(), start: tree::Stat::of(pid)?.start })
    }

    fn alive(self) -> Option<Pid> {
        Pid::from_raw(self.pid).filter(|&pid| Self::of(pid) == Some(self))
    }
}

/// The processes and control groups that a unit is, so that a later harness can end what an earlier one left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The helper.
    helper: Process,
    /// The unit's control group directories.
    leaves: Vec<PathBuf>,
}

impl Identity {
    /// The identity of the calling helper, with the control groups it is about to make.
    pub(crate) fn own(cgroup: &cgroup::Cgroup) -> Result<Self, Error> {
        let gone = || Error::io("read /proc/self/stat")(std::io::ErrorKind::NotFound.into());
        let helper = Process::of(rustix::process::getpid()).ok_or_else(gone)?;
        let leaves = cgroup.leaf_paths(&Self::name_of(helper));
        Ok(Self { helper, leaves })
    }

    fn name_of(helper: Process) -> String {
        format!("empiric-{}-{}", helper.pid, helper.start)
    }

    /// The name of the unit's control groups, and its [`MARK`].
    pub(crate) fn name(&self) -> String {
        Self::name_of(self.helper)
    }

    /// Records that the unit lives.
    pub(crate) fn write(&self, record: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self)
            .map_err(|source| Error::Record { path: record.into(), source })?;
        let failed = || Error::io("write the unit's record");
        let mut file = open(record).map_err(failed())?;
        file.write_all(&bytes).and_then(|()| file.set_len(bytes.len() as u64)).map_err(failed())
    }
}

/// Records that the unit has ended, by cutting the record short. It stays where it is: ext4 avoids the inodes of files
/// that were removed in the last minutes, and looks at each of them whenever one is made.
pub(crate) fn cut(record: &Path) -> Result<(), Error> {
    let cut = open(record).and_then(|file| file.set_len(1));
    cut.map_err(Error::io("cut the unit's record short"))
}

fn open(record: &Path) -> std::io::Result<fs_err::File> {
    fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(record)
}

/// Where units at the lesser levels keep their temporary files.
pub(crate) fn tmp_path(record: &Path) -> PathBuf {
    record.with_extension("tmp")
}

/// Ends whatever a unit left behind whose harness or helper was killed, and removes its control groups and side files.
/// Call it for the record of every unit that an earlier harness may have started; a unit that is still running is
/// cancelled.
///
/// Below bubblewrap, a program that leaves its session and wipes `EMPIRIC_UNIT` from its own environment escapes this on
/// machines without control groups, when its helper was killed with `SIGKILL`.
///
/// # Errors
/// When something of the unit is still alive, and could not be ended.
pub fn reap_orphans(record: &Path) -> Result<(), Error> {
    let Ok(bytes) = fs_err::read(record) else { return Ok(()) };
    // One that is cut short is of a unit that has ended, or of a helper that died before it made anything.
    if let Ok(identity) = serde_json::from_slice::<Identity>(&bytes) {
        if let Some(pid) = identity.helper.alive() {
            end_helper(pid, identity.helper)?;
        }
        end_marked(&identity.name())?;
        identity.leaves.iter().try_for_each(|dir| cgroup::clear(dir))?;
    }
    clear::remove(&tmp_path(record))
        .map_err(Error::io("remove an orphan's temporary directory"))?;
    cut(record)
}

/// Asks a helper to end, and so its unit; makes it, if it does not listen.
fn end_helper(pid: Pid, helper: Process) -> Result<(), Error> {
    let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if helper.alive().is_none() {
        return Ok(());
    }
    let what = || Error::io(format!("end process {}", helper.pid));
    for signal in [Signal::TERM, Signal::KILL] {
        match rustix::process::pidfd_send_signal(&handle, signal) {
            Ok(()) if tree::gone_within(&handle, tree::END_WITHIN) => return Ok(()),
            Err(Errno::SRCH) => return Ok(()),
            Ok(()) => {}
            Err(errno) => return Err(what()(errno.into())),
        }
    }
    Err(what()(ErrorKind::TimedOut.into()))
}

/// The environment variable that marks the processes of a unit below bubblewrap.
pub(crate) const MARK: &str = "EMPIRIC_UNIT";

/// Looks at all processes in a row that find nothing marked before nothing is believed to be left: what forks and ends
/// all the time is seldom there when it is looked for.
const LOOKS: u32 = 16;

/// Ends every process that carries the mark of the unit `name`.
fn end_marked(name: &str) -> Result<(), Error> {
    let until = Instant::now() + tree::END_WITHIN;
    let entry = format!("{MARK}={name}");
    let marked = |pid: &Pid| {
        let environment = fs_err::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
        environment.is_ok_and(|text| text.split(|byte| *byte == 0).any(|e| e == entry.as_bytes()))
    };
    let mut empty = 0;
    while empty < LOOKS {
        let entries = fs_err::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| Pid::from_raw(e.file_name().to_str()?.parse().ok()?));
        let found: Vec<Pid> = pids.filter(marked).collect();
        empty = if found.is_empty() { empty + 1 } else { 0 };
        tree::kill_all(&found);
        if Instant::now() > until {
            return Err(Error::io(format!("end the processes of {name}"))(
                ErrorKind::TimedOut.into(),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
