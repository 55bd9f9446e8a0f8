//! The first screen: what was asked, what came, and what stands against believing it.

use empiric_core::{Outcome, Provenance, Split, TrialNo, study::State};
use empiric_decide::{Basis, ChampionSummary};

use super::{
    svg::{self, Px, Scale},
    text::{Decimals, counted, esc, line, put, seconds},
    view::View,
};
use crate::Mark;

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
        for (class, width) in [("wide", 860.0), ("narrow", 330.0)] {
            whisker(view, champion, interval, (class, width), out);
        }
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
                "The baseline could not be measured, so nothing can be compared with it."
                    .to_owned(),
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
            format!(
                "{link} was kept, but the closing comparison does not tell it from the baseline."
            ),
        ),
        Basis::Report => (
            "unsure",
            format!("{link} was kept, but the closing comparison finds no gain over the baseline."),
        ),
        Basis::Confirm if above(0.0) => (
            "shown",
            format!("{link} beats the baseline; the closing comparison has yet to be made."),
        ),
        Basis::Confirm => {
            ("unsure", format!("{link} was kept; against the baseline its gain is not clear yet."))
        }
    };
    let (class, claim) = if champion.provenance == Provenance::Recipe {
        ("unsure", claim.replacen("beats the baseline", "beats the baseline by its own account", 1))
    } else {
        (class, claim)
    };
    let decimals = Decimals::around(champion.gain, champion.gain_interval);
    let unit = view.unit();
    let from = view.summary.baseline.map_or_else(String::new, |baseline| {
        let relative = 100.0 * champion.gain / baseline.mean.abs();
        let relative = Some(relative)
            .filter(|relative| relative.is_finite())
            .map(|relative| format!(" ({}\u{a0}%)", Decimals::of(relative, 3).signed(relative)))
            .unwrap_or_default();
        let mean = decimals.show(baseline.mean);
        let n = baseline.n;
        format!("Mean {} {mean} → <b>{}{unit}</b> ({n} baseline replicates): a gain of <b>{}{unit}</b>{relative}",
            view.metric_name(), decimals.show(champion.mean), decimals.signed(champion.gain))
    });
    let interval = match champion.gain_interval {
        _ if view.summary.noise.deterministic => {
            ", exact as far as has been seen: every seed gave one value".to_owned()
        }
        Some([low, high]) => {
            format!(", 95\u{a0}% interval [{}, {}]", decimals.signed(low), decimals.signed(high))
        }
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
            "It rests on fresh seeds that were not among those it was kept for, against all that is known of the baseline."
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
            "Recipe code could reach whatever its user can, the evaluator and the ledger included."
                .to_owned(),
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
fn whisker(
    view: &View<'_>,
    champion: &ChampionSummary,
    [low, high]: [f64; 2],
    (class, width): (&str, f64),
    out: &mut String,
) {
    let reach = (high.max(0.0) - low.min(0.0)) * 0.08;
    let (left, right) = (10.0, width - 10.0);
    let scale = Scale::new(low.min(0.0) - reach, high.max(0.0) + reach, [left, right]);
    let decimals = Decimals::around(champion.gain, Some([low, high]));
    let label = format!(
        "Gain {} with its 95 % interval from {} to {}; zero is the baseline",
        decimals.signed(champion.gain),
        decimals.signed(low),
        decimals.signed(high)
    );
    svg::open(out, class, [width, 96.0], &esc(&label));
    let [zero, gain, from, to] = [0.0, champion.gain, low, high].map(|value| scale.at(value).0);
    let (y, axis) = (36.0, 58.0);
    svg::stroke(out, "axis", [left, axis], [right, axis]);
    for (value, text) in scale.ticks(if width > 600.0 { 9 } else { 4 }, 0.0) {
        let Px(x) = scale.at(value);
        svg::stroke(out, "axis", [x, axis], [x, axis + 4.0]);
        svg::words(out, "tick mid", [x, axis + 17.0], &text);
    }
    let name = format!("gain in {}", view.metric_name());
    svg::words(out, "tick mid", [width / 2.0, axis + 33.0], &name);
    svg::stroke(out, "zero", [zero, 16.0], [zero, axis]);
    svg::words(out, "tick mid", [zero.clamp(left + 22.0, right - 22.0), 11.0], "baseline");
    svg::stroke(out, "interval", [from, y], [to, y]);
    for end in [from, to] {
        svg::stroke(out, "interval", [end, y - 7.0], [end, y + 7.0]);
    }
    // an interval narrower than the mark would vanish behind it
    let r = if to - from > 16.0 { 5.0 } else { 2.4 };
    Mark::Keep.draw(out, Px(gain), Px(y), r, &label);
    if (gain - zero).abs() > 60.0 {
        let text = format!("{} {}", champion.trial, decimals.signed(champion.gain));
        svg::words(out, "note mid", [gain.clamp(left + 36.0, right - 36.0), y - 14.0], &text);
    }
    out.push_str("</svg>\n");
}

/// The figures under the verdict.
fn tiles(view: &View<'_>, out: &mut String) {
    let (study, counts) = (view.study, view.study.counts());
    let failed: u32 = counts.failed.values().sum();
    let outcomes: Vec<String> = [
        (counts.keep, "kept"),
        (counts.inconclusive, "inconclusive"),
        (counts.discard, "discarded"),
        (failed, "failed"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, name)| format!("{n} {name}"))
    .collect();
    let replicates = study.trials().iter().flat_map(|trial| &trial.replicates);
    let finished = replicates.filter(|replicate| replicate.result.is_some()).count();
    let noise = match view.summary.noise.sd {
        _ if view.summary.noise.deterministic => {
            ("none seen".to_owned(), "every seed gave one value".to_owned())
        }
        Some(sd) => (
            Decimals::of(sd, 3).show(sd),
            if view.metric().unit.is_empty() {
                "standard deviation of one replicate".to_owned()
            } else {
                format!("standard deviation of one replicate, {}", view.unit().trim())
            },
        ),
        None => ("unknown".to_owned(), "nothing was repeated".to_owned()),
    };
    let cost = study.cost();
    let tiles = [
        ("trials", tried(view).to_string(), outcomes.join(", ")),
        ("replicates", finished.to_string(), "finished runs under one seed".to_owned()),
        ("noise", noise.0, noise.1),
        ("cost", format!("{} CPU", seconds(cost.cpu_s)), format!("{} wall", seconds(cost.wall_s))),
    ];
    out.push_str("<dl class=\"tiles\">\n");
    for (name, value, note) in tiles {
        put!(out, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n");
    }
    out.push_str("</dl>\n");
}
