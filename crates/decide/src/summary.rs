//! What a study has found, from replicates that selection did not see.

use empiric_core::{Provenance, Purpose, Split, Study, Trial, TrialNo, study::Rules};

use crate::{
    closing::{Closing, closing},
    compare, confirm,
    contest::{all, score, unselected},
    noise::{NoiseModel, noise},
    places::Places,
    spending,
    stats::{Contrast, Estimate, Sample, normal_point},
    step::MIN_BASELINE,
    words::COVERAGE,
};

/// Power at which [`smallest_effect`] is stated.
const POWER: f64 = 0.8;

/// The share of trials without any effect that come to be confirmed, measured by `cargo xtask bench decide`.
const CONFIRMED: f64 = 0.02;

/// What a study has found so far. Intervals are two-sided, 95 %.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The baseline's metric; none until it has been measured in the segment in force.
    pub baseline: Option<Estimate>,
    /// The noise of one replicate.
    pub noise: NoiseModel,
    /// The champion, where it is not the baseline.
    pub champion: Option<ChampionSummary>,
}

/// The champion against the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionSummary {
    /// The trial.
    pub trial: TrialNo,
    /// Its mean, in the metric's unit.
    pub mean: f64,
    /// Gain over the baseline, positive when better whatever the goal.
    pub gain: f64,
    /// Interval of the gain; none where there are too few replicates for one.
    pub gain_interval: Option<[f64; 2]>,
    /// Who vouches for the metric.
    pub provenance: Provenance,
    /// Which replicates it rests on.
    pub basis: Basis,
}

/// Which replicates a gain rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The closing comparison, paired by seed: nothing was selected on it.
    Report,
    /// The champion's replicates since it was kept and those its gain was estimated from, against all that is known of
    /// the baseline (Welch).
    Confirm,
}

/// What a study has found so far: through an arm, the arm; of the whole study, its leading arm.
#[must_use]
pub fn summary(study: &Study) -> Summary {
    let study = &study.in_front();
    let noise = noise(study);
    let Some(baseline) = study.trial(TrialNo::BASELINE) else {
        return Summary { baseline: None, noise, champion: None };
    };
    let champion = study.trial(study.champion()).filter(|trial| trial.no != TrialNo::BASELINE);
    let known = all(study, TrialNo::BASELINE);
    let compared = champion.and_then(|champion| {
        let floor = if noise.deterministic { 0.0 } else { compare::floor(study.noise()) };
        let (champion, baseline, contrast, basis) = reported(study, champion, baseline, floor)
            .or_else(|| confirmed(study, champion, known))?;
        let contrast = contrast.unwrap_or_else(|| alone(&champion, &baseline, noise.deterministic));
        let finite = contrast.gain.is_finite();
        finite.then_some(Compared { champion, baseline, contrast, basis })
    });
    let reference = compared.as_ref().map_or(known, |found| found.baseline);
    Summary {
        baseline: (reference.n > 0).then(|| in_unit(study, Estimate::of(&reference, COVERAGE))),
        noise,
        champion: compared.map(|found| ChampionSummary {
            trial: study.champion(),
            mean: unit(study, found.champion.mean),
            gain: found.contrast.gain,
            gain_interval: found.contrast.interval(COVERAGE),
            provenance: study.task().provenance(),
            basis: found.basis,
        }),
    }
}

struct Compared {
    champion: Sample,
    baseline: Sample,
    contrast: Contrast,
    basis: Basis,
}

/// Champion, baseline, their contrast where there are enough replicates for one, and what they rest on.
type Evidence = (Sample, Sample, Option<Contrast>, Basis);

/// From the closing comparison, once it is complete.
fn reported(study: &Study, champion: &Trial, baseline: &Trial, floor: f64) -> Option<Evidence> {
    if study.report() != Some(champion.no) || closing(study) != Closing::Done {
        return None;
    }
    let pairs = met(study, champion, baseline);
    if pairs.is_empty() {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(own, theirs)| own - theirs).collect();
    let (own, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let contrast = Contrast::paired(&differences, floor);
    Some((Sample::of(&own), Sample::of(&theirs), contrast, Basis::Report))
}

/// Scores of two trials at the seeds of the closing comparison that both were measured under.
pub(crate) fn met(study: &Study, one: &Trial, other: &Trial) -> Vec<(f64, f64)> {
    let own = Places::of(study, one, Purpose::Report);
    let theirs = Places::of(study, other, Purpose::Report);
    let scored = own.usable_in(..).filter_map(|(index, replicate)| {
        let value = score(study, replicate, Split::Report)?;
        Some((value, score(study, theirs.usable(index)?, Split::Report)?))
    });
    scored.collect()
}

/// From what the champion was not selected for and all that is known of the baseline. A deterministic metric has one
/// value, whatever it was measured for.
fn confirmed(study: &Study, champion: &Trial, baseline: Sample) -> Option<Evidence> {
    let fresh: Vec<f64> = unselected(study, champion).collect();
    let fresh = if fresh.is_empty() { all(study, champion.no) } else { Sample::of(&fresh) };
    (fresh.n > 0 && baseline.n > 0)
        .then(|| (fresh, baseline, Contrast::welch(&fresh, &baseline), Basis::Confirm))
}

/// A difference of means with one value on a side: exact for a deterministic metric, else without any interval.
fn alone(champion: &Sample, baseline: &Sample, deterministic: bool) -> Contrast {
    let gain = champion.mean - baseline.mean;
    let se = if deterministic { 0.0 } else { f64::INFINITY };
    Contrast { gain, se, df: 1.0 }
}

/// A score in the metric's own unit and sign.
fn unit(study: &Study, score: f64) -> f64 {
    study.task().metric.goal.gain(score, 0.0)
}

fn in_unit(study: &Study, estimate: Estimate) -> Estimate {
    let interval = estimate.interval.map(|[low, high]| {
        let (a, b) = (unit(study, low), unit(study, high));
        [a.min(b), a.max(b)]
    });
    Estimate { mean: unit(study, estimate.mean), interval, ..estimate }
}

/// The smallest true gain over its champion that a trial is kept for four times in five, in the metric's unit: with noise of
/// standard deviation `noise_sd` per replicate, seeds that explain none of it, and a study of `arms` arms that makes `trials`
/// trials in each and keeps nothing else. It is the larger of what each door needs:
///
/// - search, where the first look decides most: `(z(HOPE) + z(0.9)) sd sqrt(1 + 2 / m)`, with m baseline replicates (the
///   standard error of [`compare::Search`] after one replicate);
/// - confirmation: `(reach + z(0.8)) sd sqrt(2 / n)`, with n pairs at most and [`compare::reach`] at the level of the contest
///   that comes last if one trial in fifty is confirmed without reason.
#[must_use]
pub fn smallest_effect(noise_sd: f64, rules: &Rules, arms: usize, trials: u32) -> f64 {
    let known = f64::from(rules.baseline_replicates.max(MIN_BASELINE));
    let first_look = normal_point(compare::HOPE) + normal_point((1.0 - POWER) / 2.0);
    let search = first_look * (1.0 + 2.0 / known).sqrt();
    let pairs = confirm::most(rules);
    let place = 1 + (CONFIRMED * f64::from(trials)) as u32;
    let level = spending::level(rules, arms, &[place], 0);
    let reach = compare::reach(level, pairs as usize) + normal_point(1.0 - POWER);
    noise_sd * search.max(reach * (2.0 / f64::from(pairs)).sqrt())
}
