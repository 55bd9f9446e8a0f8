//! What a study has found, from replicates that selection did not see.

use empiric_core::{Provenance, Purpose, Split, Study, Trial, TrialNo, study::Rules};

use crate::{
    closing::{Closing, closing},
    compare,
    contest::{deterministic, noise, score, scores},
    places::Places,
    stats::{Contrast, Estimate, Sample, quantile},
};

/// Coverage of the two-sided intervals of a summary.
const COVERAGE: f64 = 0.95;

/// Power at which [`smallest_effect`] is stated.
const POWER: f64 = 0.8;

/// What a study has found so far. Intervals are two-sided, 95 %.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The baseline's metric; none until it has been measured in the segment in force.
    pub baseline: Option<Estimate>,
    /// Standard deviation of one replicate, pooled over baseline and champion; none until something was repeated.
    pub noise_sd: Option<f64>,
    /// Whether every seed has given the same value so far, at least five of the baseline's among them.
    pub deterministic: bool,
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
    /// Confirmations, against all that is known of the baseline (Welch). The champion had to pass on some of these
    /// replicates, so until the closing comparison the gain is a little flattered.
    Confirm,
}

/// What a study has found so far.
#[must_use]
pub fn summary(study: &Study) -> Summary {
    let Some(baseline) = study.trial(TrialNo::BASELINE) else {
        return Summary { baseline: None, noise_sd: None, deterministic: false, champion: None };
    };
    let champion = study.trial(study.champion()).filter(|trial| trial.no != TrialNo::BASELINE);
    let known = scores(study, baseline);
    let champion_known = champion.map(|champion| scores(study, champion));
    let noise = noise(&known, champion_known.as_deref());
    let deterministic = deterministic(&known, champion_known.as_deref());
    let compared = champion.and_then(|champion| {
        let floor = if deterministic { 0.0 } else { compare::floor(noise) };
        let (champion, baseline, contrast, basis) = reported(study, champion, baseline, floor)
            .or_else(|| confirmed(study, champion, &known))?;
        let contrast = contrast.unwrap_or_else(|| alone(&champion, &baseline, deterministic));
        let finite = contrast.gain.is_finite();
        finite.then_some(Compared { champion, baseline, contrast, basis })
    });
    let reference = compared.as_ref().map_or_else(|| Sample::of(&known), |found| found.baseline);
    Summary {
        baseline: (reference.n > 0).then(|| in_unit(study, reference.estimate(COVERAGE))),
        noise_sd: (noise.df > 0.0).then(|| noise.sd()),
        deterministic,
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
    let own = Places::of(study, champion, Purpose::Report);
    let theirs = Places::of(study, baseline, Purpose::Report);
    let pairs: Vec<(f64, f64)> = own
        .usable_below(u32::MAX)
        .filter_map(|(index, replicate)| {
            let value = score(study, replicate, Split::Report)?;
            Some((value, score(study, theirs.usable(index)?, Split::Report)?))
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(own, theirs)| own - theirs).collect();
    let (own, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let contrast = Contrast::paired(&differences, floor);
    Some((Sample::of(&own), Sample::of(&theirs), contrast, Basis::Report))
}

/// From the champion's confirmations and all that is known of the baseline.
fn confirmed(study: &Study, champion: &Trial, baseline: &[f64]) -> Option<Evidence> {
    let fresh: Vec<f64> = champion
        .replicates
        .iter()
        .filter(|replicate| replicate.segment == study.segment())
        .filter(|replicate| matches!(replicate.purpose, Purpose::Confirm { .. }))
        .filter_map(|replicate| score(study, replicate, Split::Select))
        .collect();
    let (champion, baseline) = (Sample::of(&fresh), Sample::of(baseline));
    (champion.n > 0 && baseline.n > 0)
        .then(|| (champion, baseline, Contrast::welch(&champion, &baseline), Basis::Confirm))
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

/// The smallest true gain that confirmation finds in four of five trials that reach it, in the metric's unit: with noise
/// of standard deviation `noise_sd` per replicate and seeds that explain none of it,
/// `(t(1 - alpha) + t(0.8)) sd sqrt(2 / n)` with t quantiles of `n - 1` degrees of freedom. This is within 1.2 % of the
/// value from the noncentral t distribution from three replicates on.
#[must_use]
pub fn smallest_effect(noise_sd: f64, rules: &Rules) -> f64 {
    let n = f64::from(rules.confirm_replicates.max(2));
    let reach = quantile(1.0 - rules.alpha, n - 1.0) + quantile(POWER, n - 1.0);
    reach * noise_sd * (2.0 / n).sqrt()
}
