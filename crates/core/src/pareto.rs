//! The Pareto archive of a task with several objectives: valid trials that no other one beats.

use imbl::{OrdMap, OrdSet};

use crate::{Event, Metric, Outcome, Purpose, Record, Sample, Split, Task, Trial, TrialNo};

/// Most trials in the archive; beyond, the one that most others look better than is dropped.
const MEMBERS: usize = 64;

/// How many standard errors an interval reaches to either side: about 95 %.
const REACH: f64 = 2.0;

/// A trial's value on one objective, in the objective's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The mean over its replicates on the select split.
    pub mean: f64,
    /// The mean less two standard errors, from the spread of the baseline's replicates.
    pub low: f64,
    /// The mean and two standard errors.
    pub high: f64,
    /// Replicates.
    pub n: usize,
}

/// The archive. Empty where a task has one objective.
#[derive(Debug, Clone, Default)]
pub struct Pareto {
    samples: OrdMap<TrialNo, Vec<Sample>>,
    members: OrdSet<TrialNo>,
}

impl Pareto {
    /// Takes in an event that fits; `trial` is the one it speaks of, after it.
    pub(crate) fn take(
        &mut self,
        task: &Task,
        segment: u32,
        record: &Record,
        trial: Option<&Trial>,
    ) {
        if task.objectives.is_empty() {
            return;
        }
        match (&record.event, trial) {
            // Values of different segments are not compared.
            (Event::SegmentOpened { .. }, _) => *self = Self::default(),
            (Event::Measured { replicate, .. }, Some(trial)) => {
                let found = trial.replicates.iter().rfind(|held| held.id == *replicate);
                let found =
                    found.filter(|held| held.segment == segment && held.purpose != Purpose::Report);
                let values = task.all_objectives().map(|objective| {
                    found.and_then(|held| held.value(&objective.name, Split::Select))
                });
                if let Some(values) = values.collect::<Option<Vec<f64>>>() {
                    let held = self.samples.entry(trial.no).or_default();
                    held.resize(values.len(), Sample::default());
                    held.iter_mut().zip(values).for_each(|(held, value)| *held = held.with(value));
                }
            }
            (Event::Concluded { outcome: Outcome::Valid { .. }, .. }, Some(trial)) => {
                self.enter(task, trial.no);
            }
            _ => {}
        }
    }

    /// Whether no objective shows `a` worse and one at least shows it better beyond doubt.
    fn dominates(&self, task: &Task, a: TrialNo, b: TrialNo) -> bool {
        let (Some(own), Some(other)) = (self.point(a), self.point(b)) else { return false };
        let mut surely = false;
        for ((objective, own), other) in task.all_objectives().zip(own).zip(other) {
            if objective.goal.gain(own.mean, other.mean) < 0.0 {
                return false;
            }
            let (worst, best) = match objective.goal {
                crate::Goal::Minimize => (own.high, other.low),
                crate::Goal::Maximize => (own.low, other.high),
            };
            surely |= objective.goal.better(worst, best);
        }
        surely
    }

    fn enter(&mut self, task: &Task, trial: TrialNo) {
        let beaten = self.members.iter().any(|member| self.dominates(task, *member, trial));
        if beaten || !self.samples.contains_key(&trial) {
            return;
        }
        let beats: Vec<TrialNo> = self
            .members
            .iter()
            .copied()
            .filter(|member| self.dominates(task, trial, *member))
            .collect();
        for member in beats {
            self.members.remove(&member);
        }
        self.members.insert(trial);
        if self.members.len() > MEMBERS {
            let worst = self.members.iter().max_by_key(|no| (self.behind(task, **no), **no));
            if let Some(worst) = worst.copied() {
                self.members.remove(&worst);
            }
        }
    }

    /// How many members have means that are all at least as good.
    fn behind(&self, task: &Task, trial: TrialNo) -> usize {
        let Some(own) = self.samples.get(&trial) else { return usize::MAX };
        let ahead = |other: &&TrialNo| {
            let other = self.samples.get(*other).into_iter().flatten();
            task.all_objectives()
                .zip(own)
                .zip(other)
                .all(|((objective, own), other)| objective.goal.gain(other.mean, own.mean) >= 0.0)
        };
        self.members.iter().filter(|other| **other != trial).filter(ahead).count()
    }

    /// Where `trial` is, objective by objective, the task's metric first; none where it was not measured on all of them.
    #[must_use]
    pub fn point(&self, trial: TrialNo) -> Option<Vec<Point>> {
        let samples = self.samples.get(&trial)?;
        let noise = self.samples.get(&TrialNo::BASELINE);
        let point = |(at, sample): (usize, &Sample)| {
            let sd = noise.and_then(|noise| noise.get(at)).and_then(Sample::sd).unwrap_or(0.0);
            let reach = REACH * sd / (sample.n as f64).sqrt();
            Point {
                mean: sample.mean,
                low: sample.mean - reach,
                high: sample.mean + reach,
                n: sample.n,
            }
        };
        Some(samples.iter().enumerate().map(point).collect())
    }

    /// The trials that no other one beats, by number.
    pub fn members(&self) -> impl Iterator<Item = TrialNo> {
        self.members.iter().copied()
    }
}

impl Task {
    /// Everything that is improved, the metric that verdicts are made on first.
    pub fn all_objectives(&self) -> impl Iterator<Item = &Metric> {
        std::iter::once(&self.metric).chain(&self.objectives)
    }
}
