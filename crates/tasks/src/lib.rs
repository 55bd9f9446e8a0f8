//! Tasks: reads `task.toml` with precise diagnostics, builds the environment that programs run in, makes the data,
//! and writes starter files.
//!
//! What runs from here (`pip`, `git`, `[prepare]`) is the task author's and runs outside any sandbox; recipe code never
//! does. Nothing here is printed, and no environment variable is read: see [`Host`].

mod bare;
mod diagnostic;
mod environment;
mod error;
mod fetch;
mod files;
mod init;
mod input;
mod install;
mod load;
mod prepare;
mod process;
mod python;
mod quick;
mod shape;
mod splits;
pub mod units;
mod validate;
mod watch;

#[cfg(test)]
mod tests;

pub use diagnostic::Diagnostic;
pub use error::Error;
pub use init::{agents, init};
pub use input::schema;
pub use install::{Installed, install};
pub use load::{FILE, Loaded, load};
pub use process::{Progress, Step};
pub use python::{Requirement, RequirementError};
pub use quick::{Quick, quick};
pub use watch::Watch;

use bare::{Bare, bare};
use environment::{Environment, Environments};
use prepare::{Data, prepare};
use splits::Dealt;
use std::{ffi::OsString, path::PathBuf};

/// What of the host this crate is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Directory for environments, prepared data and fetched recipes; safe to share between processes and to delete.
    pub cache: PathBuf,
    /// Where programs are looked up, as in `PATH`.
    pub path: OsString,
}

impl Host {
    /// As environment variables say, which `read` reads.
    #[must_use]
    pub fn of(read: impl Fn(&str) -> Option<OsString>) -> Self {
        let home = || read("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let base = || read("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
        Self {
            cache: read("EMPIRIC_CACHE").map_or_else(|| base().join("empiric"), PathBuf::from),
            path: read("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin")),
        }
    }
}
