//! Which processes of this machine have to do with a directory, whatever they call themselves.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::process::Pid;
use serde_json::Value;

/// A process that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line, for people.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.command)
    }
}

/// Living processes that refer to `marker`, a path component that nothing else on this machine has, by their command
/// line, environment, mounts, control group or working directory. The mounts give away a process in a sandbox that
/// shows it nothing else of the directory. The calling process is not counted.
#[must_use]
pub fn referring_to(marker: &str) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && refers(*pid, marker))
        .map(|pid| Process { pid, command: command(pid) })
        .collect()
}

fn refers(pid: u32, marker: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(marker.len()).any(|part| part == marker.as_bytes());
    let files = ["cmdline", "environ", "mountinfo", "cgroup"];
    let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let links = ["cwd", "exe"].into_iter();
    let mut links = links.filter_map(|link| fs::read_link(format!("/proc/{pid}/{link}")).ok());
    files.iter().any(|file| holds(&read(file)))
        || links.any(|path| holds(path.as_os_str().as_encoded_bytes()))
}

fn command(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

/// The helpers that have a unit in the study in directory `study`, by the identity that each has recorded.
///
/// # Errors
/// When the slots cannot be listed.
pub fn helpers(study: &Path) -> io::Result<Vec<Pid>> {
    let slots = fs::read_dir(study.join("slots"))?;
    Ok(slots.flatten().flat_map(|slot| helpers_of_slot(&slot.path())).collect())
}

/// The helpers that have a unit in the slot in directory `slot`.
#[must_use]
pub fn helpers_of_slot(slot: &Path) -> Vec<Pid> {
    let units = fs::read_dir(slot.join("units")).into_iter().flatten();
    let records = units.filter_map(|unit| Some(unit.ok()?.path()));
    let alive = records.filter(|path| path.extension().is_some_and(|end| end == "alive"));
    let helper = |path: PathBuf| {
        let identity: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        Pid::from_raw(identity["helper"]["pid"].as_i64()?.try_into().ok()?)
    };
    alive.filter_map(helper).collect()
}
