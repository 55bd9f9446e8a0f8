//! How a unit ended and what it used.

use serde::{Deserialize, Serialize};

use crate::cgroup::Accounting;
use crate::policy::Level;

/// How a unit ended. Exactly one of these is true of every unit that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The program exited with this code.
    Exit(i32),
    /// A signal ended the program. Behind bubblewrap, codes above 128 are read as signals, as shells do.
    Signal(i32),
    /// The program could not be executed; the text says why. A fault of the command, not of the machine.
    NotExecutable(String),
    /// The kernel ended part of the tree for exceeding the memory limit, and the program did not succeed.
    OutOfMemory,
    /// The wall time limit passed.
    WallLimit,
    /// The tree used more processor time than its limit.
    CpuLimit,
    /// Standard output and error exceeded their limit.
    OutputFlood,
    /// The writable views, or one file, exceeded their limit.
    DiskLimit,
    /// A process was refused for exceeding the limit, and the program did not succeed.
    ProcessLimit,
    /// The system call filter ended the program; the text says what it asked for.
    Denied(String),
    /// The harness asked for the end, or died.
    Cancelled,
    /// The sandbox itself failed; the text says how. Never the program's fault.
    Lost(String),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::NotExecutable(why) => write!(f, "not executable: {why}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::WallLimit => f.write_str("wall limit"),
            Self::CpuLimit => f.write_str("CPU limit"),
            Self::OutputFlood => f.write_str("output flood"),
            Self::DiskLimit => f.write_str("disk limit"),
            Self::ProcessLimit => f.write_str("process limit"),
            Self::Denied(what) => write!(f, "denied: {what}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Lost(how) => write!(f, "lost: {how}"),
        }
    }
}

/// What a unit used, as measured from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds from start to the end of the whole tree.
    pub wall_seconds: f64,
    /// Seconds of user and system time of the whole tree, with the sandbox's own set-up (some 5 ms behind bubblewrap).
    pub cpu_seconds: f64,
    /// Highest memory of the whole tree: what the control group was charged, file cache included; without a control
    /// group the highest sample of the watchdog or of the largest process.
    pub peak_memory_bytes: u64,
    /// Highest resident set of any one process of the tree.
    pub peak_rss_bytes: u64,
    /// Bytes on disk in the writable views at the end; 0 when no disk limit was set.
    pub disk_bytes: u64,
    /// Times that a new process was refused for the process limit.
    pub refused_forks: u64,
}

/// One output stream, bounded: its head and its tail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The first bytes; invalid UTF-8 is replaced, control characters are kept.
    pub head: String,
    /// The last bytes that are not in `head`.
    pub tail: String,
    /// Bytes written to the stream.
    pub total_bytes: u64,
    /// Bytes between head and tail that were not kept.
    pub dropped_bytes: u64,
}

impl Captured {
    /// Head and tail as one text, with a line in between that counts what is missing.
    pub fn text(&self) -> String {
        match self.dropped_bytes {
            0 => format!("{}{}", self.head, self.tail),
            n => format!("{}\n[... {n} bytes not kept ...]\n{}", self.head, self.tail),
        }
    }
}

/// Everything known about a unit that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: Usage,
    /// The sandbox level it ran at.
    pub level: Level,
    /// What counted and limited its memory and processes.
    pub accounting: Accounting,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
}
