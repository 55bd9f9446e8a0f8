//! Ablation: which hunks of a champion earn their place.
//!
//! Every hunk is taken away by a trial of its own, which meets the champion on fresh seeds. The hypothesis is that it is worse
//! by the margin or more; a contest that shows otherwise, at the study's level and with a place among its contests like any
//! other, says that the hunk can go (non-inferiority: the evidence is that of the differences with the margin added). Then all
//! that can go is taken away at once, on seeds that chose none of it. That trial is kept if it holds too, and its gain,
//! which may be negative, is estimated as of any keep; otherwise the hunk that costs most stays, and so on.

use empiric_core::{
    Ablation, Ask, Blame, Hunk, Operator, Outcome, Study, Trial, TrialNo, Verdict, ablation::ABLATE,
};

use crate::{compare, spending, summary};

/// Share of the champion's gain that a simpler trial may give up, unless a margin is asked for.
const SHARE: f64 = 0.1;

/// What an ablation does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Ablating {
    /// Nothing has been taken away of the present champion: open an ablation.
    Open,
    /// Ask for these, in order.
    Try(Vec<Ask>),
    /// Its trials are under way.
    Wait,
    /// It has ended.
    Done,
}

/// What became of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its trial has not ended.
    Open,
    /// Without it the champion is worse, beyond doubt.
    Earns,
    /// Without it nothing runs, or a gate is missed.
    Needed,
    /// Without it the champion is not worse by the margin: it can go.
    Goes,
    /// Neither could be shown; it stays.
    Unclear,
}

/// A hunk, and what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct HunkWorth {
    /// The hunk.
    pub hunk: Hunk,
    /// The trial without it, once asked for.
    pub trial: Option<TrialNo>,
    /// By how much the champion is better with it, in the metric's unit.
    pub worth: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// What became of it.
    pub standing: Standing,
    /// Whether the simplified champion is without it.
    pub gone: bool,
}

/// An ablation as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablated {
    /// The champion that was taken apart.
    pub champion: TrialNo,
    /// How much worse a simpler trial may be, in the metric's unit.
    pub margin: f64,
    /// Hunk by hunk.
    pub hunks: Vec<HunkWorth>,
    /// The champion without the hunks that can go, once it is kept.
    pub simplified: Option<TrialNo>,
    /// Whether there is nothing left to try.
    pub done: bool,
}

/// Whether `trial` takes hunks of a champion away.
pub(crate) fn ablates(trial: &Trial) -> bool {
    trial.arm == ABLATE
}

/// The margin of the ablation that `trial` is of; none for any other trial.
pub(crate) fn margin(study: &Study, trial: &Trial) -> Option<f64> {
    study.ablation().filter(|_| ablates(trial)).map(|ablation| ablation.margin)
}

/// Whether `trial` is without all hunks that can go, and is kept if it holds.
pub(crate) fn joint(trial: &Trial) -> bool {
    ablates(trial) && trial.ask.operator == Operator::Merge
}

/// The margin unless another is asked for: a tenth of the champion's gain over the baseline.
#[must_use]
pub fn usual_margin(study: &Study) -> Option<f64> {
    summary(study).champion.map(|champion| SHARE * champion.gain).filter(|margin| *margin > 0.0)
}

/// The smallest margin by which a hunk that does nothing is likely shown to do nothing, with all the pairs that a contest may
/// have: less asks for more evidence than it can give.
#[must_use]
pub fn least_margin(study: &Study) -> f64 {
    let rules = &study.settings().rules;
    let pairs = rules.confirm_replicates.max(1);
    let seen = study.of_arm(ABLATE);
    let level = spending::level(rules, seen.rows(), &seen.next_shares(), seen.row_keeps());
    let reach = compare::reach(level, pairs as usize);
    reach * study.noise().sd() * (2.0 / f64::from(pairs)).sqrt()
}

/// What the ablation of the present champion does next; a function of the study alone.
#[must_use]
pub fn ablating(study: &Study) -> Ablating {
    let champion = study.champion();
    let Some(ablation) = study.ablation() else { return Ablating::Open };
    if ablation.joint.contains(&champion) {
        return Ablating::Done;
    }
    if ablation.champion != champion {
        return Ablating::Open;
    }
    let untried = ablation.hunks.len().saturating_sub(ablation.singles.len());
    if untried > 0 {
        let ask = Ask { operator: Operator::Ablate, parents: vec![champion], surface: None };
        return Ablating::Try(vec![ask; untried]);
    }
    let open = |no: &TrialNo| study.open_trials().contains(no);
    if ablation.singles.iter().chain(&ablation.joint).any(open) {
        return Ablating::Wait;
    }
    // What costs least is given up last.
    let mut going: Vec<(TrialNo, f64)> =
        ablation.singles.iter().filter_map(|no| Some((*no, goes(study.trial(*no)?)?))).collect();
    going.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    going.truncate(going.len().saturating_sub(ablation.joint.len()));
    if going.is_empty() {
        return Ablating::Done;
    }
    let mut parents: Vec<TrialNo> = going.into_iter().map(|(no, _)| no).collect();
    parents.sort_unstable();
    Ablating::Try(vec![Ask { operator: Operator::Merge, parents, surface: None }])
}

/// The gain of a trial without one hunk, where the hunk can go.
fn goes(single: &Trial) -> Option<f64> {
    match &single.outcome {
        Some(Outcome::Valid { verdict: Verdict::Inconclusive, gain, .. }) => *gain,
        Some(Outcome::Valid { .. } | Outcome::Failed(_)) | None => None,
    }
}

/// The last ablation of `study`, hunk by hunk.
#[must_use]
pub fn ablated(study: &Study) -> Option<Ablated> {
    let ablation = study.ablation()?;
    let kept = |no: &&TrialNo| {
        let outcome = study.trial(**no).and_then(|trial| trial.outcome.as_ref());
        matches!(outcome, Some(Outcome::Valid { verdict: Verdict::Keep, .. }))
    };
    let simplified = ablation.joint.iter().find(kept).copied();
    let gone = simplified
        .and_then(|no| Some(ablation.without(no, &study.trial(no)?.ask)))
        .unwrap_or_default();
    let hunks = ablation.hunks.iter().enumerate();
    let hunks = hunks.map(|(at, hunk)| worth(study, ablation, at, hunk, gone.contains(&at)));
    Some(Ablated {
        champion: ablation.champion,
        margin: ablation.margin,
        hunks: hunks.collect(),
        simplified,
        done: simplified.is_some() || ablating(study) == Ablating::Done,
    })
}

fn worth(study: &Study, ablation: &Ablation, at: usize, hunk: &Hunk, gone: bool) -> HunkWorth {
    let no = ablation.singles.get(at).copied();
    let (standing, gain, interval) = match no.and_then(|no| study.trial(no)?.outcome.as_ref()) {
        None => (Standing::Open, None, None),
        Some(Outcome::Failed(failure)) => match failure.blame {
            Blame::Infra | Blame::Evaluator => (Standing::Unclear, None, None),
            Blame::Edit | Blame::Recipe | Blame::Gate | Blame::Budget | Blame::Validity => {
                (Standing::Needed, None, None)
            }
        },
        Some(Outcome::Valid { verdict, gain, gain_interval, .. }) => {
            let standing = match (verdict, gain_interval) {
                (Verdict::Inconclusive, _) => Standing::Goes,
                (_, Some([_, high])) if *high < 0.0 => Standing::Earns,
                (Verdict::Baseline | Verdict::Keep | Verdict::Discard, _) => Standing::Unclear,
            };
            (standing, *gain, *gain_interval)
        }
    };
    HunkWorth {
        hunk: hunk.clone(),
        trial: no,
        worth: gain.map(|gain| -gain),
        interval: interval.map(|[low, high]| [-high, -low]),
        standing,
        gone,
    }
}
