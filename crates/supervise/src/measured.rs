//! What the measurements of a trial say, beside those of the baseline and of its champion.

use std::collections::BTreeSet;

use empiric_core::{
    Concern, Gate, Provenance, Purpose, RedLine, Replicate, Severity, Split, Study, Trial, TrialNo,
    figures::signed_digits,
};

use crate::concern;

/// Replicates from which agreement of all of them is no chance.
const ENOUGH: usize = 3;
/// Work that a unit may do beyond the baseline's without being counted: as much again, and half a second.
const MORE_WORK: f64 = 2.0;
const SOME_WORK_S: f64 = 0.5;
/// A gain is a jump from this share of its champion's value on, if it is also this many times the noise,
const JUMP_SHARE: f64 = 0.25;
const JUMP_NOISE: f64 = 10.0;
/// or this many times what was gained at once before, in a study that has kept this many trials.
const JUMP_HISTORY: f64 = 4.0;
const HISTORY: usize = 3;
/// Share of its confirmed gain that a trial must show again.
const AGAIN: f64 = 0.5;

/// What leaves no doubt: the first such concern about an open trial, from whatever was measured of it so far.
#[must_use]
pub fn watch(study: &Study, trial: &Trial) -> Option<Concern> {
    let baseline = study.trial(TrialNo::BASELINE)?;
    let (own, theirs) = (measured(study, trial), measured(study, baseline));
    if own.is_empty() || theirs.is_empty() {
        return None;
    }
    contract(&own, &theirs)
        .or_else(|| labels(&own, &theirs))
        .or_else(|| beyond(study, &own))
        .or_else(|| moved(study, &own, &theirs))
        .or_else(|| constant(trial, &own, &theirs))
        .or_else(|| repeated_again(trial, &own, &theirs))
}

/// Why a trial that was confirmed with `gain` over `champion` should be measured once more; empty when nothing speaks
/// against keeping it.
#[must_use]
pub fn doubts(study: &Study, trial: &Trial, champion: &Trial, gain: f64) -> Vec<Concern> {
    let mut found: Vec<Concern> =
        trial.edit.iter().flat_map(|edit| edit.inspection.concerns.iter().cloned()).collect();
    if let Some(baseline) = study.trial(TrialNo::BASELINE) {
        let (own, theirs) = (measured(study, trial), measured(study, baseline));
        found.extend(repeated(trial, &own, &theirs));
        found.extend(jump(study, champion, &theirs, gain));
    }
    found
}

/// What a second measurement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audited {
    /// The gain was there again.
    Sustained(String),
    /// It was not.
    Refuted(String),
}

/// Whether the gain that was confirmed is there again on the replicates of the audit.
///
/// Half of it must be: what was selected is a little flattered, what is an accident of known seeds is gone. Where data
/// came with the code, the split that nothing was selected on must show it too.
#[must_use]
pub fn sustained(study: &Study, trial: &Trial, champion: &Trial, gain: f64) -> Audited {
    let concerns = trial.quarantine.iter().flat_map(|held| &held.concerns);
    let carried = concerns.into_iter().any(|concern| concern.line == RedLine::CarriedData);
    let splits = if carried { &[Split::Select, Split::Report][..] } else { &[Split::Select] };
    let purpose = Purpose::Audit { of: trial.no };
    let metric = &study.task().metric;
    let mut words = Vec::new();
    for split in splits {
        let of = |trial: &Trial| trial.values(&metric.name, *split, purpose, study.segment());
        let theirs = of(champion);
        let differences: Vec<f64> = of(trial)
            .iter()
            .filter_map(|(seed, own)| {
                let (_, other) = theirs.iter().find(|(other, _)| other == seed)?;
                Some(metric.goal.gain(*own, *other))
            })
            .collect();
        let again = mean(&differences);
        let n = differences.len();
        let shown = format!(
            "{} on {n} seeds that nobody could foresee ({} split)",
            signed_digits(again, 3),
            split.name()
        );
        // Also refused when there is nothing to compare.
        if !again.is_finite() || again < AGAIN * gain || again <= 0.0 {
            return Audited::Refuted(format!(
                "of {} the audit found {shown}",
                signed_digits(gain, 3)
            ));
        }
        words.push(shown);
    }
    Audited::Sustained(format!("the audit found {}", words.join(" and ")))
}

/// Usable replicates of a trial in the segment in force, in the order they were leased.
fn measured<'a>(study: &Study, trial: &'a Trial) -> Vec<&'a Replicate> {
    let here = |replicate: &&Replicate| replicate.segment == study.segment() && replicate.usable();
    trial.replicates.iter().filter(here).collect()
}

/// The evaluator must say of every trial what it says of the baseline: how much was scored, and by which parameters.
fn contract(own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    let said = |replicate: &Replicate| replicate.result.as_ref().map(|r| r.testimony.clone());
    let expected = said(theirs.first()?)?;
    for found in own.iter().filter_map(|replicate| said(replicate)) {
        if found.samples != expected.samples {
            let why = format!(
                "samples scored: {}; of the baseline: {}",
                counts(&found.samples),
                counts(&expected.samples)
            );
            return Some(concern(RedLine::Samples, Severity::Fail, why));
        }
        if found.parameters != expected.parameters {
            let why = "the evaluator was parametrised otherwise than for the baseline".to_owned();
            return Some(concern(RedLine::Evaluator, Severity::Fail, why));
        }
    }
    None
}

fn counts(samples: &std::collections::BTreeMap<Split, u64>) -> String {
    let each: Vec<String> =
        samples.iter().map(|(split, n)| format!("{n} ({})", split.name())).collect();
    if each.is_empty() { "none told".to_owned() } else { each.join(", ") }
}

/// An evaluator that reports agreement says that nobody honest agrees with every hidden answer.
fn labels(own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    let perfect = |replicate: &&Replicate| {
        let said = replicate.result.as_ref().map(|result| &result.testimony.agreement);
        said.is_some_and(|said| !said.is_empty() && said.values().all(|share| *share >= 1.0))
    };
    if !own.iter().any(perfect) || theirs.iter().any(perfect) {
        return None;
    }
    let why = "every output equals the hidden answer, on every split".to_owned();
    Some(concern(RedLine::Labels, Severity::Fail, why))
}

/// A mean beyond what the task says can be believed.
fn beyond(study: &Study, own: &[&Replicate]) -> Option<Concern> {
    let value = |gate: &Gate| {
        let values: Vec<f64> =
            own.iter().filter_map(|found| found.value(&gate.metric, Split::Select)).collect();
        mean(&values)
    };
    let crossed = study.task().plausible.iter().find(|gate| gate.margin(value(gate)) < 0.0)?;
    let why =
        format!("{} is {:.4}; what can be believed is {crossed}", crossed.metric, value(crossed));
    Some(concern(RedLine::Jump, Severity::Fail, why))
}

/// Where some units' work is counted, work in the others is hidden.
fn moved(study: &Study, own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    let task = study.task();
    let counted = |unit: &str| {
        let names =
            std::iter::once(&task.metric.name).chain(task.gates.iter().map(|gate| &gate.metric));
        names.into_iter().any(|name| {
            name.strip_prefix(unit)
                .is_some_and(|rest| rest == ".cpu_seconds" || rest == ".wall_seconds")
        })
    };
    if !task.units().any(counted) {
        return None;
    }
    task.units().filter(|unit| !counted(unit)).find_map(|unit| {
        let (used, usual) = (cpu(own, unit), cpu(theirs, unit));
        let why = || {
            format!("{unit} used {used:.2} CPU seconds and the baseline's {usual:.2}, where nothing counts them")
        };
        (used > MORE_WORK * usual + SOME_WORK_S)
            .then(|| concern(RedLine::Budget, Severity::Fail, why()))
    })
}

fn cpu(replicates: &[&Replicate], unit: &str) -> f64 {
    let units = replicates.iter().filter_map(|replicate| replicate.result.as_ref());
    let units = units.flat_map(|result| result.units.iter().filter(|found| found.name == unit));
    mean(&units.map(|found| found.cpu_s).collect::<Vec<_>>())
}

/// What a replicate answered, as exactly as it is known; none when only Empiric's own measurements are.
fn answer(replicate: &Replicate) -> Option<String> {
    let result = replicate.result.as_ref()?;
    if let Some(outputs) = &result.testimony.outputs {
        return Some(outputs.clone());
    }
    let values: Vec<String> = result
        .measurements
        .iter()
        .filter(|measurement| measurement.provenance != Provenance::Harness)
        .map(|m| format!("{} {} {:x}", m.metric, m.split.name(), m.value.to_bits()))
        .collect();
    (!values.is_empty()).then(|| values.join("\n"))
}

/// Different seeds that were answered, and how many different answers they had.
fn answers(replicates: &[&Replicate]) -> (usize, usize) {
    let told: Vec<_> =
        replicates.iter().filter_map(|found| Some((found.seed, answer(found)?))).collect();
    let seeds: BTreeSet<_> = told.iter().map(|(seed, _)| seed).collect();
    let different: BTreeSet<_> = told.iter().map(|(_, answer)| answer).collect();
    (seeds.len(), different.len())
}

/// Whether every seed gave the baseline another answer.
fn varies(theirs: &[&Replicate]) -> bool {
    let (seeds, different) = answers(theirs);
    seeds >= ENOUGH && different == seeds
}

fn draws(trial: &Trial) -> bool {
    trial.edit.as_ref().and_then(|edit| edit.inspection.random) == Some(true)
}

/// One answer to all seeds from a recipe that draws random numbers, where the baseline gives as many as seeds.
fn constant(trial: &Trial, own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    let (seeds, different) = answers(own);
    if seeds < ENOUGH || different > 1 || !varies(theirs) || !draws(trial) {
        return None;
    }
    let why = format!(
        "{seeds} seeds had one and the same answer, though random numbers are drawn; the baseline's all differ"
    );
    Some(concern(RedLine::Constant, Severity::Fail, why))
}

/// Answers that came more than once.
fn repeated(trial: &Trial, own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    let (seeds, different) = answers(own);
    let random = trial.edit.as_ref().and_then(|edit| edit.inspection.random) != Some(false);
    if different >= seeds || !varies(theirs) || !random {
        return None;
    }
    let why = format!("{seeds} seeds had {different} different answers; the baseline's all differ");
    Some(concern(RedLine::Seed, Severity::Quarantine, why))
}

/// Answers that came more than once in a quarantine, under seeds that nobody could foresee.
fn repeated_again(trial: &Trial, own: &[&Replicate], theirs: &[&Replicate]) -> Option<Concern> {
    trial.quarantine.as_ref()?;
    let audit: Vec<&Replicate> = own
        .iter()
        .filter(|found| found.purpose == Purpose::Audit { of: trial.no })
        .copied()
        .collect();
    let found = repeated(trial, &audit, theirs)?;
    draws(trial).then_some(Concern { severity: Severity::Fail, ..found })
}

/// A gain that is large beside everything that is known of this study.
fn jump(study: &Study, champion: &Trial, theirs: &[&Replicate], gain: f64) -> Option<Concern> {
    let metric = &study.task().metric;
    let scores = |replicates: &[&Replicate]| -> Vec<f64> {
        replicates.iter().filter_map(|found| found.value(&metric.name, Split::Select)).collect()
    };
    let baseline = scores(theirs);
    let level = mean(&scores(&measured(study, champion)));
    let (share, noise) = (gain / level.abs(), spread(&baseline));
    // What never varies is not borne out by measuring it once more.
    if noise == 0.0 || gain <= JUMP_NOISE * noise {
        return None;
    }
    let earlier: Vec<f64> = study.keeps().iter().filter_map(|no| kept_gain(study, *no)).collect();
    let most = earlier.iter().copied().fold(0.0, f64::max);
    let why = if share > JUMP_SHARE {
        format!("the gain is {:.0} % of the champion's value", 100.0 * share)
    } else if earlier.len() >= HISTORY && gain > JUMP_HISTORY * most {
        format!("the gain is {:.1} times the largest that was kept before", gain / most)
    } else {
        return None;
    };
    Some(concern(RedLine::Jump, Severity::Quarantine, why))
}

fn kept_gain(study: &Study, no: TrialNo) -> Option<f64> {
    match study.trial(no)?.outcome.as_ref()? {
        empiric_core::Outcome::Valid { gain, .. } => *gain,
        empiric_core::Outcome::Failed(_) => None,
    }
}

/// Not a number when there are none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation; 0 where fewer than two are known.
fn spread(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, mean(values));
    if n < 2.0 {
        return 0.0;
    }
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}
