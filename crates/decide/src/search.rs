//! The first door: is a trial worth confirming? Looks of growing size on the seeds that every trial shares.

use empiric_core::{Outcome, Phase, Purpose, Sample, TrialNo, Verdict};

use crate::{
    compare::{self, Ruled, Ruling},
    confirm,
    contest::Contest,
    gates::{self, Standing},
    places::Wants,
    reserve,
    stats::Contrast,
    step::{Step, unmeasurable},
    words,
};

pub(crate) fn step(contest: &Contest<'_>) -> Step {
    let (look, next, last) = looks(contest);
    let champion = contest.champion_places(Purpose::Search);
    let mut wants = Wants::default();
    let reach = look.unwrap_or(next);
    wants.need(&contest.search, 0..reach);
    wants.need(&champion, contest.champion_search(reach));
    wants.need(&contest.baseline, contest.noise_places());
    if let Some(step) = wants.step() {
        return step;
    }
    let level = contest.level();
    if level.n == 0 {
        return unmeasurable(contest.champion.no, champion.given_up());
    }
    let noise = contest.study.noise();
    if noise.df == 0.0 {
        return unmeasurable(TrialNo::BASELINE, contest.baseline.given_up());
    }

    let replicates: Vec<_> = contest.search.usable_in(..reach).map(|(_, found)| found).collect();
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
    let ruled = if let (true, Some(own)) = (deterministic, own.first()) {
        surely(*own, level.mean)
    } else {
        let pairs = if contest.unsteady {
            Vec::new()
        } else {
            contest.pairs(&contest.search, &champion, 0..reach)
        };
        let searched: Vec<f64> =
            champion.usable_in(..).filter_map(|(_, found)| contest.score(found)).collect();
        let searched = Sample::of(&searched);
        let last = last as usize;
        compare::Search { own: &own, pairs: &pairs, level, searched, noise, last }.rule()
    };
    match (ruled.ruling, near) {
        (Ruling::End(verdict), _) => {
            conclude(contest, verdict, &ruled, &level, own.len(), deterministic)
        }
        (Ruling::Pass, None) => confirm::step(contest),
        (Ruling::Pass | Ruling::More, Some(failure)) if reach >= last => {
            Step::Conclude(Outcome::Failed(failure))
        }
        (Ruling::Pass | Ruling::More, _) => {
            wants.need(&contest.search, 0..next);
            wants.need(&champion, contest.champion_search(next));
            let step = wants.step().unwrap_or(Step::Wait);
            reserve::afforded(contest.whole, contest.trial, None, step)
        }
    }
}

/// One comparison of a deterministic metric: better, or not.
fn surely(own: f64, champion: f64) -> Ruled {
    let better = compare::surely(own, champion);
    let (ruling, p) =
        if better { (Ruling::Pass, 0.0) } else { (Ruling::End(Verdict::Discard), 1.0) };
    Ruled { ruling, contrast: Contrast { gain: own - champion, se: 0.0, df: 1.0 }, p }
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

fn conclude(
    contest: &Contest<'_>,
    verdict: Verdict,
    ruled: &Ruled,
    level: &Sample,
    n: usize,
    deterministic: bool,
) -> Step {
    let metric = &contest.study.task().metric;
    let contrast = &ruled.contrast;
    let gain = words::gain(contrast.gain, level.mean, metric);
    let (champion, seeds) = (contest.champion.no, words::counted(n, "search seed"));
    let reason = if deterministic {
        format!("{gain} against {champion} on a deterministic metric")
    } else {
        let interval = words::interval(contrast);
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
        gain_interval: contrast.interval(words::COVERAGE),
    })
}
