//! What a unit may see, use and spend. Passive data; nothing here touches the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// One command and everything it is granted. What is not named here, the command does not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The program and its arguments; the program is looked up on the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Working directory, as the program sees it (see [`Level::path`]).
    pub cwd: PathBuf,
    /// The whole environment, apart from `CUDA_VISIBLE_DEVICES`, `NVIDIA_VISIBLE_DEVICES`, a default `TMPDIR` and, below
    /// bubblewrap, a mark named `EMPIRIC_UNIT`, which the sandbox sets.
    pub env: BTreeMap<String, String>,
    /// Files and directories granted beside the read-only system directories; later views cover earlier ones.
    pub views: Vec<View>,
    /// What of the system is shown.
    pub system: System,
    /// Network reach.
    pub network: Network,
    /// What the unit may spend.
    pub limits: Limits,
    /// Host indices N of the granted `/dev/nvidiaN`.
    pub gpus: Vec<u32>,
}

impl Policy {
    /// A policy that grants nothing but the system directories, with default limits.
    pub fn new<S: Into<String>>(
        argv: impl IntoIterator<Item = S>,
        cwd: impl Into<PathBuf>,
    ) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: cwd.into(),
            env: BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
            views: Vec::new(),
            system: System::Whole,
            network: Network::None,
            limits: Limits::default(),
            gpus: Vec::new(),
        }
    }
}

/// One host path granted to a unit. It must exist when the unit starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Absolute path on the host.
    pub host: PathBuf,
    /// Absolute path where bubblewrap shows it; the other levels cannot move files and show it at `host`.
    pub inside: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

impl View {
    /// A view shown under its own path.
    pub fn same(path: impl Into<PathBuf>, access: Access) -> Self {
        let host = path.into();
        Self { inside: host.clone(), host, access }
    }
}

/// What may be done with a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read and execute.
    Read,
    /// Also create, write and delete.
    Write,
}

/// What a unit sees of the system beside its views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Programs and libraries, and what of `/etc` they need.
    #[default]
    Whole,
    /// The dynamic linker's cache: whatever is to run must be among the views.
    Nothing,
}

/// Network reach of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// No sockets but local (`AF_UNIX`) ones; the others are refused with "permission denied".
    #[default]
    None,
    /// A loopback interface of its own. Needs bubblewrap.
    Loopback,
    /// A loopback interface of its own, at one port of which, [`DOOR`](crate::DOOR), the harness answers
    /// ([`Launch::door`](crate::Launch::door)); there is nothing else to reach. Needs bubblewrap.
    Door,
    /// The host's network.
    Full,
}

/// What a unit may spend. `None` means no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time from start to end.
    pub wall: Duration,
    /// User plus system time of the whole tree.
    pub cpu: Option<Duration>,
    /// Bytes of memory of the whole tree, private temporary files included.
    pub memory: Option<u64>,
    /// Processes and threads of the program's tree.
    pub processes: Option<u32>,
    /// Open files of one process.
    pub open_files: Option<u64>,
    /// Bytes on disk in all writable views together, and of any one file.
    pub disk: Option<u64>,
    /// Bytes of standard output and error together; beyond, the unit is ended.
    pub output: u64,
    /// Bytes kept of the head, and again of the tail, of each of the two streams.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(600),
            cpu: None,
            memory: None,
            processes: Some(1024),
            open_files: None,
            disk: None,
            output: 64 << 20,
            kept: 64 << 10,
        }
    }
}

/// How strongly a unit is held, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Limits and a certain end, but no isolation; only on the user's word.
    None,
    /// Landlock file rules and a system call filter. Names and attributes of files, and processes, stay visible; there
    /// is no private `/dev/shm`.
    Landlock,
    /// Namespaces built by bubblewrap, and the same filter.
    Bwrap,
}

impl Level {
    /// The word used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Landlock => "landlock",
            Self::Bwrap => "bwrap",
        }
    }

    /// Where a program at this level finds `view`.
    pub fn path(self, view: &View) -> &Path {
        match self {
            Self::Bwrap => &view.inside,
            Self::Landlock | Self::None => &view.host,
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// System directories every sandboxed unit may read. Home directories, `/var`, `/opt` and `/srv` are not among them.
pub(crate) const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// Where the dynamic linker finds libraries by name.
const LINKER_CACHE: &str = "/etc/ld.so.cache";

/// What programs need of `/etc`: the dynamic linker's cache, alternatives among libraries, names of users. Each costs
/// every unit a mount, so anything rarer is for the caller's views.
pub(crate) const ETC: [&str; 3] = [LINKER_CACHE, "/etc/alternatives", "/etc/passwd"];

/// What name resolution and TLS need besides, where there is a network.
pub(crate) const ETC_NETWORK: [&str; 8] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
];

/// The NVIDIA control devices below `/dev` that a granted GPU needs.
const GPU_CONTROL: [&str; 3] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"];

impl Policy {
    /// System paths that exist here and that this policy's program may read.
    pub(crate) fn system_paths(&self) -> Vec<&'static Path> {
        if self.system == System::Nothing {
            return vec![Path::new(LINKER_CACHE)]
                .into_iter()
                .filter(|path| path.exists())
                .collect();
        }
        let network: &[&str] = if self.network == Network::None { &[] } else { &ETC_NETWORK };
        let gpu: &[&str] = if self.gpus.is_empty() { &[] } else { &["/sys"] };
        let all = SYSTEM.iter().chain(&ETC).chain(network).chain(gpu);
        all.map(Path::new).filter(|path| path.exists()).collect()
    }

    /// Those of the system paths that are files, and not links to any.
    pub(crate) fn system_files(&self) -> Vec<&'static Path> {
        let mut paths = self.system_paths();
        paths.retain(|path| path.symlink_metadata().is_ok_and(|found| found.is_file()));
        paths
    }

    /// Device files of the granted GPUs, and of their driver, that exist here.
    pub(crate) fn gpu_devices(&self) -> Vec<PathBuf> {
        self.gpu_devices_in(Path::new("/dev"))
    }

    fn gpu_devices_in(&self, dev: &Path) -> Vec<PathBuf> {
        if self.gpus.is_empty() {
            return Vec::new();
        }
        let own = self.gpus.iter().map(|n| dev.join(format!("nvidia{n}")));
        own.chain(GPU_CONTROL.map(|name| dev.join(name))).filter(|path| path.exists()).collect()
    }

    /// Refuses to start a unit that would see fewer GPUs than it was granted: a program that finds none falls back to
    /// the processor and says nothing.
    pub(crate) fn require_gpus(&self) -> Result<(), Error> {
        self.require_gpus_in(Path::new("/dev"))
    }

    fn require_gpus_in(&self, dev: &Path) -> Result<(), Error> {
        let own = self.gpus.iter().map(|n| dev.join(format!("nvidia{n}")));
        let driver = (!self.gpus.is_empty()).then(|| dev.join(GPU_CONTROL[0]));
        let missing: Vec<String> = own
            .chain(driver)
            .filter(|path| !path.exists())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Unsupported(format!(
            "see the {} GPUs of this slot: {} is not there",
            self.gpus.len(),
            missing.join(", ")
        )))
    }

    /// The environment the program gets at `level`, with `tmp` as its temporary directory.
    pub(crate) fn environment(&self, level: Level, tmp: &Path) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        let list = |items: Vec<String>| items.join(",");
        let host = list(self.gpus.iter().map(u32::to_string).collect());
        // Behind a sandbox the driver sees only the granted devices and numbers them from zero.
        let seen = match level {
            Level::None => host.clone(),
            Level::Landlock | Level::Bwrap => {
                list((0..self.gpus.len()).map(|n| n.to_string()).collect())
            }
        };
        env.insert("CUDA_VISIBLE_DEVICES".into(), seen);
        env.insert(
            "NVIDIA_VISIBLE_DEVICES".into(),
            if host.is_empty() { "void".into() } else { host },
        );
        env.entry("TMPDIR".into()).or_insert_with(|| tmp.to_string_lossy().into_owned());
        env
    }
}

#[cfg(test)]
mod tests;
