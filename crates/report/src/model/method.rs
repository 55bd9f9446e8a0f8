//! How a study was measured and decided, in words.

use empiric_core::{
    Split, Study,
    study::{ErrorControl, Rules},
};
use empiric_decide::{MIN_BASELINE, Summary, compare};
use serde::Serialize;

use super::{Prose, finding::unit};
use crate::{
    curve::splits,
    page::text::{Decimals, counted},
    prose::quote,
    status::Noise,
};

/// How it was measured and decided.
#[derive(Debug, Clone, Serialize)]
pub struct Method {
    /// Step by step.
    pub steps: Vec<Prose>,
    /// What holds over all of it.
    pub rules: Vec<Prose>,
}

pub(crate) fn method(study: &Study, summary: &Summary) -> Method {
    let rules = &study.settings().rules;
    let steps = [
        format!(
            "**Noise first.** The unedited recipe was measured under {} seeds before any idea was paid for. {}",
            rules.baseline_replicates.max(MIN_BASELINE),
            noise(study, summary)
        ),
        format!(
            "**Search.** Every trial runs under the same seeds in the same order, which pairs it with its champion. One \
             replicate ends the hopeless; the promising get up to {}. Looks spend a level of {} as O'Brien and Fleming do. \
             Nothing is kept here: search only chooses what is worth confirming.",
            rules.search_replicates.max(1),
            compare::PROMISE,
        ),
        format!(
            "**Confirmation.** A *keep* is a trial that beat the champion of that moment on fresh seeds that \
             search never uses, run on both. Evidence against \u{201c}no better\u{201d} grows pair by pair and may be looked at \
             after any, since the test holds its level at every stopping time: it ends when there is enough, when more is predicted \
             to be in vain, or after {} pairs. The gain that is reported comes from at least {} further pairs, which had no \
             part in the decision, so having been selected cannot flatter it. *Discard*: not better, or not worth more \
             replicates. *Inconclusive*: the evidence does not decide.",
            rules.confirm_replicates.max(2),
            rules.gain_replicates.max(2),
        ),
        format!(
            "**Closing comparison.** Once, at the end: champion against baseline on {} seeds that no decision saw, paired \
             by seed, with a two-sided 95 % interval.",
            rules.report_replicates,
        ),
    ];
    let mut all = vec![error(study, rules), split(study).to_owned(), search(study)];
    let gates = &study.task().gates;
    if !gates.is_empty() {
        let named: Vec<String> = gates
            .iter()
            .take(20)
            .map(|gate| format!("`{}`", quote(&gate.to_string(), 80)))
            .collect();
        all.push(format!(
            "Gates, held by the mean over a trial's replicates: {}. The metric is {} **{}**.",
            named.join(", "),
            study.task().metric.goal,
            quote(&study.task().metric.name, 60)
        ));
    }
    Method {
        steps: steps.into_iter().map(Prose).collect(),
        rules: all.into_iter().map(Prose).collect(),
    }
}

/// What is held back from whom.
fn split(study: &Study) -> &'static str {
    let splits = splits(study);
    if splits.contains(&Split::Select) && splits.contains(&Split::Report) {
        "The evaluator scores three splits: proposers see *search*, verdicts are made on *select*, and \
         *report* is read in the closing comparison alone."
    } else if splits.contains(&Split::Select) {
        "The evaluator scores two splits: proposers see *search*, verdicts are made on *select*. The closing \
         comparison holds back seeds, not data."
    } else if splits.contains(&Split::Report) {
        "The evaluator scores two splits: proposers and verdicts see *search*, and *report* is read in the \
         closing comparison alone."
    } else {
        "The evaluator scores one split, so what is held back from search is seeds, not data."
    }
}

/// How the search went: how different its ideas were, and how old the knowledge they were had with.
fn search(study: &Study) -> String {
    let course = study.course();
    let (surfaces, contents, stale) = (course.surfaces(), course.contents(), course.staleness());
    let mut policies: Vec<&str> =
        study.settings().arms.iter().map(|arm| arm.policy.as_str()).collect();
    policies.sort_unstable();
    policies.dedup();
    format!(
        "Search by policy **{}**. Edits were of {} ({} bits) and {} ({} bits); {} brought back what had been \
         measured and dropped. On average {} verdicts came in between a trial's ask and its start, {} at most.",
        quote(&policies.join(", "), 200),
        counted(surfaces.families(), "surface"),
        rough(surfaces.entropy()),
        counted(contents.families(), "kind"),
        rough(contents.entropy()),
        course.revisited(),
        rough(stale.mean()),
        stale.most,
    )
}

/// What is held over the whole study, and how much of it is spent.
fn error(study: &Study, rules: &Rules) -> String {
    let contests = counted(study.contests() as usize, "trial");
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

fn noise(study: &Study, summary: &Summary) -> String {
    if summary.noise.deterministic {
        return "Every seed gave one value, so the metric is taken as deterministic: one replicate shows a gain, and two fresh seeds confirm it."
            .to_owned();
    }
    let Some(sd) = summary.noise.sd else {
        return "Nothing has been repeated yet, so its noise is not known.".to_owned();
    };
    let mean = summary.baseline.map_or(f64::NAN, |baseline| baseline.mean);
    let text = Noise::of(study).alarm(summary.noise.deterministic, mean);
    format!(
        "One replicate has a standard deviation of **{}{unit}**, pooled over the baseline and all that was kept: {}.",
        Decimals::of(sd, 3).show(sd),
        quote(&text, 400),
        unit = unit(study),
    )
}
