//! The second door: trial and champion on seeds that selection never sees, for as long as it takes to decide; then, for a
//! keep, on more of them to say by how much.

use empiric_core::{Outcome, Phase, Purpose, Verdict, study::Rules};

use crate::{
    ablate,
    compare::{self, Ruling, Weighed},
    contest::{Contest, gain_from},
    gates::{self, Standing},
    items,
    places::{Places, Wants},
    reserve, spending,
    stats::{Contrast, Sample},
    step::{self, Kept, Step},
    words,
};

/// Pairs before the first look, and from one look to the next.
const FIRST: u32 = 3;
const NEXT: u32 = 2;

/// Pairs of a deterministic metric. One would do if the metric were known to be; two leave a metric that only looks so, an
/// accuracy that rarely moves by a step, next to no chance of a false keep.
const SURE: u32 = 2;

/// Most pairs that a noisy metric is given.
pub(crate) fn most(rules: &Rules) -> u32 {
    rules.confirm_replicates.max(FIRST)
}

pub(crate) fn step(contest: &Contest<'_>) -> Step {
    let rules = &contest.study.settings().rules;
    let arena = &contest.arena;
    let deterministic = contest.deterministic();
    let most = if deterministic { SURE } else { most(rules) };
    let level = {
        let study = contest.study;
        spending::level(rules, study.rows(), &arena.shares, study.row_keeps())
    };
    let mut weighed = None;
    let mut end = 0;
    let margin = contest.margin.unwrap_or(0.0);
    while end < most {
        end = if end == 0 { FIRST.min(most) } else { (end + NEXT).min(most) };
        let range = arena.from..arena.from.saturating_add(end);
        let mut wants = Wants::default();
        wants.need_pairs(&arena.own, &arena.champion, range.clone());
        wants.need(&contest.baseline, contest.noise_places());
        if let Some(step) = wants.step() {
            // An ablation is asked for, whatever is left of the budget of a search.
            return match contest.margin {
                Some(_) => step,
                None => reserve::afforded(contest.whole, contest.trial, Some(end), step),
            };
        }
        let near = match standing(contest, &arena.own, range.clone()) {
            Standing::Hold => None,
            Standing::Near(failure) => Some(failure),
            Standing::Miss(failure) => return Step::Conclude(Outcome::Failed(failure)),
        };
        let pairs = contest.pairs(&arena.own, &arena.champion, range.clone());
        let by_item = contest.items(&arena.own, &arena.champion, range);
        let found = if deterministic {
            surely(&pairs, by_item.as_deref(), margin, level)
        } else {
            // Half of the level is for the luck of the items, where there are any.
            let luck = by_item.map(|items| items::luck(&items, level / 2.0));
            let level = if luck.is_some() { level / 2.0 } else { level };
            let shift = margin - luck.unwrap_or(0.0);
            let differences: Vec<f64> =
                compare::differences(&pairs).into_iter().map(|d| d + shift).collect();
            let (noise, most) = (arena.noise, most as usize);
            let found = compare::Confirm { differences: &differences, noise, level, most }.rule();
            found.map(|found| Weighed { gain: found.gain - shift, ..found })
        };
        match (found.map(|found| found.ruling), near) {
            (Some(Ruling::Pass), None)
                if contest.margin.is_some() && !ablate::joint(contest.trial) =>
            {
                return expendable(contest, margin, &pairs, found);
            }
            (Some(Ruling::Pass), None) if deterministic => return sure(contest, &pairs),
            (Some(Ruling::Pass), None) => return estimate(contest, end, &pairs, found),
            (Some(Ruling::Pass) | None, Some(failure)) if end == most => {
                return Step::Conclude(Outcome::Failed(failure));
            }
            (Some(Ruling::End(verdict)), _) => {
                // Of a trial that takes something away, undecided would say that it can go.
                let verdict = if contest.margin.is_some() { Verdict::Discard } else { verdict };
                return undecided(contest, verdict, &pairs, found);
            }
            (Some(Ruling::Pass | Ruling::More) | None, _) => weighed = weighed.or(found),
        }
    }
    let champion = contest.champion.no;
    let reason = if weighed.is_some() {
        format!("not clear enough against {champion} on {most} fresh seeds")
    } else {
        format!(
            "{champion} could not be measured on enough of the {most} fresh seeds to compare with it"
        )
    };
    let verdict = Verdict::Inconclusive;
    Step::Conclude(Outcome::Valid { verdict, reason, gain: None, gain_interval: None })
}

/// After the decision to keep: by how much. The pairs that decided are not asked, for they were selected by deciding; a
/// number of further ones that is fixed by then gives an unbiased estimate and an interval that means what it says.
fn estimate(
    contest: &Contest<'_>,
    end: u32,
    decided: &[(f64, f64)],
    weighed: Option<Weighed>,
) -> Step {
    let own_stream = Purpose::Confirm { of: contest.trial.no };
    let own = Places::of(contest.study, contest.trial, own_stream);
    let champion = contest.champion_places(own_stream);
    let on_it = contest.arena.stream == contest.trial.no;
    let from = if on_it { gain_from(contest.study, contest.arena.from) } else { 0 };
    let rules = &contest.study.settings().rules;
    let range = from..from.saturating_add(estimated(rules, end));
    if let Some(failure) = own.fault() {
        return Step::Conclude(Outcome::Failed(failure.clone()));
    }
    let mut wants = Wants::default();
    wants.need_pairs(&own, &champion, range.clone());
    if let Some(step) = wants.step() {
        return step;
    }
    match standing(contest, &own, range.clone()) {
        Standing::Hold => {}
        Standing::Near(failure) | Standing::Miss(failure) => {
            return Step::Conclude(Outcome::Failed(failure));
        }
    }
    let pairs = contest.pairs(&own, &champion, range.clone());
    let differences = compare::differences(&pairs);
    let Some(mut contrast) = Contrast::paired(&differences, compare::floor(contest.arena.noise))
    else {
        return undecided(contest, Verdict::Inconclusive, decided, weighed);
    };
    // The interval is for other items drawn like these, where they are known one by one.
    if let Some(items) = contest.items(&own, &champion, range) {
        contrast.se = contrast.se.hypot(items::contrast(&items).se);
    }
    let evidence = weighed.map_or_else(String::new, |weighed| words::evidence(&weighed));
    let reason = format!(
        "{} against {}{}, {}; kept on {} before, {evidence}",
        gain(contest, contrast.gain, &pairs),
        contest.champion.no,
        words::interval(&contrast),
        words::counted(pairs.len(), "fresh seed"),
        words::counted(decided.len(), "other"),
    );
    let reason = match contest.margin {
        Some(margin) => format!("{reason}; simpler, and not worse by {}", words::plain(margin)),
        None => reason,
    };
    step::keep(contest, Kept { contrast, reason })
}

/// Pairs from which the gain is estimated, when it took `decided` to decide: half as many, so that a small gain, which
/// takes many, does not end with an interval that says nothing.
pub(crate) fn estimated(rules: &Rules, decided: u32) -> u32 {
    rules.gain_replicates.max(2).max(decided.div_ceil(2))
}

/// A keep of a deterministic metric.
fn sure(contest: &Contest<'_>, pairs: &[(f64, f64)]) -> Step {
    let differences = compare::differences(pairs);
    let contrast = Contrast { gain: Sample::of(&differences).mean, se: 0.0, df: 1.0 };
    let reason = format!(
        "{} against {} on {}; the metric is deterministic",
        gain(contest, contrast.gain, pairs),
        contest.champion.no,
        words::counted(pairs.len(), "fresh seed"),
    );
    step::keep(contest, Kept { contrast, reason })
}

/// The ruling on a deterministic metric. With scores by item a gain must also stand out from the luck of the items.
fn surely(
    pairs: &[(f64, f64)],
    by_item: Option<&[f64]>,
    margin: f64,
    level: f64,
) -> Option<Weighed> {
    let (own, champion) = pairs.first()?;
    let gain = own - champion;
    let better = pairs.iter().all(|(own, champion)| compare::surely(*own + margin, *champion));
    let (evidence, needed) = match by_item {
        None => (f64::INFINITY, 1.0),
        Some(items) if margin > 0.0 => {
            (if items::luck(items, level) - gain < margin { f64::INFINITY } else { 0.0 }, 1.0)
        }
        Some(items) => (1.0 / items::p(items), 1.0 / level),
    };
    let ruling = if !better {
        Ruling::End(Verdict::Discard)
    } else if evidence >= needed {
        Ruling::Pass
    } else {
        Ruling::End(Verdict::Inconclusive)
    };
    Some(Weighed { ruling, gain, evidence, needed })
}

/// A trial without a hunk that is not worse by the margin: the hunk can go, and goes with the others that can.
fn expendable(
    contest: &Contest<'_>,
    margin: f64,
    pairs: &[(f64, f64)],
    weighed: Option<Weighed>,
) -> Step {
    let step = undecided(contest, Verdict::Inconclusive, pairs, weighed);
    let metric = &contest.study.task().metric;
    let allowed = words::with_unit(words::plain(margin), metric);
    match step {
        Step::Conclude(Outcome::Valid { verdict, reason, gain, gain_interval }) => {
            let reason = format!("{reason}: not worse by {allowed}, so it can go");
            Step::Conclude(Outcome::Valid { verdict, reason, gain, gain_interval })
        }
        Step::Measure { .. } | Step::Wait | Step::Quarantine { .. } | Step::Conclude(_) => step,
    }
}

fn undecided(
    contest: &Contest<'_>,
    verdict: Verdict,
    pairs: &[(f64, f64)],
    weighed: Option<Weighed>,
) -> Step {
    let differences = compare::differences(pairs);
    let contrast = Contrast::paired(&differences, compare::floor(contest.arena.noise));
    let found = weighed.map_or(0.0, |weighed| weighed.gain);
    let evidence = weighed.map_or_else(String::new, |weighed| words::evidence(&weighed));
    let reason = format!(
        "{} against {}{} on {}, {evidence}",
        gain(contest, found, pairs),
        contest.champion.no,
        contrast.as_ref().map_or_else(String::new, words::interval),
        words::counted(pairs.len(), "fresh seed"),
    );
    Step::Conclude(Outcome::Valid {
        verdict,
        reason,
        gain: Some(found).filter(|gain| gain.is_finite()),
        gain_interval: contrast.and_then(|contrast| contrast.interval(words::COVERAGE)),
    })
}

fn gain(contest: &Contest<'_>, gain: f64, pairs: &[(f64, f64)]) -> String {
    let references: Vec<f64> = pairs.iter().map(|(_, champion)| *champion).collect();
    words::gain(gain, Sample::of(&references).mean, &contest.study.task().metric)
}

fn standing(contest: &Contest<'_>, own: &Places<'_>, range: std::ops::Range<u32>) -> Standing {
    let replicates: Vec<_> = own.usable_in(range).map(|(_, found)| found).collect();
    gates::standing(contest.gates(), &replicates, &contest.baseline_replicates(), Phase::Confirm)
}
