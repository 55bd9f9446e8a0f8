//! What is decided beside seed by seed: keeps where the evaluator scores item by item, and hunks that are taken away.

use anyhow::{Context, bail};
use empiric_core::{Event, Hunk, TrialNo, ablation::ABLATE, study::ErrorControl};
use empiric_decide::ablate::{Ablating, Standing, ablated, ablating};

use super::{
    EVERY, LEVEL, Mean, Size, each, rules, say,
    studies::{Lab, Plan},
    verdict,
    world::{Items, Kind},
};

/// Hunks of a champion, every second of which does nothing.
const HUNKS: u32 = 16;

/// Keeps on a fixed set of items, where no trial is better on items drawn like them.
pub(crate) fn by_item(size: Size) -> anyhow::Result<bool> {
    say("\nscores by item, fwer: trials answer other questions right, none more of all there are")?;
    say(format!(
        "{:<28} {:>20} {:>26} {:>22} {:>18}",
        "items", "studies with any", "kept without the items", "better by 5 %: found", "replicates"
    ))?;
    let mut met = true;
    for items in [
        Items { n: 200, right: 0.7, moved: 0.05, wobble: 0.0 },
        Items { n: 1000, right: 0.7, moved: 0.05, wobble: 0.0 },
        Items { n: 1000, right: 0.7, moved: 0.05, wobble: 0.02 },
    ] {
        let study = |every: u32, told: bool, stream: u64| {
            let plan = Plan {
                kind: Kind::Items(items),
                rules: rules(ErrorControl::Fwer),
                trials: size.trials,
                every,
                effect: 0.05 / Kind::Items(items).sd(),
            };
            let mut lab = Lab::open(&plan, stream)?;
            lab.by_item = told;
            lab.search(&plan)
        };
        let null = each(size, |stream| study(0, true, stream))?;
        let untold = each(Size { studies: (size.studies / 4).max(1), ..size }, |stream| {
            study(0, false, stream)
        })?;
        let some = each(Size { studies: (size.studies / 4).max(1), ..size }, |stream| {
            study(EVERY, true, stream)
        })?;
        let any = Mean::of(null.iter().map(|found| f64::from(u8::from(found.false_keeps > 0))));
        let untold = Mean::of(untold.iter().map(|found| f64::from(found.false_keeps)));
        let share = some.iter().map(|found| f64::from(found.true_keeps) / f64::from(found.better));
        let share = Mean::of(share);
        let replicates = Mean::of(null.iter().map(|found| found.replicates as f64));
        let aim = any.mean <= LEVEL;
        met &= aim;
        let noise = if items.wobble > 0.0 { "noisy" } else { "deterministic" };
        say(format!(
            "{:<28} {:>20} {:>26} {:>22} {:>18}  {}",
            format!("{} {noise}", items.n),
            any.show(3),
            untold.show(1),
            share.show(2),
            replicates.show(0),
            verdict(aim)
        ))?;
    }
    Ok(met)
}

/// What came of taking one champion apart.
struct Apart {
    wrongly_gone: u32,
    idle_gone: u32,
    replicates: u64,
    /// What the simplified champion gives up, in margins.
    lost: f64,
}

/// Champions of which every second hunk is worth exactly the margin, and the others nothing.
pub(crate) fn ablation(size: Size) -> anyhow::Result<bool> {
    say(format!(
        "\nablation, fwer: champions of {HUNKS} hunks, half of them worth exactly the margin, half nothing"
    ))?;
    say(format!(
        "{:<14} {:>30} {:>22} {:>24} {:>22}",
        "margin, sd",
        "champions worse by the margin",
        "wrongly found idle",
        "idle hunks gone",
        "replicates a hunk"
    ))?;
    let mut met = true;
    for margin in [0.75, 1.5, 3.0] {
        let found = each(size, |stream| apart(margin, stream))?;
        let half = f64::from(HUNKS / 2);
        let worse = Mean::of(found.iter().map(|f| f64::from(u8::from(f.lost > 1.0 - 1e-9))));
        let wrong = Mean::of(found.iter().map(|f| f64::from(u8::from(f.wrongly_gone > 0))));
        let idle = Mean::of(found.iter().map(|f| f64::from(f.idle_gone) / half));
        let price = Mean::of(found.iter().map(|f| f.replicates as f64 / f64::from(HUNKS)));
        let aim = worse.mean <= LEVEL && wrong.mean <= LEVEL;
        met &= aim;
        say(format!(
            "{margin:<14} {:>30} {:>22} {:>24} {:>22}  {}",
            worse.show(3),
            wrong.show(3),
            idle.show(3),
            price.show(1),
            verdict(aim)
        ))?;
    }
    Ok(met)
}

fn apart(margin: f64, stream: u64) -> anyhow::Result<Apart> {
    let worth = |hunk: u32| if hunk.is_multiple_of(2) { margin } else { 0.0 };
    let whole: f64 = (0..HUNKS).map(worth).sum::<f64>() + 10.0;
    let plan = Plan {
        kind: Kind::Gaussian,
        rules: rules(ErrorControl::Fwer),
        trials: 1,
        every: 1,
        effect: whole,
    };
    let mut lab = Lab::open(&plan, stream)?;
    let first = lab.search(&plan)?;
    if first.true_keeps != 1 {
        bail!("a champion better by {whole} was not kept");
    }
    let before = first.replicates;
    let champion = lab.study.champion();
    loop {
        match ablating(&lab.study) {
            Ablating::Open => {
                let hunk = |n| Hunk { path: "a".to_owned(), before: [n, 1], after: [n, 1] };
                let hunks = (1..=HUNKS).map(hunk).collect();
                lab.push(Event::AblationOpened { champion, margin, hunks })?;
            }
            Ablating::Try(asks) => {
                let ask = asks.into_iter().next().context("nothing to ask")?;
                let trial = lab.ask(ABLATE, ask.clone())?;
                let ablation = lab.study.ablation().context("no ablation")?;
                let without = ablation.without(trial, &ask);
                let lost: f64 = without.into_iter().map(|hunk| worth(hunk as u32)).sum();
                lab.world.set(trial, whole - lost);
                lab.settle(trial)?;
            }
            Ablating::Wait => bail!("the ablation waits for nothing"),
            Ablating::Done => break,
        }
    }
    let found = ablated(&lab.study).context("no ablation")?;
    let (mut wrongly_gone, mut idle_gone, mut lost) = (0, 0, 0.0);
    for (at, hunk) in found.hunks.iter().enumerate() {
        let needed = worth(at as u32) > 0.0;
        wrongly_gone += u32::from(needed && hunk.standing == Standing::Goes);
        idle_gone += u32::from(!needed && hunk.gone);
        lost += if hunk.gone { worth(at as u32) / margin } else { 0.0 };
    }
    let replicates = lab.found.replicates - before;
    let simplified = found.simplified.unwrap_or(TrialNo::BASELINE);
    if found.simplified.is_some() && lab.study.champion() != simplified {
        bail!("{simplified} was kept and is not the champion");
    }
    Ok(Apart { wrongly_gone, idle_gone, replicates, lost })
}
