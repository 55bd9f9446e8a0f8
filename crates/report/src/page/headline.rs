//! The first screen: what was asked, what came, and what stands against believing it.

use empiric_core::{Provenance, TrialNo, study::State};
use empiric_decide::ChampionSummary;

use super::{
    svg::{self, Px, Scale},
    text::{Decimals, esc, line, put, seconds},
    view::View,
};
use crate::{Mark, prose};

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
    let finding = &view.report.finding;
    let mut claim = prose::html(&finding.claim.0);
    let no = view.study.champion();
    if no != TrialNo::BASELINE {
        claim = claim.replacen(&no.to_string(), &format!("<a href=\"#{no}\">{no}</a>"), 1);
    }
    put!(
        out,
        "<section class=\"verdict {}\">\n<p class=\"claim\">{}</p>\n<p>{}</p>\n",
        finding.class,
        claim,
        prose::html(&finding.evidence.0),
    );
    if let Some(champion) = &view.summary.champion
        && let Some(interval) = champion.gain_interval
    {
        for (class, width) in [("wide", 860.0), ("narrow", 330.0)] {
            whisker(view, champion, interval, (class, width), out);
        }
    }
    out.push_str("</section>\n");
    for caution in &view.report.cautions {
        let text = prose::html(&caution.text.0);
        put!(out, "<p class=\"caution\"><b>{}</b> {text}</p>\n", caution.name);
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
    let wall = match &view.report.cost.per_percent {
        Some(each) => format!(
            "{} wall; {} CPU for each confirmed per cent",
            seconds(cost.wall_s),
            seconds(each.cpu_s)
        ),
        None => format!("{} wall", seconds(cost.wall_s)),
    };
    let tiles = [
        ("trials", study.trials().len().saturating_sub(1).to_string(), outcomes.join(", ")),
        ("replicates", finished.to_string(), "finished runs under one seed".to_owned()),
        ("noise", noise.0, noise.1),
        ("cost", format!("{} CPU", seconds(cost.cpu_s)), wall),
    ];
    out.push_str("<dl class=\"tiles\">\n");
    for (name, value, note) in tiles {
        put!(out, "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n");
    }
    out.push_str("</dl>\n");
}
