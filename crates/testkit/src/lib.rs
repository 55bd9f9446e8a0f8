//! What tests of the whole program share: a task that takes milliseconds, recipes that misbehave, a hermetic home to
//! run the program in, a look at what it leaves running, and the faults that it must survive.
//!
//! Nothing here is part of the product; it knows the program only by its command line.

pub mod faults;
mod home;
mod misbehaviour;
mod processes;
pub mod tasks;

pub use home::{Ended, Home, Said, Session};
pub use misbehaviour::{Misbehaviour, misbehaviours};
pub use processes::{Process, helpers, helpers_of_slot, referring_to};
