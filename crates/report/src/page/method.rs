//! How it was measured and decided, what it cost, and what it takes to check it or make it again.

use empiric_core::{
    Purpose, Split,
    study::{ErrorControl, Rules},
};
use empiric_decide::{MIN_BASELINE, compare};

use super::{
    text::{Decimals, block, counted, line, put, seconds, time},
    view::View,
};
use crate::status::Noise;

/// Most notes shown, the newest.
const NOTES: usize = 50;

pub(super) fn write(view: &View<'_>, out: &mut String) {
    method(view, out);
    cost(view, out);
    environment(view, out);
    notes(view, out);
}

fn method(view: &View<'_>, out: &mut String) {
    let rules = &view.study.settings().rules;
    let metric = view.metric();
    out.push_str("<section id=\"method\">\n<h2>How it was measured and decided</h2>\n<ol>\n");
    put!(
        out,
        "<li><b>Noise first.</b> The unedited recipe was measured under {} seeds before any idea was paid for. {}</li>\n",
        rules.baseline_replicates.max(MIN_BASELINE),
        noise(view)
    );
    put!(
        out,
        "<li><b>Search.</b> Every trial runs under the same seeds in the same order, which pairs it with its champion. One \
         replicate ends the hopeless; the promising get up to {}. Looks spend a level of {} as O'Brien and Fleming do. \
         Nothing is kept here: search only chooses what is worth confirming.</li>\n",
        rules.search_replicates.max(1),
        compare::PROMISE,
    );
    put!(
        out,
        "<li><b>Confirmation.</b> A <em>keep</em> is a trial that beat the champion of that moment on fresh seeds that \
         search never uses, run on both. Evidence against \u{201c}no better\u{201d} grows pair by pair and may be looked at \
         after any, since the test holds its level at every stopping time: it ends when there is enough, when more is predicted \
         to be in vain, or after {} pairs. The gain that is reported comes from at least {} further pairs, which had no \
         part in the decision, so having been selected cannot flatter it. <em>Discard</em>: not better, or not worth more \
         replicates. <em>Inconclusive</em>: the evidence does not decide.</li>\n",
        rules.confirm_replicates.max(2),
        rules.gain_replicates.max(2),
    );
    put!(
        out,
        "<li><b>Closing comparison.</b> Once, at the end: champion against baseline on {} seeds that no decision saw, paired \
         by seed, with a two-sided 95 % interval.</li>\n</ol>\n",
        rules.report_replicates,
    );
    put!(out, "<p>{}</p>\n", error(view, rules));
    let splits = view.splits();
    let of = if splits.contains(&Split::Select) && splits.contains(&Split::Report) {
        "The evaluator scores three splits: proposers see <em>search</em>, verdicts are made on <em>select</em>, and \
         <em>report</em> is read in the closing comparison alone."
    } else if splits.contains(&Split::Select) {
        "The evaluator scores two splits: proposers see <em>search</em>, verdicts are made on <em>select</em>. The closing \
         comparison holds back seeds, not data."
    } else if splits.contains(&Split::Report) {
        "The evaluator scores two splits: proposers and verdicts see <em>search</em>, and <em>report</em> is read in the \
         closing comparison alone."
    } else {
        "The evaluator scores one split, so what is held back from search is seeds, not data."
    };
    put!(out, "<p>{of}</p>\n");
    search(view, out);
    if !view.study.task().gates.is_empty() {
        let gates: Vec<String> = view
            .study
            .task()
            .gates
            .iter()
            .take(20)
            .map(|gate| format!("<code>{}</code>", line(&gate.to_string(), 80)))
            .collect();
        put!(
            out,
            "<p>Gates, held by the mean over a trial's replicates: {}. The metric is {} <b>{}</b>.</p>\n",
            gates.join(", "),
            metric.goal,
            view.metric_name()
        );
    }
    out.push_str("</section>\n");
}

/// How the search went: how different its ideas were, and how old the knowledge they were had with.
fn search(view: &View<'_>, out: &mut String) {
    let course = view.study.course();
    let (surfaces, contents, stale) = (course.surfaces(), course.contents(), course.staleness());
    put!(
        out,
        "<p>Search by policy <b>{}</b>. Edits were of {} ({} bits) and {} ({} bits); {} brought back what had been \
         measured and dropped. On average {} verdicts came in between a trial's ask and its start, {} at most.</p>\n",
        policies(view),
        counted(surfaces.families(), "surface"),
        Decimals::of(surfaces.entropy(), 2).show(surfaces.entropy()),
        counted(contents.families(), "kind"),
        Decimals::of(contents.entropy(), 2).show(contents.entropy()),
        course.revisited(),
        Decimals::of(stale.mean(), 2).show(stale.mean()),
        stale.most,
    );
}

/// The policies of the arms, each once.
fn policies(view: &View<'_>) -> String {
    let mut names: Vec<String> =
        view.study.settings().arms.iter().take(12).map(|arm| line(&arm.policy, 40)).collect();
    names.dedup();
    names.join(", ")
}

/// What is held over the whole study, and how much of it is spent.
fn error(view: &View<'_>, rules: &Rules) -> String {
    let contests = counted(view.study.contests() as usize, "trial");
    let percent = rough(100.0 * rules.level);
    match rules.error {
        ErrorControl::Fwer => format!(
            "Over the whole study the probability of any false keep is held at {percent} %, by alpha-spending over the {contests} \
             that came to be confirmed, however the search chose them."
        ),
        ErrorControl::Fdr => format!(
            "Over the whole study the expected share of false keeps among all keeps is held at {percent} %, by e-LOND over the \
             {contests} that came to be confirmed, however the search chose them."
        ),
    }
}

fn rough(value: f64) -> String {
    Decimals::of(value, 2).show(value)
}

fn noise(view: &View<'_>) -> String {
    if view.summary.noise.deterministic {
        return "Every seed gave one value, so the metric is taken as deterministic: one replicate shows a gain, and two fresh seeds confirm it."
            .to_owned();
    }
    let Some(sd) = view.summary.noise.sd else {
        return "Nothing has been repeated yet, so its noise is not known.".to_owned();
    };
    let found = Noise::of(view.study);
    let mean = view.summary.baseline.map_or(f64::NAN, |baseline| baseline.mean);
    let text = found.alarm(view.summary.noise.deterministic, mean);
    format!(
        "One replicate has a standard deviation of <b>{}{unit}</b>, pooled over the baseline and all that was kept: {}.",
        Decimals::of(sd, 3).show(sd),
        line(&text, 400),
        unit = view.unit(),
    )
}

fn cost(view: &View<'_>, out: &mut String) {
    let cost = view.study.cost();
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
    let counting = view.study.spent_trials();
    let arms = view.study.rows() as u64;
    let cap = view.study.budget().trials.map(|trials| format!(" of {}", u64::from(trials) * arms));
    let cap = cap.unwrap_or_default();
    put!(out, "<p>{}; {counting}{cap} trials count against the budget.</p>\n", spent.join(", "));
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>replicates for<th class=\"n\">finished<th class=\"n\">failed<th \
         class=\"n\">CPU time<th class=\"n\">share</tr></thead>\n<tbody>\n",
    );
    let mut sums = [
        ("search", 0_usize, 0_usize, 0.0_f64),
        ("confirmation", 0, 0, 0.0),
        ("closing comparison", 0, 0, 0.0),
    ];
    for replicate in view.study.trials().iter().flat_map(|trial| &trial.replicates) {
        let Some(result) = &replicate.result else { continue };
        let sum = match replicate.purpose {
            Purpose::Search => &mut sums[0],
            Purpose::Confirm { .. } | Purpose::Audit { .. } => &mut sums[1],
            Purpose::Report => &mut sums[2],
        };
        sum.1 += 1;
        sum.2 += usize::from(result.failure.is_some());
        sum.3 += result.cost.cpu_s;
    }
    let total: f64 = sums.iter().map(|sum| sum.3).sum();
    for (name, finished, failed, cpu_s) in sums {
        let share =
            if total > 0.0 { format!("{:.0} %", 100.0 * cpu_s / total) } else { String::new() };
        put!(
            out,
            "<tr><td>{name}<td class=\"n\">{finished}<td class=\"n\">{failed}<td class=\"n\">{}<td class=\"n\">{share}</tr>\n",
            seconds(cpu_s)
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
