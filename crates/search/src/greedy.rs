//! Greedy best-first search: the rule published with AIDE, with parents chosen by confirmation instead of by argmax
//! over noise, and with two operators that rule lacks: merges of separate branches and repairs of near misses.
//!
//! Source of the rule and its defaults: `search_policy` of AIDE (WecoAI, MIT): 5 drafts, then with probability 0.5 a
//! random buggy leaf of debug depth at most 3, else the best node.

use std::collections::{BTreeMap, BTreeSet};

use empiric_core::{
    Ask, Blame, Bound, Cause, Event, Failure, Operator, Outcome, Purpose, Record, Split, Study,
    Trial, TrialNo, Verdict, seed, task::ARTIFACT_BYTES,
};
use rand::{Rng, RngExt, seq::IndexedRandom};

use crate::Policy;

#[cfg(test)]
mod tests;

/// Buggy leaves, near misses and promising trials remembered; what is oldest or worst is forgotten, so that no ask
/// costs more than another.
const REMEMBERED: usize = 64;
/// Promising trials considered for merges.
const HEADS: usize = 8;
/// Generations walked up when asking whether one trial descends from another; beyond that they count as separate.
const GENERATIONS: usize = 32;
/// A gate missed by at most this share of its limit is a near miss.
const NEAR: f64 = 0.15;
/// Repairs asked of one near miss.
const REPAIRS: u32 = 2;

/// Greedy best-first search.
#[derive(Debug, Clone)]
pub struct Greedy {
    name: &'static str,
    /// Drafts before anything else.
    pub drafts: u32,
    /// Probability of debugging when there is a buggy leaf.
    pub debug: f64,
    /// Most debug steps in a row, not counting the first failure.
    pub debug_depth: u32,
    /// Which trial an improvement starts from.
    pub parent: Parent,
    /// Probability of merging when there are two branches to merge.
    pub merge: f64,
    /// Probability of repairing when there is a near miss.
    pub repair: f64,
    index: Index,
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
            debug_depth: 3,
            parent: Parent::Confirmed { undecided: 0.2 },
            merge: 0.15,
            repair: 0.5,
            index: Index::default(),
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
            ..Self::default()
        }
    }

    fn parent(&self, study: &Study, rng: &mut impl Rng) -> TrialNo {
        let champion = study.champion();
        match self.parent {
            Parent::BestScore => self.index.best.map_or(champion, |(trial, _)| trial),
            Parent::Confirmed { undecided } => match self.index.undecided {
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
        match &record.event {
            Event::Asked { trial, ask, .. } => self.index.asked(*trial, ask),
            Event::Concluded { trial, outcome } => {
                if let Some(trial) = study.trial(*trial) {
                    let limits =
                        Limits { debug_depth: self.debug_depth, repairs: self.repair > 0.0 };
                    self.index.concluded(study, trial, outcome, limits);
                }
            }
            // Values of different segments are not compared.
            Event::SegmentOpened { .. } => self.index.new_segment(),
            Event::StudyOpened { .. }
            | Event::SessionStarted { .. }
            | Event::BudgetSet { .. }
            | Event::Proposed { .. }
            | Event::Leased { .. }
            | Event::Measured { .. }
            | Event::Fenced { .. }
            | Event::Quarantined { .. }
            | Event::ReportOpened { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. } => {}
        }
    }

    fn ask(&self, study: &Study) -> Ask {
        let mut rng = seed::stream(study.settings().seed, "policy", study.next_trial());
        let ask = |operator, parents: &[TrialNo]| Ask {
            operator,
            parents: parents.to_vec(),
            surface: None,
        };
        if self.index.drafts < self.drafts {
            return ask(Operator::Draft, &[TrialNo::BASELINE]);
        }
        if let Some(near) = self.index.nearest()
            && rng.random_bool(self.repair)
        {
            return ask(Operator::Repair, &[near]);
        }
        if !self.index.buggy.is_empty() && rng.random_bool(self.debug) {
            let leaves: Vec<TrialNo> = self.index.buggy.iter().copied().collect();
            if let Some(leaf) = leaves.choose(&mut rng) {
                return ask(Operator::Debug, &[*leaf]);
            }
        }
        if let Some((one, other)) = self.index.pair(study)
            && rng.random_bool(self.merge)
        {
            return ask(Operator::Merge, &[one, other]);
        }
        ask(Operator::Improve, &[self.parent(study, &mut rng)])
    }
}

/// How far failures are followed.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Most debug steps in a row.
    debug_depth: u32,
    /// Whether near misses are repaired instead of debugged.
    repairs: bool,
}

/// What greedy remembers of the ledger, kept up event by event.
#[derive(Debug, Clone, Default)]
struct Index {
    /// Drafts asked for, running ones included, without those that infra or evaluator lost.
    drafts: u32,
    /// Failed trials with an edit, no child, and debug steps left.
    buggy: BTreeSet<TrialNo>,
    /// Gate misses within reach: how far off, as a share of the limit, and repairs asked for.
    near: BTreeMap<TrialNo, (f64, u32)>,
    /// Best valid trial by search score.
    best: Option<(TrialNo, f64)>,
    /// Most promising undecided trial against the champion in force, with its estimated gain.
    undecided: Option<(TrialNo, f64)>,
    /// Valid trials that beat their own parent by more than the noise of one replicate, with that gain.
    promising: BTreeMap<TrialNo, f64>,
    /// Pairs asked to be merged.
    merged: BTreeSet<(TrialNo, TrialNo)>,
}

impl Index {
    fn new_segment(&mut self) {
        self.best = None;
        self.undecided = None;
        self.promising.clear();
    }

    fn asked(&mut self, trial: TrialNo, ask: &Ask) {
        if ask.operator == Operator::Draft && trial != TrialNo::BASELINE {
            self.drafts += 1;
        }
        for parent in &ask.parents {
            self.buggy.remove(parent);
        }
        match (ask.operator, ask.parents.as_slice()) {
            (Operator::Repair, [parent, ..]) => {
                if let Some((_, repairs)) = self.near.get_mut(parent) {
                    *repairs += 1;
                }
            }
            (Operator::Merge, [one, other]) => {
                self.merged.insert(ordered(*one, *other));
            }
            _ => {}
        }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome, limits: Limits) {
        match outcome {
            Outcome::Valid { verdict, gain, .. } => self.valid(study, trial, *verdict, *gain),
            Outcome::Failed(failure) => self.failed(study, trial, failure, limits),
        }
    }

    fn valid(&mut self, study: &Study, trial: &Trial, verdict: Verdict, gain: Option<f64>) {
        let metric = &study.task().metric;
        if let Some(score) = trial.search_score(&metric.name)
            && self.best.is_none_or(|(_, best)| metric.goal.better(score, best))
        {
            self.best = Some((trial.no, score));
        }
        match (verdict, gain) {
            // Gains so far were measured against another champion.
            (Verdict::Keep, _) => self.undecided = None,
            (Verdict::Inconclusive, Some(gain))
                if gain > 0.0 && self.undecided.is_none_or(|(_, best)| gain > best) =>
            {
                self.undecided = Some((trial.no, gain));
            }
            (Verdict::Baseline | Verdict::Discard | Verdict::Inconclusive, _) => {}
        }
        if let Some(gain) = gain_over_parent(study, trial)
            && (verdict == Verdict::Keep || gain > noise(study))
        {
            self.promising.insert(trial.no, gain);
            forget(&mut self.promising, |gain| -gain);
        }
    }

    fn failed(&mut self, study: &Study, trial: &Trial, failure: &Failure, limits: Limits) {
        if failure.blame.spares_the_trial() {
            self.give_back(study, trial, limits);
            return;
        }
        if let Some(off) = miss(study, failure).filter(|off| limits.repairs && *off <= NEAR) {
            self.near.insert(trial.no, (off, 0));
            forget(&mut self.near, |(off, _)| *off);
        } else if debuggable(trial, failure) && depth(study, trial) <= limits.debug_depth {
            self.buggy.insert(trial.no);
            while self.buggy.len() > REMEMBERED {
                self.buggy.pop_first();
            }
        }
    }

    /// Undoes what asking for a trial used up, when infra or evaluator lost it.
    fn give_back(&mut self, study: &Study, trial: &Trial, limits: Limits) {
        match (trial.ask.operator, trial.ask.parents.as_slice()) {
            (Operator::Draft, _) => self.drafts = self.drafts.saturating_sub(1),
            (Operator::Repair, [parent, ..]) => {
                if let Some((_, repairs)) = self.near.get_mut(parent) {
                    *repairs = repairs.saturating_sub(1);
                }
            }
            (Operator::Merge, [one, other]) => {
                self.merged.remove(&ordered(*one, *other));
            }
            (Operator::Debug, [parent, ..]) => {
                if let Some(parent) = study.trial(*parent)
                    && depth(study, parent) <= limits.debug_depth
                {
                    self.buggy.insert(parent.no);
                }
            }
            _ => {}
        }
    }

    fn nearest(&self) -> Option<TrialNo> {
        self.near
            .iter()
            .filter(|(_, (_, repairs))| *repairs < REPAIRS)
            .min_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b))
            .map(|(trial, _)| *trial)
    }

    /// The two most promising branches that neither descend from one another nor were merged before.
    fn pair(&self, study: &Study) -> Option<(TrialNo, TrialNo)> {
        let champion = study.champion();
        let mut heads: Vec<(TrialNo, f64)> = self.promising.iter().map(|(t, g)| (*t, *g)).collect();
        heads.sort_by(|(a, gain_a), (b, gain_b)| {
            (*b == champion).cmp(&(*a == champion)).then(gain_b.total_cmp(gain_a)).then(a.cmp(b))
        });
        heads.truncate(HEADS);
        heads.iter().enumerate().find_map(|(i, (one, _))| {
            heads[i + 1..].iter().map(|(other, _)| *other).find_map(|other| {
                (!self.merged.contains(&ordered(*one, other))
                    && !descends(study, *one, other)
                    && !descends(study, other, *one))
                .then_some((*one, other))
            })
        })
    }
}

fn ordered(one: TrialNo, other: TrialNo) -> (TrialNo, TrialNo) {
    (one.min(other), one.max(other))
}

/// Drops the entry of the largest `cost` once there are too many.
fn forget<T>(entries: &mut BTreeMap<TrialNo, T>, cost: impl Fn(&T) -> f64) {
    if entries.len() > REMEMBERED
        && let Some(worst) = entries
            .iter()
            .max_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)))
            .map(|(trial, _)| *trial)
    {
        entries.remove(&worst);
    }
}

/// Whether `trial` descends from `ancestor`, looking a bounded way up.
fn descends(study: &Study, trial: TrialNo, ancestor: TrialNo) -> bool {
    let mut generation = vec![trial];
    for _ in 0..GENERATIONS {
        generation = generation
            .iter()
            .filter_map(|no| study.trial(*no))
            .flat_map(|trial| trial.parents())
            .copied()
            // Parents are older than their children.
            .filter(|parent| *parent >= ancestor)
            .take(GENERATIONS)
            .collect();
        if generation.is_empty() || generation.contains(&ancestor) {
            return !generation.is_empty();
        }
    }
    false
}

/// Debug steps in a row that led to this trial.
fn depth(study: &Study, trial: &Trial) -> u32 {
    let mut depth = 0;
    let mut at = trial;
    // Short: whatever is deeper than the limit is not debugged again.
    while at.ask.operator == Operator::Debug
        && let Some(parent) = at.ask.parents.first().and_then(|no| study.trial(*no))
    {
        depth += 1;
        at = parent;
    }
    depth
}

/// Whether there is code that could be fixed. Broken rules of validity are never debugged: the way to pass them is not
/// to look for their edge.
fn debuggable(trial: &Trial, failure: &Failure) -> bool {
    let fixable = match failure.blame {
        Blame::Recipe | Blame::Gate | Blame::Budget => true,
        Blame::Edit => matches!(failure.cause, Cause::Syntax { .. }),
        Blame::Validity | Blame::Evaluator | Blame::Infra => false,
    };
    fixable && trial.edit.is_some()
}

/// By how much a gate was missed, as a share of its limit.
fn miss(study: &Study, failure: &Failure) -> Option<f64> {
    let metric = if let Cause::GateMiss { metric } = &failure.cause {
        metric.as_str()
    } else if failure.cause == Cause::ArtifactTooLarge {
        ARTIFACT_BYTES
    } else {
        return None;
    };
    let gate = study.task().gates.iter().find(|gate| gate.metric == metric)?;
    let (Bound::Max(limit) | Bound::Min(limit)) = gate.bound;
    let margin = failure.margin?;
    (margin < 0.0).then(|| -margin / limit.abs().max(f64::MIN_POSITIVE))
}

fn gain_over_parent(study: &Study, trial: &Trial) -> Option<f64> {
    let metric = &study.task().metric;
    let parent = study.trial(*trial.parents().first()?)?;
    Some(metric.goal.gain(trial.search_score(&metric.name)?, parent.search_score(&metric.name)?))
}

/// Standard deviation of one replicate, from the baseline's; infinite until the baseline was measured twice.
fn noise(study: &Study) -> f64 {
    let metric = &study.task().metric.name;
    let Some(baseline) = study.trial(TrialNo::BASELINE) else { return f64::INFINITY };
    let values = baseline.values(metric, Split::Search, Purpose::Search, study.segment());
    if values.len() < 2 {
        return f64::INFINITY;
    }
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|(_, value)| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}
