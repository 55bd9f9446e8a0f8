//! What one arm has learnt so far, kept up event by event: what the digest for proposers is written from.
//!
//! Everything in it is bounded, so that writing a digest costs the same at any size of a study.

use imbl::{OrdMap, Vector};

use crate::{
    Bound, Cause, Event, Failure, Money, Operator, Outcome, Prediction, Record, Sample, Signature,
    Study, Task, Trial, TrialNo, Verdict, task::ARTIFACT_BYTES, trial::Direction,
};

/// Kinds of failure remembered, near misses, and surfaces; the least telling is forgotten.
pub const REMEMBERED: usize = 48;
/// Ended trials remembered one by one.
pub const RECENT: usize = 16;
/// Remedies remembered of one kind of failure.
const REMEDIES: usize = 4;
/// A gate missed by at most this share of its limit is a near miss.
const NEAR: f64 = 0.25;
/// Trials in a row that moved nothing, after which a surface counts as saturated (the specialist runs of arXiv 2605.05724
/// nudge their roles after five).
pub const SATURATED: u32 = 5;
/// Largest gain that a model is credited with for one trial, in standard deviations of one replicate.
const LARGEST: f64 = 4.0;

/// What became of the trials of one surface.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// Trials that ended, infra and evaluator failures apart.
    pub tried: u32,
    /// Of them, kept.
    pub kept: u32,
    /// Of them, failed.
    pub failed: u32,
    /// Gains over the parent on the search split, of those that were measured.
    pub effects: Sample,
    /// Trials in a row that were not kept and moved nothing beyond the noise, or failed.
    pub flat: u32,
}

/// A kind of failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Recurring {
    /// What it is recognised by.
    pub signature: Signature,
    /// How often it came.
    pub times: u32,
    /// The last trial that ended with it.
    pub last: TrialNo,
    /// Trials that were asked to mend it, the newest last, and whether they could be measured.
    pub remedies: Vector<(TrialNo, bool)>,
    /// How many such trials there were in all.
    pub tried: u32,
    /// Of them, those that could be measured.
    pub mended: u32,
}

/// A trial that missed a limit by little.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearMiss {
    /// Signed distance to the limit, negative.
    pub margin: f64,
    /// The same as a share of the limit.
    pub share: f64,
}

/// What predictions were worth.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibration {
    /// Predictions whose trial was measured.
    pub made: u32,
    /// Of them, those of a gain.
    pub gains: u32,
    /// Gains predicted that came, beyond the noise.
    pub came: u32,
    /// Predictions whose direction was right.
    pub right: u32,
    /// Sizes predicted, and what came of them.
    pub sized: Pair,
}

/// Sums of what was predicted and of what came, where a size was given.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pair {
    /// How many.
    pub n: u32,
    /// Sum of predicted gains.
    pub predicted: f64,
    /// Sum of gains that came.
    pub came: f64,
    /// Sum of the absolute differences.
    pub off: f64,
}

/// What a model gained and cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Credit {
    /// Trials asked of it that have not ended.
    pub running: u32,
    /// Trials that ended.
    pub ended: u32,
    /// Confirmed gains, each as a share of the largest that counts, 0 to 1.
    pub gain: f64,
    /// What its calls were charged.
    pub money: Money,
}

/// What one arm has learnt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lore {
    surfaces: OrdMap<String, Tally>,
    failures: OrdMap<String, Recurring>,
    near: OrdMap<TrialNo, NearMiss>,
    undecided: OrdMap<TrialNo, f64>,
    keeps: Vector<TrialNo>,
    recent: Vector<TrialNo>,
    calibration: OrdMap<String, Calibration>,
    credits: OrdMap<String, Credit>,
}

impl Lore {
    /// Takes in an event about a trial of this arm that `study` has applied; never the baseline.
    pub(crate) fn take(&mut self, study: &Study, record: &Record, trial: &Trial) {
        if let Event::Called { call, .. } = &record.event {
            let credit = self.credits.entry(call.model.clone()).or_default();
            credit.money += call.spend.money;
            credit.running += u32::from(trial.calls.len() == 1);
        } else if let Event::Concluded { outcome, .. } = &record.event {
            self.concluded(study, trial, outcome);
        }
    }

    fn concluded(&mut self, study: &Study, trial: &Trial, outcome: &Outcome) {
        self.recent.push_back(trial.no);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let spared =
            matches!(outcome, Outcome::Failed(failure) if failure.blame.spares_the_trial());
        let (gain, noise) = (study.gain_over_parent(trial), study.noise().sd());
        self.credit(trial, outcome, noise);
        if spared {
            return;
        }
        self.tally(trial, outcome, gain, noise);
        match outcome {
            Outcome::Valid { verdict, gain: estimated, .. } => {
                match (verdict, estimated) {
                    (Verdict::Keep, _) => {
                        self.keeps.push_back(trial.no);
                        // Estimates so far were made against another champion.
                        self.undecided = OrdMap::new();
                    }
                    (Verdict::Inconclusive, Some(estimated)) if *estimated > 0.0 => {
                        self.undecided.insert(trial.no, *estimated);
                        forget(&mut self.undecided, |gain| -gain);
                    }
                    (Verdict::Baseline | Verdict::Discard | Verdict::Inconclusive, _) => {}
                }
                self.predicted(study.task(), trial, gain, noise);
            }
            Outcome::Failed(failure) => self.failed(study.task(), trial, failure),
        }
        self.remedied(study, trial, matches!(outcome, Outcome::Valid { .. }));
    }

    fn tally(&mut self, trial: &Trial, outcome: &Outcome, gain: Option<f64>, noise: f64) {
        let surface = surface(trial);
        let known = self.surfaces.contains_key(surface) || self.surfaces.len() < REMEMBERED;
        let tally =
            self.surfaces.entry(if known { surface } else { "others" }.to_owned()).or_default();
        let kept = matches!(outcome, Outcome::Valid { verdict: Verdict::Keep, .. });
        tally.tried += 1;
        tally.kept += u32::from(kept);
        tally.failed += u32::from(matches!(outcome, Outcome::Failed(_)));
        if let Some(gain) = gain.filter(|gain| gain.is_finite()) {
            let effects = tally.effects.with(gain);
            if effects.ss.is_finite() {
                tally.effects = effects;
            }
        }
        let moved = gain.is_some_and(|gain| gain.abs() > noise && gain != 0.0);
        tally.flat = if kept || moved { 0 } else { tally.flat + 1 };
    }

    fn credit(&mut self, trial: &Trial, outcome: &Outcome, noise: f64) {
        let Some(call) = trial.calls.first() else { return };
        let credit = self.credits.entry(call.model.clone()).or_default();
        credit.running = credit.running.saturating_sub(1);
        credit.ended += 1;
        if let Outcome::Valid { verdict: Verdict::Keep, gain: Some(gain), .. } = outcome {
            let sds = if noise > 0.0 { gain / noise } else { LARGEST };
            credit.gain += sds.clamp(0.0, LARGEST) / LARGEST;
        }
    }

    fn predicted(&mut self, task: &Task, trial: &Trial, gain: Option<f64>, noise: f64) {
        let Some(edit) = &trial.edit else { return };
        let said =
            edit.hypothesis.prediction.as_ref().filter(|said| said.metric == task.metric.name);
        let (Some(said), Some(gain)) = (said, gain.filter(|gain| gain.is_finite())) else { return };
        let predicted = predicted_gain(task, said);
        let known =
            self.calibration.contains_key(&edit.proposer) || self.calibration.len() < REMEMBERED;
        let name = if known { edit.proposer.as_str() } else { "others" };
        let entry = self.calibration.entry(name.to_owned()).or_default();
        entry.made += 1;
        entry.gains += u32::from(predicted > 0.0);
        entry.came += u32::from(predicted > 0.0 && gain > noise);
        let right = match said.direction {
            Direction::Unchanged => gain.abs() <= 2.0 * noise,
            Direction::Increase | Direction::Decrease => gain * predicted > 0.0,
        };
        entry.right += u32::from(right);
        if said.size.is_some_and(f64::is_finite) {
            entry.sized.n += 1;
            entry.sized.predicted += predicted;
            entry.sized.came += gain;
            entry.sized.off += (gain - predicted).abs();
        }
    }

    fn failed(&mut self, task: &Task, trial: &Trial, failure: &Failure) {
        if let Some(near) = near_miss(task, failure) {
            self.near.insert(trial.no, near);
            forget(&mut self.near, |near| -near.share);
        }
        let signature = failure.signature();
        let entry = self.failures.entry(signature.hash.clone()).or_insert_with(|| Recurring {
            signature,
            times: 0,
            last: trial.no,
            remedies: Vector::new(),
            tried: 0,
            mended: 0,
        });
        entry.times += 1;
        entry.last = trial.no;
        if self.failures.len() > REMEMBERED
            && let Some(least) = self
                .failures
                .iter()
                .filter(|(_, kind)| kind.last != trial.no)
                .min_by_key(|(_, kind)| (kind.times, kind.last))
                .map(|(hash, _)| hash.clone())
        {
            self.failures.remove(&least);
        }
    }

    /// A trial that was asked to mend another tells what that remedy was worth.
    fn remedied(&mut self, study: &Study, trial: &Trial, mended: bool) {
        if !matches!(trial.ask.operator, Operator::Debug | Operator::Repair) {
            return;
        }
        let parent = trial.ask.parents.first().and_then(|no| study.trial(*no));
        if let Some(Outcome::Failed(failure)) = parent.and_then(|parent| parent.outcome.as_ref()) {
            let Some(kind) = self.failures.get_mut(&failure.signature().hash) else { return };
            kind.tried += 1;
            kind.mended += u32::from(mended);
            kind.remedies.push_back((trial.no, mended));
            if kind.remedies.len() > REMEDIES {
                // What failed goes before what worked.
                let gone = kind.remedies.iter().position(|(_, mended)| !mended).unwrap_or(0);
                kind.remedies.remove(gone);
            }
        }
    }

    /// What became of trials, by surface.
    #[must_use]
    pub fn surfaces(&self) -> &OrdMap<String, Tally> {
        &self.surfaces
    }

    /// Kinds of failure, by the hash of their signature.
    #[must_use]
    pub fn failures(&self) -> &OrdMap<String, Recurring> {
        &self.failures
    }

    /// Trials that missed a limit by little.
    #[must_use]
    pub fn near_misses(&self) -> &OrdMap<TrialNo, NearMiss> {
        &self.near
    }

    /// Undecided trials with the gain that is estimated of them over the champion in force.
    #[must_use]
    pub fn undecided(&self) -> &OrdMap<TrialNo, f64> {
        &self.undecided
    }

    /// Kept trials, oldest first.
    #[must_use]
    pub fn keeps(&self) -> &Vector<TrialNo> {
        &self.keeps
    }

    /// Trials that ended lately, the newest last.
    #[must_use]
    pub fn recent(&self) -> &Vector<TrialNo> {
        &self.recent
    }

    /// What predictions were worth, by proposer.
    #[must_use]
    pub fn calibration(&self) -> &OrdMap<String, Calibration> {
        &self.calibration
    }

    /// What models gained and cost.
    #[must_use]
    pub fn credits(&self) -> &OrdMap<String, Credit> {
        &self.credits
    }
}

/// Where an edit lies, for counting.
#[must_use]
pub fn surface(trial: &Trial) -> &str {
    let edited = trial.edit.as_ref().and_then(|edit| edit.surface.as_deref());
    edited.or(trial.ask.surface.as_deref()).unwrap_or("the whole recipe")
}

/// A prediction as a gain: positive is better.
#[must_use]
pub fn predicted_gain(task: &Task, said: &Prediction) -> f64 {
    let size = said.size.filter(|size| size.is_finite()).map_or(1.0, f64::abs);
    match said.direction {
        Direction::Increase => task.metric.goal.gain(size, 0.0),
        Direction::Decrease => task.metric.goal.gain(-size, 0.0),
        Direction::Unchanged => 0.0,
    }
}

/// By how much a gate was missed, where it was by little.
fn near_miss(task: &Task, failure: &Failure) -> Option<NearMiss> {
    let metric = if let Cause::GateMiss { metric } = &failure.cause {
        metric.as_str()
    } else if failure.cause == Cause::ArtifactTooLarge {
        ARTIFACT_BYTES
    } else {
        return None;
    };
    let gate = task.gates.iter().find(|gate| gate.metric == metric)?;
    let (Bound::Max(limit) | Bound::Min(limit)) = gate.bound;
    let margin = failure.margin?;
    let share = -margin / limit.abs().max(f64::MIN_POSITIVE);
    (margin < 0.0 && share <= NEAR).then_some(NearMiss { margin, share: -share })
}

/// Drops the entry of the largest `cost` once there are too many.
fn forget<T: Clone>(entries: &mut OrdMap<TrialNo, T>, cost: impl Fn(&T) -> f64) {
    if entries.len() > REMEMBERED
        && let Some(worst) = entries
            .iter()
            .max_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)))
            .map(|(trial, _)| *trial)
    {
        entries.remove(&worst);
    }
}
