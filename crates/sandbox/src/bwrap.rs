//! The bubblewrap command line of a policy.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use crate::policy::{Access, Level, Network, Policy, View};

/// Where distributions install it; the environment is not consulted.
const PLACES: [&str; 3] =
    ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap"];

/// The installed bubblewrap.
pub(crate) fn program() -> Option<&'static Path> {
    PLACES.map(Path::new).into_iter().find(|path| path.exists())
}

/// The program's private temporary directory.
pub(crate) const TMP: &str = "/tmp";

/// A name that no program has: executing it fails as the very last step of a set-up that works.
pub(crate) const NOWHERE: &str = "/proc/no-such-program";

/// What below `/proc` changes the whole machine when root writes it.
const SETTINGS: [&str; 7] = [
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/irq",
    "/proc/bus",
    "/proc/fs",
    "/proc/acpi",
    "/proc/scsi",
];

/// What bubblewrap reads from descriptors it inherits, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Handed<'a> {
    /// The system call filter.
    pub(crate) seccomp: Option<RawFd>,
    /// Files of the system that are copied in: that costs a unit less than a mount for each.
    pub(crate) copies: Vec<(&'a Path, RawFd)>,
}

/// Options before `--`; `apart` says that the helper stands in an empty network already.
pub(crate) fn options(policy: &Policy, apart: bool, handed: &Handed<'_>) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    args.push([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--die-with-parent",
    ]);
    match policy.network {
        Network::None | Network::Door if apart => {}
        Network::None | Network::Loopback | Network::Door => args.push(["--unshare-net"]),
        Network::Full => {}
    }
    args.push(["--cap-drop", "ALL", "--clearenv"]);
    for (name, value) in policy.environment(Level::Bwrap, Path::new(TMP)) {
        args.push(["--setenv", &name, &value]);
    }
    for path in policy.system_paths() {
        let copy = handed.copies.iter().find(|(copied, _)| *copied == path);
        match (copy, path.read_link()) {
            (Some((_, number)), _) => args.pair("--file", Path::new(&number.to_string()), path),
            (None, Ok(target)) => args.pair("--symlink", &target, path),
            (None, Err(_)) => args.pair("--ro-bind", path, path),
        }
    }
    args.push(["--proc", "/proc", "--dev", "/dev", "--tmpfs", TMP]);
    // For root, bubblewrap 0.8 itself leaves the kernel's settings writable: it asks whether `/proc/sys` is, which
    // answers for the directory and not for the files in it.
    if policy.gpus.is_empty() {
        args.push(["--remount-ro", "/proc"]);
    } else {
        // CUDA writes its threads' names below `/proc/self`.
        for path in SETTINGS.map(Path::new).into_iter().filter(|path| path.exists()) {
            args.pair("--ro-bind", path, path);
        }
    }
    for device in policy.gpu_devices() {
        args.pair("--dev-bind", &device, &device);
    }
    for View { host, inside, access } in &policy.views {
        let verb = match access {
            Access::Read => "--ro-bind",
            Access::Write => "--bind",
        };
        args.pair(verb, host, inside);
    }
    args.push(["--remount-ro", "/"]);
    args.0.extend(["--chdir".into(), policy.cwd.clone().into()]);
    if let Some(descriptor) = handed.seccomp {
        args.push(["--seccomp", &descriptor.to_string()]);
    }
    args.0
}

struct Args(Vec<OsString>);

impl Args {
    fn push<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn pair(&mut self, verb: &str, from: &Path, to: &Path) {
        self.0.extend([verb.into(), from.into(), to.into()]);
    }
}
