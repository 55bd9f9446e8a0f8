//! The score curve: every trial's search score, the best confirmed so far, and the noise of one replicate.
//!
//! What is drawn, whoever draws it: the page, the terminal, a program that reads the report's JSON.

use std::collections::BTreeSet;

use empiric_core::{Goal, Purpose, Replicate, Split, Study, Trial, TrialNo};
use empiric_decide::stats::{Estimate, Sample};
use serde::Serialize;

use crate::Mark;

/// Kept trials up to which each shows its interval.
pub(crate) const WHISKERS: usize = 60;

/// The scores of a study's trials.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The last trial's number; at least 1.
    pub last: u32,
    /// Measured trials but for kept ones.
    pub dots: Vec<Dot>,
    /// Failed trials.
    pub failed: Vec<TrialNo>,
    /// The baseline's level and noise, by segment.
    pub bands: Vec<Band>,
    /// Kept trials.
    pub kept: Vec<Kept>,
    /// The best confirmed level.
    pub levels: Vec<Level>,
    /// First trials of later segments; values left and right of one cannot be compared.
    pub seams: Vec<u32>,
    /// Lowest and highest value drawn in its place; none when nothing was measured.
    pub limits: Option<[f64; 2]>,
    /// Values beyond the limits.
    pub beyond: usize,
}

/// A measured trial.
#[derive(Debug, Clone, Serialize)]
pub struct Dot {
    /// The trial.
    pub no: TrialNo,
    /// What became of it.
    pub mark: Mark,
    /// Mean on the search split.
    pub score: f64,
    /// Replicates that it is of.
    pub n: usize,
}

/// The baseline within one segment, from one trial to another.
#[derive(Debug, Clone, Serialize)]
pub struct Band {
    /// The segment's first trial.
    pub from: u32,
    /// The first trial of the next, or the last of all.
    pub to: u32,
    /// Mean of the baseline.
    pub mean: f64,
    /// Standard deviation of one replicate.
    pub sd: f64,
}

/// A kept trial.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The trial.
    pub no: TrialNo,
    /// The search score that it was noticed for.
    pub score: Option<f64>,
    /// Its mean on fresh seeds.
    pub mean: f64,
    /// 95 % interval of that mean.
    pub interval: Option<[f64; 2]>,
    /// Fresh seeds.
    pub n: usize,
}

/// The best confirmed level from one trial on.
#[derive(Debug, Clone, Serialize)]
pub struct Level {
    /// The trial.
    pub from: u32,
    /// The level; none where it is not known.
    pub mean: Option<f64>,
}

/// A trial's mean on the search split, as proposers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored {
    pub(crate) mean: f64,
    pub(crate) n: usize,
    /// The segment that it was measured in first; other segments' values are not mixed in.
    pub(crate) segment: u32,
}

/// The search score of `trial`.
pub(crate) fn scored(study: &Study, trial: &Trial) -> Option<Scored> {
    let metric = &study.task().metric.name;
    let search = |replicate: &&Replicate| replicate.purpose == Purpose::Search;
    let mut usable =
        trial.replicates.iter().filter(search).filter_map(|replicate| {
            Some((replicate.segment, replicate.value(metric, Split::Search)?))
        });
    let (segment, first) = usable.next()?;
    let rest = usable.filter(|(other, _)| *other == segment).map(|(_, value)| value);
    let values: Vec<f64> = std::iter::once(first).chain(rest).collect();
    let sample = Sample::of(&values);
    sample.mean.is_finite().then_some(Scored { mean: sample.mean, n: sample.n, segment })
}

/// Values of `trial` from its own confirmation.
pub(crate) fn confirmed(study: &Study, trial: &Trial, split: Split) -> Sample {
    let own = |replicate: &&Replicate| replicate.purpose == Purpose::Confirm { of: trial.no };
    let Some(segment) = trial.replicates.iter().rfind(own).map(|last| last.segment) else {
        return Sample::of(&[]);
    };
    let purpose = Purpose::Confirm { of: trial.no };
    let values = trial.values(&study.task().metric.name, split, purpose, segment);
    Sample::of(&values.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
}

/// Splits that the baseline has values of the metric on.
pub(crate) fn splits(study: &Study) -> BTreeSet<Split> {
    let metric = &study.task().metric.name;
    let replicates = study.trial(TrialNo::BASELINE).map(|trial| &trial.replicates);
    replicates
        .into_iter()
        .flatten()
        .filter_map(|replicate| replicate.result.as_ref())
        .flat_map(|result| &result.measurements)
        .filter(|measurement| measurement.metric == *metric)
        .map(|measurement| measurement.split)
        .collect()
}

impl Curve {
    /// The curve of `study`.
    #[must_use]
    pub fn of(study: &Study) -> Self {
        let mut curve = Self {
            last: study.next_trial().0.saturating_sub(1).max(1),
            dots: Vec::new(),
            failed: Vec::new(),
            bands: Vec::new(),
            kept: Vec::new(),
            levels: Vec::new(),
            seams: Vec::new(),
            limits: None,
            beyond: 0,
        };
        let mut segments = vec![(0_u32, 0_u32)];
        for trial in study.trials() {
            let mark = Mark::of(trial);
            let scored = scored(study, trial);
            if let (Some(scored), Some((current, _))) = (scored, segments.last())
                && scored.segment > *current
            {
                segments.push((scored.segment, trial.no.0));
                curve.seams.push(trial.no.0);
            }
            match (mark, scored) {
                (Mark::Failed, _) => curve.failed.push(trial.no),
                (Mark::Keep, _) | (_, None) => {}
                (_, Some(scored)) => {
                    curve.dots.push(Dot { no: trial.no, mark, score: scored.mean, n: scored.n })
                }
            }
        }
        curve.kept = study.keeps().iter().filter_map(|no| kept(study, *no)).collect();
        let ends = segments.iter().skip(1).map(|(_, from)| *from).chain([curve.last]);
        for (&(segment, from), to) in segments.iter().zip(ends) {
            curve.enter(study, segment, from, to);
        }
        curve.limit(study.task().metric.goal);
        curve
    }

    /// Adds band and levels of `segment`, whose trials are `from..to`.
    fn enter(&mut self, study: &Study, segment: u32, from: u32, to: u32) {
        let metric = &study.task().metric.name;
        let values = |no: TrialNo, purpose: Purpose| -> Sample {
            let values = study.trial(no).map_or_else(Vec::new, |trial| {
                trial.values(metric, Split::Search, purpose, segment)
            });
            Sample::of(&values.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
        };
        let baseline = values(TrialNo::BASELINE, Purpose::Search);
        if baseline.n > 0 {
            let sd = baseline.sd().unwrap_or(0.0);
            self.bands.push(Band { from, to, mean: baseline.mean, sd });
        }
        let level = |no: TrialNo| {
            let fresh = values(no, Purpose::Confirm { of: no });
            let sample = if fresh.n > 0 { fresh } else { values(no, Purpose::Search) };
            (sample.n > 0).then_some(sample.mean)
        };
        let leading = study.in_front();
        let keeps = leading.keeps();
        let before = keeps.iter().rfind(|no| no.0 < from).copied().unwrap_or(TrialNo::BASELINE);
        self.levels.push(Level { from, mean: level(before) });
        let mut at = from;
        for no in keeps.iter().filter(|no| (from.max(1)..to.saturating_add(1)).contains(&no.0)) {
            // keeps are in the order of their conclusions, which may cross that of their numbers
            at = at.max(no.0);
            self.levels.push(Level { from: at, mean: level(*no) });
        }
    }

    /// Chooses limits that all keeps and the noise band fit into, and most trials: beyond the outer fences (Tukey 1977:
    /// three interquartile ranges) and farther on the worse side than what was gained, values are drawn at the edge.
    fn limit(&mut self, goal: Goal) {
        let mut core: Vec<f64> = self
            .kept
            .iter()
            .flat_map(|kept| {
                let ends =
                    kept.interval.filter(|_| self.kept.len() <= WHISKERS).unwrap_or([kept.mean; 2]);
                [Some(kept.mean), kept.score, Some(ends[0]), Some(ends[1])]
            })
            .flatten()
            .collect();
        core.extend(self.bands.iter().flat_map(|b| [b.mean - 2.0 * b.sd, b.mean + 2.0 * b.sd]));
        let mut scores: Vec<f64> = self.dots.iter().map(|dot| dot.score).collect();
        scores.sort_by(f64::total_cmp);
        let at = |share: f64| scores.get((share * scores.len().saturating_sub(1) as f64) as usize);
        let (Some(q1), Some(q3)) = (at(0.25).copied(), at(0.75).copied()) else {
            self.limits = span(&core);
            return;
        };
        let fence = 3.0 * (q3 - q1);
        let mut near = [q1 - fence, q3 + fence];
        if let (Some([low, high]), false) = (span(&core), self.kept.is_empty()) {
            let reach = 1.2 * (high - low);
            match goal {
                Goal::Minimize => near[1] = near[1].min(high + reach),
                Goal::Maximize => near[0] = near[0].max(low - reach),
            }
        }
        core.extend(scores.iter().filter(|score| (near[0]..=near[1]).contains(score)));
        self.limits = span(&core).or_else(|| span(&scores)).map(|[low, high]| {
            let margin = 0.04 * (high - low);
            [low - margin, high + margin]
        });
        if let Some([low, high]) = self.limits {
            self.beyond = scores.iter().filter(|score| !(low..=high).contains(*score)).count();
        }
    }
}

fn kept(study: &Study, no: TrialNo) -> Option<Kept> {
    let trial = study.trial(no)?;
    let score = scored(study, trial);
    let fresh = confirmed(study, trial, Split::Search);
    let mean = if fresh.n > 0 { fresh.mean } else { score?.mean };
    Some(Kept {
        no,
        score: score.map(|scored| scored.mean),
        mean,
        interval: Estimate::of(&fresh, 0.95).interval,
        n: fresh.n,
    })
}

/// Lowest and highest; none of nothing.
fn span(values: &[f64]) -> Option<[f64; 2]> {
    let low = values.iter().copied().filter(|value| value.is_finite()).reduce(f64::min)?;
    let high = values.iter().copied().filter(|value| value.is_finite()).reduce(f64::max)?;
    Some([low, high])
}
