//! The dispatcher: one loop that owns a study.
//!
//! It moves each trial from room to room (proposer, store, slots, evaluator, verdict) and appends an event at every
//! door. An event is in the ledger before anything acts on it; every consumer reads the same events. Nothing
//! downstream calls back: replicates and proposals report over one channel.
//!
//! This crate knows no terminal, no web and no database, and asks no model: it keeps the calls that proposers make.

mod ablate;
mod asking;
mod budget;
mod desk;
mod dispatcher;
mod errands;
mod layout;
mod opening;
mod propose;
mod recorder;
mod rehearse;
mod replay;
mod requests;
mod rerun;
mod served;
mod verify;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use empiric_agents::Proposer;
use empiric_core::study::{Fixed, Settings};
use empiric_evaluate::Installation;
use empiric_ledger::Clock;
use empiric_sandbox::{Cgroup, Level};

pub use empiric_executor::LocalRunner;

pub use desk::{Desk, DeskError, Draft, Fitting, Form, Handle, Standing, named};
pub use dispatcher::{Control, Ended, Engine, Notice};
pub use layout::{ASKED_SCHEMA, Asked, Layout, QuickAsked};
pub use opening::fence;
pub use recorder::Recorder;
pub use rehearse::{Edited, Rehearsal};
pub use rerun::{Replayed, replay};
pub use verify::{Checked, Fault, Verification, verify};

/// Everything a session needs; nothing is read from the environment.
pub struct Options {
    /// The study's directory.
    pub layout: Layout,
    /// The task, ready on this machine.
    pub installation: Installation,
    /// The recipe's directory, imported when the study opens.
    pub recipe: PathBuf,
    /// Hashes, as of now, of what must not change while measurements are compared.
    pub fixed: Arc<dyn Fn() -> std::io::Result<Fixed> + Send + Sync>,
    /// How the study is asked; its budget replaces the recorded one when it differs.
    pub settings: Settings,
    /// Slots.
    pub slots: usize,
    /// GPUs of this machine.
    pub gpus: Vec<u32>,
    /// The program whose `__unit` verb is the sandbox helper.
    pub exe: PathBuf,
    /// The sandbox level reached.
    pub level: Level,
    /// What accounts for units.
    pub cgroup: Cgroup,
    /// Who makes edits, by arm; needed of every arm that new trials are asked of.
    pub proposers: BTreeMap<String, Arc<dyn Proposer>>,
    /// Where the calls of models are kept, where any are made.
    pub recorder: Option<Arc<Recorder>>,
    /// The time.
    pub clock: Clock,
    /// This machine's name.
    pub host: String,
    /// Whether new trials are asked for, or only requests are answered.
    pub search: bool,
    /// Takes the champion apart, by this margin unless an ablation of it is under way with another.
    pub ablate: Option<f64>,
}

/// Why a session cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// `study.toml` is not what this version writes.
    #[error("read {path}", path = path.display())]
    Asked {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] empiric_ledger::Error),
    /// The git store refuses.
    #[error(transparent)]
    Lineage(#[from] empiric_lineage::Error),
    /// The slots cannot be used.
    #[error(transparent)]
    Executor(#[from] empiric_executor::Error),
    /// The ledger's events contradict one another.
    #[error(transparent)]
    OutOfOrder(#[from] empiric_core::study::OutOfOrder),
    /// The study in this directory is of another task.
    #[error("the study in {path} is of task `{found}`, not `{asked}`; name another directory with --study", path = path.display())]
    OtherTask {
        /// The study's directory.
        path: PathBuf,
        /// Its task.
        found: String,
        /// The task asked for.
        asked: String,
    },
    /// The task asks for something else than when the study opened.
    #[error(
        "task.toml changed since this study opened: it asks for something else now; start a new study with --study"
    )]
    TaskChanged,
    /// There is hardly any room left.
    #[error(
        "the disk is full: {free} KiB are left for {path}, and a session needs {needed} KiB",
        path = path.display()
    )]
    DiskFull {
        /// The study's directory.
        path: PathBuf,
        /// What is left, KiB.
        free: u64,
        /// What is needed, KiB.
        needed: u64,
    },
    /// A policy that this version does not know.
    #[error(transparent)]
    Policy(#[from] empiric_search::Unknown),
    /// Nobody makes the edits of an arm.
    #[error("the study asks for trials of arm `{0}`, and nobody was given who makes its edits")]
    NoProposer(String),
    /// Empiric could not do its own part.
    #[error("{0}")]
    Harness(String),
}
