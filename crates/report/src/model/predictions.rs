//! Predictions were registered before the runs. How often were they right?

use std::collections::BTreeMap;

use empiric_core::{Operator, Prediction, Purpose, Split, Study, Trial, TrialNo, trial::Direction};
use empiric_decide::stats::{Sample, normal_point};
use serde::Serialize;

use crate::{
    Mark, curve,
    page::text::{counted, share},
};

/// Noise standard deviations of a change beyond which it is called clear.
pub(crate) const CLEAR: f64 = 2.0;

/// Predictions against what came.
#[derive(Debug, Clone, Serialize)]
pub struct Predictions {
    /// How many were registered.
    pub registered: usize,
    /// Those that can be compared with what came.
    pub checked: Vec<Checked>,
    /// How many of them had the direction right.
    pub right: usize,
    /// 95 % interval of that share, per cent; absent when none was checked.
    pub right_interval: Option<[f64; 2]>,
    /// How many moved by more than noise explains.
    pub clear: usize,
    /// How many of those had the direction right.
    pub clear_right: usize,
}

/// A prediction that can be compared with what came.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The trial.
    pub trial: TrialNo,
    /// What became of it.
    pub mark: Mark,
    /// How its edit came about.
    pub operator: Operator,
    /// The metric that was spoken of.
    pub metric: String,
    /// The predicted change with its sign, where a size was given.
    pub predicted: Option<f64>,
    /// The change that came.
    pub came: f64,
    /// Whether the direction was right.
    pub right: bool,
    /// Whether it moved by more than noise explains.
    pub clear: bool,
}

impl Predictions {
    /// In words.
    pub(crate) fn words(&self) -> String {
        let registered = counted(self.registered, "prediction");
        let n = self.checked.len();
        let Some([low, high]) = self.right_interval else {
            return format!("{registered} registered, none of them measured beside its parent.");
        };
        let clear = if self.clear == 0 {
            String::new()
        } else {
            format!(" ({})", share(self.clear_right, self.clear))
        };
        format!(
            "{registered} registered before the run; {n} measured beside the first parent on the same search seeds. The \
             direction was right in **{} of {n} ({})**, 95 % interval {low:.0} to {high:.0} %. Of the {} that moved by more \
             than noise explains it was right in **{}{clear}**. A coin gets half of all rises and falls right; a prediction \
             that nothing moves is right within noise, which is {CLEAR} standard deviations of such a difference.",
            self.right,
            share(self.right, n),
            self.clear,
            self.clear_right,
        )
    }
}

/// How far a metric moved from a trial's first parent to the trial.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Came {
    /// How far.
    pub change: f64,
    /// Search seeds that both were measured on.
    pub n: usize,
}

/// How far `metric` moved, over the search seeds that trial and first parent share.
pub(crate) fn came(study: &Study, trial: &Trial, metric: &str) -> Option<Came> {
    let parent = study.trial(*trial.parents().first()?)?;
    let segment = curve::scored(study, trial)?.segment;
    let values = |trial: &Trial| -> BTreeMap<_, _> {
        trial.values(metric, Split::Search, Purpose::Search, segment).into_iter().collect()
    };
    let before = values(parent);
    let changes: Vec<f64> = values(trial)
        .into_iter()
        .filter_map(|(seed, value)| Some(value - before.get(&seed)?))
        .collect();
    let sample = Sample::of(&changes);
    (sample.n > 0 && sample.mean.is_finite()).then_some(Came { change: sample.mean, n: sample.n })
}

pub(crate) fn predictions(study: &Study) -> Predictions {
    let registered = study.trials().iter().filter(|trial| prediction(trial).is_some()).count();
    let checked = checked(study);
    let right = checked.iter().filter(|found| found.right).count();
    let clear = checked.iter().filter(|found| found.clear).count();
    let clear_right = checked.iter().filter(|found| found.clear && found.right).count();
    let right_interval = (!checked.is_empty()).then(|| wilson(right, checked.len()));
    Predictions { registered, right, right_interval, clear, clear_right, checked }
}

fn prediction(trial: &Trial) -> Option<&Prediction> {
    trial.edit.as_ref()?.hypothesis.prediction.as_ref()
}

fn checked(study: &Study) -> Vec<Checked> {
    let mut noise: BTreeMap<&str, f64> = BTreeMap::new();
    let mut found = Vec::new();
    for trial in study.trials() {
        let Some(prediction) = prediction(trial) else { continue };
        let Some(came) = came(study, trial, &prediction.metric) else { continue };
        let sd =
            *noise.entry(&prediction.metric).or_insert_with(|| spread(study, &prediction.metric));
        let clear = came.change.abs() > CLEAR * sd * (2.0 / came.n as f64).sqrt();
        let right = match prediction.direction {
            Direction::Increase => came.change > 0.0,
            Direction::Decrease => came.change < 0.0,
            Direction::Unchanged => !clear,
        };
        found.push(Checked {
            trial: trial.no,
            mark: Mark::of(trial),
            operator: trial.edit.as_ref().map_or(trial.ask.operator, |edit| edit.operator),
            metric: prediction.metric.clone(),
            predicted: predicted_change(prediction),
            came: came.change,
            right,
            clear,
        });
    }
    found
}

/// Standard deviation of one baseline replicate of `metric`.
fn spread(study: &Study, metric: &str) -> f64 {
    let values = study.trial(TrialNo::BASELINE).map_or_else(Vec::new, |trial| {
        trial.values(metric, Split::Search, Purpose::Search, study.segment())
    });
    let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
    Sample::of(&values).sd().unwrap_or(0.0)
}

/// Wilson's 95 % interval of a share, per cent (Wilson 1927, J. Am. Stat. Assoc. 22).
fn wilson(part: usize, whole: usize) -> [f64; 2] {
    let (n, p, z) = (whole as f64, part as f64 / whole as f64, normal_point(0.025));
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let reach = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [middle - reach, middle + reach].map(|share| (100.0 * share).clamp(0.0, 100.0))
}

/// The predicted change with its sign, where a size was given.
fn predicted_change(prediction: &Prediction) -> Option<f64> {
    let size = prediction.size.filter(|size| size.is_finite())?.abs();
    match prediction.direction {
        Direction::Increase => Some(size),
        Direction::Decrease => Some(-size),
        Direction::Unchanged => Some(0.0),
    }
}
