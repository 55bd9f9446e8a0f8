//! Predictions were registered before the runs. How often were they right?

use std::collections::BTreeMap;

use empiric_core::Operator;

use super::{
    svg::{self, Px, Scale},
    text::{flat, put, share, signed},
    view::View,
};
use crate::{Checked, Mark, prose};

/// Most points drawn.
const POINTS: usize = 1500;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    let found = &view.report.predictions;
    out.push_str("<section id=\"predictions\">\n<h2>Predictions against what came</h2>\n");
    put!(out, "<p>{}</p>\n", prose::html(&found.words()));
    if !found.checked.is_empty() {
        out.push_str("<div class=\"beside\">\n");
        scatter(view, &found.checked, out);
        table(&found.checked, out);
        out.push_str("</div>\n");
    }
    out.push_str("</section>\n");
}

/// Predicted against actual change of the task's metric; the shaded quarters are those where the direction is right.
fn scatter(view: &View<'_>, checked: &[Checked], out: &mut String) {
    let points: Vec<(&Checked, f64)> = checked
        .iter()
        .filter(|found| found.metric == view.metric().name)
        .filter_map(|found| Some((found, found.predicted?)))
        .collect();
    if points.len() < 3 {
        return;
    }
    let [x_reach, y_reach] = [
        reach(points.iter().map(|(_, predicted)| *predicted)),
        reach(points.iter().map(|(found, _)| found.came)),
    ];
    let (width, height) = (420.0, 340.0);
    let (left, right, top, bottom) = (64.0, width - 22.0, 24.0, height - 46.0);
    let x = Scale::new(-x_reach, x_reach, [left, right]);
    let y = Scale::new(-y_reach, y_reach, [bottom, top]);
    let label = format!("Predicted against actual change of {}", view.metric_name());
    out.push_str("<figure>\n");
    svg::open(out, "scatter", [width, height], &label);
    let (Px(x0), Px(y0)) = (x.at(0.0), y.at(0.0));
    for [x, y, wide, tall] in [[x0, top, right - x0, y0 - top], [left, y0, x0 - left, bottom - y0]]
    {
        let (x, y, wide, tall) = (Px(x), Px(y), Px(wide), Px(tall));
        put!(
            out,
            "<rect class=\"band\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{tall}\"/>\n"
        );
    }
    svg::stroke(out, "axis", [left, y0], [right, y0]);
    svg::stroke(out, "axis", [x0, top], [x0, bottom]);
    let both = x_reach.min(y_reach);
    let (Px(a), Px(b), Px(c), Px(d)) = (x.at(-both), y.at(-both), x.at(both), y.at(both));
    svg::stroke(out, "zero", [a, b], [c, d]);
    for (value, text) in x.ticks(4, 0.0) {
        let Px(at) = x.at(value);
        svg::words(out, "tick mid", [at, bottom + 16.0], &text);
    }
    for (value, text) in y.ticks(5, 0.0) {
        let Px(at) = y.at(value);
        svg::words(out, "tick end", [left - 6.0, at + 4.0], &text);
    }
    svg::words(out, "tick mid", [(left + right) / 2.0, height - 10.0], "predicted change");
    svg::words(out, "name", [4.0, 14.0], &format!("actual change of {}", view.metric_name()));
    let thin = points.len().div_ceil(POINTS);
    for (found, predicted) in points.iter().step_by(thin) {
        let hypothesis = view.study.trial(found.trial).map_or("", |trial| View::hypothesis(trial));
        let title = format!(
            "{}: predicted {}, came {}: {}",
            found.trial,
            signed(*predicted),
            signed(found.came),
            flat(hypothesis, 90)
        );
        found.mark.draw(out, x.at(*predicted), y.at(found.came), 3.4, &title);
    }
    let thinned = if thin > 1 { format!(" One of {thin} is drawn.") } else { String::new() };
    put!(
        out,
        "</svg>\n<figcaption>Shaded: direction right. Dashed: came as predicted. Points beyond the axes lie on their \
         edges.{thinned}</figcaption>\n</figure>\n"
    );
}

/// How far an axis goes either way: to the 95th percentile of sizes, and a little on.
fn reach(values: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = values.map(f64::abs).collect();
    sizes.sort_by(f64::total_cmp);
    let at = (0.95 * sizes.len().saturating_sub(1) as f64).ceil() as usize;
    let size = sizes.get(at).copied().unwrap_or(0.0);
    if size > 0.0 && size.is_finite() { size * 1.15 } else { 1.0 }
}

/// Right directions by operator.
fn table(checked: &[Checked], out: &mut String) {
    let mut rows: BTreeMap<String, (Operator, Vec<&Checked>)> = BTreeMap::new();
    for found in checked {
        let operator = found.operator;
        rows.entry(operator.to_string()).or_insert((operator, Vec::new())).1.push(found);
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>operator<th class=\"n\">checked<th class=\"n\">direction right<th \
         class=\"n\">clear moves<th class=\"n\">kept</tr></thead>\n<tbody>\n",
    );
    for (operator, found) in rows.values() {
        let right = found.iter().filter(|found| found.right).count();
        let clear = found.iter().filter(|found| found.clear).count();
        let kept = found.iter().filter(|found| found.mark == Mark::Keep).count();
        put!(
            out,
            "<tr><td>{operator}<td class=\"n\">{}<td class=\"n\">{right} ({})<td class=\"n\">{clear}<td \
             class=\"n\">{kept}</tr>\n",
            found.len(),
            share(right, found.len())
        );
    }
    out.push_str("</tbody></table></div>\n");
}
