//! What came, in one line with its evidence, and what stands against believing it.

use empiric_core::{Outcome, Provenance, Split, Study, TrialNo, study::State};
use empiric_decide::{Basis, ChampionSummary, Summary};

use super::{Caution, Finding, Prose};
use crate::{
    curve::splits,
    page::text::{Decimals, counted},
    prose::quote,
};

fn metric(study: &Study) -> String {
    quote(&study.task().metric.name, 60)
}

/// A space and the metric's unit, or nothing.
pub(super) fn unit(study: &Study) -> String {
    let unit = &study.task().metric.unit;
    if unit.is_empty() { String::new() } else { format!("\u{a0}{}", quote(unit, 24)) }
}

fn caution(name: &'static str, text: String) -> Caution {
    Caution { name, text: Prose(text) }
}

/// The finding of `study`.
pub(crate) fn finding(study: &Study, summary: &Summary) -> Finding {
    if let Some(champion) = &summary.champion {
        return found(study, summary, champion);
    }
    let no = study.champion();
    let (claim, evidence) = if no != TrialNo::BASELINE {
        (
            format!("{no} was kept, and has nothing to be compared with now."),
            "What the study is measured with has changed since; values from before and after are never compared."
                .to_owned(),
        )
    } else if let Some(baseline) = &summary.baseline {
        let decimals = Decimals::around(baseline.mean, baseline.interval);
        (
            "Nothing has been shown to beat the baseline.".to_owned(),
            format!(
                "The baseline has a mean {} of {}{}{} over {}. {} of {} reached a verdict; none passed confirmation on \
                 fresh seeds.",
                metric(study),
                decimals.show(baseline.mean),
                unit(study),
                in_brackets(decimals, baseline.interval),
                counted(baseline.n, "replicate"),
                judged(study),
                counted(tried(study), "trial"),
            ),
        )
    } else {
        let outcome = study.trial(TrialNo::BASELINE).and_then(|trial| trial.outcome.as_ref());
        match outcome {
            Some(Outcome::Failed(failure)) => (
                "The baseline could not be measured, so nothing can be compared with it."
                    .to_owned(),
                quote(&failure.to_string(), 300),
            ),
            Some(Outcome::Valid { .. }) | None => (
                "The baseline has not been measured yet.".to_owned(),
                "No idea is paid for before it has been.".to_owned(),
            ),
        }
    };
    Finding { class: "none", claim: Prose(claim), evidence: Prose(evidence) }
}

fn found(study: &Study, summary: &Summary, champion: &ChampionSummary) -> Finding {
    let no = champion.trial;
    let link = no;
    let above = |limit: f64| champion.gain_interval.is_some_and(|[low, _]| low > limit);
    let (class, claim) = match champion.basis {
        Basis::Report if above(0.0) => ("shown", format!("{link} beats the baseline.")),
        Basis::Report if champion.gain > 0.0 => (
            "unsure",
            format!(
                "{link} was kept, but the closing comparison does not tell it from the baseline."
            ),
        ),
        Basis::Report => (
            "unsure",
            format!("{link} was kept, but the closing comparison finds no gain over the baseline."),
        ),
        Basis::Confirm if above(0.0) => (
            "shown",
            format!("{link} beats the baseline; the closing comparison has yet to be made."),
        ),
        Basis::Confirm => {
            ("unsure", format!("{link} was kept; against the baseline its gain is not clear yet."))
        }
    };
    let (class, claim) = if champion.provenance == Provenance::Recipe {
        ("unsure", claim.replacen("beats the baseline", "beats the baseline by its own account", 1))
    } else {
        (class, claim)
    };
    let decimals = Decimals::around(champion.gain, champion.gain_interval);
    let unit = unit(study);
    let from = summary.baseline.map_or_else(String::new, |baseline| {
        let relative = 100.0 * champion.gain / baseline.mean.abs();
        let relative = Some(relative)
            .filter(|relative| relative.is_finite())
            .map(|relative| format!(" ({}\u{a0}%)", Decimals::of(relative, 3).signed(relative)))
            .unwrap_or_default();
        let mean = decimals.show(baseline.mean);
        let n = baseline.n;
        format!("Mean {} {mean} → **{}{unit}** ({n} baseline replicates): a gain of **{}{unit}**{relative}",
            metric(study), decimals.show(champion.mean), decimals.signed(champion.gain))
    });
    let interval = match champion.gain_interval {
        _ if summary.noise.deterministic => {
            ", exact as far as has been seen: every seed gave one value".to_owned()
        }
        Some([low, high]) => {
            format!(", 95\u{a0}% interval [{}, {}]", decimals.signed(low), decimals.signed(high))
        }
        None => ", from too few replicates for an interval".to_owned(),
    };
    let held_back = if splits(study).contains(&Split::Report) {
        "seeds and data that no decision saw"
    } else {
        "seeds that no decision saw"
    };
    let basis = match champion.basis {
        Basis::Report => format!("It rests on the closing comparison, paired by seed, on {held_back}."),
        Basis::Confirm => {
            "It rests on fresh seeds that were not among those it was kept for, against all that is known of the baseline."
                .to_owned()
        }
    };
    let evidence = format!("{from}{interval}. Positive is better. {basis}");
    Finding { class, claim: Prose(claim), evidence: Prose(evidence) }
}

fn in_brackets(decimals: Decimals, interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| {
        format!(" [{}, {}]", decimals.show(low), decimals.show(high))
    })
}

fn tried(study: &Study) -> usize {
    study.trials().len().saturating_sub(1)
}

fn judged(study: &Study) -> u32 {
    let counts = study.counts();
    counts.keep + counts.discard + counts.inconclusive
}

/// What a reader of `study` must know first.
pub(crate) fn cautions(study: &Study) -> Vec<Caution> {
    let mut cautions = Vec::new();
    if study.task().provenance() == Provenance::Recipe {
        cautions.push(caution(
            "Self-reported.",
            "The metric is what recipe code printed about itself. Nothing here shows that it is true; an evaluator apart \
             from the recipe would."
                .to_owned(),
        ));
    }
    if study.sandbox() == "none" {
        cautions.push(caution(
            "No sandbox.",
            "Recipe code could reach whatever its user can, the evaluator and the ledger included."
                .to_owned(),
        ));
    }
    if study.segment() > 0 {
        cautions.push(caution(
            "More than one segment.",
            format!(
                "Evaluator, data or environment changed {} during the study. Figures rest on the last segment alone.",
                if study.segment() == 1 {
                    "once".to_owned()
                } else {
                    format!("{} times", study.segment())
                }
            ),
        ));
    }
    let open = study.open_trials().len();
    if study.state() != State::Finished && open > 0 {
        let open = counted(open, "trial");
        cautions.push(caution("Not over.", format!("{open} had not ended when this was written.")));
    }
    cautions
}
