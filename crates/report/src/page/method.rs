//! How it was measured and decided, what it cost, and what it takes to check it or make it again.

use super::{
    text::{block, counted, line, put, seconds, time},
    view::View,
};
use crate::{PurposeCost, prose};

/// Most notes shown, the newest.
const NOTES: usize = 50;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    method(view, out);
    cost(view, out);
    environment(view, out);
    notes(view, out);
}

fn method(view: &View<'_>, out: &mut String) {
    let method = &view.report.method;
    out.push_str("<section id=\"method\">\n<h2>How it was measured and decided</h2>\n<ol>\n");
    for step in &method.steps {
        put!(out, "<li>{}</li>\n", prose::html(&step.0));
    }
    out.push_str("</ol>\n");
    for rule in &method.rules {
        put!(out, "<p>{}</p>\n", prose::html(&rule.0));
    }
    out.push_str("</section>\n");
}

fn cost(view: &View<'_>, out: &mut String) {
    let report = &view.report.cost;
    let cost = &report.total;
    out.push_str("<section id=\"cost\">\n<h2>What it cost</h2>\n");
    let mut spent = vec![
        format!("{} of wall time", seconds(cost.wall_s)),
        format!("{} of CPU time", seconds(cost.cpu_s)),
    ];
    if cost.gpu_s > 0.0 {
        spent.push(format!("{} of GPU time", seconds(cost.gpu_s)));
    }
    if cost.tokens > 0 {
        spent.push(counted(usize::try_from(cost.tokens).unwrap_or(usize::MAX), "token"));
    }
    if cost.usd > 0.0 {
        spent.push(format!("{:.2} USD", cost.usd));
    }
    let counting = report.trials;
    let cap = report.cap.map(|trials| format!(" of {trials}")).unwrap_or_default();
    put!(out, "<p>{}; {counting}{cap} trials count against the budget.</p>\n", spent.join(", "));
    if let Some(each) = &report.per_percent {
        put!(out, "<p>{}</p>\n", each.words());
    }
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>replicates for<th class=\"n\">finished<th class=\"n\">failed<th \
         class=\"n\">CPU time<th class=\"n\">share</tr></thead>\n<tbody>\n",
    );
    let total: f64 = report.purposes.iter().map(|row| row.cpu_s).sum();
    for PurposeCost { purpose, finished, failed, cpu_s } in &report.purposes {
        let share =
            if total > 0.0 { format!("{:.0} %", 100.0 * cpu_s / total) } else { String::new() };
        put!(
            out,
            "<tr><td>{purpose}<td class=\"n\">{finished}<td class=\"n\">{failed}<td class=\"n\">{}<td class=\"n\">{share}</tr>\n",
            seconds(*cpu_s)
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn environment(view: &View<'_>, out: &mut String) {
    let (study, facts) = (view.study, view.facts);
    let settings = study.settings();
    out.push_str(
        "<section id=\"environment\">\n<h2>What it takes to check it, or to make it again</h2>\n",
    );
    put!(
        out,
        "<p>Check chain, commits and blobs, and make every ask and verdict again from the recorded inputs:</p>\n<pre>{}</pre>\n\
         <p>Make the study again:</p>\n<pre>{}</pre>\n<dl class=\"facts\">\n",
        block(&facts.verify, 600),
        block(&facts.command, 2000),
    );
    let mut row = |name: &str, value: &str| put!(out, "<dt>{name}</dt><dd>{value}</dd>\n");
    let code = |text: &str| format!("<code>{}</code>", line(text, 100));
    row("study", &code(&study.id().to_string()));
    row("seed", &code(&settings.seed.to_string()));
    let arms: Vec<String> = settings
        .arms
        .iter()
        .take(12)
        .map(|arm| format!("arm {}, policy {}", line(&arm.name, 40), line(&arm.policy, 40)))
        .collect();
    row("search", &arms.join(", "));
    row("Empiric", &line(&facts.version, 40));
    row("host", &line(&facts.host, 80));
    row("sandbox", &line(study.sandbox(), 20));
    match study.fixed() {
        Some(fixed) => {
            row("evaluator", &code(&fixed.evaluator.to_string()));
            row("data", &code(&fixed.data.to_string()));
            row("environment", &code(&fixed.environment.to_string()));
        }
        None => row("hashes", "no segment has been opened"),
    }
    let head = facts.ledger_head.as_deref().map_or_else(|| "not given".to_owned(), code);
    row("ledger head", &format!("{head} after {} events", study.seq()));
    row("written", &time(facts.generated_at));
    out.push_str("</dl>\n<div class=\"scroll\"><table>\n<thead><tr><th>runs<th>command<th class=\"n\">wall limit</tr></thead>\n<tbody>\n");
    let task = study.task();
    let stages = task.stages.iter().take(20).map(|stage| (stage.name.as_str(), &stage.command));
    let predictor = task.predictor.iter().map(|command| ("predictor", command));
    let evaluator = task.evaluator.iter().map(|command| ("evaluator", command));
    for (name, command) in stages.chain(predictor).chain(evaluator) {
        put!(
            out,
            "<tr><td>{}<td><code>{}</code><td class=\"n\">{}</tr>\n",
            line(name, 40),
            line(&command.run.join(" "), 200),
            seconds(command.limits.wall_s)
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn notes(view: &View<'_>, out: &mut String) {
    let notes = view.study.notes();
    if notes.is_empty() {
        return;
    }
    out.push_str("<section id=\"notes\">\n<h2>Notes</h2>\n<dl class=\"facts\">\n");
    for (by, text) in notes.iter().skip(notes.len().saturating_sub(NOTES)) {
        put!(out, "<dt>{}</dt><dd>{}</dd>\n", line(by, 60), block(text, 800));
    }
    out.push_str("</dl>\n</section>\n");
}
