//! The study directory: what lies where, and `study.toml`, which says what was asked.

use std::path::{Path, PathBuf};

use empiric_doors::{self as doors, Door};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Bytes that must be free where a study is: for its next events and logs, and for what small units write.
const ROOM: u64 = 16 << 20;

/// A study's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The study at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The git store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store.git")
    }

    /// The slots' work directories.
    #[must_use]
    pub fn slots(&self) -> PathBuf {
        self.root.join("slots")
    }

    /// Where command-line agents work, while they do.
    #[must_use]
    pub fn agents(&self) -> PathBuf {
        self.root.join("agents")
    }

    /// What was asked.
    #[must_use]
    pub fn asked(&self) -> PathBuf {
        self.root.join("study.toml")
    }

    /// Refuses to go on where a unit could run into the end of the disk: what it then made of it would not tell.
    pub(crate) fn has_room(&self) -> Result<(), Error> {
        let found = rustix::fs::statvfs(&self.root).map_err(std::io::Error::from)?;
        let (free, needed) = (found.f_bavail.saturating_mul(found.f_frsize) >> 10, ROOM >> 10);
        // Some file systems do not say how large they are.
        if found.f_blocks > 0 && free < needed {
            return Err(Error::DiskFull { path: self.root.clone(), free, needed });
        }
        Ok(())
    }

    /// Whether there is a study here.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.root.join("ledger.db").exists()
    }
}

/// What `study.toml` says: enough to take the study up again without the command that began it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Format version.
    pub schema: u32,
    /// The task's directory, absolute.
    pub task: PathBuf,
    /// For a study without a task file: the words of the command line that describe the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick: Option<QuickAsked>,
    /// Slots.
    pub slots: usize,
    /// The sandbox level asked for: `auto`, `bwrap`, `landlock`, `none`.
    pub sandbox: String,
}

/// The quick mode's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickAsked {
    /// Globs of editable files.
    pub edit: Vec<String>,
    /// The command that prints the metric.
    pub eval: String,
    /// `name:min` or `name:max`.
    pub metric: String,
    /// Another form of the printed metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// Version of `study.toml`.
pub const ASKED_SCHEMA: u32 = 1;

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read or is not what this version writes.
    pub fn read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.asked();
        let text = fs::read_to_string(&path)?;
        toml::from_str(&text).map_err(|source| Error::Asked { path, source: Box::new(source) })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, layout: &Layout) -> Result<(), Error> {
        doors::before(Door::StudyFile);
        fs::create_dir_all(layout.root())?;
        let path = layout.asked();
        let text = toml::to_string(self).map_err(|error| Error::Harness(error.to_string()))?;
        let staging = path.with_extension("toml.partial");
        fs::write(&staging, text)?;
        fs::rename(&staging, &path)?;
        doors::after(Door::StudyFile);
        Ok(())
    }
}
