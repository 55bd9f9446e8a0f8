//! Policies: which operator is applied to which parents next.
//!
//! A policy is told every event after it has been applied to the study, keeps whatever indexes it needs, and is asked
//! for the next trial. It does no I/O, reads no clock, and knows nothing of files or edits.

mod greedy;

use empiric_core::{Ask, Record, Study};

pub use greedy::{Greedy, Parent};

/// Chooses operator and parents of the next trial.
///
/// An ask is a function of the ledger before it: a fresh policy that is told the same records gives the same answer.
/// What is random comes from the stream `policy` of the study's seed and the next trial's number.
pub trait Policy: Send {
    /// Its name in the registry.
    fn name(&self) -> &'static str;

    /// Takes in an event that `study` has already applied.
    fn tell(&mut self, study: &Study, record: &Record);

    /// What to try next. The cost does not grow with the number of trials.
    fn ask(&self, study: &Study) -> Ask;
}

/// The names that [`policy`] knows.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &["greedy", "greedy-published"]
}

/// A new policy by its name.
#[must_use]
pub fn policy(name: &str) -> Option<Box<dyn Policy>> {
    match name {
        "greedy" => Some(Box::new(Greedy::default())),
        "greedy-published" => Some(Box::new(Greedy::published())),
        _ => None,
    }
}
