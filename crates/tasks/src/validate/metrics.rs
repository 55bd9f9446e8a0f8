//! The metric and the gates: names that must mean something, and bounds that must bind.

use empiric_core::{
    Bound, Gate, Goal, Metric,
    task::{ARTIFACT_BYTES, PREDICTOR, UNIT_RESOURCES},
};
use regex::Regex;

use super::Check;
use crate::{
    diagnostic::{did_you_mean, one_of},
    input::{At, GateTable, MetricTable, ObjectiveTable},
};

impl Check<'_> {
    pub(super) fn metric(
        &mut self,
        table: Option<&MetricTable>,
        units: &[&str],
        evaluated: bool,
    ) -> (Metric, Option<String>) {
        let name = table.and_then(|table| table.name.as_ref());
        if let Some(name) = name {
            self.metric_name(name, units);
        }
        let pattern = table.and_then(|table| table.pattern.as_ref());
        if let Some(pattern) = pattern {
            if evaluated {
                self.problems
                    .add(pattern.span(), "`metric.pattern` has no effect beside `[evaluator]`")
                    .label("never read")
                    .help("the evaluator's result names its metrics; remove one of the two");
            }
            if let Err((message, help)) = check_pattern(pattern.get()) {
                self.problems.add(pattern.span(), message).label("here").help(help);
            }
        }
        let metric = Metric {
            name: name.map(|name| name.get().clone()).unwrap_or_default(),
            goal: table.and_then(|table| table.goal).unwrap_or(Goal::Minimize),
            unit: table.and_then(|table| table.unit.clone()).unwrap_or_default(),
        };
        (metric, pattern.map(|pattern| pattern.get().clone()))
    }

    /// What else is improved: names that differ from the metric's and from one another.
    pub(super) fn objectives(
        &mut self,
        tables: &[At<ObjectiveTable>],
        metric: &Metric,
        units: &[&str],
    ) -> Vec<Metric> {
        let mut objectives: Vec<Metric> = Vec::new();
        for table in tables {
            let ObjectiveTable { metric: Some(name), goal, unit } = table.get() else { continue };
            self.metric_name(name, units);
            let text = name.get();
            let known = std::iter::once(metric).chain(&objectives);
            if known.into_iter().any(|known| known.name == *text) {
                self.problems
                    .add(name.span(), format!("`{text}` is an objective already"))
                    .label("named twice")
                    .help("the metric is the first objective; `[[objective]]` names others");
                continue;
            }
            objectives.push(Metric {
                name: text.clone(),
                goal: goal.unwrap_or(Goal::Minimize),
                unit: unit.clone().unwrap_or_default(),
            });
        }
        objectives
    }

    pub(super) fn gates(&mut self, tables: &[At<GateTable>], units: &[&str]) -> Vec<Gate> {
        let mut gates = Vec::new();
        for table in tables {
            let gate = table.get();
            let Some(metric) = &gate.metric else { continue };
            self.metric_name(metric, units);
            let (bound, value) = match (&gate.min, &gate.max) {
                (Some(min), None) => (Bound::Min(*min.get()), min),
                (None, Some(max)) => (Bound::Max(*max.get()), max),
                (Some(_), Some(max)) => {
                    self.problems
                        .add(
                            max.span(),
                            format!("the gate on `{}` has both `min` and `max`", metric.get()),
                        )
                        .label("second bound")
                        .help("write two gates, one for each bound");
                    continue;
                }
                (None, None) => {
                    self.problems
                        .add(
                            metric.span(),
                            format!("the gate on `{}` has neither `min` nor `max`", metric.get()),
                        )
                        .label("no bound")
                        .help("add `max = ...` or `min = ...`");
                    continue;
                }
            };
            if !value.get().is_finite() {
                self.problems
                    .add(value.span(), format!("the bound on `{}` must be finite", metric.get()))
                    .label("not a number to compare with");
            }
            gates.push(Gate { metric: metric.get().clone(), bound });
        }
        gates
    }

    /// Checks a name that may be one of the harness's. Others are the evaluator's own business.
    fn metric_name(&mut self, name: &At<String>, units: &[&str]) {
        let text = name.get();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.problems
                .add(name.span(), format!("`{}` cannot be a metric's name", text.escape_debug()))
                .label("empty, or with white space");
            return;
        }
        if (1..=2).contains(&strsim::damerau_levenshtein(text, ARTIFACT_BYTES)) {
            self.problems
                .add(name.span(), format!("metric `{text}` is not known"))
                .label("misspelt")
                .help(format!("did you mean `{ARTIFACT_BYTES}`?"));
            return;
        }
        let Some((stage, resource)) = text.split_once('.') else { return };
        let known = units.contains(&stage);
        let measured = UNIT_RESOURCES.contains(&resource);
        if measured && !known {
            let names = || units.iter().copied();
            let help = match units {
                [] | [PREDICTOR] => "declare it by `[[stage]]`".to_owned(),
                [only] => format!("the one stage is `{only}`"),
                _ => format!("the stages are {}", one_of(names()).replace(" or ", " and ")),
            };
            self.problems
                .add(
                    name.span(),
                    format!("`{text}` is measured of a stage, and no stage is called `{stage}`"),
                )
                .label("unknown stage")
                .help(help)
                .help_if(did_you_mean(stage, names()));
        } else if known && !measured {
            self.problems
                .add(name.span(), format!("`{resource}` is not measured of stages"))
                .label("unknown resource")
                .help(format!("of stages are measured {}", UNIT_RESOURCES.join(", ")))
                .help_if(did_you_mean(resource, UNIT_RESOURCES));
        }
    }
}

/// Checks a pattern for a self-reported metric: a regular expression with one group. The error is message and help.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), (String, &'static str)> {
    let example = "put parentheses around the value and nothing else: `loss is ([0-9.]+)`; `(?:...)` only groups";
    match Regex::new(pattern).map(|regex| regex.captures_len() - 1) {
        Ok(1) => Ok(()),
        Ok(groups) => Err((format!("the pattern has {groups} groups instead of one"), example)),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(("the pattern is too large".to_owned(), example))
        }
        Err(error) => {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err((format!("the pattern is not a regular expression: {why}"), example))
        }
    }
}
