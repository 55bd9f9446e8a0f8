//! What policies remember of a study, kept up event by event: failures that could be fixed, near misses that could be
//! repaired, branches that could be merged, and who has claimed which of them. All of it is bounded, so that no ask costs
//! more than another.

use std::collections::{BTreeMap, BTreeSet};

use empiric_core::{
    Ask, Blame, Bound, Cause, Event, Failure, Operator, Outcome, Purpose, Record, Split, Study,
    Trial, TrialNo, Verdict, task::ARTIFACT_BYTES,
};

/// Buggy leaves, near misses and promising trials remembered; what is oldest or worst is forgotten.
pub(crate) const REMEMBERED: usize = 64;
/// Promising trials considered for merges.
const HEADS: usize = 8;
/// Generations walked up when asking whether one trial descends from another; beyond that they count as separate.
const GENERATIONS: usize = 32;
/// A gate missed by at most this share of its limit is a near miss.
const NEAR: f64 = 0.15;
/// Repairs asked of one near miss.
const REPAIRS: u32 = 2;

/// How far failures are followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most debug steps in a row.
    pub(crate) debug_depth: u32,
    /// Whether near misses are repaired instead of debugged.
    pub(crate) repairs: bool,
}

/// A gate miss within reach.
#[derive(Debug, Clone, Copy)]
struct Near {
    /// How far off, as a share of the limit.
    off: f64,
    /// Repairs asked for.
    repairs: u32,
    /// Whether one is under way.
    claimed: bool,
}

/// What is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    limits: Limits,
    /// Drafts asked for, running ones included, without those that infra or evaluator lost.
    pub(crate) drafts: u32,
    /// Failed trials with an edit, no child, and debug steps left.
    pub(crate) buggy: BTreeSet<TrialNo>,
    /// Gate misses within reach.
    near: BTreeMap<TrialNo, Near>,
    /// Best valid trial by search score.
    pub(crate) best: Option<(TrialNo, f64)>,
    /// Most promising undecided trial against the champion in force, with its estimated gain.
    pub(crate) undecided: Option<(TrialNo, f64)>,
    /// Valid trials that beat the baseline and their own parent by more than the noise of one replicate, with the gain
    /// over the parent; and all that were kept.
    promising: BTreeMap<TrialNo, f64>,
    /// Pairs asked to be merged.
    merged: BTreeSet<(TrialNo, TrialNo)>,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            drafts: 0,
            buggy: BTreeSet::new(),
            near: BTreeMap::new(),
            best: None,
            undecided: None,
            promising: BTreeMap::new(),
            merged: BTreeSet::new(),
        }
    }

    /// Takes in an event that `study` has already applied.
    pub(crate) fn tell(&mut self, study: &Study, record: &Record) {
        match &record.event {
            Event::Asked { trial, ask, .. } => self.asked(*trial, ask),
            Event::Concluded { trial, outcome } => {
                if let Some(trial) = study.trial(*trial) {
                    self.concluded(study, trial, outcome);
                }
            }
            // Values of different segments are not compared.
            Event::SegmentOpened { .. } => self.new_segment(),
            Event::StudyOpened { .. }
            | Event::SessionStarted { .. }
            | Event::BudgetSet { .. }
            | Event::Staffed { .. }
            | Event::Called { .. }
            | Event::Rehearsed { .. }
            | Event::Fetched { .. }
            | Event::IdeaAdded { .. }
            | Event::IdeaChanged { .. }
            | Event::Learned { .. }
            | Event::Proposed { .. }
            | Event::Leased { .. }
            | Event::Measured { .. }
            | Event::Fenced { .. }
            | Event::Quarantined { .. }
            | Event::ReportOpened { .. }
            | Event::AblationOpened { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Pinned { .. }
            | Event::Unpinned { .. }
            | Event::Requeued { .. }
            | Event::Resumed { .. }
            | Event::Stopped { .. }
            | Event::Finished { .. } => {}
        }
    }

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
                if let Some(near) = self.near.get_mut(parent) {
                    near.repairs += 1;
                    near.claimed = true;
                }
            }
            (Operator::Merge, [one, other]) => {
                self.merged.insert(ordered(*one, *other));
            }
            _ => {}
        }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome) {
        if let (Operator::Repair, [parent, ..]) = (trial.ask.operator, &trial.ask.parents[..])
            && let Some(near) = self.near.get_mut(parent)
        {
            near.claimed = false;
        }
        match outcome {
            Outcome::Valid { verdict, gain, .. } => self.valid(study, trial, *verdict, *gain),
            Outcome::Failed(failure) => self.failed(study, trial, failure),
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
        let noise = noise(study);
        let beats = |other: Option<f64>| other.is_some_and(|gain| gain > noise);
        if let Some(gain) = study.gain_over_parent(trial)
            && (verdict == Verdict::Keep
                || beats(Some(gain)) && beats(study.gain_over(trial, TrialNo::BASELINE)))
        {
            self.promising.insert(trial.no, gain);
            forget(&mut self.promising, |gain| -gain);
        }
    }

    fn failed(&mut self, study: &Study, trial: &Trial, failure: &Failure) {
        if failure.blame.spares_the_trial() {
            self.give_back(study, trial);
            return;
        }
        if let Some(off) = miss(study, failure).filter(|off| self.limits.repairs && *off <= NEAR) {
            self.near.insert(trial.no, Near { off, repairs: 0, claimed: false });
            forget(&mut self.near, |near| near.off);
        } else if debuggable(trial, failure) && depth(study, trial) <= self.limits.debug_depth {
            self.buggy.insert(trial.no);
            while self.buggy.len() > REMEMBERED {
                self.buggy.pop_first();
            }
        }
    }

    /// Undoes what asking for a trial used up, when infra or evaluator lost it.
    fn give_back(&mut self, study: &Study, trial: &Trial) {
        match (trial.ask.operator, trial.ask.parents.as_slice()) {
            (Operator::Draft, _) => self.drafts = self.drafts.saturating_sub(1),
            (Operator::Repair, [parent, ..]) => {
                if let Some(near) = self.near.get_mut(parent) {
                    near.repairs = near.repairs.saturating_sub(1);
                }
            }
            (Operator::Merge, [one, other]) => {
                self.merged.remove(&ordered(*one, *other));
            }
            (Operator::Debug, [parent, ..]) => {
                if let Some(parent) = study.trial(*parent)
                    && depth(study, parent) <= self.limits.debug_depth
                {
                    self.buggy.insert(parent.no);
                }
            }
            _ => {}
        }
    }

    /// The near miss with the least to repair that nobody has tried to repair often enough.
    pub(crate) fn nearest(&self) -> Option<TrialNo> {
        self.near
            .iter()
            .filter(|(_, near)| near.repairs < REPAIRS && !near.claimed)
            .min_by(|(_, a), (_, b)| a.off.total_cmp(&b.off))
            .map(|(trial, _)| *trial)
    }

    /// Whether two trials are of separate branches that nobody has merged.
    pub(crate) fn may_merge(&self, study: &Study, one: TrialNo, other: TrialNo) -> bool {
        !self.merged.contains(&ordered(one, other))
            && !descends(study, one, other)
            && !descends(study, other, one)
    }

    /// The two most promising branches that neither descend from one another nor were merged before.
    pub(crate) fn pair(&self, study: &Study) -> Option<(TrialNo, TrialNo)> {
        let champion = study.champion();
        let mut heads: Vec<(TrialNo, f64)> = self.promising.iter().map(|(t, g)| (*t, *g)).collect();
        heads.sort_by(|(a, gain_a), (b, gain_b)| {
            (*b == champion).cmp(&(*a == champion)).then(gain_b.total_cmp(gain_a)).then(a.cmp(b))
        });
        heads.truncate(HEADS);
        heads.iter().enumerate().find_map(|(i, (one, _))| {
            heads[i + 1..]
                .iter()
                .map(|(other, _)| *other)
                .find_map(|other| self.may_merge(study, *one, other).then_some((*one, other)))
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
pub(crate) fn descends(study: &Study, trial: TrialNo, ancestor: TrialNo) -> bool {
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

/// Standard deviation of one replicate, from the baseline's; infinite until the baseline was measured twice.
pub(crate) fn noise(study: &Study) -> f64 {
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
