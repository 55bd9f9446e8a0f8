//! Steady-state evolution: rank-based selection, mutation and crossover, without generations.
//!
//! Source: AIRA_2, arXiv 2603.26499 v1, section on asynchronous evolution: rank r of N (1 is best) is a parent with
//! probability proportional to `(N - r + 1)^(1/T)`, T = 0.2; crossover in 15 % of asks, else mutation; failures leave no
//! member. What is not published: the seeding (here five drafts, as AIDE) and the population's size (here at most 500,
//! as in aira-dojo; the worst is dropped). Ours is that near misses are repaired, every other ask while there are any.
//!
//! With islands, trial n belongs to island `n mod islands`; parents come from its own island, and every [`MIGRATION`]th
//! trial of an island takes its parent from the next one (ring migration; Whitley, Rana and Heckendorn 1999).

use empiric_core::{Ask, Event, Operator, Outcome, Record, Study, TrialNo, Verdict, seed};
use rand::{Rng, RngExt};

use crate::{
    Policy,
    memory::{Limits, Memory},
};

/// Members of one island.
const MEMBERS: usize = 500;
/// Every so many trials of an island its parent comes from the next one.
const MIGRATION: u32 = 10;

/// Steady-state evolution.
#[derive(Debug, Clone)]
pub struct Evolution {
    name: &'static str,
    /// Drafts of each island before anything else.
    pub drafts: u32,
    /// Probability of crossover.
    pub crossover: f64,
    /// Selection pressure: 0 takes the best, large values take any.
    pub temperature: f64,
    memory: Memory,
    islands: Vec<Island>,
}

#[derive(Debug, Clone, Default)]
struct Island {
    /// Valid trials and their scores (larger is better), best first.
    members: Vec<(TrialNo, f64)>,
    /// Drafts asked for.
    drafts: u32,
}

impl Default for Evolution {
    fn default() -> Self {
        Self::new("evolution", 1)
    }
}

impl Evolution {
    /// Three islands.
    #[must_use]
    pub fn islands() -> Self {
        Self::new("evolution-islands", 3)
    }

    fn new(name: &'static str, islands: usize) -> Self {
        Self {
            name,
            drafts: 5_u32.div_ceil(islands as u32).max(2),
            crossover: 0.15,
            temperature: 0.2,
            memory: Memory::new(Limits { debug_depth: 3, repairs: true }),
            islands: vec![Island::default(); islands],
        }
    }

    fn island_of(&self, trial: TrialNo) -> usize {
        trial.0 as usize % self.islands.len()
    }

    fn insert(&mut self, island: usize, trial: TrialNo, score: f64) {
        let members = &mut self.islands[island].members;
        let at = members.partition_point(|(_, held)| *held >= score);
        members.insert(at, (trial, score));
        members.truncate(MEMBERS);
    }

    /// A member by its rank's probability.
    fn pick(&self, members: &[(TrialNo, f64)], rng: &mut impl Rng) -> Option<TrialNo> {
        let weight = |rank: usize| {
            // Relative to the best, so that no power overflows.
            ((members.len() - rank) as f64 / members.len() as f64).powf(1.0 / self.temperature)
        };
        let total: f64 = (0..members.len()).map(weight).sum();
        let mut left = rng.random::<f64>() * total;
        for (rank, (trial, _)) in members.iter().enumerate() {
            left -= weight(rank);
            if left < 0.0 {
                return Some(*trial);
            }
        }
        members.first().map(|(trial, _)| *trial)
    }
}

impl Policy for Evolution {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tell(&mut self, study: &Study, record: &Record) {
        self.memory.tell(study, record);
        if let Event::Asked { trial, ask, .. } = &record.event
            && *trial != TrialNo::BASELINE
            && ask.operator == Operator::Draft
        {
            let island = self.island_of(*trial);
            self.islands[island].drafts += 1;
        } else if let Event::SegmentOpened { .. } = &record.event {
            // Values of different segments are not compared.
            self.islands.iter_mut().for_each(|island| island.members.clear());
        } else if let Event::Concluded { trial, outcome } = &record.event
            && let Some(trial) = study.trial(*trial)
        {
            let metric = &study.task().metric;
            match (outcome, trial.search_score(&metric.name)) {
                (Outcome::Valid { verdict, .. }, Some(score)) => {
                    let score = metric.goal.gain(score, 0.0);
                    if *verdict == Verdict::Baseline {
                        (0..self.islands.len()).for_each(|at| self.insert(at, trial.no, score));
                    } else {
                        self.insert(self.island_of(trial.no), trial.no, score);
                    }
                }
                (Outcome::Failed(failure), _)
                    if failure.blame.spares_the_trial()
                        && trial.ask.operator == Operator::Draft =>
                {
                    let island = self.island_of(trial.no);
                    let drafts = &mut self.islands[island].drafts;
                    *drafts = drafts.saturating_sub(1);
                }
                (Outcome::Valid { .. } | Outcome::Failed(_), _) => {}
            }
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let next = study.next_trial();
        let mut rng = seed::stream(study.settings().seed, "policy", next);
        let at = self.island_of(next);
        if self.islands[at].drafts < self.drafts {
            return crate::ask(Operator::Draft, &[TrialNo::BASELINE]);
        }
        if let Some(near) = self.memory.nearest()
            && rng.random_bool(0.5)
        {
            return crate::ask(Operator::Repair, &[near]);
        }
        let round = next.0 / self.islands.len() as u32;
        let home = &self.islands[at].members;
        let there = &self.islands[(at + 1) % self.islands.len()].members;
        let from = if round.is_multiple_of(MIGRATION) { there } else { home };
        let one = self.pick(from, &mut rng).unwrap_or_else(|| study.champion());
        if rng.random_bool(self.crossover)
            && let Some(other) = self.pick(home, &mut rng)
            && other != one
            && self.memory.may_merge(study, one, other)
        {
            return crate::ask(Operator::Merge, &[one, other]);
        }
        crate::ask(Operator::Improve, &[one])
    }
}
