//! The evaluator contract: stages, artefacts, scoring, and the classification of how units ended into outcomes.
//!
//! This crate says what runs, in which view of the machine, and what the endings mean. It starts no process itself:
//! a [`Runner`] does. It decides no verdict: it only turns one replicate into measurements or one failure.

mod artifact;
mod classify;
pub mod contract;
mod plan;
mod printed;
mod replicate;

pub use artifact::{Artifact, ArtifactError};
pub use contract::{Feedback, ResultError, result_schema};
pub use plan::{Bare, DataEntry, Installation, SlotDirs};
pub use printed::Printed;
pub use replicate::{Lost, Runner, UnitSpec, measure, smoke};
