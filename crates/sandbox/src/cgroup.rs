//! Control groups: one leaf per unit that counts, limits and ends its whole tree.
//!
//! Three kinds, best first: the unified hierarchy; the legacy `memory`, `pids` and `cpuacct` hierarchies; and none,
//! where the helper samples `/proc` instead.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::policy::Limits;

/// Where leaves are made on this machine; found by [`probe`](crate::probe()).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cgroup {
    /// A directory of the unified hierarchy whose children have the `memory` and `pids` controllers.
    V2 {
        /// The directory that holds the leaves.
        parent: PathBuf,
    },
    /// Directories of legacy hierarchies.
    V1 {
        /// In the `memory` hierarchy.
        memory: PathBuf,
        /// In the `pids` hierarchy.
        pids: PathBuf,
        /// In the `cpuacct` hierarchy.
        cpuacct: PathBuf,
    },
    /// No usable control group: resident memory and processes are sampled, so a fast eater can overshoot.
    Watchdog,
}

/// What counted a unit's memory and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// The unified control group hierarchy.
    CgroupV2,
    /// Legacy control group hierarchies.
    CgroupV1,
    /// Samples of `/proc`.
    Watchdog,
}

impl Accounting {
    /// The word used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cgroup-v2",
            Self::CgroupV1 => "cgroup-v1",
            Self::Watchdog => "watchdog",
        }
    }
}

impl Cgroup {
    /// The kind, as recorded.
    pub fn accounting(&self) -> Accounting {
        match self {
            Self::V2 { .. } => Accounting::CgroupV2,
            Self::V1 { .. } => Accounting::CgroupV1,
            Self::Watchdog => Accounting::Watchdog,
        }
    }

    /// The leaf directories a unit called `name` has, whether they exist or not.
    pub(crate) fn leaf_paths(&self, name: &str) -> Vec<PathBuf> {
        let parents: Vec<&PathBuf> = match self {
            Self::V2 { parent } => vec![parent],
            Self::V1 { memory, pids, cpuacct } => vec![memory, pids, cpuacct],
            Self::Watchdog => Vec::new(),
        };
        parents.into_iter().map(|parent| parent.join(name)).collect()
    }
}

/// The control group of one unit. Dropping it does not remove it: [`Leaf::remove`] does, once the tree has ended.
#[derive(Debug)]
pub(crate) struct Leaf {
    legacy: bool,
    /// In the order of [`Cgroup::leaf_paths`]; empty when there is no control group.
    dirs: Vec<PathBuf>,
}

/// Bubblewrap's monitor and its init, which share the leaf with the program.
pub(crate) const OWN_PROCESSES: u32 = 2;

impl Leaf {
    /// Makes the leaf and sets its limits.
    pub(crate) fn create(cgroup: &Cgroup, name: &str, limits: &Limits) -> Result<Self, Error> {
        let leaf =
            Self { legacy: matches!(cgroup, Cgroup::V1 { .. }), dirs: cgroup.leaf_paths(name) };
        for dir in &leaf.dirs {
            fs_err::create_dir(dir).map_err(Error::io("make the unit's control group"))?;
        }
        leaf.limit(limits).map_err(|error| {
            leaf.remove().ok();
            Error::io("set the control group's limits")(error)
        })?;
        Ok(leaf)
    }

    fn limit(&self, limits: &Limits) -> std::io::Result<()> {
        let Some((memory, pids)) = self.dirs.first().zip(self.pids_dir()) else { return Ok(()) };
        let (max, swap) = match self.legacy {
            true => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            false => ("memory.max", "memory.swap.max"),
        };
        if let Some(bytes) = limits.memory {
            fs_err::write(memory.join(max), bytes.to_string())?;
            // Kernels without swap accounting lack this file; without swap they lack the need for it.
            let swap_bytes = if self.legacy { bytes } else { 0 };
            fs_err::write(memory.join(swap), swap_bytes.to_string()).ok();
        }
        if let Some(processes) = limits.processes {
            let most = processes.saturating_add(OWN_PROCESSES);
            fs_err::write(pids.join("pids.max"), most.to_string())?;
        }
        Ok(())
    }

    /// Open files: a process with one thread that writes `0` to each becomes a member.
    pub(crate) fn doors(&self) -> Result<Vec<OwnedFd>, Error> {
        // A thread that moves itself skips the lock that moving a process takes, and its wait for a grace period of
        // several milliseconds; the unified hierarchy knows no such move.
        let name = if self.legacy { "tasks" } else { "cgroup.procs" };
        let open = |dir: &PathBuf| {
            let file = fs_err::OpenOptions::new().write(true).open(dir.join(name));
            file.map(|file| OwnedFd::from(file.into_file()))
                .map_err(Error::io("open the control group"))
        };
        self.dirs.iter().map(open).collect()
    }

    fn pids_dir(&self) -> Option<&PathBuf> {
        self.dirs.get(usize::from(self.legacy))
    }

    /// Processor time of the tree so far; `None` when nothing here counts it.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        if self.legacy {
            let nanos = fs_err::read_to_string(self.dirs.get(2)?.join("cpuacct.usage")).ok()?;
            return Some(Duration::from_nanos(nanos.trim().parse().ok()?));
        }
        let micros = field(&self.dirs.first()?.join("cpu.stat"), "usage_usec")?;
        Some(Duration::from_micros(micros))
    }

    /// Highest memory charged, in bytes; `None` where the kernel does not keep it.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let name = if self.legacy { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs_err::read_to_string(self.dirs.first()?.join(name)).ok()?.trim().parse().ok()
    }

    /// Processes of the tree that the kernel ended for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let name = if self.legacy { "memory.oom_control" } else { "memory.events" };
        self.dirs.first().and_then(|dir| field(&dir.join(name), "oom_kill")).unwrap_or(0)
    }

    /// Forks that were refused for the process limit.
    pub(crate) fn refused_forks(&self) -> u64 {
        self.pids_dir().and_then(|dir| field(&dir.join("pids.events"), "max")).unwrap_or(0)
    }

    /// Ends every member at once, where the kernel can; the caller ends the tree by process id as well.
    pub(crate) fn kill(&self) {
        if let (false, Some(dir)) = (self.legacy, self.dirs.first()) {
            // Kernels before 5.14 lack the file.
            fs_err::write(dir.join("cgroup.kill"), "1").ok();
        }
    }

    /// Removes the leaf, waiting a moment for members that are still being torn down.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        self.dirs.iter().try_for_each(|dir| remove(dir))
    }
}

/// Ends all members of the leaf at `dir`, if it still exists, and removes it.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    if !dir.exists() {
        return Ok(());
    }
    fs_err::write(dir.join("cgroup.kill"), "1").ok();
    let until = Instant::now() + REMOVE_WITHIN;
    loop {
        let members = fs_err::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        let pids: Vec<Pid> =
            members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
        for pid in &pids {
            rustix::process::kill_process(*pid, Signal::KILL).ok();
        }
        if pids.is_empty() || Instant::now() > until {
            return remove(dir);
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

const REMOVE_WITHIN: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_millis(2);

fn remove(dir: &Path) -> Result<(), Error> {
    let until = Instant::now() + REMOVE_WITHIN;
    loop {
        match rustix::fs::rmdir(dir) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(rustix::io::Errno::BUSY) if Instant::now() < until => {
                std::thread::sleep(RETRY_EVERY)
            }
            Err(errno) => {
                return Err(Error::io(format!("remove control group {}", dir.display()))(
                    errno.into(),
                ));
            }
        }
    }
}

/// The number after `key` in a file of `key value` lines.
fn field(path: &Path, key: &str) -> Option<u64> {
    let text = fs_err::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// Finds where leaves can be made, or says why not. `admit` checks that a child process can enter a leaf's doors.
pub(crate) fn find(admit: impl Fn(Vec<OwnedFd>) -> Result<(), Error>) -> (Cgroup, Vec<String>) {
    let mut reasons = Vec::new();
    let Ok(mounts) = Mounts::read() else {
        return (Cgroup::Watchdog, vec!["/proc/self/cgroup or mountinfo is not readable".into()]);
    };
    for candidate in mounts.candidates() {
        let limits = Limits { memory: Some(1 << 30), processes: Some(64), ..Limits::default() };
        let name = format!("empiric-probe-{}", std::process::id());
        let outcome = Leaf::create(&candidate, &name, &limits).and_then(|leaf| {
            let admitted = leaf.doors().and_then(&admit);
            leaf.remove().and(admitted)
        });
        match outcome {
            Ok(()) => return (candidate, reasons),
            Err(error) => {
                for dir in candidate.leaf_paths(&name) {
                    remove(&dir).ok();
                }
                reasons.push(error.chain());
            }
        }
    }
    if reasons.is_empty() {
        reasons
            .push("no mounted control group hierarchy has the memory and pids controllers".into());
    }
    (Cgroup::Watchdog, reasons)
}

/// Mounted hierarchies, each with this process's own directory in it.
struct Mounts {
    unified: Option<(PathBuf, PathBuf)>,
    legacy: Vec<(String, PathBuf)>,
}

impl Mounts {
    fn read() -> std::io::Result<Self> {
        let membership = fs_err::read_to_string("/proc/self/cgroup")?;
        let table = fs_err::read_to_string("/proc/self/mountinfo")?;
        Ok(Self::parse(&membership, &table))
    }

    /// Formats: cgroups(7), `/proc/PID/cgroup`; proc(5), `/proc/PID/mountinfo`.
    fn parse(membership: &str, table: &str) -> Self {
        let own = |controller: &str| {
            membership.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (names, path) = (parts.next()?, parts.next()?);
                names.split(',').any(|name| name == controller).then_some(path)
            })
        };
        let mut mounts = Self { unified: None, legacy: Vec::new() };
        for line in table.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (&[_, _, _, root, point, ..], &[kind, _, options]) = (&left[..], &right[..]) else {
                continue;
            };
            // A container may mount only a part of the hierarchy: the mount's root is cut off the membership path.
            let inside = |path: &str| {
                let path =
                    Path::new(path).strip_prefix(root).unwrap_or(Path::new("")).to_path_buf();
                Path::new(point).join(path.strip_prefix("/").unwrap_or(&path))
            };
            match kind {
                "cgroup2" => {
                    mounts.unified = own("").map(|path| (PathBuf::from(point), inside(path)))
                }
                "cgroup" => {
                    let named = options.split(',').filter_map(|name| Some((name, own(name)?)));
                    mounts.legacy.extend(named.map(|(name, path)| (name.to_owned(), inside(path))));
                }
                _ => {}
            }
        }
        mounts
    }

    /// Best first: below this process's own unified directory, below its ancestors, then the legacy hierarchies.
    fn candidates(&self) -> Vec<Cgroup> {
        let legacy = |name: &str| {
            self.legacy.iter().find(|(own, _)| own == name).map(|(_, dir)| dir.clone())
        };
        if let (Some(memory), Some(pids), Some(cpuacct)) =
            (legacy("memory"), legacy("pids"), legacy("cpuacct"))
        {
            return vec![Cgroup::V1 { memory, pids, cpuacct }];
        }
        let Some((point, own)) = &self.unified else { return Vec::new() };
        let enabled = |dir: &&Path| {
            let file = dir.join("cgroup.subtree_control");
            let list = || fs_err::read_to_string(&file).unwrap_or_default();
            let has = |list: String| {
                ["memory", "pids"].iter().all(|name| list.split_whitespace().any(|n| n == *name))
            };
            has(list()) || {
                // Refused where the directory has members of its own; then an ancestor has to do.
                fs_err::write(&file, "+memory +pids").ok();
                has(list())
            }
        };
        let up = own.ancestors().take_while(|dir| dir.starts_with(point));
        up.filter(enabled).map(|dir| Cgroup::V2 { parent: dir.to_path_buf() }).collect()
    }
}

#[cfg(test)]
mod tests;
