//! What the study has measured so far, as points in knob space.
//!
//! Only a bounded number of trials is read, so that a proposal costs the same at any size of the study: the first ones
//! (the screening), the latest ones, and the latest keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use empiric_core::{Blame, Outcome, Purpose, Split, Study, Trial, TrialNo, Verdict};
use serde_json::{Map, Value as Json, json};

use super::{
    axis::Axis,
    knob::{Assignment, Value},
    memo::Memo,
};

/// The tuner's name, by which it knows its own trials.
pub(crate) const NAME: &str = "tuner";
/// Trials read from the start of a study.
const FIRST: usize = 48;
/// Trials read from its end.
const LAST: usize = 80;
/// Keeps read from its end.
const KEEPS: usize = 16;

/// A knob, and its values in two points.
pub(crate) type Difference<'a> = (&'a str, Option<&'a Value>, Option<&'a Value>);

/// A recipe as the tuner sees it: knobs that differ from the baseline, and what else makes the tree different.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Point {
    /// Knobs set apart from the baseline.
    pub(crate) knobs: Assignment,
    /// Cuts made, and trials of other proposers descended from.
    pub(crate) traits: BTreeSet<String>,
}

impl Point {
    /// The detail recorded with a proposal.
    pub(crate) fn detail(&self, family: &str) -> Json {
        let knobs: Map<String, Json> =
            self.knobs.iter().map(|(id, value)| (id.clone(), value.to_json())).collect();
        json!({ "move": family, "knobs": knobs, "traits": self.traits })
    }

    /// Knobs set otherwise than in `other`, with the value here and there; none where a knob is as in the baseline.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> Vec<Difference<'a>> {
        let mut found = Vec::new();
        let mut theirs = other.knobs.iter().peekable();
        for (id, here) in &self.knobs {
            while let Some((before, there)) = theirs.next_if(|(other, _)| *other < id) {
                found.push((before.as_str(), None, Some(there)));
            }
            let there = theirs.next_if(|(other, _)| *other == id).map(|(_, there)| there);
            if there != Some(here) {
                found.push((id.as_str(), Some(here), there));
            }
        }
        found.extend(theirs.map(|(id, there)| (id.as_str(), None, Some(there))));
        found
    }

    /// Equal for equal recipes.
    pub(crate) fn fingerprint(&self) -> String {
        self.detail("").to_string()
    }
}

/// What the tuner recorded of a trial when it made it. It never changes, so it is read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) point: Point,
    /// Kind of move that led there.
    pub(crate) family: String,
}

impl Made {
    /// What a trial's detail records, if the tuner made it.
    pub(crate) fn of(trial: &Trial) -> Option<Self> {
        if trial.no == TrialNo::BASELINE {
            return Some(Self::default());
        }
        let edit = trial.edit.as_ref().filter(|edit| edit.proposer == NAME)?;
        let detail = &edit.detail;
        let knobs = detail
            .get("knobs")?
            .as_object()?
            .iter()
            .filter_map(|(id, value)| Some((id.clone(), Value::from_json(value)?)))
            .collect();
        let traits = detail
            .get("traits")?
            .as_array()?
            .iter()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        let family = detail.get("move").and_then(Json::as_str).unwrap_or_default().to_owned();
        Some(Self { point: Point { knobs, traits }, family })
    }
}

/// One trial as an observation.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) no: TrialNo,
    pub(crate) made: Arc<Made>,
    /// The first parent.
    pub(crate) parent: TrialNo,
    /// Gain over the baseline's mean on the search split and the number of replicates behind it; none when the metric
    /// was not measured.
    pub(crate) gain: Option<(f64, usize)>,
    /// Signed margin to each of the task's gates, where measured.
    pub(crate) margins: Vec<Option<f64>>,
    /// It failed by its own fault.
    pub(crate) failed: bool,
    /// It was kept.
    pub(crate) kept: bool,
}

/// Noise of single replicates and the observations.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) observations: Vec<Observation>,
    /// Standard deviation of the metric between replicates of the baseline.
    pub(crate) noise: f64,
    /// The same of each gate's margin.
    pub(crate) margin_noise: Vec<f64>,
    /// The baseline's mean.
    pub(crate) baseline: f64,
    /// Trials that have an edit and have not ended, with their first parents.
    running: Vec<(Arc<Made>, TrialNo)>,
}

impl History {
    /// Reads what is known; the memo has the points.
    pub(crate) fn read(study: &Study, memo: &Memo) -> Self {
        let task = study.task();
        let metric = &task.metric;
        let baseline = study.trial(TrialNo::BASELINE);
        let values = baseline.map_or_else(Vec::new, |trial| measured(study, trial, &metric.name));
        let (mean, noise) = mean_and_deviation(&values);
        let margin_noise = task
            .gates
            .iter()
            .map(|gate| {
                let values =
                    baseline.map_or_else(Vec::new, |trial| measured(study, trial, &gate.metric));
                mean_and_deviation(&values).1
            })
            .collect();
        let (trials, keeps) = (study.trials(), study.keeps());
        let count = trials.len();
        let places = (0..count.min(FIRST)).chain(count.saturating_sub(LAST)..count);
        let mut read: BTreeSet<TrialNo> =
            places.filter_map(|place| trials.get(place)).map(|trial| trial.no).collect();
        read.extend(keeps.iter().skip(keeps.len().saturating_sub(KEEPS)));
        let observations = read
            .into_iter()
            .filter_map(|no| study.trial(no))
            .filter_map(|trial| observe(study, trial, memo.made(trial)?, mean))
            .collect();
        let running = study
            .open_trials()
            .iter()
            .filter_map(|no| study.trial(*no))
            .filter_map(|trial| Some((memo.made(trial)?, *trial.parents().first()?)))
            .collect();
        Self { observations, noise, margin_noise, baseline: mean, running }
    }

    /// Takes in a trial of another proposer, whose point was found by reading its tree.
    pub(crate) fn place(&mut self, study: &Study, no: TrialNo, point: Point) {
        let made = Arc::new(Made { point, family: String::new() });
        let observed = study.trial(no).and_then(|trial| observe(study, trial, made, self.baseline));
        if let (Some(observed), Err(at)) =
            (observed, self.observations.binary_search_by_key(&no, |seen| seen.no))
        {
            self.observations.insert(at, observed);
        }
    }

    /// The observation of a trial.
    pub(crate) fn of(&self, no: TrialNo) -> Option<&Observation> {
        self.observations
            .binary_search_by_key(&no, |seen| seen.no)
            .ok()
            .map(|i| &self.observations[i])
    }

    /// Gain of an observation over its own parent.
    pub(crate) fn over_parent(&self, seen: &Observation) -> Option<f64> {
        Some(seen.gain?.0 - self.of(seen.parent)?.gain?.0)
    }

    /// Points of the trials under way.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Point> {
        self.running.iter().map(|(made, _)| &made.point)
    }

    /// Range of positions measured along each axis; the baseline lies at 0.
    pub(crate) fn ranges(&self, axes: &BTreeMap<String, Axis>) -> BTreeMap<String, (f64, f64)> {
        let mut ranges = BTreeMap::new();
        for (id, value) in self.observations.iter().flat_map(|seen| &seen.made.point.knobs) {
            if let (Some(axis), Some(value)) = (axes.get(id), value.number()) {
                let at = axis.position(value);
                let (low, high) = ranges.entry(id.clone()).or_insert((0.0_f64, 0.0_f64));
                (*low, *high) = (low.min(at), high.max(at));
            }
        }
        ranges
    }

    /// How often each knob has been moved away from the trial's parent, in running trials too, so that parallel
    /// screening does not repeat itself.
    pub(crate) fn moved(&self) -> BTreeMap<String, u32> {
        let nothing = Point::default();
        let mut counts = BTreeMap::new();
        let ended = self.observations.iter().map(|seen| (&seen.made, seen.parent));
        let running = self.running.iter().map(|(made, parent)| (made, *parent));
        for (made, parent) in ended.chain(running) {
            let parent = self.of(parent).map_or(&nothing, |parent| &parent.made.point);
            for (id, ..) in made.point.differing(parent) {
                *counts.entry(id.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

fn observe(study: &Study, trial: &Trial, made: Arc<Made>, baseline: f64) -> Option<Observation> {
    let outcome = trial.outcome.as_ref()?;
    let (failed, kept) = match outcome {
        Outcome::Valid { verdict, .. } => {
            (false, matches!(verdict, Verdict::Keep | Verdict::Baseline))
        }
        Outcome::Failed(failure) => match failure.blame {
            // Nothing was learned about the idea.
            Blame::Evaluator | Blame::Infra | Blame::Edit => return None,
            Blame::Recipe | Blame::Gate | Blame::Budget | Blame::Validity => (true, false),
        },
    };
    let task = study.task();
    let values = measured(study, trial, &task.metric.name);
    let gain = (!values.is_empty())
        .then(|| (task.metric.goal.gain(mean_and_deviation(&values).0, baseline), values.len()));
    let margins = task
        .gates
        .iter()
        .map(|gate| {
            let values = measured(study, trial, &gate.metric);
            (!values.is_empty()).then(|| gate.margin(mean_and_deviation(&values).0))
        })
        .collect();
    let parent = trial.parents().first().copied().unwrap_or(TrialNo::BASELINE);
    Some(Observation { no: trial.no, made, parent, gain, margins, failed, kept })
}

/// Values on the search split from this segment's search replicates, also of replicates that failed later on: what a
/// gate rejected was still measured.
fn measured(study: &Study, trial: &Trial, metric: &str) -> Vec<f64> {
    trial
        .replicates
        .iter()
        .filter(|held| held.purpose == Purpose::Search && held.segment == study.segment())
        .filter_map(|held| {
            held.result
                .as_ref()?
                .measurements
                .iter()
                .find(|m| m.metric == metric && m.split == Split::Search)
                .map(|m| m.value)
        })
        .collect()
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len().max(2) - 1) as f64).sqrt())
}
