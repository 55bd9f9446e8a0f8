//! The study report: one HTML file that needs nothing else, not even a script.
//!
//! Whatever recipes, proposers and logs have written goes through [`text::esc`] and is bounded, so the page is as safe
//! to open, and as small, for a hostile study as for a friendly one.

mod arms;
mod beside;
mod calibration;
mod curve;
mod failures;
mod graph;
mod headline;
mod keeps;
mod method;
mod svg;
pub(crate) mod text;
mod view;

#[cfg(test)]
mod tests;

use empiric_core::Study;

use text::{line, put};
use view::View;

use crate::Report;

const STYLE: &str = include_str!("page/style.css");

/// The report of `study` as one HTML document without external resources; the same for the same arguments.
#[must_use]
pub fn html(study: &Study, report: &Report) -> String {
    let (view, facts) = (View::new(study, report), &report.facts);
    let title = line(&study.task().name, 80);
    let mut out = String::with_capacity(256 << 10);
    put!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"generator\" content=\"Empiric {}\">\n\
         <title>{title}: study report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        line(&facts.version, 40),
    );
    headline::write(&view, &mut out);
    curve::write(&view, &mut out);
    arms::write(&view, &mut out);
    graph::write(&view, &mut out);
    keeps::write(&view, &mut out);
    beside::write(&view, &mut out);
    failures::write(&view, &mut out);
    calibration::write(&view, &mut out);
    method::write(&view, &mut out);
    put!(
        out,
        "<footer>Written by Empiric {} at {}. One file, no script, nothing fetched.</footer>\n\
         </main>\n</body>\n</html>\n",
        line(&facts.version, 40),
        text::time(facts.generated_at),
    );
    out
}
