//! What tests of the whole program share: a task that takes milliseconds, recipes that misbehave, a hermetic home to
//! run the program in, a look at what it leaves running, the faults that it must survive, and what must hold of anybody's
//! input.
//!
//! Nothing here is part of the product. All but [`fuzz`], [`agent`] and [`model`] knows the program only by its command line, and [`model`] does not
//! know it at all.

pub mod agent;
pub mod faults;
pub mod fuzz;
mod home;
mod misbehaviour;
pub mod model;
mod processes;
pub mod story;
pub mod tasks;

pub use home::{Ended, Home, Said, Session};
pub use misbehaviour::{Misbehaviour, misbehaviours};
pub use processes::{Process, helpers, helpers_of_slot, referring_to};
