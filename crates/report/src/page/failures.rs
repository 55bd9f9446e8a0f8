//! What failed, by what it is recognised by: whom to blame, where, and why, with the nearest miss and one example of each.

use std::collections::BTreeMap;

use empiric_core::{Failure, Outcome, Signature, Trial};

use super::{
    text::{block, line, put, share, signed},
    view::View,
};

/// Most kinds of failure listed.
const KINDS: usize = 60;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"failures\">\n<h2>What failed</h2>\n");
    let kinds = kinds(view);
    let total: usize = kinds.iter().map(|kind| kind.trials.len()).sum();
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

/// Failures of one kind.
struct Kind<'a> {
    signature: Signature,
    trials: Vec<(&'a Trial, &'a Failure)>,
}

/// Failures by signature, the most frequent first.
fn kinds<'a>(view: &View<'a>) -> Vec<Kind<'a>> {
    let mut kinds: BTreeMap<Signature, Kind<'_>> = BTreeMap::new();
    for trial in view.study.trials() {
        if let Some(Outcome::Failed(failure)) = &trial.outcome {
            let signature = failure.signature();
            let new = || Kind { signature: signature.clone(), trials: Vec::new() };
            kinds.entry(signature.clone()).or_insert_with(new).trials.push((trial, failure));
        }
    }
    let mut kinds: Vec<Kind<'_>> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.trials.len()));
    kinds
}

fn row(kind: &Kind<'_>, out: &mut String) {
    let Some((_, failure)) = kind.trials.first() else { return };
    let nearest = kind
        .trials
        .iter()
        .filter_map(|(trial, failure)| Some((failure.margin.filter(|m| m.is_finite())?, trial.no)))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    // the nearest miss is the example too, where there is one: it is the one that a repair would aim at
    let example =
        kind.trials.iter().find(|(trial, _)| nearest.is_none_or(|(_, no)| no == trial.no));
    put!(
        out,
        "<tr><td class=\"n\">{}<td class=\"text\" title=\"{}\"><b>{}</b><td>{}<td>{}<td class=\"n\">{}<td class=\"text\">",
        kind.trials.len(),
        kind.signature.hash,
        line(&kind.signature.text, 240),
        failure.blame,
        failure.phase,
        nearest.map(|(margin, no)| format!("{} ({no})", signed(margin))).unwrap_or_default(),
    );
    if let Some((trial, failure)) = example {
        let text = failure.excerpt.trim();
        // a program's last line says most: tracebacks end with their cause
        let last = text.lines().last().unwrap_or_default();
        let head = format!("{}: {}", trial.no, line(last, 120));
        if text.is_empty() {
            put!(out, "{}", trial.no);
        } else if text.lines().count() == 1 && text.chars().count() <= 120 {
            put!(out, "{head}");
        } else {
            put!(
                out,
                "<details><summary>{head}</summary><pre>{}</pre></details>",
                block(&tail(text, 1500), 1501)
            );
        }
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
