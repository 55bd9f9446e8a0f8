//! Runs one untrusted process tree inside limits and says exactly how it ended.
//!
//! Two sides share this crate. The *harness* fills in a [`Unit`] and has a [`Zygote`] fork a helper for it
//! ([`Zygote::launch`]); zygote and *helper* are this same program, started as `empiric __unit` ([`unit_main`]). A
//! helper is single-threaded, one per unit: it builds the sandbox, feeds on the output, watches the limits, ends the
//! whole tree and answers with a [`Report`].
//!
//! The helper lives as long as its connection: when the harness closes it, or dies, the unit is cancelled.
//! A unit's end is certain: inside a PID namespace where bubblewrap works, through a control group where there is
//! one, and in any case because the helper is the subreaper of everything it started.
//!
//! Nothing here knows of trials, metrics or blame; it never reads the environment and never prints.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use empiric_sandbox::{Policy, Unit, Zygote, probe};
//! let zygote = Zygote::new("/usr/bin/empiric");
//! let found = probe();
//! let unit = Unit {
//!     policy: Policy::new(["true"], "/"),
//!     level: found.best().ok_or("no sandbox here")?,
//!     cgroup: found.cgroup.clone(),
//!     record: "/tmp/unit.alive".into(),
//! };
//! let report = zygote.launch(&unit, None)?.run()?;
//! # Ok(()) }
//! ```

mod bwrap;
mod capture;
mod cgroup;
mod clear;
mod confine;
mod deputy;
mod descriptors;
mod disk;
mod door;
mod helper;
mod identity;
mod launch;
mod policy;
mod probe;
mod report;
mod seccomp;
mod tree;
mod watch;
mod zygote;

pub use cgroup::{Accounting, Cgroup};
pub use clear::remove;
pub use door::DOOR;
pub use helper::unit_main;
pub use identity::reap_orphans;
pub use launch::{Launch, PIPE_READ, PIPE_WRITE, Pipes, Unit, Zygote, answered, pipe_pair};
pub use policy::{Access, Level, Limits, Network, Policy, System, View};
pub use probe::{Capabilities, probe};
pub use report::{Captured, Ending, Report, Usage};

use std::path::PathBuf;

/// What can go wrong on the harness's side, or while the helper sets a unit up. None of it is the recipe's fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or process operation failed; the text names it.
    #[error("{what}")]
    Io {
        /// What was attempted, on what.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A request, record or report is not what this version writes.
    #[error("read {path}: not a sandbox record", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// The helper ended without leaving a report.
    #[error("the unit's helper left no report: {}", if said.is_empty() { "it was killed" } else { said })]
    NoReport {
        /// What it said instead.
        said: String,
    },
    /// The helper made no door.
    #[error("open the unit's door: {said}")]
    NoDoor {
        /// What it said instead.
        said: String,
    },
    /// The policy asks for what this level cannot enforce.
    #[error("{0}")]
    Unsupported(String),
    /// The program's process could not be put into its sandbox.
    #[error("enter the sandbox: {0}")]
    Entry(String),
    /// Landlock refused the rule set.
    #[error("build the landlock rules")]
    Landlock(#[from] landlock::RulesetError),
    /// The system call filter could not be built.
    #[error("build the system call filter")]
    Seccomp(#[from] std::num::TryFromIntError),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The message with its causes, on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
