//! Proposers: whatever turns an ask into an edit.
//!
//! A proposer is untrusted. Nothing it says about its edit is believed: the engine computes what changed from trees,
//! checks it, and measures it.

mod command;
pub mod digest;
mod edits;
mod errands;
mod null;
pub mod prompts;
mod proposer;
mod registry;
pub mod roster;
mod specialist;
mod tuner;

pub use command::{
    Brake, CommandAgent, CommandOptions, Driver, Held, Installed, Outfit, Transcript, Unfit,
    Version, installed,
};
pub use edits::{EditError, EditFault, Edits, ReplaceError, Replacement, replace};
pub use errands::{Changes, Errands, Halt, Rehearsed, Unserved};
pub use null::Null;
pub use proposer::{Brief, Files, Proposal, Proposer, SourceError, Sources, Staff};
pub use registry::{Entry, Kit, PROPOSERS, Unready, Workbench, entry};
pub use specialist::Specialists;
pub use tuner::{Random, Tuner, starved};
