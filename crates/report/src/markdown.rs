//! The report as Markdown: the same facts and sentences as the page, with tables for charts.
//!
//! Text from elsewhere is quoted, so nothing in it is a mark, a link or markup.

use std::fmt::Write as _;

use empiric_core::{Provenance, study::State};

use crate::{
    KeepRow, Report,
    model::predicted,
    page::text::{Decimals, clip, counted, deceptive, number, seconds, share, signed, time},
    prose::quote,
};

/// Most kinds of failure, and most rows of the curve.
const KINDS: usize = 40;
const ROWS: usize = 40;
/// Most lines of one diff.
const LINES: usize = 200;

/// Appends a line.
macro_rules! say {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{
        let _ = writeln!($out, $($arg)*); // a String takes everything
    }};
}

/// The report as one Markdown document (CommonMark with tables).
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::with_capacity(64 << 10);
    head(report, &mut out);
    noise(report, &mut out);
    curve(report, &mut out);
    arms(report, &mut out);
    keeps(report, &mut out);
    failures(report, &mut out);
    say!(out, "## Predictions against what came\n\n{}\n", report.predictions.words());
    method(report, &mut out);
    cost(report, &mut out);
    environment(report, &mut out);
    out
}

fn head(report: &Report, out: &mut String) {
    let status = &report.status;
    say!(out, "# {}: study report\n", quote(&report.question.task, 80));
    if !report.question.summary.is_empty() {
        say!(out, "{}\n", quote(&report.question.summary, 400));
    }
    say!(out, "**{}**\n", report.finding.claim.0);
    say!(out, "{}\n", report.finding.evidence.0);
    for caution in &report.cautions {
        say!(out, "> **{}** {}\n", caution.name, caution.text.0);
    }
    let metric = format!("{} `{}`", status.metric.goal, quote(&status.metric.name, 60));
    let vouched = match report.provenance() {
        Provenance::Recipe => "**self-reported** by the recipe",
        Provenance::Evaluator => "measured by the evaluator, apart from the recipe",
        Provenance::Harness => "measured by the harness",
    };
    let state = match status.state {
        State::Running => "running",
        State::Paused => "paused",
        State::Stopped => "stopped early; it can go on",
        State::Finished => "finished",
    };
    say!(out, "| | |\n|---|---|");
    say!(out, "| question | {metric} |");
    say!(out, "| trust | {vouched}; sandbox {} |", quote(&status.sandbox, 20));
    say!(out, "| state | {state} |");
    let failed: u32 = status.outcomes.failed.values().sum();
    say!(
        out,
        "| trials | {}: {} kept, {} inconclusive, {} discarded, {failed} failed; {} |",
        status.trials,
        status.outcomes.keep,
        status.outcomes.inconclusive,
        status.outcomes.discard,
        counted(status.replicates, "replicate")
    );
    say!(
        out,
        "| cost | {} CPU, {} wall |",
        seconds(status.cost.cpu_s),
        seconds(status.cost.wall_s)
    );
    say!(out);
}

fn noise(report: &Report, out: &mut String) {
    let status = &report.status;
    let Some(mean) = status.baseline.mean else { return };
    say!(out, "## Noise floor\n");
    let interval = status
        .baseline
        .interval
        .map(|[low, high]| format!(", 95 % \\[{}, {}\\]", number(low), number(high)))
        .unwrap_or_default();
    say!(
        out,
        "The baseline has a mean of {}{interval} over {}; {}.\n",
        number(mean),
        counted(status.baseline.replicates, "replicate"),
        quote(&status.noise.alarm(status.deterministic, mean), 400)
    );
}

/// The best confirmed level as it went.
fn curve(report: &Report, out: &mut String) {
    let curve = &report.curve;
    if curve.levels.is_empty() {
        return;
    }
    say!(out, "## Best confirmed level, trial by trial\n");
    say!(out, "| from trial | level |\n|---:|---:|");
    let skip = curve.levels.len().saturating_sub(ROWS);
    for level in curve.levels.iter().skip(skip) {
        let mean = level.mean.map_or_else(|| "not known".to_owned(), number);
        say!(out, "| t{} | {mean} |", level.from);
    }
    say!(out);
    if skip > 0 {
        say!(out, "{skip} earlier levels are left out.\n");
    }
}

/// Arms side by side, and what each had gained when.
fn arms(report: &Report, out: &mut String) {
    let status = &report.status;
    if status.arms.len() < 2 {
        return;
    }
    say!(out, "## Arms side by side\n");
    say!(out, "| arm | trials | kept | champion | gain | 95 % interval | CPU time | CPU s per % |");
    say!(out, "|---|---:|---:|---|---:|---|---:|---:|");
    for arm in &status.arms {
        let champion = arm.champion.as_ref();
        let interval = champion.and_then(|champion| champion.gain_interval);
        let decimals = Decimals::around(champion.map_or(0.0, |found| found.gain), interval);
        say!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            quote(&arm.name, 60),
            arm.trials,
            arm.outcomes.keep,
            champion.map_or("none", |champion| &champion.trial),
            champion.map(|champion| decimals.signed(champion.gain)).unwrap_or_default(),
            interval.map(|ends| between(decimals, ends)).unwrap_or_default(),
            seconds(arm.cost.cpu_s),
            arm.cpu_s_per_percent.map(number).unwrap_or_default()
        );
    }
    say!(out);
    for found in &status.comparisons {
        let decimals = Decimals::around(found.gain, found.gain_interval);
        let interval =
            found.gain_interval.map(|ends| format!(", 95 % {}", between(decimals, ends)));
        say!(
            out,
            "- {} against {}: {}{}, better in {:.0} % of pairs of runs",
            quote(&found.arm, 60),
            quote(&found.than, 60),
            decimals.signed(found.gain),
            interval.unwrap_or_default(),
            100.0 * found.probability
        );
    }
    say!(
        out,
        "\n| arm | keep | trials by then | CPU time by then | confirmed gain |\n|---|---|---:|---:|---:|"
    );
    for arm in &report.anytime {
        for step in &arm.steps {
            let (name, gain) = (quote(&arm.arm, 60), signed(step.gain));
            let spent = seconds(step.cpu_s);
            say!(out, "| {name} | {} | {} | {spent} | {gain} |", step.trial, step.trials);
        }
    }
    say!(out);
}

/// An interval in brackets.
fn between(decimals: Decimals, [low, high]: [f64; 2]) -> String {
    format!("\\[{}, {}\\]", decimals.signed(low), decimals.signed(high))
}

fn keeps(report: &Report, out: &mut String) {
    say!(out, "## What was kept, and why\n");
    if report.keeps.is_empty() {
        say!(out, "Nothing: no trial has passed confirmation on fresh seeds.\n");
    } else {
        if report.keeps_left_out > 0 {
            say!(out, "{} older keeps are left out.\n", report.keeps_left_out);
        }
        say!(out, "| trial | gain | 95 % interval | over | seeds | operator | hypothesis |");
        say!(out, "|---|---:|---|---|---:|---|---|");
        for kept in &report.keeps {
            let decimals = Decimals::around(kept.gain.unwrap_or(0.0), kept.gain_interval);
            let interval = kept.gain_interval.map(|[low, high]| {
                format!("\\[{}, {}\\]", decimals.signed(low), decimals.signed(high))
            });
            say!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                kept.trial,
                kept.gain.map(|gain| decimals.signed(gain)).unwrap_or_default(),
                interval.unwrap_or_default(),
                kept.over,
                kept.seeds,
                kept.operator,
                quote(&kept.hypothesis, 110)
            );
        }
        say!(out);
        report.keeps.iter().for_each(|kept| card(kept, out));
    }
    if !report.doubted.is_empty() {
        say!(out, "### Doubted, measured once more, and not kept\n");
        for doubt in &report.doubted {
            say!(
                out,
                "- **{}** {} *{}*",
                doubt.trial,
                quote(&doubt.why, 600),
                quote(&doubt.end, 600)
            );
        }
        say!(out);
    }
}

fn card(kept: &KeepRow, out: &mut String) {
    let decimals = Decimals::around(kept.gain.unwrap_or(0.0), kept.gain_interval);
    let gain = kept.gain.map(|gain| format!(" {}", decimals.signed(gain))).unwrap_or_default();
    say!(out, "### {}{gain} over {}\n", kept.trial, kept.over);
    say!(out, "{}\n", quote(&kept.hypothesis, 1200));
    say!(out, "- evidence: {}", quote(&kept.reason, 400));
    if !kept.quarantine.is_empty() {
        say!(out, "- quarantine: {}", quote(&kept.quarantine.join("; "), 600));
    }
    if let Some(prediction) = &kept.prediction {
        let came = kept.came.map_or_else(
            || "was not measured beside its parent".to_owned(),
            |came| format!("it moved by {}", signed(came.change)),
        );
        say!(out, "- predicted: {}; {came}", quote(&predicted(prediction), 120));
    }
    if let (Some(proposer), Some(commit)) = (&kept.proposer, &kept.commit) {
        say!(out, "- edit: {} by {}, commit `{commit}`", kept.operator, quote(proposer, 80));
    }
    for ablation in &kept.ablations {
        let moved = ablation
            .came
            .map(|came| format!(", moved by {}", signed(came.change)))
            .unwrap_or_default();
        let (outcome, what) = (quote(&ablation.outcome, 40), quote(&ablation.hypothesis, 160));
        say!(out, "- without: {} ({outcome}{moved}): {what}", ablation.trial);
    }
    say!(out);
    if let Some(diff) = &kept.diff {
        fenced("diff", diff, out);
    }
}

fn failures(report: &Report, out: &mut String) {
    say!(out, "## What failed\n");
    let total: usize = report.failures.iter().map(|group| group.trials).sum();
    if total == 0 {
        say!(out, "No trial failed.\n");
        return;
    }
    let of = share(total, report.status.trials);
    say!(out, "{total} of {} trials ({of}).\n", report.status.trials);
    say!(out, "| trials | failure | blame | phase | nearest miss | example |");
    say!(out, "|---:|---|---|---|---:|---|");
    for group in report.failures.iter().take(KINDS) {
        let nearest = group.nearest.map(|(margin, no)| format!("{} ({no})", signed(margin)));
        let last = group.excerpt.trim().lines().last().unwrap_or_default();
        say!(
            out,
            "| {} | {} | {} | {} | {} | {}: {} |",
            group.trials,
            quote(&group.signature.text, 160),
            group.blame,
            group.phase,
            nearest.unwrap_or_default(),
            group.example,
            quote(last, 120)
        );
    }
    say!(out);
    let rest = report.failures.len().saturating_sub(KINDS);
    if rest > 0 {
        say!(out, "{rest} rarer kinds are left out.\n");
    }
}

fn method(report: &Report, out: &mut String) {
    say!(out, "## How it was measured and decided\n");
    for (n, step) in report.method.steps.iter().enumerate() {
        say!(out, "{}. {}", n + 1, step.0);
    }
    say!(out);
    for rule in &report.method.rules {
        say!(out, "{}\n", rule.0);
    }
}

fn cost(report: &Report, out: &mut String) {
    let cost = &report.cost;
    say!(out, "## What it cost\n");
    let cap = cost.cap.map(|cap| format!(" of {cap}")).unwrap_or_default();
    say!(out, "{}{cap} trials count against the budget.\n", cost.trials);
    if let Some(each) = &cost.per_percent {
        say!(out, "{}\n", each.words());
    }
    say!(out, "| replicates for | finished | failed | CPU time |\n|---|---:|---:|---:|");
    for row in &cost.purposes {
        let spent = seconds(row.cpu_s);
        say!(out, "| {} | {} | {} | {spent} |", row.purpose, row.finished, row.failed);
    }
    say!(out);
}

fn environment(report: &Report, out: &mut String) {
    let (with, facts) = (&report.environment, &report.facts);
    say!(out, "## What it takes to check it, or to make it again\n");
    fenced("sh", &format!("{}\n{}", facts.verify, facts.command), out);
    say!(out, "| | |\n|---|---|");
    let mut row = |name: &str, value: &str| say!(out, "| {name} | {} |", quote(value, 120));
    row("study", &report.status.study);
    row("seed", &with.seed.to_string());
    let arms = with.arms.iter().map(|arm| format!("{}, policy {}", arm.name, arm.policy));
    row("arms", &arms.collect::<Vec<_>>().join("; "));
    row("Empiric", &facts.version);
    row("host", &facts.host);
    for (name, hash) in
        [("evaluator", &with.evaluator), ("data", &with.data), ("environment", &with.environment)]
    {
        row(name, hash.as_deref().unwrap_or("no segment has been opened"));
    }
    let head = facts.ledger_head.as_deref().unwrap_or("not given");
    row("ledger head", &format!("{head} after {} events", with.events));
    row("written", &time(facts.generated_at));
    if !report.notes.is_empty() {
        say!(out, "\n## Notes\n");
        for (by, text) in &report.notes {
            say!(out, "- {}: {}", quote(by, 60), quote(text, 800));
        }
    }
}

/// A block of text as it is, in a fence longer than any within it.
fn fenced(kind: &str, text: &str, out: &mut String) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    say!(out, "{fence}{kind}");
    for line in text.lines().take(LINES) {
        let shown: String = clip(line, 400)
            .chars()
            .filter(|c| *c == '\t' || !c.is_control() && !deceptive(*c))
            .collect();
        say!(out, "{shown}");
    }
    let rest = text.lines().count().saturating_sub(LINES);
    if rest > 0 {
        say!(out, "… {rest} lines more");
    }
    say!(out, "{fence}\n");
}
