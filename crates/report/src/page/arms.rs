//! Arms side by side: what each had gained after how many trials, what it has gained in the end, and what that took.

use super::{
    svg::{self, Px, Scale},
    text::{Decimals, counted, line, put, seconds},
    view::View,
};
use crate::arms::{Anytime, ArmStatus, Comparison, anytime, arms, comparisons};

/// Most arms drawn, each in a stroke of its own.
const MOST: usize = 6;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    let arms = arms(view.study);
    if arms.len() < 2 {
        return;
    }
    out.push_str("<section id=\"arms\">\n<h2>Arms side by side</h2>\n<figure>\n");
    let mut curves = anytime(view.study);
    curves.truncate(MOST);
    for (class, size) in [("wide", [920.0, 320.0]), ("narrow", [400.0, 300.0])] {
        draw(view, &curves, class, size, out);
    }
    put!(
        out,
        "<figcaption>Confirmed gain over the baseline after so many trials of each arm, with the 95 % interval of each keep: \
         half widths of the keeps up to it add in quadrature. The arms ran in turn, under equal budgets, and none saw another's \
         trials.</figcaption>\n</figure>\n"
    );
    table(&arms, out);
    compared(&comparisons(view.study), out);
    out.push_str("</section>\n");
}

fn draw(
    view: &View<'_>,
    curves: &[Anytime],
    class: &str,
    [width, height]: [f64; 2],
    out: &mut String,
) {
    let ends = curves
        .iter()
        .flat_map(|curve| &curve.steps)
        .flat_map(|step| step.interval.unwrap_or([step.gain; 2]));
    let ends: Vec<f64> = ends.filter(|end| end.is_finite()).chain([0.0]).collect();
    let (low, high) =
        (ends.iter().copied().fold(0.0, f64::min), ends.iter().copied().fold(0.0, f64::max));
    let margin = 0.06 * (high - low);
    let y = Scale::new(low - margin, high + margin, [height - 48.0, 26.0]);
    let rows = y.ticks(6, 0.0);
    let widest = rows.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let left = 14.0 + 7.0 * widest as f64;
    let names = curves.iter().map(|curve| curve.arm.chars().count().min(18)).max().unwrap_or(0);
    let right = width - 16.0 - 7.0 * names as f64;
    let last = curves.iter().map(|curve| curve.trials).max().unwrap_or(1).max(1);
    let x = Scale::new(0.0, last as f64, [left + 8.0, right - 8.0]);
    let told: Vec<String> = curves
        .iter()
        .map(|curve| {
            let gain = Decimals::of(curve.gain(), 3).signed(curve.gain());
            format!("{} {gain} after {}", line(&curve.arm, 40), counted(curve.trials, "trial"))
        })
        .collect();
    svg::open(out, class, [width, height], &format!("confirmed gain by arm: {}", told.join(", ")));
    svg::words(out, "name", [4.0, 14.0], &format!("confirmed gain{}", view.unit()));
    for (value, text) in rows {
        let Px(at) = y.at(value);
        svg::stroke(out, "grid", [left, at], [right, at]);
        svg::words(out, "tick end", [left - 6.0, at + 4.0], &text);
    }
    for (value, text) in x.ticks(if width > 600.0 { 10 } else { 5 }, 1.0) {
        let Px(at) = x.at(value);
        svg::words(out, "tick mid", [at, height - 26.0], &text);
    }
    svg::words(out, "tick mid", [(left + right) / 2.0, height - 8.0], "trials of the arm");
    let mut labels: Vec<f64> = Vec::new();
    for (n, curve) in curves.iter().enumerate() {
        let mut path = format!("M{} {}", x.at(0.0), y.at(0.0));
        for step in &curve.steps {
            put!(path, "H{}V{}", x.at(step.trials as f64), y.at(step.gain));
        }
        let end = x.at(curve.trials as f64);
        put!(out, "<path class=\"arm a{n}\" d=\"{path}H{end}\"/>\n");
        for step in &curve.steps {
            let Px(at) = x.at(step.trials as f64);
            if let Some([low, high]) = step.interval {
                let (Px(top), Px(bottom)) = (y.at(high), y.at(low));
                svg::stroke(out, &format!("arm thin a{n}"), [at, top], [at, bottom]);
            }
            let (at, up) = (Px(at), y.at(step.gain));
            put!(
                out,
                "<circle class=\"dot a{n}\" cx=\"{at}\" cy=\"{up}\" r=\"3.4\"><title>{}</title></circle>\n",
                step.trial
            );
        }
        let (Px(end), Px(mut up)) = (end, y.at(curve.gain()));
        while labels.iter().any(|taken| (taken - up).abs() < 12.0) {
            up -= 12.0;
        }
        labels.push(up);
        svg::words(out, &format!("tick label a{n}"), [end + 6.0, up + 4.0], &line(&curve.arm, 18));
    }
    out.push_str("</svg>\n");
}

fn table(arms: &[ArmStatus], out: &mut String) {
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>arm<th>policy<th>champion<th class=\"n\">gain<th class=\"n\">95 % \
         interval<th class=\"n\">typical gain<th class=\"n\">trials<th class=\"n\">kept<th class=\"n\">failed<th \
         class=\"n\">CPU<th class=\"n\">CPU for each per cent</tr></thead>\n<tbody>\n",
    );
    for arm in arms {
        let champion = arm.champion.as_ref();
        let gain = champion.map(|champion| champion.gain);
        let interval = champion.and_then(|champion| champion.gain_interval);
        let decimals = Decimals::around(gain.unwrap_or(0.0), interval);
        let ends = |decimals: Decimals, ends: [f64; 2]| {
            format!("[{}, {}]", decimals.signed(ends[0]), decimals.signed(ends[1]))
        };
        let typical = arm.typical_gain.zip(arm.typical_gain_interval).map(|(typical, interval)| {
            let decimals = Decimals::around(typical, Some(interval));
            format!("{} {}", decimals.signed(typical), ends(decimals, interval))
        });
        let failed: u32 = arm.outcomes.failed.values().sum();
        put!(
            out,
            "<tr><td>{}<td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td \
             class=\"n\">{failed}<td class=\"n\">{}<td class=\"n\">{}</tr>\n",
            line(&arm.name, 40),
            line(arm.policy.as_deref().unwrap_or("none: made outside"), 40),
            champion.map_or("none", |champion| champion.trial.as_str()),
            gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
            interval.map(|interval| ends(decimals, interval)).unwrap_or_default(),
            typical.unwrap_or_default(),
            arm.trials,
            arm.outcomes.keep,
            seconds(arm.cost.cpu_s),
            arm.cpu_s_per_percent.map(seconds).unwrap_or_default(),
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
    out.push_str(
        "<p class=\"faint\">Typical gain is the interquartile mean over the seeds of the closing comparison, with its bootstrap \
         interval.</p>\n",
    );
}

fn compared(comparisons: &[Comparison], out: &mut String) {
    if comparisons.is_empty() {
        out.push_str(
            "<p>The arms have not been compared yet: that is done once, at the end.</p>\n",
        );
        return;
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>arm<th>against<th class=\"n\">better by<th class=\"n\">95 % interval<th \
         class=\"n\">share of pairs of runs it wins</tr></thead>\n<tbody>\n",
    );
    for other in comparisons {
        let decimals = Decimals::around(other.gain, other.gain_interval);
        let interval = other
            .gain_interval
            .map(|[low, high]| format!("[{}, {}]", decimals.signed(low), decimals.signed(high)));
        let [low, high] = other.probability_interval.map(|share| 100.0 * share);
        put!(
            out,
            "<tr><td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{:.0} % [{low:.0}, {high:.0}]</tr>\n",
            line(&other.arm, 40),
            line(&other.than, 40),
            decimals.signed(other.gain),
            interval.unwrap_or_default(),
            100.0 * other.probability,
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}
