//! Greedy best-first search: the rule published with AIDE, with parents chosen by confirmation instead of by argmax
//! over noise, and with two operators that rule lacks: merges of separate branches and repairs of near misses.
//!
//! Source of the rule and its defaults: `search_policy` of AIDE (WecoAI, MIT): 5 drafts, then with probability 0.5 a
//! random buggy leaf of debug depth at most 3, else the best node.

use empiric_core::{Ask, Operator, Record, Study, TrialNo, seed};
use rand::{Rng, RngExt, seq::IndexedRandom};

use crate::{
    Policy,
    memory::{Limits, Memory},
};

#[cfg(test)]
mod tests;

/// Greedy best-first search.
#[derive(Debug, Clone)]
pub struct Greedy {
    name: &'static str,
    /// Drafts before anything else.
    pub drafts: u32,
    /// Probability of debugging when there is a buggy leaf.
    pub debug: f64,
    /// Which trial an improvement starts from.
    pub parent: Parent,
    /// Probability of merging when there are two branches to merge.
    pub merge: f64,
    /// Probability of repairing when there is a near miss.
    pub repair: f64,
    memory: Memory,
}

/// Which trial an improvement starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parent {
    /// The valid trial with the best search score: the published rule. It favours lucky trials.
    BestScore,
    /// The champion; with this probability instead the most promising trial that was measured against the same
    /// champion and could not be decided.
    Confirmed {
        /// Probability of the undecided one.
        undecided: f64,
    },
}

impl Default for Greedy {
    fn default() -> Self {
        Self {
            name: "greedy",
            drafts: 5,
            debug: 0.5,
            parent: Parent::Confirmed { undecided: 0.2 },
            merge: 0.15,
            repair: 0.5,
            memory: Memory::new(Limits { debug_depth: 3, repairs: true }),
        }
    }
}

impl Greedy {
    /// The published rule: best score as parent, no merges, no repairs.
    #[must_use]
    pub fn published() -> Self {
        Self {
            name: "greedy-published",
            parent: Parent::BestScore,
            merge: 0.0,
            repair: 0.0,
            memory: Memory::new(Limits { debug_depth: 3, repairs: false }),
            ..Self::default()
        }
    }

    fn parent(&self, study: &Study, rng: &mut impl Rng) -> TrialNo {
        let champion = study.champion();
        match self.parent {
            Parent::BestScore => self.memory.best.map_or(champion, |(trial, _)| trial),
            Parent::Confirmed { undecided } => match self.memory.undecided {
                Some((trial, _)) if rng.random_bool(undecided) => trial,
                _ => champion,
            },
        }
    }
}

impl Policy for Greedy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        self.memory.tell(study, record);
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        if self.memory.drafts < self.drafts {
            return crate::ask(Operator::Draft, &[TrialNo::BASELINE]);
        }
        if let Some(near) = self.memory.nearest()
            && rng.random_bool(self.repair)
        {
            return crate::ask(Operator::Repair, &[near]);
        }
        if !self.memory.buggy.is_empty() && rng.random_bool(self.debug) {
            let leaves: Vec<TrialNo> = self.memory.buggy.iter().copied().collect();
            if let Some(leaf) = leaves.choose(&mut rng) {
                return crate::ask(Operator::Debug, &[*leaf]);
            }
        }
        if let Some((one, other)) = self.memory.pair(study)
            && rng.random_bool(self.merge)
        {
            return crate::ask(Operator::Merge, &[one, other]);
        }
        crate::ask(Operator::Improve, &[self.parent(study, &mut rng)])
    }
}
