//! What was kept and why: a table, then one card per kept trial with its change.

use std::sync::Arc;

use empiric_core::{
    Outcome, Prediction, Provenance, Purpose, Split, Trial, TrialNo, Verdict, trial::Direction,
};

use super::{
    calibration,
    text::{Decimals, block, clip, counted, esc, line, put, signed},
    view::View,
};

/// Most kept trials shown; the newest count.
const MOST: usize = 150;
/// Most lines and characters of one diff, and characters of all of them.
const LINES: usize = 400;
const CHARACTERS: usize = 24_000;
const ALL_CHARACTERS: usize = 1_000_000;

pub(super) fn write(view: &View<'_>, diffs: &dyn Fn(TrialNo) -> Option<String>, out: &mut String) {
    out.push_str("<section id=\"keeps\">\n<h2>What was kept, and why</h2>\n");
    let keeps: Vec<TrialNo> = view.study.keeps().iter().copied().collect();
    let omitted = keeps.len().saturating_sub(MOST);
    let kept: Vec<Kept<'_>> = keeps
        .iter()
        .skip(omitted)
        .filter_map(|no| {
            let against = view.study.won(*no).map_or(TrialNo::BASELINE, |won| won.over);
            Some(Kept { trial: view.study.trial(*no)?, against })
        })
        .collect();
    if kept.is_empty() {
        out.push_str("<p>Nothing: no trial has passed confirmation on fresh seeds.</p>\n");
        doubted(view, out);
        out.push_str("</section>\n");
        return;
    }
    if omitted > 0 {
        put!(out, "<p>The last {MOST}; {omitted} older ones are left out.</p>\n");
    }
    table(view, &kept, out);
    let mut room = ALL_CHARACTERS;
    for kept in &kept {
        card(view, kept, out);
        match diffs(kept.trial.no).filter(|_| room > 0) {
            Some(text) => diff(&text, &mut room, out),
            None => out.push_str("<p class=\"faint\">Its change is not shown here.</p>\n"),
        }
        out.push_str("</article>\n");
    }
    doubted(view, out);
    out.push_str("</section>\n");
}

/// Trials that passed confirmation, were doubted by the supervisor, and were not kept.
fn doubted(view: &View<'_>, out: &mut String) {
    let refuted = |trial: &&Arc<Trial>| {
        trial.quarantine.is_some()
            && matches!(&trial.outcome, Some(outcome) if !matches!(outcome, Outcome::Valid { verdict: Verdict::Keep, .. }))
    };
    let trials: Vec<_> = view.study.trials().iter().filter(refuted).take(MOST).collect();
    if trials.is_empty() {
        return;
    }
    out.push_str("<h3>Doubted, measured once more, and not kept</h3>\n<ul>\n");
    for trial in trials {
        let why: Vec<String> = trial
            .quarantine
            .iter()
            .flat_map(|held| &held.concerns)
            .map(ToString::to_string)
            .collect();
        let end = match &trial.outcome {
            Some(Outcome::Valid { verdict, reason, .. }) => format!("{verdict}: {reason}"),
            Some(Outcome::Failed(failure)) => format!("{failure}: {}", failure.excerpt),
            None => String::new(),
        };
        put!(
            out,
            "<li id=\"{no}\"><b>{no}</b> {} <span class=\"faint\">{}</span></li>\n",
            line(&why.join("; "), 600),
            line(&end, 600),
            no = trial.no,
        );
    }
    out.push_str("</ul>\n");
}

struct Kept<'a> {
    trial: &'a Trial,
    /// The champion it beat.
    against: TrialNo,
}

impl Kept<'_> {
    fn gain(&self) -> (Option<f64>, Option<[f64; 2]>, &str) {
        match &self.trial.outcome {
            Some(Outcome::Valid { gain, gain_interval, reason, .. }) => {
                (*gain, *gain_interval, reason)
            }
            Some(Outcome::Failed(_)) | None => (None, None, ""),
        }
    }

    fn commit(&self) -> String {
        let commit = self.trial.edit.as_ref().map(|edit| edit.commit.to_string());
        commit.map_or_else(String::new, |commit| commit.chars().take(10).collect())
    }
}

fn table(view: &View<'_>, kept: &[Kept<'_>], out: &mut String) {
    put!(
        out,
        "<div class=\"scroll\"><table>\n<thead><tr><th>trial<th class=\"n\">gain<th class=\"n\">95 % interval<th>over<th \
         class=\"n\">seeds<th>operator<th>hypothesis<th>commit</tr></thead>\n<tbody>\n",
    );
    for kept in kept {
        let (gain, interval, _) = kept.gain();
        let decimals = Decimals::around(gain.unwrap_or(0.0), interval);
        let operator =
            kept.trial.edit.as_ref().map_or(kept.trial.ask.operator, |edit| edit.operator);
        put!(
            out,
            "<tr><td><a href=\"#{no}\">{no}</a><td class=\"n\">{}<td class=\"n\">{}<td>{}<td \
             class=\"n\">{}<td>{operator}<td class=\"text\">{}<td><code>{}</code></tr>\n",
            gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
            interval
                .map(|[low, high]| format!("[{}, {}]", decimals.signed(low), decimals.signed(high)))
                .unwrap_or_default(),
            kept.against,
            view.confirmed(kept.trial, Split::Select).n,
            line(View::hypothesis(kept.trial), 110),
            kept.commit(),
            no = kept.trial.no,
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// The card of one kept trial, not yet closed.
fn card(view: &View<'_>, kept: &Kept<'_>, out: &mut String) {
    let trial = kept.trial;
    let (gain, interval, reason) = kept.gain();
    let decimals = Decimals::around(gain.unwrap_or(0.0), interval);
    let edit = trial.edit.as_ref();
    let champion = if trial.no == view.study.champion() { " <em>champion</em>" } else { "" };
    let own = view.study.task().provenance() == Provenance::Recipe;
    let own = if own { " <em>self-reported</em>" } else { "" };
    put!(
        out,
        "<article id=\"{no}\">\n<h3>{no} <span class=\"gain\">{}{}</span> over {}{champion}{own}</h3>\n<p class=\"hypothesis\">{}</p>\n<dl>\n",
        gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
        view.unit(),
        kept.against,
        block(View::hypothesis(trial), 1200),
        no = trial.no,
    );
    let mut row = |name: &str, value: &str| put!(out, "<dt>{name}</dt><dd>{value}</dd>\n");
    row("evidence", &line(reason, 400));
    if let Some(held) = &trial.quarantine {
        let words: Vec<String> = held.concerns.iter().map(ToString::to_string).collect();
        row("quarantine", &line(&words.join("; "), 600));
    }
    if let Some(prediction) = edit.and_then(|edit| edit.hypothesis.prediction.as_ref()) {
        let came = calibration::came(view, trial, &prediction.metric).map_or_else(
            || "was not measured beside its parent".to_owned(),
            |came| {
                format!("it moved by {} on {}", signed(came.change), counted(came.n, "search seed"))
            },
        );
        row("predicted", &format!("{}; {came}", predicted(prediction)));
    }
    let fresh = view.confirmed(trial, Split::Select);
    let searched = trial.replicates.iter().filter(|found| found.purpose == Purpose::Search);
    let searched = searched.filter(|found| found.usable()).count();
    let mean = format!("mean {}{}", decimals.show(fresh.mean), view.unit());
    row(
        "measured",
        &format!(
            "{mean} over {}; {} before",
            counted(fresh.n, "fresh seed"),
            counted(searched, "search seed")
        ),
    );
    if let Some(edit) = edit {
        let parents: Vec<String> = trial.parents().iter().map(ToString::to_string).collect();
        let surface = edit.surface.as_ref().map(|surface| format!(" in {}", line(surface, 60)));
        row(
            "edit",
            &format!(
                "{} of {}{} by {}, commit <code>{}</code>",
                edit.operator,
                parents.join(" and "),
                surface.unwrap_or_default(),
                line(&edit.proposer, 80),
                kept.commit()
            ),
        );
    }
    out.push_str("</dl>\n");
}

/// A prediction in words, as HTML.
pub(super) fn predicted(prediction: &Prediction) -> String {
    let metric = line(&prediction.metric, 60);
    let direction = match prediction.direction {
        Direction::Increase => "rises",
        Direction::Decrease => "falls",
        Direction::Unchanged => "stays",
    };
    let size = prediction
        .size
        .map(|size| format!(" by {}", Decimals::of(size, 3).show(size)))
        .unwrap_or_default();
    format!("{metric} {direction}{size}")
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
