//! One trial against the champion of the moment: the evidence that both doors read.

use empiric_core::{
    Gate, Noise, Outcome, Purpose, Replicate, Sample, Split, Study, Trial, TrialNo, Verdict,
};

use crate::{
    ablate, confirm, items,
    noise::{self, in_time},
    places::Places,
    step::baseline_replicates,
};

/// How many measurements of a champion, the latest, a trial is compared with where those of different times differ.
const WINDOW: u32 = 3;

/// How many trials may end before such a champion is measured again, as often, for the next.
const SCHEDULE: u32 = 10;

/// Where in the search stream those measurements lie: far from the places that trials share.
const RECHECKS: u32 = 1 << 16;

#[derive(Debug)]
pub(crate) struct Contest<'a> {
    /// The whole study, all arms of it.
    pub(crate) whole: &'a Study,
    pub(crate) study: &'a Study,
    pub(crate) trial: &'a Trial,
    pub(crate) champion: &'a Trial,
    /// The baseline's search replicates: the noise of metric and gates.
    pub(crate) baseline: Places<'a>,
    /// The trial's search replicates, those of an undecided earlier trial with its tree among them.
    pub(crate) search: Places<'a>,
    /// How many of them, from the first on, are the earlier trial's.
    pub(crate) inherited: u32,
    /// Where the two meet on fresh seeds.
    pub(crate) arena: Arena<'a>,
    /// Whether measurements of different times are not comparable.
    pub(crate) unsteady: bool,
    /// How much worse the trial may be, where it takes something of the champion away.
    pub(crate) margin: Option<f64>,
}

/// The fresh seeds on which a trial meets its champion.
#[derive(Debug)]
pub(crate) struct Arena<'a> {
    /// Whether anything has been leased on them.
    pub(crate) open: bool,
    /// Whose stream of seeds it is.
    pub(crate) stream: TrialNo,
    /// The first place.
    pub(crate) from: u32,
    /// The places whose error it may spend.
    pub(crate) shares: Vec<u32>,
    /// The noise known when it was opened.
    pub(crate) noise: Noise,
    /// The trial's replicates.
    pub(crate) own: Places<'a>,
    /// The champion's.
    pub(crate) champion: Places<'a>,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(
        study: &'a Study,
        trial: &'a Trial,
        champion: &'a Trial,
        baseline: &'a Trial,
    ) -> Self {
        let mut search = Places::of(study, trial, Purpose::Search);
        let mut inherited = 0;
        if let Some(earlier) = earlier(study, trial) {
            let theirs = Places::of(study, earlier, Purpose::Search);
            inherited = theirs.run();
            search.pool(&theirs);
        }
        let unsteady = noise::unsteady(study);
        Self {
            whole: study,
            study,
            trial,
            champion,
            baseline: Places::of(study, baseline, Purpose::Search),
            search,
            inherited,
            arena: Arena::new(study, trial, champion, unsteady),
            unsteady,
            margin: ablate::margin(study, trial),
        }
    }

    /// The noise floor: baseline places that must be there before anything is compared.
    pub(crate) fn noise_places(&self) -> std::ops::Range<u32> {
        0..baseline_replicates(self.study)
    }

    pub(crate) fn champion_places(&self, purpose: Purpose) -> Places<'a> {
        Places::of(self.study, self.champion, purpose)
    }

    /// What of the champion must be measured before this trial's first `reach` search replicates can be judged.
    pub(crate) fn champion_search(&self, reach: u32) -> std::ops::Range<u32> {
        let due = self.study.spent_trials() / SCHEDULE;
        match (self.unsteady, due) {
            (false, _) => 0..reach,
            (true, 0) => 0..0,
            (true, due) => {
                let from = RECHECKS.saturating_add(due.saturating_mul(WINDOW));
                from..from.saturating_add(WINDOW)
            }
        }
    }

    /// The champion's level: scores that it was not selected for, the latest of all where time matters.
    pub(crate) fn level(&self) -> Sample {
        let champion = self.champion;
        let of = |scores: Vec<f64>| (!scores.is_empty()).then(|| Sample::of(&scores));
        let latest = self.unsteady.then(|| {
            let values = in_time(self.study, champion).rev().filter_map(|(_, value)| value);
            of(values
                .take(WINDOW as usize)
                .map(|value| self.study.task().metric.goal.gain(value, 0.0))
                .collect())
        });
        let unselected = || of(unselected(self.study, champion).collect());
        latest.flatten().or_else(unselected).unwrap_or_else(|| all(self.study, champion.no))
    }

    /// Whether the metric is deterministic, this trial's tree included.
    pub(crate) fn deterministic(&self) -> bool {
        let mut own = self.search.usable_in(..).filter_map(|(_, replicate)| self.score(replicate));
        let first = own.next();
        noise::deterministic(self.study) && own.all(|score| Some(score) == first)
    }

    pub(crate) fn score(&self, replicate: &Replicate) -> Option<f64> {
        score(self.study, replicate, Split::Select)
    }

    pub(crate) fn gates(&self) -> &'a [Gate] {
        &self.study.task().gates
    }

    /// Usable replicates of the baseline for the noise of gates.
    pub(crate) fn baseline_replicates(&self) -> Vec<&'a Replicate> {
        self.baseline.usable_in(..).map(|(_, replicate)| replicate).collect()
    }

    /// Differences by item over the places in `range` where both have a replicate; none where they are not scored by item.
    pub(crate) fn items(
        &self,
        own: &Places<'a>,
        champion: &Places<'a>,
        range: std::ops::Range<u32>,
    ) -> Option<Vec<f64>> {
        let pairs: Vec<_> = own
            .usable_in(range)
            .filter_map(|(index, replicate)| Some((replicate, champion.usable(index)?)))
            .collect();
        items::differences(&pairs, self.study.task().metric.goal.gain(1.0, 0.0))
    }

    /// Scores of trial and champion at the places in `range` where both have one.
    pub(crate) fn pairs(
        &self,
        own: &Places<'a>,
        champion: &Places<'a>,
        range: std::ops::Range<u32>,
    ) -> Vec<(f64, f64)> {
        own.usable_in(range)
            .filter_map(|(index, replicate)| {
                Some((self.score(replicate)?, self.score(champion.usable(index)?)?))
            })
            .collect()
    }
}

impl<'a> Arena<'a> {
    /// Where the two meet, or would. A challenger comes to its champion's stream, so that the champion is measured once
    /// for all its challengers; where time matters the champion comes to the challenger's, to be measured beside it.
    fn new(study: &Study, trial: &'a Trial, champion: &'a Trial, unsteady: bool) -> Self {
        let opened = study.contest(trial.no, champion.no);
        let stream = match opened {
            Some(contest) => contest.stream,
            None if unsteady => trial.no,
            None => champion.no,
        };
        let purpose = Purpose::Confirm { of: stream };
        let own = Places::of(study, trial, purpose);
        let champion = Places::of(study, champion, purpose);
        // Which hunks can go was chosen by what the champion's seeds so far said.
        let fresh = if ablate::joint(trial) { champion.end() } else { own.end() };
        Self {
            open: opened.is_some(),
            stream,
            from: opened.map_or(fresh, |contest| contest.from),
            shares: opened.map_or_else(|| study.next_shares(), |contest| contest.shares.clone()),
            noise: opened.map_or_else(|| study.noise(), |contest| contest.noise),
            own,
            champion,
        }
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

/// Scores of all that verdicts see of a trial in the segment in force.
pub(crate) fn all(study: &Study, no: TrialNo) -> Sample {
    let values = study.spread(no);
    Sample { mean: study.task().metric.goal.gain(values.mean, 0.0), ..values }
}

/// The first place in a kept trial's own stream that it was not kept for.
fn first_unselected(study: &Study, trial: TrialNo) -> u32 {
    let won = study.won(trial).and_then(|won| study.contest(trial, won.over));
    won.filter(|contest| contest.stream == trial)
        .map_or(0, |contest| gain_from(study, contest.from))
}

/// Where in a challenger's own stream its gain is estimated if it was confirmed there too, from `from` on.
pub(crate) fn gain_from(study: &Study, from: u32) -> u32 {
    from.saturating_add(confirm::most(&study.settings().rules))
}

/// Scores of a believed trial that had no part in its being kept, in the segment in force.
pub(crate) fn unselected<'a>(study: &'a Study, trial: &'a Trial) -> impl Iterator<Item = f64> {
    let chosen = trial.no != TrialNo::BASELINE;
    let first = first_unselected(study, trial.no);
    let counts = move |replicate: &Replicate| match replicate.purpose {
        Purpose::Search => !chosen,
        Purpose::Confirm { of } => !chosen || (of == trial.no && replicate.index >= first),
        Purpose::Audit { .. } | Purpose::Report => false,
    };
    let scored = in_time(study, trial).filter(move |(replicate, _)| counts(replicate));
    let goal = study.task().metric.goal;
    scored.filter_map(move |(_, value)| Some(goal.gain(value?, 0.0)))
}
