//! The score curve, drawn.

use std::collections::BTreeSet;

use empiric_core::{Goal, Split, TrialNo};

use super::{
    svg::{self, Px, Scale},
    text::{counted, esc, number, put},
    view::{View, hover},
};
use crate::{Curve, Mark, curve::WHISKERS};

/// Trials up to which each is drawn; above, one mark stands for all of its outcome in a cell of [`CELL`] pixels.
const EACH: usize = 2000;
const CELL: [f64; 2] = [7.0, 8.0];
/// Where the highest value is drawn, pixels.
const TOP: f64 = 30.0;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"curve\">\n<h2>Score of every trial</h2>\n");
    let curve = Curve::of(view.study);
    if curve.limits.is_none() {
        out.push_str("<p>Nothing has been measured yet.</p>\n</section>\n");
        return;
    }
    legend(view, out);
    out.push_str("<figure>\n");
    curve.draw(view, "wide", [920.0, 420.0], out);
    curve.draw(view, "narrow", [400.0, 360.0], out);
    put!(out, "<figcaption>{}</figcaption>\n</figure>\n</section>\n", curve.caption(view));
}

fn legend(view: &View<'_>, out: &mut String) {
    let mut counts = [0_usize; Mark::ALL.len()];
    for trial in view.study.trials() {
        if let Some(place) = Mark::ALL.iter().position(|mark| *mark == Mark::of(trial)) {
            counts[place] += 1;
        }
    }
    out.push_str("<p class=\"legend\">");
    for (mark, n) in Mark::ALL.iter().zip(counts).filter(|(_, n)| *n > 0) {
        let n = if *mark == Mark::Baseline { String::new() } else { format!(" {n}") };
        put!(out, "<span>{}{}{n}</span> ", mark.icon(), mark.name());
    }
    out.push_str(
        "<span><svg class=\"icon\" viewBox=\"0 0 14 14\" aria-hidden=\"true\"><path class=\"best\" d=\"M0 10H7V4H14\"/></svg>best \
         confirmed</span> <span><svg class=\"icon\" viewBox=\"0 0 14 14\" aria-hidden=\"true\"><rect class=\"band\" x=\"0\" \
         y=\"2\" width=\"14\" height=\"10\"/></svg>baseline ± 2 sd of one replicate</span></p>\n",
    );
}

impl Curve {
    fn draw(&self, view: &View<'_>, class: &str, [width, height]: [f64; 2], out: &mut String) {
        let Some([low, high]) = self.limits else { return };
        let y = Scale::new(low, high, [height - 62.0, TOP]);
        let rows = y.ticks(8, 0.0);
        let widest = rows.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
        let left = 14.0 + 7.0 * widest as f64;
        let right = width - 12.0;
        let x = Scale::new(0.0, f64::from(self.last), [left + 8.0, right - 8.0]);
        let label = format!(
            "{} by trial number: {} measured, {} failed, {}; the best confirmed goes from {} to {}",
            view.metric_name(),
            self.dots.len() + self.kept.len(),
            self.failed.len(),
            counted(self.kept.len(), "keep"),
            self.levels.first().and_then(|level| level.mean).map_or("?".to_owned(), number),
            self.levels.last().and_then(|level| level.mean).map_or("?".to_owned(), number),
        );
        svg::open(out, class, [width, height], &label);
        let arrow = match view.metric().goal {
            Goal::Minimize => "↓ lower is better",
            Goal::Maximize => "↑ higher is better",
        };
        let unit = view.unit().trim_start().to_owned();
        let unit = if unit.is_empty() { unit } else { format!(" ({unit})") };
        let name = format!("{}{unit} {arrow}", view.metric_name());
        svg::words(out, "name", [4.0, 14.0], &name);
        for (value, text) in rows {
            let Px(at) = y.at(value);
            svg::stroke(out, "grid", [left, at], [right, at]);
            svg::words(out, "tick end", [left - 6.0, at + 4.0], &text);
        }
        let floor = height - 56.0;
        let columns = if width > 600.0 { 10 } else { 5 };
        for (value, text) in x.ticks(columns, 1.0) {
            let Px(at) = x.at(value);
            svg::stroke(out, "axis", [at, height - 34.0], [at, height - 30.0]);
            svg::words(out, "tick mid", [at, height - 18.0], &text);
        }
        svg::stroke(out, "axis", [left, height - 34.0], [right, height - 34.0]);
        svg::words(out, "tick mid", [(left + right) / 2.0, height - 4.0], "trial");
        self.draw_bands(out, &x, &y);
        for (index, seam) in self.seams.iter().enumerate() {
            let Px(at) = x.at(f64::from(*seam) - 0.5);
            svg::stroke(out, "seam", [at, 22.0], [at, floor]);
            svg::words(out, "tick", [at + 4.0, 32.0], &format!("segment {}", index + 1));
        }
        self.draw_dots(view, out, [&x, &y]);
        self.draw_failed(view, out, &x, [floor + 4.0, height - 36.0]);
        self.draw_levels(out, &x, &y);
        self.draw_kept(view, out, [&x, &y], right);
        out.push_str("</svg>\n");
    }

    fn draw_bands(&self, out: &mut String, x: &Scale, y: &Scale) {
        for band in &self.bands {
            let (Px(from), Px(to)) = (x.at(f64::from(band.from)), x.at(f64::from(band.to)));
            let (Px(a), Px(b)) = (y.at(band.mean + 2.0 * band.sd), y.at(band.mean - 2.0 * band.sd));
            let (from, wide) = (Px(from - 8.0), Px(to - from + 16.0));
            let (top, tall) = (Px(a.min(b)), Px((a - b).abs().max(1.0)));
            put!(
                out,
                "<rect class=\"band\" x=\"{from}\" y=\"{top}\" width=\"{wide}\" height=\"{tall}\"/>\n"
            );
        }
    }

    fn draw_dots(&self, view: &View<'_>, out: &mut String, [x, y]: [&Scale; 2]) {
        let thin = self.dots.len() > EACH;
        let r = if self.dots.len() > 400 { 2.6 } else { 3.8 };
        let mut taken = BTreeSet::new();
        // the many and dull first, so that the few lie on top
        for mark in Mark::ALL.iter().rev() {
            for dot in self.dots.iter().filter(|dot| dot.mark == *mark) {
                let (Px(at), Px(up)) = (x.at(f64::from(dot.no.0)), y.at(dot.score));
                let cell = ((at / CELL[0]) as i32, (up / CELL[1]) as i32, *mark);
                if thin && *mark != Mark::Baseline && !taken.insert(cell) {
                    continue;
                }
                let title = titled(view, dot.no, Some((dot.score, dot.n)));
                if y.holds(dot.score) {
                    mark.draw(out, Px(at), Px(up), r, &title);
                } else {
                    beyond(out, *mark, [at, up], up < TOP + 1.0, &title);
                }
            }
        }
    }

    fn draw_failed(&self, view: &View<'_>, out: &mut String, x: &Scale, [top, bottom]: [f64; 2]) {
        let mut drawn = None;
        for no in &self.failed {
            let Px(at) = x.at(f64::from(no.0));
            let column = at.round() as i32;
            if self.failed.len() > EACH / 2 && drawn == Some(column) {
                continue;
            }
            drawn = Some(column);
            let (at, top, bottom) = (Px(at), Px(top), Px(bottom));
            let title = esc(&titled(view, *no, None));
            put!(
                out,
                "<path class=\"failed\" d=\"M{at} {top}V{bottom}\"><title>{title}</title></path>\n"
            );
        }
    }

    fn draw_levels(&self, out: &mut String, x: &Scale, y: &Scale) {
        let mut path = String::new();
        let mut pen = false;
        let ends = self.levels.iter().skip(1).map(|level| level.from).chain([self.last]);
        for (level, to) in self.levels.iter().zip(ends) {
            let seam = self.seams.contains(&level.from);
            match level.mean {
                None => pen = false,
                Some(mean) => {
                    let (from, to, at) =
                        (x.at(f64::from(level.from)), x.at(f64::from(to)), y.at(mean));
                    if pen && !seam {
                        put!(path, "V{at}H{to}");
                    } else {
                        put!(path, "M{from} {at}H{to}");
                    }
                    pen = true;
                }
            }
        }
        put!(out, "<path class=\"best\" d=\"{path}\"/>\n");
    }

    fn draw_kept(&self, view: &View<'_>, out: &mut String, [x, y]: [&Scale; 2], right: f64) {
        let champion = view.study.champion();
        let below = view.metric().goal == Goal::Minimize;
        let whiskers = self.kept.len() <= WHISKERS;
        let mut labels: Vec<[f64; 2]> = Vec::new();
        for kept in self.kept.iter().rev() {
            let (Px(at), Px(up)) = (x.at(f64::from(kept.no.0)), y.at(kept.mean));
            let mut ends = vec![up];
            if let Some(score) = kept.score
                && whiskers
            {
                let Px(noticed) = y.at(score);
                ends.push(noticed);
                svg::stroke(out, "shrink", [at, noticed], [at, up]);
                let (at, noticed) = (Px(at), Px(noticed));
                put!(out, "<circle class=\"noticed\" cx=\"{at}\" cy=\"{noticed}\" r=\"3\"/>\n");
            }
            if let Some([low, high]) = kept.interval
                && whiskers
            {
                let (Px(low), Px(high)) = (y.at(low), y.at(high));
                ends.extend([low, high]);
                svg::stroke(out, "interval thin", [at, low], [at, high]);
            }
            let title = titled(view, kept.no, Some((kept.mean, kept.n)));
            Mark::Keep.draw(out, Px(at), Px(up), if whiskers { 4.2 } else { 2.8 }, &title);
            let end = ends.into_iter().reduce(if below { f64::max } else { f64::min });
            let place = [at, end.unwrap_or(up) + if below { 16.0 } else { -9.0 }];
            let text = kept.no.to_string();
            let room = 8.0 * text.len() as f64 + if whiskers { 0.0 } else { 24.0 };
            let place = [place[0].min(right - 4.0 * text.len() as f64), place[1]];
            let clear = |other: &[f64; 2]| {
                (other[0] - place[0]).abs() > room || (other[1] - place[1]).abs() > 13.0
            };
            if labels.iter().all(clear) {
                let class = if kept.no == champion { "note mid strong" } else { "note mid" };
                svg::words(out, class, place, &text);
                labels.push(place);
            }
        }
    }

    fn caption(&self, view: &View<'_>) -> String {
        let mut text = "Search scores are means over a trial's search seeds, so one that was looked at once is as noisy \
                        as the band."
            .to_owned();
        if !self.kept.is_empty() {
            text.push_str(" A kept trial is drawn filled at its mean on fresh seeds");
            if self.kept.len() <= WHISKERS {
                text.push_str(
                    ", with a 95 % interval, joined to the hollow score it was noticed for",
                );
            }
            text.push('.');
        }
        if !self.failed.is_empty() {
            text.push_str(" Ticks at the bottom are failures.");
        }
        if view.splits().contains(&Split::Select) {
            text.push_str(
                " All values here are on the split that proposers see; verdicts were reached on another.",
            );
        }
        if self.beyond > 0 {
            put!(
                text,
                " {} beyond the axis, drawn as triangles at its edge.",
                if self.beyond == 1 {
                    "One score lies".to_owned()
                } else {
                    format!("{} scores lie", self.beyond)
                }
            );
        }
        if self.dots.len() > EACH {
            text.push_str(
                " Where marks of one outcome would cover one another, one stands for all.",
            );
        }
        if !self.seams.is_empty() {
            text.push_str(" Values left and right of a segment's line cannot be compared.");
        }
        text
    }
}

/// What hovering over the mark of trial `no` shows.
fn titled(view: &View<'_>, no: TrialNo, score: Option<(f64, usize)>) -> String {
    view.study.trial(no).map_or_else(String::new, |trial| hover(trial, score))
}

fn beyond(out: &mut String, mark: Mark, [x, y]: [f64; 2], top: bool, title: &str) {
    let (tip, foot) = if top { (y - 4.0, y + 3.0) } else { (y + 4.0, y - 3.0) };
    let (class, title) = (mark.name(), esc(title));
    let [left, right] = [Px(x - 4.0), Px(x + 4.0)];
    let (x, tip, foot) = (Px(x), Px(tip), Px(foot));
    put!(
        out,
        "<path class=\"{class}\" d=\"M{x} {tip}L{left} {foot}H{right}Z\"><title>{title}</title></path>\n"
    );
}
