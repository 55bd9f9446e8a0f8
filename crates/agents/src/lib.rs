//! Proposers: whatever turns an ask into an edit.
//!
//! A proposer is untrusted. Nothing it says about its edit is believed: the engine computes what changed from trees,
//! checks it, and measures it.

mod command;
mod edits;
mod null;
mod proposer;
mod registry;
mod tuner;

pub use command::{CommandAgent, CommandOptions, Driver, Transcript, Version};
pub use edits::{EditError, EditFault, Edits};
pub use null::Null;
pub use proposer::{Brief, Files, Proposal, Proposer, SourceError, Sources};
pub use registry::{Entry, PROPOSERS, Workbench, entry};
pub use tuner::{Random, Tuner, starved};
