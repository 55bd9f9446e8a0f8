//! One trial against the champion of the moment: the evidence that both doors read.

use empiric_core::{Gate, Outcome, Purpose, Replicate, Split, Study, Trial, Verdict};

use crate::{
    places::Places,
    stats::{Noise, Sample},
    step::baseline_replicates,
};

#[derive(Debug)]
pub(crate) struct Contest<'a> {
    pub(crate) study: &'a Study,
    pub(crate) trial: &'a Trial,
    pub(crate) champion: &'a Trial,
    /// The baseline's search replicates: the noise of metric and gates.
    pub(crate) baseline: Places<'a>,
    /// The trial's search replicates, those of an undecided earlier trial with its tree among them.
    pub(crate) search: Places<'a>,
    /// How many of them, from the first on, are the earlier trial's.
    pub(crate) inherited: u32,
    /// The trial's replicates on its own fresh seeds.
    pub(crate) confirm: Places<'a>,
    scores: Scores,
}

/// Scores of everything but the closing comparison, in the segment in force.
#[derive(Debug)]
struct Scores {
    own: Vec<f64>,
    champion: Vec<f64>,
    baseline: Vec<f64>,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(
        study: &'a Study,
        trial: &'a Trial,
        champion: &'a Trial,
        baseline: &'a Trial,
    ) -> Self {
        let mut search = Places::of(study, trial, Purpose::Search);
        let mut own = scores(study, trial);
        let mut inherited = 0;
        if let Some(earlier) = earlier(study, trial) {
            let theirs = Places::of(study, earlier, Purpose::Search);
            inherited = theirs.run();
            search.pool(&theirs);
            own.extend(scores(study, earlier));
        }
        Self {
            study,
            trial,
            champion,
            baseline: Places::of(study, baseline, Purpose::Search),
            search,
            inherited,
            confirm: Places::of(study, trial, Purpose::Confirm { of: trial.no }),
            scores: Scores {
                own,
                champion: scores(study, champion),
                baseline: scores(study, baseline),
            },
        }
    }

    /// The noise floor: baseline places that must be there before anything is compared.
    pub(crate) fn noise_places(&self) -> std::ops::Range<u32> {
        0..baseline_replicates(self.study)
    }

    pub(crate) fn champion_places(&self, purpose: Purpose) -> Places<'a> {
        Places::of(self.study, self.champion, purpose)
    }

    pub(crate) fn champion_scores(&self) -> &[f64] {
        &self.scores.champion
    }

    /// Noise of repeated measurement of baseline and champion.
    pub(crate) fn noise(&self) -> Noise {
        noise(&self.scores.baseline, self.other_champion())
    }

    /// Whether baseline, champion and trial have each given one value only, at every seed.
    pub(crate) fn deterministic(&self) -> bool {
        deterministic(&self.scores.baseline, self.other_champion()) && constant(&self.scores.own)
    }

    fn other_champion(&self) -> Option<&[f64]> {
        (self.champion.no != empiric_core::TrialNo::BASELINE)
            .then_some(self.scores.champion.as_slice())
    }

    pub(crate) fn score(&self, replicate: &Replicate) -> Option<f64> {
        score(self.study, replicate, Split::Select)
    }

    pub(crate) fn gates(&self) -> &'a [Gate] {
        &self.study.task().gates
    }

    /// Usable replicates of the baseline for the noise of gates.
    pub(crate) fn baseline_replicates(&self) -> Vec<&'a Replicate> {
        self.baseline.usable_below(u32::MAX).map(|(_, replicate)| replicate).collect()
    }

    /// Scores of trial and champion at the places below `end` where both have one.
    pub(crate) fn pairs(
        &self,
        own: &Places<'a>,
        champion: &Places<'a>,
        end: u32,
    ) -> Vec<(f64, f64)> {
        own.usable_below(end)
            .filter_map(|(index, replicate)| {
                Some((self.score(replicate)?, self.score(champion.usable(index)?)?))
            })
            .collect()
    }
}

/// The first trial with this one's tree, if the evidence did not decide it.
fn earlier<'a>(study: &'a Study, trial: &Trial) -> Option<&'a Trial> {
    let first = study.with_tree(trial.edit.as_ref()?.tree).filter(|no| *no != trial.no)?;
    let undecided = |trial: &&Trial| {
        matches!(trial.outcome, Some(Outcome::Valid { verdict: Verdict::Inconclusive, .. }))
    };
    study.trial(first).map(|trial| &**trial).filter(undecided)
}

/// The value of the task's metric as a score: larger is better.
pub(crate) fn score(study: &Study, replicate: &Replicate, split: Split) -> Option<f64> {
    let metric = &study.task().metric;
    Some(metric.goal.gain(replicate.value(&metric.name, split)?, 0.0))
}

/// A trial's scores from everything but the closing comparison, in the segment in force.
pub(crate) fn scores(study: &Study, trial: &Trial) -> Vec<f64> {
    trial
        .replicates
        .iter()
        .filter(|replicate| replicate.segment == study.segment())
        .filter(|replicate| replicate.purpose != Purpose::Report)
        .filter_map(|replicate| score(study, replicate, Split::Select))
        .collect()
}

/// Spread within the baseline and within a champion that is another trial.
pub(crate) fn noise(baseline: &[f64], champion: Option<&[f64]>) -> Noise {
    let noise = Noise::default().with(&Sample::of(baseline));
    champion.map_or(noise, |champion| noise.with(&Sample::of(champion)))
}

/// Whether the metric has shown no noise: every seed gave one value, and there were enough to tell.
pub(crate) fn deterministic(baseline: &[f64], champion: Option<&[f64]>) -> bool {
    baseline.len() >= crate::MIN_BASELINE as usize
        && constant(baseline)
        && champion.is_none_or(constant)
}

fn constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
}
