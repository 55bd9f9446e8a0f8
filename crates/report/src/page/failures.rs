//! What failed, by what it is recognised by: whom to blame, where, and why, with the nearest miss and one example of each.

use super::{
    text::{block, line, put, share, signed},
    view::View,
};
use crate::FailureGroup;

/// Most kinds of failure listed.
const KINDS: usize = 60;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"failures\">\n<h2>What failed</h2>\n");
    let kinds = &view.report.failures;
    let total: usize = kinds.iter().map(|kind| kind.trials).sum();
    if total == 0 {
        out.push_str("<p>No trial failed.</p>\n</section>\n");
        return;
    }
    put!(
        out,
        "<p>{total} of {} trials ({}). A failure that the evaluator or the machine answers for does not count against the \
         trial budget.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th class=\"n\">trials<th>failure<th>blame<th>phase<th \
         class=\"n\">nearest miss<th>example</tr></thead>\n<tbody>\n",
        view.study.trials().len().saturating_sub(1),
        share(total, view.study.trials().len().saturating_sub(1)),
    );
    for kind in kinds.iter().take(KINDS) {
        row(kind, out);
    }
    out.push_str("</tbody></table></div>\n");
    if let Some(rest) = kinds.len().checked_sub(KINDS).filter(|rest| *rest > 0) {
        put!(out, "<p class=\"faint\">{rest} rarer kinds are left out.</p>\n");
    }
    out.push_str("</section>\n");
}

fn row(group: &FailureGroup, out: &mut String) {
    put!(
        out,
        "<tr><td class=\"n\">{}<td class=\"text\" title=\"{}\"><b>{}</b><td>{}<td>{}<td class=\"n\">{}<td class=\"text\">",
        group.trials,
        group.signature.hash,
        line(&group.signature.text, 240),
        group.blame,
        group.phase,
        group.nearest.map(|(margin, no)| format!("{} ({no})", signed(margin))).unwrap_or_default(),
    );
    let text = group.excerpt.trim();
    // a program's last line says most: tracebacks end with their cause
    let last = text.lines().last().unwrap_or_default();
    let head = format!("{}: {}", group.example, line(last, 120));
    if text.is_empty() {
        put!(out, "{}", group.example);
    } else if text.lines().count() == 1 && text.chars().count() <= 120 {
        put!(out, "{head}");
    } else {
        put!(
            out,
            "<details><summary>{head}</summary><pre>{}</pre></details>",
            block(&tail(text, 1500), 1501)
        );
    }
    out.push_str("</tr>\n");
}

/// The last `most` characters.
fn tail(text: &str, most: usize) -> String {
    match text.char_indices().rev().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("…{}", text[at..].chars().skip(1).collect::<String>()),
    }
}
