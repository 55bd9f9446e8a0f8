//! Numbers and trials as people read them.

use empiric_core::{Outcome, Study, Trial, Verdict};
use empiric_report::Status;

/// A value with about five significant digits.
pub(crate) fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !(-4..9).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    let decimals = (4 - magnitude).clamp(0, 8) as usize;
    format!("{value:.decimals$}")
}

/// A signed value.
pub(crate) fn signed(value: f64) -> String {
    format!("{}{}", if value < 0.0 { "-" } else { "+" }, number(value.abs()))
}

/// A signed share of `reference`, per cent.
pub(crate) fn percent(value: f64, reference: f64) -> String {
    if reference == 0.0 { String::new() } else { format!("{:+.2} %", 100.0 * value / reference.abs()) }
}

/// Seconds as people say them.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// What became of a trial, in one or two words.
pub(crate) fn outcome(trial: &Trial) -> String {
    match &trial.outcome {
        Some(Outcome::Valid { verdict, .. }) => verdict.to_string(),
        Some(Outcome::Failed(failure)) => failure.cause.name().replace('_', " "),
        None => "running".to_owned(),
    }
}

/// One line for a trial that has ended: number, operator, outcome, score, hypothesis.
pub(crate) fn trial_line(study: &Study, trial: &Trial, width: usize) -> String {
    let metric = &study.task().metric;
    let score = trial.search_score(&metric.name).map(number).unwrap_or_default();
    let gain = match &trial.outcome {
        Some(Outcome::Valid { verdict: Verdict::Baseline, .. }) | Some(Outcome::Failed(_)) | None => String::new(),
        Some(Outcome::Valid { gain, .. }) => gain.map(signed).unwrap_or_default(),
    };
    let edit = trial.edit.as_ref();
    let operator = edit.map_or(trial.ask.operator, |edit| edit.operator);
    let text = match (&trial.outcome, edit) {
        (Some(Outcome::Failed(failure)), None) => failure.excerpt.lines().last().unwrap_or_default().to_owned(),
        (_, Some(edit)) => edit.hypothesis.text.clone(),
        (_, None) => String::new(),
    };
    let line = format!(
        "{:<5} {:<8} {:<16} {:>10} {:>10}  {}",
        trial.no,
        operator,
        outcome(trial),
        score,
        gain,
        text.replace('\n', " ")
    );
    clip(&line, width)
}

/// `text` cut to `width` characters.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.trim_end().to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The words a study ends with, and `status` prints.
pub(crate) fn summary(status: &Status, study: &Study, dir: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let unit = if status.metric.unit.is_empty() { String::new() } else { format!(" {}", status.metric.unit) };
    let state = match status.state {
        empiric_core::study::State::Running => "running",
        empiric_core::study::State::Paused => "paused",
        empiric_core::study::State::Stopped => "stopped",
        empiric_core::study::State::Finished => "finished",
    };
    let _ = writeln!(text, "{}: {} {} ({state}, sandbox {})", status.task, status.metric.goal, status.metric.name, status.sandbox);
    let baseline = &status.baseline;
    if let Some(mean) = baseline.mean {
        let interval = baseline.interval.map(|[low, high]| format!("  95 % [{}, {}]", number(low), number(high)));
        let _ = writeln!(
            text,
            "  baseline  {}{unit}{}  n={}, noise sd {}",
            number(mean),
            interval.unwrap_or_default(),
            baseline.replicates,
            number(status.noise_sd),
        );
        match &status.champion {
            Some(champion) => {
                let [low, high] = champion.gain_interval;
                let _ = writeln!(text, "  champion  {}{unit}  {}", number(champion.mean), champion.trial);
                let _ = writeln!(
                    text,
                    "  gain      {}{unit} ({})  95 % [{}, {}]  on {}; {}",
                    signed(champion.gain),
                    percent(champion.gain, mean),
                    signed(low),
                    signed(high),
                    match champion.basis {
                        empiric_decide::Basis::Report => "seeds and data held back until the end",
                        empiric_decide::Basis::Confirm => "the confirmation's fresh seeds",
                    },
                    match champion.provenance {
                        empiric_core::Provenance::Recipe => "self-reported by the recipe",
                        empiric_core::Provenance::Evaluator => "measured by the evaluator",
                        empiric_core::Provenance::Harness => "measured by the harness",
                    }
                );
            }
            None => text.push_str("  champion  none: nothing has been shown to beat the baseline\n"),
        }
    }
    let failed: u32 = status.outcomes.failed.values().sum();
    let _ = writeln!(
        text,
        "  trials    {}: {} kept, {} discarded, {} inconclusive, {failed} failed; {} replicates",
        status.trials, status.outcomes.keep, status.outcomes.discard, status.outcomes.inconclusive, status.replicates
    );
    if failed > 0 {
        let causes: Vec<String> = status.outcomes.failed.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let _ = writeln!(text, "  failed    {}", causes.join(", "));
    }
    let cost = &status.cost;
    let gpu = if cost.gpu_s > 0.0 { format!(", GPU {}", seconds(cost.gpu_s)) } else { String::new() };
    let _ = writeln!(text, "  cost      wall {}, CPU {}{gpu}", seconds(cost.wall_s), seconds(cost.cpu_s));
    for no in study.keeps() {
        if let Some(trial) = study.trial(*no)
            && let (Some(edit), Some(Outcome::Valid { reason, .. })) = (&trial.edit, &trial.outcome)
        {
            let _ = writeln!(text, "  kept {no:<5} {}\n             {reason}", clip(&edit.hypothesis.text, 140));
        }
    }
    if status.champion.is_some() {
        let _ = writeln!(
            text,
            "next: empiric report {dir}   empiric diff {dir} champion   empiric export {dir} --patch champion.patch   empiric verify {dir}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_five_digits() {
        for (value, text) in [
            (2.130_44, "2.1304"),
            (0.0, "0.0000"),
            (12_345.678, "12346"),
            (0.001_234_5, "0.0012345"),
            (1e-9, "1.0000e-9"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(signed(-0.5), "-0.50000");
    }
}
