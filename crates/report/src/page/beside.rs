//! What stands beside the search: the champion taken apart, and the trials that no other one beats on several objectives.

use empiric_core::TrialNo;

use super::{
    svg::{self, Scale},
    text::{line, number, put},
    view::View,
};
use crate::beside::{AblationStatus, ObjectiveRow, pareto};

/// Width, height, and the margins left, right, top and bottom of the picture.
const SIZE: [f64; 2] = [640.0, 320.0];
const EDGES: [f64; 4] = [70.0, 20.0, 16.0, 44.0];

pub(super) fn write(view: &View<'_>, out: &mut String) {
    ablation(view, out);
    front(view, out);
}

fn ablation(view: &View<'_>, out: &mut String) {
    let Some(found) = AblationStatus::of(view.study) else { return };
    let unit = view.unit();
    put!(
        out,
        "<section id=\"ablation\">\n<h2>What earns its place</h2>\n<p>{} was taken apart: every hunk of it that the baseline \
         does not have was taken away by a trial of its own, on fresh seeds. A hunk goes if the champion is shown to be no \
         worse by {}{unit} without it. ",
        found.champion,
        number(found.margin),
    );
    match (&found.simplified, found.done) {
        (Some(simplified), _) => put!(
            out,
            "<strong>{simplified}</strong> is the champion without those, measured together on seeds that chose none of \
             them.</p>\n"
        ),
        (None, true) => put!(out, "None could be shown to be dispensable.</p>\n"),
        (None, false) => put!(out, "The ablation has not ended.</p>\n"),
    }
    put!(
        out,
        "<table>\n<thead><tr><th>hunk</th><th>trial</th><th>worth{unit}</th><th>95 % interval</th><th></th></tr></thead>\n<tbody>\n"
    );
    for hunk in &found.hunks {
        let interval = hunk
            .interval
            .map_or_else(String::new, |[low, high]| format!("[{}, {}]", number(low), number(high)));
        let standing = hunk.words();
        put!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{interval}</td><td>{standing}</td></tr>\n",
            line(&hunk.hunk, 80),
            hunk.trial.as_deref().unwrap_or_default(),
            hunk.worth.map(number).unwrap_or_default(),
        );
    }
    put!(out, "</tbody>\n</table>\n</section>\n");
}

fn front(view: &View<'_>, out: &mut String) {
    let rows = pareto(view.study);
    let names: Vec<String> =
        view.study.task().all_objectives().map(|objective| line(&objective.name, 40)).collect();
    let [first, second, ..] = &names[..] else { return };
    if rows.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"pareto\">\n<h2>What nothing else beats</h2>\n<p>Valid trials that no other one beats on {}: on no \
         objective worse, and on one better beyond twice the standard error. Verdicts are made on {first} alone.</p>\n",
        names.join(", "),
    );
    let points: Vec<(&str, &ObjectiveRow, &ObjectiveRow)> = rows
        .iter()
        .filter_map(|row| {
            Some((row.trial.as_str(), row.objectives.first()?, row.objectives.get(1)?))
        })
        .collect();
    let [left, right, top, bottom] = EDGES;
    let span = |part: fn(&(&str, &ObjectiveRow, &ObjectiveRow)) -> [f64; 2]| {
        let ends = points.iter().map(part);
        ends.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], [a, b]| {
            [low.min(a), high.max(b)]
        })
    };
    let [x_low, x_high] = span(|(_, x, _)| x.interval);
    let [y_low, y_high] = span(|(_, _, y)| y.interval);
    let x = Scale::new(x_low, x_high, [left, SIZE[0] - right]);
    let y = Scale::new(y_low, y_high, [SIZE[1] - bottom, top]);
    let label = format!("{first} and {second} of the trials that nothing beats");
    svg::open(out, "wide", SIZE, &label);
    for (value, tick) in x.ticks(6, 0.0) {
        svg::stroke(out, "grid", [x.at(value).0, top], [x.at(value).0, SIZE[1] - bottom]);
        svg::words(out, "tick mid", [x.at(value).0, SIZE[1] - bottom + 16.0], &tick);
    }
    for (value, tick) in y.ticks(5, 0.0) {
        svg::stroke(out, "grid", [left, y.at(value).0], [SIZE[0] - right, y.at(value).0]);
        svg::words(out, "tick end", [left - 6.0, y.at(value).0 + 4.0], &tick);
    }
    svg::words(out, "name mid", [SIZE[0] / 2.0, SIZE[1] - 6.0], first);
    svg::words(out, "name", [4.0, 12.0], second);
    let champion = view.study.champion().to_string();
    for (trial, own, other) in points {
        let (at_x, at_y) = (x.at(own.mean).0, y.at(other.mean).0);
        svg::stroke(
            out,
            "interval thin",
            [x.at(own.interval[0]).0, at_y],
            [x.at(own.interval[1]).0, at_y],
        );
        svg::stroke(
            out,
            "interval thin",
            [at_x, y.at(other.interval[0]).0],
            [at_x, y.at(other.interval[1]).0],
        );
        let class = match trial {
            _ if trial == champion => "keep",
            _ if trial == TrialNo::BASELINE.to_string() => "baseline",
            _ => "discard",
        };
        put!(
            out,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"4\"><title>{trial}</title></circle>\n",
            svg::Px(at_x),
            svg::Px(at_y),
        );
        svg::words(out, "tick", [at_x + 6.0, at_y - 6.0], trial);
    }
    put!(out, "</svg>\n</section>\n");
}
