//! Predictions were registered before the runs. How often were they right?

use std::collections::BTreeMap;

use empiric_core::{Operator, Prediction, Purpose, Split, Trial, TrialNo, trial::Direction};
use empiric_decide::stats::{Sample, normal_point};

use super::{
    svg::{self, Px, Scale},
    text::{counted, flat, put, share, signed},
    view::View,
};
use crate::Mark;

/// Noise standard deviations of a change beyond which it is called clear.
const CLEAR: f64 = 2.0;
/// Most points drawn.
const POINTS: usize = 1500;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"predictions\">\n<h2>Predictions against what came</h2>\n");
    let registered = view.study.trials().iter().filter(|trial| prediction(trial).is_some()).count();
    let checked = checked(view);
    if checked.is_empty() {
        put!(
            out,
            "<p>{} registered, none of them measured beside its parent.</p>\n</section>\n",
            counted(registered, "prediction")
        );
        return;
    }
    let right = checked.iter().filter(|found| found.right).count();
    let clear: Vec<&Checked<'_>> = checked.iter().filter(|found| found.clear).collect();
    let clear_right = clear.iter().filter(|found| found.right).count();
    put!(
        out,
        "<p>{} registered before the run; {} measured beside the first parent on the same search seeds. The direction was \
         right in <b>{right} of {} ({})</b>{}. Of the {} that moved by more than noise explains it was right in \
         <b>{clear_right}{}</b>. A coin gets half of all rises and falls right; a prediction that nothing moves is right \
         within noise, which is {CLEAR} standard deviations of such a difference.</p>\n",
        counted(registered, "prediction"),
        checked.len(),
        checked.len(),
        share(right, checked.len()),
        wilson(right, checked.len()),
        clear.len(),
        if clear.is_empty() {
            String::new()
        } else {
            format!(" ({})", share(clear_right, clear.len()))
        },
    );
    out.push_str("<div class=\"beside\">\n");
    scatter(view, &checked, out);
    table(&checked, out);
    out.push_str("</div>\n</section>\n");
}

/// How far a metric moved from a trial's first parent to the trial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) change: f64,
    /// Search seeds that both were measured on.
    pub(super) n: usize,
}

/// How far `metric` moved, over the search seeds that trial and first parent share.
pub(super) fn came(view: &View<'_>, trial: &Trial, metric: &str) -> Option<Came> {
    let parent = view.study.trial(*trial.parents().first()?)?;
    let segment = view.scored(trial)?.segment;
    let values = |trial: &Trial| -> BTreeMap<_, _> {
        trial.values(metric, Split::Search, Purpose::Search, segment).into_iter().collect()
    };
    let before = values(parent);
    let changes: Vec<f64> = values(trial)
        .into_iter()
        .filter_map(|(seed, value)| Some(value - before.get(&seed)?))
        .collect();
    let sample = Sample::of(&changes);
    (sample.n > 0 && sample.mean.is_finite()).then_some(Came { change: sample.mean, n: sample.n })
}

/// A prediction that can be compared with what came.
struct Checked<'a> {
    trial: &'a Trial,
    prediction: &'a Prediction,
    change: f64,
    right: bool,
    /// Whether it moved by more than noise explains.
    clear: bool,
}

fn prediction(trial: &Trial) -> Option<&Prediction> {
    trial.edit.as_ref()?.hypothesis.prediction.as_ref()
}

fn checked<'a>(view: &View<'a>) -> Vec<Checked<'a>> {
    let mut noise: BTreeMap<&str, f64> = BTreeMap::new();
    let mut found = Vec::new();
    for trial in view.study.trials().iter() {
        let Some(prediction) = prediction(trial) else { continue };
        let Some(came) = came(view, trial, &prediction.metric) else { continue };
        let sd =
            *noise.entry(&prediction.metric).or_insert_with(|| spread(view, &prediction.metric));
        let clear = came.change.abs() > CLEAR * sd * (2.0 / came.n as f64).sqrt();
        let right = match prediction.direction {
            Direction::Increase => came.change > 0.0,
            Direction::Decrease => came.change < 0.0,
            Direction::Unchanged => !clear,
        };
        found.push(Checked { trial, prediction, change: came.change, right, clear });
    }
    found
}

/// Standard deviation of one baseline replicate of `metric`.
fn spread(view: &View<'_>, metric: &str) -> f64 {
    let baseline = view.study.trial(TrialNo::BASELINE);
    let values = baseline.map_or_else(Vec::new, |trial| {
        trial.values(metric, Split::Search, Purpose::Search, view.study.segment())
    });
    let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
    Sample::of(&values).sd().unwrap_or(0.0)
}

/// Wilson's 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22).
fn wilson(part: usize, whole: usize) -> String {
    let (n, p, z) = (whole as f64, part as f64 / whole as f64, normal_point(0.025));
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let reach = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let [low, high] = [middle - reach, middle + reach].map(|share| 100.0 * share);
    format!(", 95 % interval {:.0} to {:.0} %", low.max(0.0), high.min(100.0))
}

/// Predicted against actual change of the task's metric; the shaded quarters are those where the direction is right.
fn scatter(view: &View<'_>, checked: &[Checked<'_>], out: &mut String) {
    let points: Vec<(&Checked<'_>, f64)> = checked
        .iter()
        .filter(|found| found.prediction.metric == view.metric().name)
        .filter_map(|found| Some((found, predicted_change(found.prediction)?)))
        .collect();
    if points.len() < 3 {
        return;
    }
    let [x_reach, y_reach] = [
        reach(points.iter().map(|(_, predicted)| *predicted)),
        reach(points.iter().map(|(found, _)| found.change)),
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
        let title = format!(
            "{}: predicted {}, came {}: {}",
            found.trial.no,
            signed(*predicted),
            signed(found.change),
            flat(View::hypothesis(found.trial), 90)
        );
        Mark::of(found.trial).draw(out, x.at(*predicted), y.at(found.change), 3.4, &title);
    }
    let thinned = if thin > 1 { format!(" One of {thin} is drawn.") } else { String::new() };
    put!(
        out,
        "</svg>\n<figcaption>Shaded: direction right. Dashed: came as predicted. Points beyond the axes lie on their \
         edges.{thinned}</figcaption>\n</figure>\n"
    );
}

/// The predicted change with its sign, where a size was given.
fn predicted_change(prediction: &Prediction) -> Option<f64> {
    let size = prediction.size.filter(|size| size.is_finite())?.abs();
    match prediction.direction {
        Direction::Increase => Some(size),
        Direction::Decrease => Some(-size),
        Direction::Unchanged => Some(0.0),
    }
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
fn table(checked: &[Checked<'_>], out: &mut String) {
    let mut rows: BTreeMap<String, (Operator, Vec<&Checked<'_>>)> = BTreeMap::new();
    for found in checked {
        let operator =
            found.trial.edit.as_ref().map_or(found.trial.ask.operator, |edit| edit.operator);
        rows.entry(operator.to_string()).or_insert((operator, Vec::new())).1.push(found);
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>operator<th class=\"n\">checked<th class=\"n\">direction right<th \
         class=\"n\">clear moves<th class=\"n\">kept</tr></thead>\n<tbody>\n",
    );
    for (operator, found) in rows.values() {
        let right = found.iter().filter(|found| found.right).count();
        let clear = found.iter().filter(|found| found.clear).count();
        let kept = found.iter().filter(|found| Mark::of(found.trial) == Mark::Keep).count();
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
