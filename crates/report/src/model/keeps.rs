//! What was kept and why, and what was doubted.

use std::collections::BTreeMap;

use empiric_core::{
    Operator, Outcome, Prediction, Purpose, Split, Study, Trial, TrialNo, Verdict, trial::Direction,
};
use serde::Serialize;

use super::predictions::{Came, came};
use crate::{
    curve,
    page::text::{Decimals, flat},
};

/// Most kept trials shown; the newest count.
const MOST: usize = 150;

/// A kept trial.
#[derive(Debug, Clone, Serialize)]
pub struct KeepRow {
    /// The trial.
    pub trial: TrialNo,
    /// The champion that it beat.
    pub over: TrialNo,
    /// Gain over it, positive when better.
    pub gain: Option<f64>,
    /// 95 % interval of that gain.
    pub gain_interval: Option<[f64; 2]>,
    /// Mean on fresh seeds.
    pub mean: Option<f64>,
    /// Fresh seeds.
    pub seeds: usize,
    /// Search seeds before them.
    pub searched: usize,
    /// The arm that asked for it.
    pub arm: String,
    /// How the edit came about.
    pub operator: Operator,
    /// Who made it.
    pub proposer: Option<String>,
    /// The surface it lies in.
    pub surface: Option<String>,
    /// The trials it starts from.
    pub parents: Vec<TrialNo>,
    /// Why it was worth measuring.
    pub hypothesis: String,
    /// What was predicted.
    pub prediction: Option<Prediction>,
    /// What came.
    pub came: Option<Came>,
    /// The evidence.
    pub reason: String,
    /// Why it was measured once more before it could be kept.
    pub quarantine: Vec<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// Trials that took something away from it, with their outcome and what the metric did.
    pub ablations: Vec<Ablation>,
    /// Its change against its first parent.
    pub diff: Option<String>,
}

/// A trial that took a part of another one away.
#[derive(Debug, Clone, Serialize)]
pub struct Ablation {
    /// The trial.
    pub trial: TrialNo,
    /// What became of it.
    pub outcome: String,
    /// How the metric moved.
    pub came: Option<Came>,
    /// What was taken away.
    pub hypothesis: String,
}

/// A trial that passed confirmation, was doubted by the supervisor, and was not kept.
#[derive(Debug, Clone, Serialize)]
pub struct Doubt {
    /// The trial.
    pub trial: TrialNo,
    /// The supervisor's words.
    pub why: String,
    /// How it ended.
    pub end: String,
}

/// The newest kept trials, oldest first, and how many older ones are left out.
pub(crate) fn keeps(study: &Study) -> (Vec<KeepRow>, usize) {
    let keeps: Vec<TrialNo> = study.keeps().iter().copied().collect();
    let left_out = keeps.len().saturating_sub(MOST);
    let mut ablations: BTreeMap<TrialNo, Vec<Ablation>> = BTreeMap::new();
    for trial in study.trials() {
        let Some(edit) = trial.edit.as_ref().filter(|edit| edit.operator == Operator::Ablate)
        else {
            continue;
        };
        let Some(parent) = edit.parents.first().filter(|no| keeps.contains(no)) else { continue };
        ablations.entry(*parent).or_default().push(Ablation {
            trial: trial.no,
            outcome: end(trial),
            came: came(study, trial, &study.task().metric.name),
            hypothesis: edit.hypothesis.text.clone(),
        });
    }
    let rows = keeps.iter().skip(left_out).filter_map(|no| {
        let over = study.won(*no).map_or(TrialNo::BASELINE, |won| won.over);
        let ablations = ablations.remove(no).unwrap_or_default();
        Some(row(study, study.trial(*no)?, over, ablations))
    });
    (rows.collect(), left_out)
}

fn end(trial: &Trial) -> String {
    match &trial.outcome {
        Some(Outcome::Valid { verdict, .. }) => verdict.to_string(),
        Some(Outcome::Failed(failure)) => failure.cause.name().replace('_', " "),
        None => "not ended".to_owned(),
    }
}

fn row(study: &Study, trial: &Trial, over: TrialNo, ablations: Vec<Ablation>) -> KeepRow {
    let (gain, gain_interval, reason) = match &trial.outcome {
        Some(Outcome::Valid { gain, gain_interval, reason, .. }) => {
            (*gain, *gain_interval, reason.clone())
        }
        Some(Outcome::Failed(_)) | None => (None, None, String::new()),
    };
    let edit = trial.edit.as_ref();
    let prediction = edit.and_then(|edit| edit.hypothesis.prediction.clone());
    let fresh = curve::confirmed(study, trial, Split::Select);
    let searched = trial.replicates.iter().filter(|found| found.purpose == Purpose::Search);
    KeepRow {
        trial: trial.no,
        over,
        gain,
        gain_interval,
        mean: (fresh.n > 0).then_some(fresh.mean),
        seeds: fresh.n,
        searched: searched.filter(|found| found.usable()).count(),
        arm: trial.arm.clone(),
        operator: edit.map_or(trial.ask.operator, |edit| edit.operator),
        proposer: edit.map(|edit| edit.proposer.clone()),
        surface: edit.and_then(|edit| edit.surface.clone()),
        parents: trial.parents().to_vec(),
        hypothesis: edit.map(|edit| edit.hypothesis.text.clone()).unwrap_or_default(),
        came: prediction.as_ref().and_then(|made| came(study, trial, &made.metric)),
        prediction,
        reason,
        quarantine: trial
            .quarantine
            .iter()
            .flat_map(|held| &held.concerns)
            .map(ToString::to_string)
            .collect(),
        commit: edit.map(|edit| edit.commit.to_string()),
        ablations,
        diff: None,
    }
}

/// Trials that passed confirmation, were doubted by the supervisor, and were not kept.
pub(crate) fn doubted(study: &Study) -> Vec<Doubt> {
    let refuted = study.trials().iter().filter_map(|trial| {
        let held = trial.quarantine.as_ref()?;
        let end = match trial.outcome.as_ref()? {
            Outcome::Valid { verdict: Verdict::Keep, .. } => return None,
            Outcome::Valid { verdict, reason, .. } => format!("{verdict}: {reason}"),
            Outcome::Failed(failure) => format!("{failure}: {}", failure.excerpt),
        };
        let why: Vec<String> = held.concerns.iter().map(ToString::to_string).collect();
        Some(Doubt { trial: trial.no, why: why.join("; "), end })
    });
    refuted.take(MOST).collect()
}

/// A prediction in words.
pub(crate) fn predicted(prediction: &Prediction) -> String {
    let metric = flat(&prediction.metric, 60);
    let direction = match prediction.direction {
        Direction::Increase => "rises",
        Direction::Decrease => "falls",
        Direction::Unchanged => "stays",
    };
    let size = prediction
        .size
        .map(|size| format!(" by {}", Decimals::of(size, 3).show(size)))
        .unwrap_or_default();
    format!("{metric} {direction}{size}")
}
