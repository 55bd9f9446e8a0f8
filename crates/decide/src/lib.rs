//! Decisions under noise: which replicate a trial still needs, and the verdict once it needs none.
//!
//! A trial passes three doors, each with its own seeds and each against the champion of the moment:
//!
//! 1. *Search*, on seeds that every trial shares. One replicate first; a trial that is not promising after it stops
//!    there, others go on in growing looks. Nothing is kept here: this door only chooses what is worth confirming.
//! 2. *Confirm*, on seeds that selection never sees, measured on trial and champion alike. The pair is a *contest*, a
//!    hypothesis that takes the study's next place when its first replicate is leased. [`evidence`] grows with each pair
//!    and may be looked at after any; [`spending`] says how much is needed at that place so that the whole study keeps
//!    `Rules::level`. More pairs are measured while the outcome is open and predicted to be worth it. A trial that is
//!    kept is then measured against the champion on a number of further seeds, and its gain is what those say: the
//!    replicates that decided were selected by deciding.
//! 3. *Report*, once, at the end of a study: champion against baseline on seeds that no decision saw.
//!
//! What is assumed: replicates of one segment are independent given their seeds, and where a trial is no better than its
//! champion, a difference between them is no likelier to be some amount in its favour than the same amount against it. For
//! an edit that changes nothing this holds by construction. `cargo xtask bench decide` measures level, power, price and bias
//! over simulated studies, for noise of several kinds.
//!
//! Everything here is a function of the [`Study`] alone and of nothing else (no I/O, clock, environment or threads), so
//! a verdict can be reached again from the ledger. [`compare`], [`evidence`] and [`spending`] are what knows statistics;
//! they see numbers and never a study.

pub mod ablate;
pub mod aggregate;
mod arms;
mod closing;
pub mod compare;
mod confirm;
mod contest;
pub mod evidence;
mod gates;
pub mod items;
pub mod noise;
mod places;
pub mod reserve;
mod search;
pub mod spending;
pub mod stats;
mod step;
mod summary;
mod supervised;
mod words;

#[cfg(test)]
mod tests;

pub use arms::{Typical, Versus, typical, versus};
pub use closing::{Closing, closing};
pub use noise::NoiseModel;
pub use step::{MAX_ATTEMPTS, MIN_BASELINE, Step, Wanted, next_step};
pub use summary::{Basis, ChampionSummary, Summary, smallest_effect, summary};

#[cfg(doc)]
use empiric_core::Study;
