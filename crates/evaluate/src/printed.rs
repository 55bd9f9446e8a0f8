//! The quick mode: metrics read from what a program printed. Self-reported, and marked so everywhere.
//!
//! Understood, the last one of each name winning: `METRIC name=value`; the declared metric's name followed by `:` or
//! `=` and a number; or whatever one-group pattern the task declares for its metric.

use std::sync::LazyLock;

use empiric_core::Task;
use regex::Regex;

/// Numbers as programs print them, and the words they use for what is not finite.
const NUMBER: &str = r"[-+]?(?:(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:nan|inf(?:inity)?)\b)";

/// Reads metrics from printed text.
#[derive(Debug)]
pub struct Printed {
    named: Vec<(String, Regex)>,
}

impl Printed {
    /// A reader of the task's metric and of the metrics that its gates name.
    ///
    /// # Errors
    /// When the task's own pattern is no regular expression.
    pub fn new(task: &Task) -> Result<Self, regex::Error> {
        let mut named = Vec::new();
        let names =
            std::iter::once(&task.metric.name).chain(task.gates.iter().map(|gate| &gate.metric));
        for name in names.filter(|name| !task.is_harness_metric(name)) {
            let pattern = match &task.pattern {
                Some(pattern) if *name == task.metric.name => pattern.clone(),
                _ => format!(r"(?:^|[^\w.-]){}\s*[:=]\s*({NUMBER})", regex::escape(name)),
            };
            named.push((name.clone(), Regex::new(&pattern)?));
        }
        Ok(Self { named })
    }

    /// The values printed in `text`, each name once with its last value; may be NaN or infinite.
    #[must_use]
    pub fn read(&self, text: &str) -> Vec<(String, f64)> {
        static METRIC: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(&format!(r"(?m)^\s*METRIC\s+([\w./%@+-]{{1,200}}?)\s*=\s*({NUMBER})")).ok()
        });
        let mut last: Vec<(usize, String, f64)> = Vec::new();
        let mut take = |at: usize, name: &str, number: &str| {
            if let Some(value) = parse(number) {
                match last.iter_mut().find(|(_, known, _)| known == name) {
                    Some(entry) if at >= entry.0 => (entry.0, entry.2) = (at, value),
                    Some(_) => {}
                    None => last.push((at, name.to_owned(), value)),
                }
            }
        };
        for found in METRIC.iter().flat_map(|metric| metric.captures_iter(text)) {
            take(found.get_match().start(), &found[1], &found[2]);
        }
        for (name, pattern) in &self.named {
            if let Some(found) = pattern.captures_iter(text).last()
                && let Some(number) = found.get(1)
            {
                take(number.start(), name, number.as_str());
            }
        }
        last.into_iter().map(|(_, name, value)| (name, value)).collect()
    }
}

fn parse(number: &str) -> Option<f64> {
    number.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use empiric_core::{Bound, Gate, Goal, Metric};

    use super::*;

    fn printed(name: &str, pattern: Option<&str>) -> Printed {
        let mut task = crate::replicate::tests::task();
        task.metric = Metric { name: name.to_owned(), goal: Goal::Minimize, unit: String::new() };
        task.pattern = pattern.map(str::to_owned);
        task.gates = vec![Gate { metric: "accuracy".to_owned(), bound: Bound::Min(0.5) }];
        Printed::new(&task).unwrap()
    }

    fn read(text: &str) -> Vec<(String, f64)> {
        printed("loss", None).read(text)
    }

    #[test]
    fn the_last_value_wins_in_any_of_the_forms() {
        assert_eq!(read("METRIC loss=3\nMETRIC loss = 2.5e-1\n"), [("loss".to_owned(), 0.25)]);
        assert_eq!(
            read("epoch 1 loss: 3.0\nepoch 2 loss: 2.0 (best)\n"),
            [("loss".to_owned(), 2.0)]
        );
        assert_eq!(read("METRIC loss=3\nloss: 1_000"), [("loss".to_owned(), 1000.0)]);
        assert_eq!(
            read("step=3, loss=.5 accuracy=0.9"),
            [("loss".to_owned(), 0.5), ("accuracy".to_owned(), 0.9)]
        );
    }

    #[test]
    fn another_metric_whose_name_ends_alike_is_not_mistaken() {
        assert_eq!(read("val_loss: 1.0\ntrain.loss=2\n"), []);
        assert_eq!(read("nothing here"), []);
    }

    #[test]
    fn not_a_number_is_read_as_such() {
        let values = read("loss: nan");
        assert!(values.len() == 1 && values[0].1.is_nan());
    }

    #[test]
    fn a_declared_pattern_replaces_the_default() {
        let values =
            printed("loss", Some(r"final\s+(\S+)\s+nats")).read("loss: 9\nfinal 1.5 nats\n");
        assert_eq!(values, [("loss".to_owned(), 1.5)]);
    }
}
