//! Numbers and trials as people read them.

use empiric_core::{Outcome, Study, Trial, Verdict};
use empiric_report::{AblationStatus, Status};

pub(crate) use empiric_core::{
    figures::{number, signed},
    quote::clean,
};

/// A signed share of `reference`, per cent.
pub(crate) fn percent(value: f64, reference: f64) -> String {
    if reference == 0.0 {
        String::new()
    } else {
        format!("{:+.2} %", 100.0 * value / reference.abs())
    }
}

/// A count and its noun.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Second, third, fourth.
pub(crate) fn nth(n: u32) -> String {
    match n {
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        n => format!("{n}th"),
    }
}

/// Seconds as people say them.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.0} ms", 1000.0 * s),
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

/// One line for a trial that has ended: number, arm where there are several, operator, outcome, score, hypothesis.
pub(crate) fn trial_line(study: &Study, trial: &Trial, width: usize) -> String {
    let metric = &study.task().metric;
    let score = trial.search_score(&metric.name).map(number).unwrap_or_default();
    let gain = match &trial.outcome {
        Some(Outcome::Valid { verdict: Verdict::Baseline, .. })
        | Some(Outcome::Failed(_))
        | None => String::new(),
        Some(Outcome::Valid { gain, .. }) => gain.map(signed).unwrap_or_default(),
    };
    let edit = trial.edit.as_ref();
    let operator = edit.map_or(trial.ask.operator, |edit| edit.operator);
    let text = match (&trial.outcome, edit) {
        (Some(Outcome::Failed(failure)), None) => {
            failure.excerpt.lines().last().unwrap_or_default().to_owned()
        }
        (_, Some(edit)) => edit.hypothesis.text.clone(),
        (_, None) => String::new(),
    };
    let arms = study.arms();
    let arm = match arms.iter().map(|arm| arm.chars().count()).max() {
        Some(widest) if arms.len() > 1 => format!("{:<1$} ", trial.arm, widest.clamp(8, 24)),
        Some(_) | None => String::new(),
    };
    let line = format!(
        "{:<5} {arm}{:<8} {:<18} {:>9} {:>10}  {}",
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

/// Which arms search, and by what policy.
pub(crate) fn arms(settings: &empiric_core::study::Settings) -> String {
    match settings.arms.as_slice() {
        [only] => format!("arm {}, policy {}", only.name, only.policy),
        arms => {
            let named = arms.iter().map(|arm| {
                let told = arm.name.contains('=');
                if told { arm.name.clone() } else { format!("{}={}", arm.name, arm.policy) }
            });
            format!("arms {}", named.collect::<Vec<_>>().join(", "))
        }
    }
}

/// What the study can find, given its noise, in a sentence.
pub(crate) fn alarm(study: &Study) -> String {
    let status = Status::of(study);
    status.noise.alarm(status.deterministic, status.baseline.mean.unwrap_or(f64::NAN))
}

/// What became of a champion that was taken apart, hunk by hunk.
pub(crate) fn ablation(found: &AblationStatus, study: &Study) -> String {
    use std::fmt::Write as _;
    let unit = &study.task().metric.unit;
    let space = if unit.is_empty() { "" } else { " " };
    let mut text = format!(
        "{} taken apart; a hunk goes if the champion is shown to be no worse by {}{space}{unit} without it\n",
        found.champion,
        number(found.margin),
    );
    let widest = found.hunks.iter().map(|hunk| hunk.hunk.chars().count()).max().unwrap_or(4).max(4);
    let _ =
        writeln!(text, "  {:<widest$}  {:<5}  {:>10}  {:<24}", "hunk", "trial", "worth", "95 %");
    for hunk in &found.hunks {
        let interval = hunk
            .interval
            .map_or_else(String::new, |[low, high]| format!("[{}, {}]", signed(low), signed(high)));
        let standing = hunk.words();
        let _ = writeln!(
            text,
            "  {:<widest$}  {:<5}  {:>10}  {interval:<24}  {standing}",
            hunk.hunk,
            hunk.trial.as_deref().unwrap_or_default(),
            hunk.worth.map(signed).unwrap_or_default(),
        );
    }
    let _ = match (&found.simplified, found.done) {
        (Some(simplified), _) => {
            let gone = found.hunks.iter().filter(|hunk| hunk.gone).count();
            writeln!(text, "  simplified champion {simplified}: without {}", counted(gone, "hunk"))
        }
        (None, true) => writeln!(text, "  every hunk stays"),
        (None, false) => writeln!(text, "  not ended; the same command goes on"),
    };
    text
}

/// What stands beside the search, in lines of a summary.
fn beside(status: &Status, text: &mut String) {
    use std::fmt::Write as _;
    if status.report_openings > 1 {
        let _ = writeln!(
            text,
            "  report    opened {} times: what it says is no longer untouched by choice",
            status.report_openings
        );
    }
    if let Some(found) = &status.ablation {
        let gone = found.hunks.iter().filter(|hunk| hunk.gone).count();
        let what = match &found.simplified {
            Some(simplified) => format!("{simplified} is without {gone}"),
            None if found.done => "all stay".to_owned(),
            None => "not ended".to_owned(),
        };
        let hunks = counted(found.hunks.len(), "hunk");
        let _ = writeln!(text, "  ablation  {} of {}: {what}", hunks, found.champion);
    }
    if !status.pareto.is_empty() {
        let trials: Vec<&str> = status.pareto.iter().map(|row| row.trial.as_str()).collect();
        let _ = writeln!(text, "  pareto    {}", trials.join(", "));
    }
}

/// The words a study ends with, and `status` prints.
pub(crate) fn summary(status: &Status, study: &Study, dir: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let unit = if status.metric.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", status.metric.unit)
    };
    let state = match status.state {
        empiric_core::study::State::Running => "running",
        empiric_core::study::State::Paused => "paused",
        empiric_core::study::State::Stopped => "stopped",
        empiric_core::study::State::Finished => "finished",
    };
    let _ = writeln!(
        text,
        "{}: {} {} ({state}, sandbox {})",
        status.task, status.metric.goal, status.metric.name, status.sandbox
    );
    let baseline = &status.baseline;
    if let Some(mean) = baseline.mean {
        let interval = baseline
            .interval
            .map(|[low, high]| format!("  95 % [{}, {}]", number(low), number(high)));
        let _ = writeln!(
            text,
            "  baseline  {}{unit}{}  n={}, noise sd {}",
            number(mean),
            interval.unwrap_or_default(),
            baseline.replicates,
            number(status.noise_sd),
        );
        let _ = writeln!(text, "  noise     {}", status.noise.alarm(status.deterministic, mean));
        match &status.champion {
            Some(champion) => {
                let interval = champion
                    .gain_interval
                    .map(|[low, high]| format!("95 % [{}, {}]", signed(low), signed(high)));
                let _ = writeln!(
                    text,
                    "  champion  {}{unit}  {}",
                    number(champion.mean),
                    champion.trial
                );
                let _ = writeln!(
                    text,
                    "  gain      {}{unit} ({})  {}  on {}; {}",
                    signed(champion.gain),
                    percent(champion.gain, mean),
                    interval.unwrap_or_default(),
                    if champion.basis == "report" {
                        "seeds and data held back until the end"
                    } else {
                        "the confirmation's fresh seeds"
                    },
                    match champion.provenance {
                        empiric_core::Provenance::Recipe => "self-reported by the recipe",
                        empiric_core::Provenance::Evaluator => "measured by the evaluator",
                        empiric_core::Provenance::Harness => "measured by the harness",
                    }
                );
            }
            None => {
                text.push_str("  champion  none: nothing has been shown to beat the baseline\n")
            }
        }
    }
    beside(status, &mut text);
    let failed: u32 = status.outcomes.failed.values().sum();
    let _ = writeln!(
        text,
        "  trials    {}: {} kept, {} discarded, {} inconclusive, {failed} failed; {} replicates",
        status.trials,
        status.outcomes.keep,
        status.outcomes.discard,
        status.outcomes.inconclusive,
        status.replicates
    );
    if failed > 0 {
        let causes: Vec<String> =
            status.outcomes.failed.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let _ = writeln!(text, "  failed    {}", causes.join(", "));
    }
    let cost = &status.cost;
    let gpu =
        if cost.gpu_s > 0.0 { format!(", GPU {}", seconds(cost.gpu_s)) } else { String::new() };
    let _ = writeln!(
        text,
        "  cost      wall {}, CPU {}{gpu}",
        seconds(cost.wall_s),
        seconds(cost.cpu_s)
    );
    if status.arms.len() > 1 {
        text.push_str(&side_by_side(status, baseline.mean));
    }
    for no in study.keeps() {
        if let Some(trial) = study.trial(*no)
            && let (Some(edit), Some(Outcome::Valid { reason, .. })) = (&trial.edit, &trial.outcome)
        {
            let _ = writeln!(
                text,
                "  kept {no:<5} {}\n             {reason}",
                clip(&edit.hypothesis.text, 140)
            );
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

/// A line for each arm, and one for each that was compared with the leading one.
fn side_by_side(status: &Status, baseline: Option<f64>) -> String {
    use std::fmt::Write as _;
    let interval = |ends: Option<[f64; 2]>| {
        ends.map_or_else(String::new, |[low, high]| {
            format!("  95 % [{}, {}]", signed(low), signed(high))
        })
    };
    let mut text = String::new();
    for arm in &status.arms {
        let gain = match (&arm.champion, baseline) {
            (Some(champion), Some(mean)) => format!(
                "{} ({}){}  {}",
                signed(champion.gain),
                percent(champion.gain, mean),
                interval(champion.gain_interval),
                champion.trial
            ),
            (Some(_) | None, _) => "nothing kept".to_owned(),
        };
        let price = arm.cpu_s_per_percent.map_or_else(String::new, |price| {
            format!("; {} CPU for each confirmed per cent", seconds(price))
        });
        let failed: u32 = arm.outcomes.failed.values().sum();
        let _ = writeln!(
            text,
            "  arm {:<12} {gain}  of {} trials: {} kept, {failed} failed; CPU {}{price}",
            arm.name,
            arm.trials,
            arm.outcomes.keep,
            seconds(arm.cost.cpu_s)
        );
    }
    for other in &status.comparisons {
        let _ = writeln!(
            text,
            "  {} over {}  {}{}  better in {:.0} % of pairs of runs",
            other.arm,
            other.than,
            signed(other.gain),
            interval(other.gain_interval),
            100.0 * other.probability
        );
    }
    text
}

/// Everything about one trial, for a person.
pub(crate) fn trial_page(study: &Study, trial: &Trial) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let edit = trial.edit.as_ref();
    let operator = edit.map_or(trial.ask.operator, |edit| edit.operator);
    let parents: Vec<String> = trial.parents().iter().map(ToString::to_string).collect();
    let from =
        if parents.is_empty() { String::new() } else { format!(" of {}", parents.join(" and ")) };
    let _ = writeln!(text, "{}  {operator}{from}  {}", trial.no, outcome(trial));
    if let Some(edit) = edit {
        let surface =
            edit.surface.as_ref().map(|surface| format!(", surface {surface}")).unwrap_or_default();
        let _ = writeln!(text, "by         {}{surface}", edit.proposer);
        let _ = writeln!(text, "hypothesis {}", edit.hypothesis.text);
        if let Some(prediction) = &edit.hypothesis.prediction {
            let size =
                prediction.size.map(|size| format!(" by {}", number(size))).unwrap_or_default();
            let direction = match prediction.direction {
                empiric_core::trial::Direction::Increase => "rises",
                empiric_core::trial::Direction::Decrease => "falls",
                empiric_core::trial::Direction::Unchanged => "stays",
            };
            let _ = writeln!(text, "prediction {} {direction}{size}", prediction.metric);
        }
        let _ = writeln!(text, "commit     {}  tree {}", edit.commit, edit.tree);
        for file in &edit.files {
            let _ = writeln!(text, "           {} +{} -{}", file.path, file.added, file.removed);
        }
    }
    let read = edit.iter().flat_map(|edit| &edit.inspection.concerns);
    for concern in read {
        let _ = writeln!(text, "supervisor {concern}");
    }
    for concern in trial.quarantine.iter().flat_map(|held| &held.concerns) {
        let _ = writeln!(text, "quarantine {concern}");
    }
    match &trial.outcome {
        Some(Outcome::Valid { reason, .. }) => {
            let _ = writeln!(text, "verdict    {reason}");
        }
        Some(Outcome::Failed(failure)) => {
            let signature = failure.signature();
            let _ = writeln!(text, "failure    {failure}");
            let _ = writeln!(text, "recognised {} {}", signature.hash, signature.text);
            for line in failure.excerpt.lines() {
                let _ = writeln!(text, "           | {line}");
            }
        }
        None => {}
    }
    let metric = &study.task().metric.name;
    for replicate in &trial.replicates {
        let purpose = match replicate.purpose {
            empiric_core::Purpose::Search => "search".to_owned(),
            empiric_core::Purpose::Confirm { of } => format!("confirm {of}"),
            empiric_core::Purpose::Audit { of } => format!("audit {of}"),
            empiric_core::Purpose::Report => "report".to_owned(),
        };
        let value = replicate
            .value(metric, empiric_core::Split::Search)
            .map_or_else(|| "-".to_owned(), number);
        let units = replicate.result.iter().flat_map(|result| &result.units);
        let units: Vec<String> = units
            .map(|unit| format!("{} {} {}", unit.name, unit.ending, seconds(unit.wall_s)))
            .collect();
        let _ = writeln!(
            text,
            "replicate  {purpose:<12} seed {:<10} {value:>10}  {}",
            replicate.seed.0,
            units.join(", ")
        );
    }
    text
}

/// The graph of trials that mattered: kept ones and what they stand on, with counts of what was tried from each.
pub(crate) fn lineage(study: &Study) -> String {
    use std::fmt::Write as _;
    let mut shown = std::collections::BTreeSet::from([empiric_core::TrialNo::BASELINE]);
    for keep in study.keeps() {
        let mut pending = vec![*keep];
        while let Some(no) = pending.pop() {
            if shown.insert(no) {
                pending
                    .extend(study.trial(no).into_iter().flat_map(|trial| trial.parents().to_vec()));
            }
        }
    }
    let mut tried: std::collections::BTreeMap<empiric_core::TrialNo, u32> =
        std::collections::BTreeMap::new();
    let mut children: std::collections::BTreeMap<_, Vec<empiric_core::TrialNo>> =
        std::collections::BTreeMap::new();
    for trial in study.trials() {
        if let Some(parent) = trial.parents().first() {
            if shown.contains(&trial.no) {
                children.entry(*parent).or_default().push(trial.no);
            } else {
                *tried.entry(*parent).or_default() += 1;
            }
        }
    }
    let mut text = String::new();
    let mut pending = vec![(empiric_core::TrialNo::BASELINE, String::new(), true, true)];
    while let Some((no, indent, last, root)) = pending.pop() {
        let Some(trial) = study.trial(no) else { continue };
        let branch = if root {
            ""
        } else if last {
            "└─ "
        } else {
            "├─ "
        };
        let mark = if no == study.champion() { " *champion*" } else { "" };
        let also: Vec<String> = trial.parents().iter().skip(1).map(ToString::to_string).collect();
        let also =
            if also.is_empty() { String::new() } else { format!(" with {}", also.join(", ")) };
        let others = tried
            .get(&no)
            .map(|n| format!("  ({n} tried from here and not kept)"))
            .unwrap_or_default();
        let hypothesis =
            trial.edit.as_ref().map(|edit| clip(&edit.hypothesis.text, 90)).unwrap_or_default();
        let _ = writeln!(
            text,
            "{indent}{branch}{no} {}{mark}{also}  {hypothesis}{others}",
            outcome(trial)
        );
        let indent = if root {
            String::new()
        } else {
            format!("{indent}{}", if last { "   " } else { "│  " })
        };
        let below = children.get(&no).map(Vec::as_slice).unwrap_or_default();
        for (index, child) in below.iter().enumerate().rev() {
            pending.push((*child, indent.clone(), index + 1 == below.len(), false));
        }
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
        for (value, text) in [(0.012, "12 ms"), (0.25, "0.2 s"), (11.6, "12 s"), (600.0, "10 min")]
        {
            assert_eq!(seconds(value), text);
        }
    }
}
