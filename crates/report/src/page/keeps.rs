//! What was kept and why: a table, then one card per kept trial with its change.

use empiric_core::Provenance;

use super::{
    text::{Decimals, block, clip, counted, esc, line, put, signed},
    view::View,
};
use crate::{KeepRow, model::predicted};

/// Most lines and characters of one diff, and characters of all of them.
const LINES: usize = 400;
const CHARACTERS: usize = 24_000;
const ALL_CHARACTERS: usize = 1_000_000;
/// Most ablations of one keep shown.
const ABLATIONS: usize = 20;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    out.push_str("<section id=\"keeps\">\n<h2>What was kept, and why</h2>\n");
    let kept = &view.report.keeps;
    if kept.is_empty() {
        out.push_str("<p>Nothing: no trial has passed confirmation on fresh seeds.</p>\n");
        doubted(view, out);
        out.push_str("</section>\n");
        return;
    }
    let omitted = view.report.keeps_left_out;
    if omitted > 0 {
        put!(out, "<p>The last {}; {omitted} older ones are left out.</p>\n", kept.len());
    }
    table(kept, out);
    let mut room = ALL_CHARACTERS;
    for kept in kept {
        card(view, kept, out);
        match kept.diff.as_ref().filter(|_| room > 0) {
            Some(text) => diff(text, &mut room, out),
            None => out.push_str("<p class=\"faint\">Its change is not shown here.</p>\n"),
        }
        out.push_str("</article>\n");
    }
    doubted(view, out);
    out.push_str("</section>\n");
}

/// Trials that passed confirmation, were doubted by the supervisor, and were not kept.
fn doubted(view: &View<'_>, out: &mut String) {
    if view.report.doubted.is_empty() {
        return;
    }
    out.push_str("<h3>Doubted, measured once more, and not kept</h3>\n<ul>\n");
    for doubt in &view.report.doubted {
        put!(
            out,
            "<li id=\"{no}\"><b>{no}</b> {} <span class=\"faint\">{}</span></li>\n",
            line(&doubt.why, 600),
            line(&doubt.end, 600),
            no = doubt.trial,
        );
    }
    out.push_str("</ul>\n");
}

fn commit(kept: &KeepRow) -> String {
    kept.commit.iter().flat_map(|commit| commit.chars().take(10)).collect()
}

fn table(kept: &[KeepRow], out: &mut String) {
    put!(
        out,
        "<div class=\"scroll\"><table>\n<thead><tr><th>trial<th class=\"n\">gain<th class=\"n\">95 % interval<th>over<th \
         class=\"n\">seeds<th>operator<th>hypothesis<th>commit</tr></thead>\n<tbody>\n",
    );
    for kept in kept {
        let decimals = Decimals::around(kept.gain.unwrap_or(0.0), kept.gain_interval);
        put!(
            out,
            "<tr><td><a href=\"#{no}\">{no}</a><td class=\"n\">{}<td class=\"n\">{}<td>{}<td \
             class=\"n\">{}<td>{}<td class=\"text\">{}<td><code>{}</code></tr>\n",
            kept.gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
            kept.gain_interval
                .map(|[low, high]| format!("[{}, {}]", decimals.signed(low), decimals.signed(high)))
                .unwrap_or_default(),
            kept.over,
            kept.seeds,
            kept.operator,
            line(&kept.hypothesis, 110),
            commit(kept),
            no = kept.trial,
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// The card of one kept trial, not yet closed.
fn card(view: &View<'_>, kept: &KeepRow, out: &mut String) {
    let decimals = Decimals::around(kept.gain.unwrap_or(0.0), kept.gain_interval);
    let champion = if kept.trial == view.study.champion() { " <em>champion</em>" } else { "" };
    let own = view.study.task().provenance() == Provenance::Recipe;
    let own = if own { " <em>self-reported</em>" } else { "" };
    put!(
        out,
        "<article id=\"{no}\">\n<h3>{no} <span class=\"gain\">{}{}</span> over {}{champion}{own}</h3>\n<p class=\"hypothesis\">{}</p>\n<dl>\n",
        kept.gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
        view.unit(),
        kept.over,
        block(&kept.hypothesis, 1200),
        no = kept.trial,
    );
    let mut row = |name: &str, value: &str| put!(out, "<dt>{name}</dt><dd>{value}</dd>\n");
    row("evidence", &line(&kept.reason, 400));
    if !kept.quarantine.is_empty() {
        row("quarantine", &line(&kept.quarantine.join("; "), 600));
    }
    if let Some(prediction) = &kept.prediction {
        let came = kept.came.map_or_else(
            || "was not measured beside its parent".to_owned(),
            |came| {
                format!("it moved by {} on {}", signed(came.change), counted(came.n, "search seed"))
            },
        );
        row("predicted", &format!("{}; {came}", esc(&predicted(prediction))));
    }
    row(
        "measured",
        &format!(
            "{} over {}; {} before",
            kept.mean.map_or_else(
                || "not".to_owned(),
                |mean| format!("mean {}{}", decimals.show(mean), view.unit())
            ),
            counted(kept.seeds, "fresh seed"),
            counted(kept.searched, "search seed")
        ),
    );
    if let Some(proposer) = &kept.proposer {
        let parents: Vec<String> = kept.parents.iter().map(ToString::to_string).collect();
        let surface = kept.surface.as_ref().map(|surface| format!(" in {}", line(surface, 60)));
        row(
            "edit",
            &format!(
                "{} of {}{} by {}, commit <code>{}</code>",
                kept.operator,
                parents.join(" and "),
                surface.unwrap_or_default(),
                line(proposer, 80),
                commit(kept)
            ),
        );
    }
    for ablation in kept.ablations.iter().take(ABLATIONS) {
        let moved = ablation.came.map_or_else(String::new, |came| {
            format!(
                ", {} moved by {} on {}",
                view.metric_name(),
                signed(came.change),
                counted(came.n, "seed")
            )
        });
        row(
            "without",
            &format!(
                "{} ({}{moved}): {}",
                ablation.trial,
                line(&ablation.outcome, 40),
                line(&ablation.hypothesis, 160)
            ),
        );
    }
    out.push_str("</dl>\n");
}

/// A unified diff, folded away, every line with a class for its kind beside the sign that it starts with.
fn diff(text: &str, room: &mut usize, out: &mut String) {
    let (mut added, mut removed) = (0_usize, 0_usize);
    let mut in_hunk = false;
    let mut body = String::new();
    let mut left = CHARACTERS.min(*room);
    let mut shown = 0;
    let mut total = 0;
    for found in text.lines() {
        total += 1;
        let class = match found.as_bytes().first() {
            Some(b'd') if found.starts_with("diff --git") => {
                in_hunk = false;
                "file"
            }
            Some(b'@') => {
                in_hunk = true;
                "hunk"
            }
            Some(b'+') if in_hunk => {
                added += 1;
                "add"
            }
            Some(b'-') if in_hunk => {
                removed += 1;
                "del"
            }
            _ if in_hunk => "",
            _ => "file",
        };
        if shown < LINES && left > 0 {
            let cut = clip(found, 400);
            left = left.saturating_sub(cut.len() + 1);
            shown += 1;
            put!(body, "<span class=\"{class}\">{}</span>\n", esc(&cut));
        }
    }
    *room = room.saturating_sub(body.len());
    put!(
        out,
        "<details><summary>change against its first parent: <span class=\"added\">+{added}</span> <span class=\"removed\">−{removed}</span> \
         lines</summary>\n<pre class=\"diff\">{body}</pre>\n"
    );
    if total > shown {
        put!(out, "<p class=\"faint\">{} more are left out.</p>\n", counted(total - shown, "line"));
    }
    out.push_str("</details>\n");
}
