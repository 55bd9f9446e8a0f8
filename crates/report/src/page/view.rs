//! What every section looks at, and the marks that outcomes are drawn with.

use std::collections::BTreeSet;

use empiric_core::{Metric, Outcome, Split, Study, Trial};
use empiric_decide::Summary;

use super::{
    svg::Px,
    text::{counted, esc, flat, line, number, put},
};
use crate::{Facts, Mark, Report, curve};

/// One study with what has been worked out of it once.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) study: &'a Study,
    pub(super) report: &'a Report,
    pub(super) facts: &'a Facts,
    pub(super) summary: Summary,
}

impl<'a> View<'a> {
    pub(super) fn new(study: &'a Study, report: &'a Report) -> Self {
        let facts = &report.facts;
        Self { study, report, facts, summary: empiric_decide::summary(study) }
    }

    pub(super) fn metric(&self) -> &'a Metric {
        &self.study.task().metric
    }

    /// The metric's name as HTML.
    pub(super) fn metric_name(&self) -> String {
        line(&self.metric().name, 60)
    }

    /// A space and the metric's unit as HTML, or nothing.
    pub(super) fn unit(&self) -> String {
        let unit = &self.metric().unit;
        if unit.is_empty() { String::new() } else { format!("\u{a0}{}", line(unit, 24)) }
    }

    /// Splits that the baseline has values of the metric on.
    pub(super) fn splits(&self) -> BTreeSet<Split> {
        curve::splits(self.study)
    }

    /// The hypothesis of `trial` on one line, unescaped and not yet bounded.
    pub(super) fn hypothesis(trial: &Trial) -> &str {
        trial.edit.as_ref().map_or("", |edit| edit.hypothesis.text.as_str())
    }
}

/// How marks are drawn: each has a shape, a colour and a name.
impl Mark {
    /// Draws it around a place, `r` pixels from middle to edge; `title` is plain text shown on hovering.
    pub(super) fn draw(self, out: &mut String, Px(x): Px, Px(y): Px, r: f64, title: &str) {
        let (tag, shape) = match self {
            Self::Keep => ("circle", round(x, y, r * 1.2)),
            Self::Discard => ("circle", round(x, y, r * 0.9)),
            Self::Open => ("circle", round(x, y, r * 0.5)),
            Self::Baseline => {
                let (left, top, side) = (Px(x - r), Px(y - r), Px(2.0 * r));
                let size = format!("width=\"{side}\" height=\"{side}\"");
                ("rect", format!("x=\"{left}\" y=\"{top}\" {size}"))
            }
            Self::Inconclusive => {
                let (top, s, back) = (Px(y - r * 1.25), Px(r * 1.25), Px(-r * 1.25));
                let x = Px(x);
                ("path", format!("d=\"M{x} {top}l{s} {s}l{back} {s}l{back} {back}z\""))
            }
            Self::Failed => {
                let (left, top, d) = (Px(x - r * 0.9), Px(y - r * 0.9), Px(r * 1.8));
                ("path", format!("d=\"M{left} {top}l{d} {d}m-{d} 0l{d} -{d}\""))
            }
        };
        let class = self.name();
        if title.is_empty() {
            put!(out, "<{tag} class=\"{class}\" {shape}/>\n");
        } else {
            let title = esc(title);
            put!(out, "<{tag} class=\"{class}\" {shape}><title>{title}</title></{tag}>\n");
        }
    }

    /// It alone, as a picture among words.
    pub(super) fn icon(self) -> String {
        let mut out = "<svg class=\"icon\" viewBox=\"0 0 14 14\" aria-hidden=\"true\">".to_owned();
        self.draw(&mut out, Px(7.0), Px(7.0), 4.2, "");
        out.push_str("</svg>");
        out
    }
}

fn round(x: f64, y: f64, r: f64) -> String {
    format!("cx=\"{}\" cy=\"{}\" r=\"{}\"", Px(x), Px(y), Px(r))
}

/// What hovering over a trial's mark shows, unescaped; `score` is a mean and how many replicates it is of.
pub(super) fn hover(trial: &Trial, score: Option<(f64, usize)>) -> String {
    let name = match &trial.outcome {
        Some(Outcome::Failed(failure)) => flat(&failure.cause.to_string(), 80),
        Some(Outcome::Valid { .. }) | None => Mark::of(trial).name().to_owned(),
    };
    let score = score
        .map(|(mean, n)| format!(" {} over {}", number(mean), counted(n, "replicate")))
        .unwrap_or_default();
    let hypothesis = flat(View::hypothesis(trial), 100);
    let colon = if hypothesis.is_empty() { "" } else { ": " };
    format!("{} {name}{score}{colon}{hypothesis}", trial.no)
}
