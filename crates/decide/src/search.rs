//! The first door: is a trial worth confirming? Looks of growing size on the seeds that every trial shares.

use empiric_core::{Outcome, Phase, Purpose, TrialNo, Verdict};

use crate::{
    compare::{self, Ruled, Ruling},
    contest::Contest,
    gates::{self, Standing},
    places::Wants,
    stats::Sample,
    step::{Step, unmeasurable},
    words,
};

pub(crate) fn step(contest: &Contest<'_>) -> Step {
    let (look, next, last) = looks(contest);
    let champion = contest.champion_places(Purpose::Search);
    let mut wants = Wants::default();
    let reach = look.unwrap_or(next);
    wants.need(&contest.search, 0..reach);
    wants.need(&champion, 0..reach);
    wants.need(&contest.baseline, contest.noise_places());
    if let Some(step) = wants.step() {
        return step;
    }
    if contest.champion_scores().is_empty() {
        return unmeasurable(contest.champion.no, champion.given_up());
    }
    if contest.noise().df == 0.0 {
        return unmeasurable(TrialNo::BASELINE, contest.baseline.given_up());
    }

    let replicates: Vec<_> = contest.search.usable_below(reach).map(|(_, found)| found).collect();
    let near = match gates::standing(
        contest.gates(),
        &replicates,
        &contest.baseline_replicates(),
        Phase::Decide,
    ) {
        Standing::Hold => None,
        Standing::Near(failure) => Some(failure),
        Standing::Miss(failure) => return Step::Conclude(Outcome::Failed(failure)),
    };

    let own: Vec<f64> = replicates.iter().filter_map(|found| contest.score(found)).collect();
    let deterministic = contest.deterministic();
    let ruled = if let (true, Some(own), Some(champion)) =
        (deterministic, own.first(), contest.champion_scores().first())
    {
        compare::surely(*own, *champion)
    } else {
        let pairs = contest.pairs(&contest.search, &champion, reach);
        let evidence = compare::Search {
            own: &own,
            pairs: &pairs,
            champion: contest.champion_scores(),
            noise: contest.noise(),
            last: last as usize,
        };
        evidence.rule()
    };
    match (ruled.ruling, near) {
        (Ruling::End(verdict), _) => conclude(contest, verdict, &ruled, own.len(), deterministic),
        (Ruling::Pass, None) => confirm(contest, deterministic),
        (Ruling::Pass | Ruling::More, Some(failure)) if reach >= last => {
            Step::Conclude(Outcome::Failed(failure))
        }
        (Ruling::Pass | Ruling::More, _) => {
            wants.need(&contest.search, 0..next);
            wants.need(&champion, 0..next);
            wants.step().unwrap_or(Step::Wait)
        }
    }
}

/// The largest look that is complete, the one after it, and the last: 1, 2, 3, 5, 8, ... replicates up to
/// `Rules::search_replicates`, counted on from what was inherited.
fn looks(contest: &Contest<'_>) -> (Option<u32>, u32, u32) {
    let most = contest.study.settings().rules.search_replicates.max(1);
    let (inherited, run) = (contest.inherited, contest.search.run());
    let last = inherited.saturating_add(most);
    let (mut size, mut after) = (1_u32, 2_u32);
    let mut complete = None;
    loop {
        let look = inherited.saturating_add(size).min(last);
        if look > run {
            return (complete, look, last);
        }
        complete = Some(look);
        if look == last {
            return (complete, last, last);
        }
        (size, after) = (after, size.saturating_add(after));
    }
}

/// The first step of confirmation; from there on its own replicates show that it has begun.
fn confirm(contest: &Contest<'_>, deterministic: bool) -> Step {
    let rules = &contest.study.settings().rules;
    let first = crate::confirm::stages(rules, deterministic)[0];
    let mut wants = Wants::default();
    let purpose = Purpose::Confirm { of: contest.trial.no };
    wants.need(&contest.confirm, 0..first);
    wants.need(&contest.champion_places(purpose), 0..first);
    wants.step().unwrap_or(Step::Wait)
}

fn conclude(
    contest: &Contest<'_>,
    verdict: Verdict,
    ruled: &Ruled,
    n: usize,
    deterministic: bool,
) -> Step {
    let metric = &contest.study.task().metric;
    let contrast = &ruled.contrast;
    let gain = words::gain(contrast.gain, Sample::of(contest.champion_scores()).mean, metric);
    let coverage = 1.0 - 2.0 * contest.study.settings().rules.alpha;
    let (champion, seeds) = (contest.champion.no, words::counted(n, "search seed"));
    let reason = if deterministic {
        format!("{gain} against {champion} on a deterministic metric")
    } else {
        let interval = words::interval(contrast, coverage);
        let (p, end) = (
            words::p_value(ruled.p),
            match verdict {
                Verdict::Inconclusive => "not clear enough to confirm",
                Verdict::Baseline | Verdict::Keep | Verdict::Discard => "not worth more replicates",
            },
        );
        format!("{gain} against {champion}{interval}, {seeds}, {p}: {end}")
    };
    Step::Conclude(Outcome::Valid {
        verdict,
        reason,
        gain: Some(contrast.gain).filter(|gain| gain.is_finite()),
        gain_interval: contrast.interval(coverage),
    })
}
