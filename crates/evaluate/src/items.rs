//! Scores by item, made metrics by split: the evaluator need not know the splits.

use std::{collections::HashMap, path::PathBuf};

use empiric_core::{
    Assignment, Measurement, Provenance, Split,
    quote::line,
    trial::{MAX_ITEMS, Testimony},
};

use crate::contract::Told;

/// The splits that Empiric made for a task.
#[derive(Debug, Clone)]
pub struct Dealt {
    /// A JSON file that says them to the evaluator.
    pub path: PathBuf,
    /// Each item's split and place in it.
    places: HashMap<String, (Split, usize)>,
    /// Items of the select split.
    selected: usize,
}

impl Dealt {
    /// The splits of `assignment`, which `path` says.
    #[must_use]
    pub fn new(path: PathBuf, assignment: &Assignment) -> Self {
        let mut places = HashMap::new();
        for split in [Split::Search, Split::Select, Split::Report] {
            let items = assignment.of(split).iter().enumerate();
            places.extend(items.map(|(at, id)| (id.clone(), (split, at))));
        }
        Self { path, places, selected: assignment.select.len() }
    }
}

/// What the scores of `told` amount to: metrics by split, how many samples each rests on, and the scores of `metric` on
/// the select split.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn aggregate(
    told: &mut Told,
    dealt: Option<&Dealt>,
    metric: &str,
) -> Result<Vec<f32>, String> {
    let scores = std::mem::take(&mut told.scores);
    let mut items = Vec::new();
    for (name, scores) in scores {
        let dealt = dealt.ok_or("it has `scores` by item, but task.toml has no `[splits]`")?;
        let plain = !name.is_empty() && name.len() <= 200 && !name.chars().any(char::is_control);
        if !plain || told.measurements.iter().any(|m| m.metric == name) {
            return Err(format!(
                "metric `{}` of `scores` is given elsewhere too, or is no name",
                line(&name, 200).escape_debug()
            ));
        }
        let mut sums = [(Split::Search, 0.0, 0), (Split::Select, 0.0, 0), (Split::Report, 0.0, 0)];
        let mut selected: Vec<Option<f64>> = vec![None; dealt.selected];
        for (id, score) in scores {
            if !score.is_finite() {
                return Err(format!("the score of item `{}` is not finite", line(&id, 200)));
            }
            let (split, at) = dealt.places.get(&id).copied().ok_or_else(|| {
                format!("`scores` names item `{}`, which is in no split", line(&id, 200))
            })?;
            if let Some((_, sum, n)) = sums.iter_mut().find(|(of, ..)| *of == split) {
                *sum += score;
                *n += 1;
            }
            if let Some(place) = selected.get_mut(at).filter(|_| split == Split::Select) {
                *place = Some(score);
            }
        }
        for (split, sum, n) in sums.into_iter().filter(|(_, _, n)| *n > 0) {
            let value = sum / n as f64;
            let value = if value == 0.0 { 0.0 } else { value };
            let (metric, provenance) = (name.clone(), Provenance::Evaluator);
            told.measurements.push(Measurement { metric, value, split, provenance });
        }
        if name == metric {
            items = complete(selected);
        }
        testify(&mut told.testimony, &sums);
    }
    Ok(items)
}

/// Scores of all items, or of runs of neighbours where there are many; nothing where one is left out.
fn complete(scores: Vec<Option<f64>>) -> Vec<f32> {
    let Some(scores) = scores.into_iter().collect::<Option<Vec<f64>>>() else { return Vec::new() };
    let runs = scores.len().min(MAX_ITEMS);
    (0..runs)
        .map(|run| {
            let (from, to) = (run * scores.len() / runs, (run + 1) * scores.len() / runs);
            let part = &scores[from..to];
            (part.iter().sum::<f64>() / part.len() as f64) as f32
        })
        .collect()
}

/// Counts the samples of each split, unless the evaluator has; of several metrics, those of the fewest.
fn testify(testimony: &mut Testimony, sums: &[(Split, f64, u64); 3]) {
    for (split, _, n) in sums {
        let held = testimony.samples.entry(*split).or_insert(*n);
        *held = (*held).min(*n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::parse_result;

    fn assignment() -> Assignment {
        let ids = |text: &str| text.split(' ').map(ToOwned::to_owned).collect();
        Assignment { search: ids("a b"), select: ids("c d e"), report: ids("f") }
    }

    fn told(text: &str) -> (Told, Result<Vec<f32>, String>) {
        let dealt = Dealt::new(PathBuf::new(), &assignment());
        let mut told = parse_result(text.as_bytes()).unwrap();
        let items = aggregate(&mut told, Some(&dealt), "accuracy");
        (told, items)
    }

    #[test]
    fn scores_become_means_by_split() {
        let (told, items) = told(
            r#"{"metrics": {"loss": 2}, "scores": {"accuracy": {"a": 1, "b": 0, "e": 1, "c": 0, "d": 1, "f": 1}}}"#,
        );
        assert_eq!(items, Ok(vec![0.0, 1.0, 1.0]));
        let value = |split| {
            let found =
                told.measurements.iter().find(|m| m.metric == "accuracy" && m.split == split);
            found.map(|m| m.value)
        };
        assert_eq!(value(Split::Search), Some(0.5));
        assert_eq!(value(Split::Select), Some(2.0 / 3.0));
        assert_eq!(value(Split::Report), Some(1.0));
        let samples: Vec<u64> = told.testimony.samples.values().copied().collect();
        assert_eq!(samples, [2, 3, 1]);
    }

    #[test]
    fn what_is_left_out_shows_and_brings_no_scores_by_item() {
        let (told, items) = told(r#"{"scores": {"accuracy": {"a": 1, "c": 1, "d": 0}}}"#);
        assert_eq!(items, Ok(Vec::new()));
        let samples: Vec<u64> = told.testimony.samples.values().copied().collect();
        assert_eq!(samples, [1, 2, 0]);
        let on: Vec<Split> = told.measurements.iter().map(|m| m.split).collect();
        assert_eq!(on, [Split::Search, Split::Select]);
    }

    #[test]
    fn strangers_and_doubles_are_refused() {
        let wrong = |text| told(text).1.unwrap_err();
        assert!(wrong(r#"{"scores": {"accuracy": {"z": 1}}}"#).contains("in no split"));
        let twice = r#"{"metrics": {"accuracy": 1}, "scores": {"accuracy": {"a": 1}}}"#;
        assert!(wrong(twice).contains("elsewhere too"));
        let mut undeclared = parse_result(br#"{"scores": {"accuracy": {"a": 1}}}"#).unwrap();
        assert!(aggregate(&mut undeclared, None, "accuracy").unwrap_err().contains("[splits]"));
    }

    #[test]
    fn many_items_are_remembered_by_their_runs() {
        let scores = (0..5000).map(|i| Some(f64::from(i % 2))).collect();
        let runs = complete(scores);
        assert_eq!(runs.len(), MAX_ITEMS);
        assert!(runs.iter().all(|mean| (mean - 0.5).abs() < 0.06));
    }
}
