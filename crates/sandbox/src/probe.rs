//! What this machine can enforce, found by doing it.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::cgroup::{self, Cgroup};
use crate::policy::{Level, Policy};
use crate::{Error, bwrap, confine};

/// What this machine can enforce, with reasons for what it cannot. Found once per study, by [`probe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether bubblewrap builds a full sandbox here, or why not.
    pub bwrap: Result<(), String>,
    /// The Landlock version this kernel enforces, or why there is none. Before the sixth, a program may signal
    /// processes of the same user.
    pub landlock: Result<u32, String>,
    /// What counts and limits memory and processes.
    pub cgroup: Cgroup,
    /// Why a better kind of control group could not be used; empty for the best.
    pub cgroup_reasons: Vec<String>,
}

impl Capabilities {
    /// The strongest sandbox here; `None` when there is none, which is a reason to refuse to run.
    pub fn best(&self) -> Option<Level> {
        match (&self.bwrap, &self.landlock) {
            (Ok(()), _) => Some(Level::Bwrap),
            (Err(_), Ok(_)) => Some(Level::Landlock),
            (Err(_), Err(_)) => None,
        }
    }
}

/// Finds out what this machine can enforce. Takes some ten milliseconds, and starts two short processes.
pub fn probe() -> Capabilities {
    let (cgroup, cgroup_reasons) = cgroup::find(admit);
    let old =
        || "this kernel does not enforce landlock version 3 (Linux 6.2, `lsm=landlock`)".to_owned();
    let landlock = confine::version().map(|abi| abi as u32).ok_or_else(old);
    Capabilities { bwrap: try_bwrap(), landlock, cgroup, cgroup_reasons }
}

fn try_bwrap() -> Result<(), String> {
    let program =
        bwrap::program().ok_or("bubblewrap is not installed (Debian package `bubblewrap`)")?;
    let policy = Policy::new([bwrap::NOWHERE], "/");
    let mut command = Command::new(program);
    let options = bwrap::options(&policy, false, &bwrap::Handed::default());
    command.env_clear().args(options).args(["--", bwrap::NOWHERE]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.starts_with("bwrap: execvp ") { Ok(()) } else { Err(said.trim_end().to_owned()) }
}

/// Puts a process into a control group, as a unit's program enters it.
fn admit(doors: Vec<OwnedFd>) -> Result<(), Error> {
    let failed = || Error::io("enter the control group");
    let mut command = Command::new("/bin/cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed())?;
    let id = child.id().to_string();
    let entered =
        doors.iter().try_for_each(|door| rustix::io::write(door, id.as_bytes()).map(drop));
    drop(child.stdin.take());
    child.wait().map_err(failed())?;
    entered.map_err(|errno| failed()(errno.into()))
}
