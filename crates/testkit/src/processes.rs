//! Which processes of this machine have to do with a directory, whatever they call themselves.

use std::fmt;

use fs_err as fs;

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
