//! Decisions under noise: which replicate a trial still needs, and the verdict once it needs none.
//!
//! A trial passes three doors, each with its own seeds and each against the champion of the moment:
//!
//! 1. *Search*, on seeds that every trial shares. One replicate first; a trial that is not promising after it stops
//!    there, others go on in growing looks. Nothing is kept here: this door only chooses what is worth confirming.
//! 2. *Confirm*, on seeds drawn for this trial alone, measured on trial and champion alike. A paired one-sided t test
//!    on these replicates alone, at level `Rules::alpha`, is what keeps a trial; the search replicates have no say in
//!    it, so selection cannot bias it.
//! 3. *Report*, once, at the end of a study: champion against baseline on seeds that no decision saw.
//!
//! The level that results: a trial that is no better than its champion is kept with a probability of at most `alpha`
//! times the chance that it passes the first door, which is at most about [`compare::PROMISE`]: 0.0025 per trial at the
//! defaults. Simulated (normal noise, 2000 studies of 60 trials without effect) it is 0.0008 where seeds explain nothing
//! of the noise, one false keep in 20 studies, and less where they explain some. True effects of 1, 2 and 4 noise
//! standard deviations are then kept in 11, 57 and 99 % of trials; a trial without effect takes 1.3 search replicates.
//!
//! Everything here is a function of the [`Study`] alone and of nothing else (no I/O, clock, environment or threads), so
//! a verdict can be reached again from the ledger. [`compare`] is the one module that knows a statistical test; it
//! sees numbers and never a study, and another test goes in there.

pub mod aggregate;
mod closing;
pub mod compare;
mod confirm;
mod contest;
mod gates;
mod places;
mod search;
pub mod stats;
mod step;
mod summary;
mod supervised;
mod words;

#[cfg(test)]
mod tests;

pub use closing::{Closing, closing};
pub use step::{MAX_ATTEMPTS, MIN_BASELINE, Step, Wanted, next_step};
pub use summary::{Basis, ChampionSummary, Summary, smallest_effect, summary};

#[cfg(doc)]
use empiric_core::Study;
