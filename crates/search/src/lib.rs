//! Policies: which operator is applied to which parents next.
//!
//! A policy is told every event after it has been applied to the study, keeps whatever indexes it needs, and is asked
//! for the next trial. It does no I/O, reads no clock, and knows nothing of files or edits.
//!
//! All of them are asynchronous and steady-state: an ask is one trial, made while others are under way. What is under
//! way is known: a failure is debugged, a near miss repaired and a pair merged by one trial at a time, and where many may
//! work on one node, those under way count against it.

mod allocation;
mod evolution;
mod greedy;
mod mcts;
mod memory;
mod policies;
mod race;
mod random;
pub mod schedule;
mod specialists;
mod stopping;
#[cfg(test)]
mod tests;

use empiric_core::{Ask, Operator, Record, Study, TrialNo};

pub use allocation::Allocation;
pub use evolution::Evolution;
pub use greedy::{Greedy, Parent};
pub use mcts::Mcts;
pub use policies::{Policies, Unknown};
pub use race::Race;
pub use random::Random;
pub use specialists::Specialists;
pub use stopping::{dry, reached};

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

/// A policy's name, and what it does in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What `--policy` takes and the study records.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
}

/// The policies that [`policy`] knows; the first is the default.
pub const POLICIES: [Entry; 11] = [
    Entry {
        name: "race",
        about: "Thompson sampling over what each trial, operator and surface may still give; aware of noise",
    },
    Entry { name: "race-diverse", about: "race, held to a least diversity of ideas" },
    Entry { name: "greedy", about: "improve the champion; debug, merge and repair now and then" },
    Entry {
        name: "greedy-published",
        about: "greedy as published with AIDE: the best score is the parent",
    },
    Entry {
        name: "mcts",
        about: "tree search by upper confidence bounds; one crash does not condemn a branch",
    },
    Entry { name: "mcts-published", about: "tree search as published with AIRA-dojo" },
    Entry {
        name: "evolution",
        about: "steady-state evolution with rank-based selection, as published with AIRA_2",
    },
    Entry { name: "evolution-islands", about: "evolution on three islands with ring migration" },
    Entry {
        name: "specialists",
        about: "a fresh proposal of one surface on the shared best, as in the CMU specialist runs",
    },
    Entry {
        name: "ideas",
        about: "the idea library in its order, with leaps that are given time, as published with AutoSOTA",
    },
    Entry { name: "random", about: "improve any valid trial; the control" },
];

/// The names that [`policy`] knows; the first is the default.
#[must_use]
pub fn names() -> Vec<&'static str> {
    POLICIES.iter().map(|entry| entry.name).collect()
}

/// A new policy by its name.
#[must_use]
pub fn policy(name: &str) -> Option<Box<dyn Policy>> {
    Some(match name {
        "race" => Box::new(Race::default()),
        "race-diverse" => Box::new(Race::diverse()),
        "greedy" => Box::new(Greedy::default()),
        "greedy-published" => Box::new(Greedy::published()),
        "mcts" => Box::new(Mcts::default()),
        "mcts-published" => Box::new(Mcts::published()),
        "evolution" => Box::new(Evolution::default()),
        "evolution-islands" => Box::new(Evolution::islands()),
        "specialists" => Box::new(Specialists::default()),
        "ideas" => Box::new(schedule::Ideas),
        "random" => Box::new(Random::default()),
        _ => return None,
    })
}

fn ask(operator: Operator, parents: &[TrialNo]) -> Ask {
    Ask { operator, parents: parents.to_vec(), surface: None }
}
