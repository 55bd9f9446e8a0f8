//! The second door: trial and champion on fresh seeds, and the verdict from those alone.

use empiric_core::{Outcome, Phase, Purpose, Verdict, study::Rules};

use crate::{
    compare::{self, Ruled, Ruling},
    contest::Contest,
    gates::{self, Standing},
    places::Wants,
    stats::Sample,
    step::Step,
    words,
};

/// Replicates after the first half of a confirmation, where a trial that is not ahead stops, and after all of it. A
/// deterministic metric needs one; the rest follows only if a gate is near its limit.
pub(crate) fn stages(rules: &Rules, deterministic: bool) -> [u32; 2] {
    let all = rules.confirm_replicates.max(2);
    [if deterministic { 1 } else { all.div_ceil(2) }, all]
}

pub(crate) fn step(contest: &Contest<'_>) -> Step {
    let champion = contest.champion_places(Purpose::Confirm { of: contest.trial.no });
    let deterministic = contest.deterministic();
    let [first, all] = stages(&contest.study.settings().rules, deterministic);
    let mut wants = Wants::default();
    for end in [first, all] {
        let last = end == all;
        wants.need(&contest.confirm, 0..end);
        wants.need(&champion, 0..end);
        wants.need(&contest.baseline, contest.noise_places());
        if let Some(step) = wants.step() {
            return step;
        }
        let replicates: Vec<_> =
            contest.confirm.usable_below(end).map(|(_, found)| found).collect();
        let baseline = contest.baseline_replicates();
        match gates::standing(contest.gates(), &replicates, &baseline, Phase::Confirm) {
            Standing::Hold => {}
            Standing::Near(_) if !last => continue,
            Standing::Near(failure) | Standing::Miss(failure) => {
                return Step::Conclude(Outcome::Failed(failure));
            }
        }
        let pairs = contest.pairs(&contest.confirm, &champion, end);
        let ruled = if deterministic {
            pairs.first().map(|(own, champion)| compare::surely(*own, *champion))
        } else {
            let rules = &contest.study.settings().rules;
            let (noise, alpha) = (contest.noise(), rules.alpha);
            compare::Confirm { pairs: &pairs, noise, alpha, last }.rule()
        };
        match ruled.map(|ruled| (ruled.ruling, ruled)) {
            Some((Ruling::Pass, ruled)) => {
                return conclude(contest, Verdict::Keep, &ruled, &pairs, deterministic);
            }
            Some((Ruling::End(verdict), ruled)) => {
                return conclude(contest, verdict, &ruled, &pairs, deterministic);
            }
            Some((Ruling::More, _)) | None => {}
        }
    }
    Step::Conclude(Outcome::Valid {
        verdict: Verdict::Inconclusive,
        reason: format!(
            "{} could not be measured on enough of the {all} fresh seeds to compare with it",
            contest.champion.no
        ),
        gain: None,
        gain_interval: None,
    })
}

fn conclude(
    contest: &Contest<'_>,
    verdict: Verdict,
    ruled: &Ruled,
    pairs: &[(f64, f64)],
    deterministic: bool,
) -> Step {
    let contrast = &ruled.contrast;
    let references: Vec<f64> = pairs.iter().map(|(_, champion)| *champion).collect();
    let metric = &contest.study.task().metric;
    let gain = words::gain(contrast.gain, Sample::of(&references).mean, metric);
    let coverage = 1.0 - 2.0 * contest.study.settings().rules.alpha;
    let (champion, seeds) = (contest.champion.no, words::counted(pairs.len(), "fresh seed"));
    let reason = if deterministic {
        format!("{gain} against {champion} on {seeds}; the metric is deterministic")
    } else {
        let interval = words::interval(contrast, coverage);
        let p = words::p_value(ruled.p);
        format!("{gain} against {champion}{interval}, {seeds}, paired t {p}")
    };
    Step::Conclude(Outcome::Valid {
        verdict,
        reason,
        gain: Some(contrast.gain).filter(|gain| gain.is_finite()),
        gain_interval: contrast.interval(coverage),
    })
}
