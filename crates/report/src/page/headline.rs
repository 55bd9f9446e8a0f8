//! The first screen: what was asked, what came, and what stands against believing it.

use empiric_core::{Outcome, Provenance, Split, TrialNo, study::State};
use empiric_decide::{Basis, ChampionSummary};

use super::{
    svg::{self, Px, Scale},
    text::{Decimals, counted, esc, line, put, seconds},
    view::{Mark, View},
};

pub(super) fn write(view: &View<'_>, out: &mut String) {
    let task = view.study.task();
    put!(
        out,
        "<header>\n<p class=\"eyebrow\">Empiric study report</p>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
        line(&task.name, 80),
        line(&task.summary, 400),
    );
    let sandbox = line(view.study.sandbox(), 20);
    put!(
        out,
        "<ul class=\"tags\"><li>{} <b>{}</b>{}</li><li>{}</li><li>sandbox <b>{sandbox}</b></li><li>{}</li></ul>\n</header>\n",
        task.metric.goal,
        view.metric_name(),
        if task.metric.unit.is_empty() {
            String::new()
        } else {
            format!(" in {}", line(&task.metric.unit, 24))
        },
        vouched(task.provenance()),
        state(view.study.state()),
    );
    let verdict = verdict(view);
    put!(
        out,
        "<section class=\"verdict {}\">\n<p class=\"claim\">{}</p>\n<p>{}</p>\n",
        verdict.class,
        verdict.claim,
        verdict.evidence,
    );
    if let Some(champion) = &view.summary.champion
        && let Some(interval) = champion.gain_interval
    {
        let drawing = whisker(view, champion, interval);
        put!(out, "<div class=\"scroll\">{drawing}</div>\n");
    }
    out.push_str("</section>\n");
    for caution in cautions(view) {
        put!(out, "<p class=\"caution\"><b>{}</b> {}</p>\n", caution.0, caution.1);
    }
    tiles(view, out);
    out.push_str(
        "<nav><a href=\"#curve\">Score</a> <a href=\"#lineage\">Lineage</a> <a href=\"#keeps\">Keeps</a> \
         <a href=\"#failures\">Failures</a> <a href=\"#predictions\">Predictions</a> <a href=\"#method\">Method</a> \
         <a href=\"#cost\">Cost</a> <a href=\"#environment\">Environment</a></nav>\n",
    );
}

fn vouched(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Recipe => "<b>self-reported</b> by the recipe",
        Provenance::Evaluator => "measured by the <b>evaluator</b>, apart from the recipe",
        Provenance::Harness => "measured by the <b>harness</b>",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused => "paused",
        State::Stopped => "stopped early; it can go on",
        State::Finished => "finished",
    }
}

/// The finding in one line, and what it rests on.
struct Verdict {
    /// Class in the style sheet.
    class: &'static str,
    claim: String,
    evidence: String,
}

fn verdict(view: &View<'_>) -> Verdict {
    if let Some(champion) = &view.summary.champion {
        return found(view, champion);
    }
    let no = view.study.champion();
    let (claim, evidence) = if no != TrialNo::BASELINE {
        (
            format!("{no} was kept, and has nothing to be compared with now."),
            "What the study is measured with has changed since; values from before and after are never compared."
                .to_owned(),
        )
    } else if let Some(baseline) = &view.summary.baseline {
        let decimals = Decimals::around(baseline.mean, baseline.interval);
        (
            "Nothing has been shown to beat the baseline.".to_owned(),
            format!(
                "The baseline has a mean {} of {}{}{} over {}. {} of {} reached a verdict; none passed confirmation on \
                 fresh seeds.",
                view.metric_name(),
                decimals.show(baseline.mean),
                view.unit(),
                in_brackets(decimals, baseline.interval),
                counted(baseline.n, "replicate"),
                judged(view),
                counted(tried(view), "trial"),
            ),
        )
    } else {
        let outcome = view.study.trial(TrialNo::BASELINE).and_then(|trial| trial.outcome.as_ref());
        match outcome {
            Some(Outcome::Failed(failure)) => (
                "The baseline could not be measured, so nothing can be compared with it.".to_owned(),
                line(&failure.to_string(), 300),
            ),
            Some(Outcome::Valid { .. }) | None => (
                "The baseline has not been measured yet.".to_owned(),
                "No idea is paid for before it has been.".to_owned(),
            ),
        }
    };
    Verdict { class: "none", claim, evidence }
}

fn found(view: &View<'_>, champion: &ChampionSummary) -> Verdict {
    let no = champion.trial;
    let link = format!("<a href=\"#{no}\">{no}</a>");
    let above = |limit: f64| champion.gain_interval.is_some_and(|[low, _]| low > limit);
    let (class, claim) = match champion.basis {
        Basis::Report if above(0.0) => ("shown", format!("{link} beats the baseline.")),
        Basis::Report if champion.gain > 0.0 => (
            "unsure",
            format!("{link} was kept, but the closing comparison does not tell it from the baseline."),
        ),
        Basis::Report => (
            "unsure",
            format!("{link} was kept, but the closing comparison finds no gain over the baseline."),
        ),
        Basis::Confirm if above(0.0) => (
            "shown",
            format!("{link} beats the baseline; the closing comparison has yet to be made."),
        ),
        Basis::Confirm => (
            "unsure",
            format!("{link} was kept; against the baseline its gain is not clear yet."),
        ),
    };
    let decimals = Decimals::around(champion.gain, champion.gain_interval);
    let unit = view.unit();
    let from = view.summary.baseline.map_or_else(String::new, |baseline| {
        let relative = 100.0 * champion.gain / baseline.mean.abs();
        let relative = Some(relative)
            .filter(|relative| relative.is_finite())
            .map(|relative| format!(" ({} %)", Decimals::of(relative, 3).signed(relative)))
            .unwrap_or_default();
        let mean = decimals.show(baseline.mean);
        let n = baseline.n;
        format!("Mean {} {mean} → <b>{}{unit}</b> ({n} baseline replicates): a gain of <b>{}{unit}</b>{relative}",
            view.metric_name(), decimals.show(champion.mean), decimals.signed(champion.gain))
    });
    let interval = match champion.gain_interval {
        _ if view.summary.deterministic => ", exact as far as has been seen: every seed gave one value".to_owned(),
        Some(_) => format!(", 95 % interval{}", in_brackets(decimals, champion.gain_interval)),
        None => ", from too few replicates for an interval".to_owned(),
    };
    let held_back = if view.splits().contains(&Split::Report) {
        "seeds and data that no decision saw"
    } else {
        "seeds that no decision saw"
    };
    let basis = match champion.basis {
        Basis::Report => format!("It rests on the closing comparison, paired by seed, on {held_back}."),
        Basis::Confirm => {
            "It rests on the confirmation's fresh seeds, which the trial had to pass, so it is a little flattered."
                .to_owned()
        }
    };
    Verdict { class, claim, evidence: format!("{from}{interval}. Positive is better. {basis}") }
}

fn in_brackets(decimals: Decimals, interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| {
        format!(" [{}, {}]", decimals.show(low), decimals.show(high))
    })
}

fn tried(view: &View<'_>) -> usize {
    view.study.trials().len().saturating_sub(1)
}

fn judged(view: &View<'_>) -> u32 {
    let counts = view.study.counts();
    counts.keep + counts.discard + counts.inconclusive
}

/// What a reader must know before believing the claim.
fn cautions(view: &View<'_>) -> Vec<(&'static str, String)> {
    let study = view.study;
    let mut cautions = Vec::new();
    if study.task().provenance() == Provenance::Recipe {
        cautions.push((
            "Self-reported.",
            "The metric is what recipe code printed about itself. Nothing here shows that it is true; an evaluator apart \
             from the recipe would."
                .to_owned(),
        ));
    }
    if study.sandbox() == "none" {
        cautions.push((
            "No sandbox.",
            "Recipe code could reach whatever its user can, the evaluator and the ledger included.".to_owned(),
        ));
    }
    if study.segment() > 0 {
        cautions.push((
            "More than one segment.",
            format!(
                "Evaluator, data or environment changed {} during the study. Figures rest on the last segment alone.",
                if study.segment() == 1 {
                    "once".to_owned()
                } else {
                    format!("{} times", study.segment())
                }
            ),
        ));
    }
    let open = study.open_trials().len();
    if study.state() != State::Finished && open > 0 {
        let open = counted(open, "trial");
        cautions.push(("Not over.", format!("{open} had not ended when this was written.")));
    }
    cautions
}

/// The gain and its interval beside the baseline's zero.
fn whisker(view: &View<'_>, champion: &ChampionSummary, [low, high]: [f64; 2]) -> String {
    let reach = (high.max(0.0) - low.min(0.0)) * 0.08;
    let scale = Scale::new(low.min(0.0) - reach, high.max(0.0) + reach, [14.0, 546.0]);
    let decimals = Decimals::around(champion.gain, Some([low, high]));
    let label = format!(
        "Gain {} with its 95 % interval from {} to {}; zero is the baseline",
        decimals.signed(champion.gain),
        decimals.signed(low),
        decimals.signed(high)
    );
    let mut out = String::new();
    svg::open(&mut out, "whisker", [560.0, 82.0], &esc(&label));
    let ((Px(zero), Px(gain)), y) = ((scale.at(0.0), scale.at(champion.gain)), 34.0);
    let (Px(from), Px(to)) = (scale.at(low), scale.at(high));
    svg::stroke(&mut out, "axis", [14.0, 58.0], [546.0, 58.0]);
    for (value, text) in scale.ticks(6, 0.0) {
        let Px(x) = scale.at(value);
        svg::stroke(&mut out, "axis", [x, 58.0], [x, 62.0]);
        svg::words(&mut out, "tick mid", [x, 75.0], &text);
    }
    svg::stroke(&mut out, "zero", [zero, 16.0], [zero, 58.0]);
    svg::words(&mut out, "tick mid", [zero.clamp(34.0, 526.0), 11.0], "baseline");
    let name = format!("gain in {}", view.metric_name());
    svg::words(&mut out, "tick end", [546.0, 52.0], &name);
    svg::stroke(&mut out, "interval", [from, y], [to, y]);
    svg::stroke(&mut out, "interval", [from, y - 6.0], [from, y + 6.0]);
    svg::stroke(&mut out, "interval", [to, y - 6.0], [to, y + 6.0]);
    Mark::Keep.draw(&mut out, Px(gain), Px(y), 5.5, &label);
    if (gain - zero).abs() > 60.0 {
        let text = format!("{} {}", champion.trial, decimals.signed(champion.gain));
        svg::words(&mut out, "note mid", [gain.clamp(50.0, 510.0), y - 12.0], &text);
    }
    out.push_str("</svg>");
    out
}

/// The figures under the verdict.
fn tiles(view: &View<'_>, out: &mut String) {
    let (study, counts) = (view.study, view.study.counts());
    let failed: u32 = counts.failed.values().sum();
    let replicates = study.trials().iter().flat_map(|trial| &trial.replicates);
    let finished = replicates.filter(|replicate| replicate.result.is_some()).count();
    let noise = match view.summary.noise_sd {
        _ if view.summary.deterministic => ("none seen".to_owned(), "every seed gave one value"),
        Some(sd) => (
            format!("{}{}", Decimals::of(sd, 3).show(sd), view.unit()),
            "standard deviation of one replicate",
        ),
        None => ("unknown".to_owned(), "nothing was repeated"),
    };
    let cost = study.cost();
    let tiles = [
        (
            "trials",
            tried(view).to_string(),
            format!(
                "{} kept, {} discarded, {} inconclusive, {failed} failed",
                counts.keep, counts.discard, counts.inconclusive
            ),
        ),
        ("replicates", finished.to_string(), "finished runs under one seed".to_owned()),
        ("noise", noise.0, noise.1.to_owned()),
        ("cost", format!("{} CPU", seconds(cost.cpu_s)), format!("{} wall", seconds(cost.wall_s))),
    ];
    out.push_str("<dl class=\"tiles\">\n");
    for (name, value, note) in tiles {
        put!(out, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n");
    }
    out.push_str("</dl>\n");
}
