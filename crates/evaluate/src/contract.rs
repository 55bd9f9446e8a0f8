//! The two ends of the contract: the environment variables programs are told where things are by, and the result
//! that an evaluator writes.
//!
//! The result is JSON, at most [`RESULT_LIMIT`] bytes, written to the file named by `EMPIRIC_RESULT`:
//! `{"metrics": {"bpb": 2.13}, "splits": {"select": {"bpb": 2.15}}, "feedback": "..."}`, or with `[splits]`
//! `{"scores": {"accuracy": {"a7": 1, "b2": 0}}}`. A metric named twice is an
//! error; so is NaN, which is a failure and not a score.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use empiric_core::{
    Measurement, Provenance, Split,
    quote::{Keep, bounded, line},
    trial::Testimony,
};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// Directory of the data a program may read.
pub const DATA: &str = "EMPIRIC_DATA";
/// Directory a stage writes its artefacts to; the only place it can write to.
pub const OUT: &str = "EMPIRIC_OUT";
/// Directory of the artefacts, read-only, for evaluator and predictor.
pub const ARTIFACTS: &str = "EMPIRIC_ARTIFACTS";
/// Directory of the recipe's files, read-only, for the evaluator.
pub const RECIPE: &str = "EMPIRIC_RECIPE";
/// File the evaluator writes its result to.
pub const RESULT: &str = "EMPIRIC_RESULT";
/// Integer below 2^31 that everything random must derive from.
pub const SEED: &str = "EMPIRIC_SEED";
/// File that says which item is in which split, for the evaluator of a task with `[splits]`.
pub const SPLITS: &str = "EMPIRIC_SPLITS";
/// Name of the slot.
pub const SLOT: &str = "EMPIRIC_SLOT";
/// Descriptor that evaluator and predictor read each other's bytes from.
pub const PIPE_IN: &str = "EMPIRIC_PIPE_IN";
/// Descriptor that evaluator and predictor write each other's bytes to.
pub const PIPE_OUT: &str = "EMPIRIC_PIPE_OUT";

/// Every variable with what it means: the registry that the reference is generated from.
pub const VARIABLES: [(&str, &str); 10] = [
    (DATA, "directory of the data the program may read"),
    (OUT, "directory a stage writes its artefacts to; the only place it can write to"),
    (ARTIFACTS, "directory of the artefacts, read-only (evaluator, predictor)"),
    (RECIPE, "directory of the recipe's files, read-only (evaluator)"),
    (RESULT, "file the evaluator writes its JSON result to"),
    (
        SPLITS,
        "JSON file that says which item is in which split: {\"search\": [ids], \"select\": [ids], \"report\": [ids]} (evaluator of a task with [splits])",
    ),
    (SEED, "integer below 2^31 that everything random must derive from"),
    (SLOT, "name of the slot"),
    (PIPE_IN, "descriptor to read the other side from (evaluator, predictor)"),
    (PIPE_OUT, "descriptor to write to the other side (evaluator, predictor)"),
];

/// Exit status by which an evaluator says that the artefact or the predictor, not itself, is at fault.
pub const BAD_ARTIFACT_STATUS: i32 = 3;
/// Largest result, bytes.
pub const RESULT_LIMIT: u64 = 8 << 20;
/// Most metrics in one result, over all splits.
const METRICS_LIMIT: usize = 1000;
/// Longest digest, characters.
const DIGEST_LIMIT: usize = 128;
/// Longest message about a result, bytes; it quotes what is wrong.
const MESSAGE_LIMIT: usize = 600;
/// Longest feedback passed on, bytes.
const FEEDBACK_LIMIT: usize = 2048;

/// What an evaluator writes to `$EMPIRIC_RESULT`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Empiric evaluator result", rename = "Result")]
struct RawResult {
    /// Metrics on the search split: what proposers see. Finite numbers.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, f64>")]
    metrics: Unique<f64>,
    /// Metrics on further splits: `select` decides verdicts, `report` is read once at the end.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, f64>>")]
    splits: Unique<Unique<f64>>,
    /// With `[splits]`: each item's score of a metric, by the item's id. Empiric takes the mean over the items of each
    /// split. What is left out counts in no mean and shows in the number of samples.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, f64>>")]
    scores: Unique<Unique<f64>>,
    /// How many samples were scored, by split. Empiric refuses trials of which another number was scored than of the
    /// baseline.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, u64>")]
    samples: Unique<u64>,
    /// Share of the outputs that equal the hidden answers, by split; report it only where nobody honest agrees with
    /// all of them.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, f64>")]
    agreement: Unique<f64>,
    /// Digest of everything the recipe answered: two seeds with the same answers are noticed by it.
    #[serde(default)]
    outputs: Option<String>,
    /// Digest of what the evaluator was parametrised with; it must not differ from the baseline's.
    #[serde(default)]
    parameters: Option<String>,
    /// A few words for proposers; bounded, control characters removed.
    #[serde(default)]
    feedback: String,
}

/// A JSON object whose keys are unique.
#[derive(Debug, Default)]
struct Unique<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> de::Visitor<'de> for Visitor<V> {
            type Value = Unique<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with unique keys")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if unique.contains_key(&key) {
                        return Err(de::Error::custom(format!("key `{key}` appears twice")));
                    }
                    unique.insert(key, value);
                }
                Ok(Unique(unique))
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

/// The JSON Schema of an evaluator's result.
#[must_use]
pub fn result_schema() -> schemars::Schema {
    schemars::schema_for!(RawResult)
}

/// Why an evaluator's result cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ResultError {
    /// A metric is NaN or infinite.
    #[error("metric `{0}` is not finite")]
    NonFinite(String),
    /// Not what the contract asks for.
    #[error("{0}")]
    Malformed(String),
}

/// The evaluator's words for proposers, made harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feedback(pub String);

impl Feedback {
    /// Bounds `text` and removes its control characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(bounded(text, FEEDBACK_LIMIT, Keep::Head))
    }
}

/// Reads an evaluator's result.
///
/// # Errors
/// When it is not what the contract asks for, or a metric is not finite.
pub fn parse_result(bytes: &[u8]) -> Result<Told, ResultError> {
    read_result(bytes).map_err(|error| match error {
        ResultError::NonFinite(metric) => ResultError::NonFinite(line(&metric, 200)),
        ResultError::Malformed(what) => {
            ResultError::Malformed(bounded(&what, MESSAGE_LIMIT, Keep::Head))
        }
    })
}

fn read_result(bytes: &[u8]) -> Result<Told, ResultError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ResultError::Malformed("the result is not UTF-8".to_owned()))?;
    let raw: RawResult =
        serde_json::from_str(text).map_err(|error| match non_finite_literal(text) {
            Some(metric) => ResultError::NonFinite(metric),
            None if text.trim().is_empty() => ResultError::Malformed(
                "the evaluator wrote no result to $EMPIRIC_RESULT".to_owned(),
            ),
            None => ResultError::Malformed(format!(
                "the result does not follow `empiric schema result`: {error}"
            )),
        })?;
    let mut measurements = Vec::new();
    let mut take = |split: Split, metrics: Unique<f64>| {
        for (metric, value) in metrics.0 {
            if !value.is_finite() {
                return Err(ResultError::NonFinite(metric));
            }
            if metric.is_empty() || metric.len() > 200 || metric.chars().any(char::is_control) {
                return Err(ResultError::Malformed(format!(
                    "`{}` is no metric name",
                    metric.escape_debug()
                )));
            }
            // Negative zero would compare equal and print differently.
            let value = if value == 0.0 { 0.0 } else { value };
            measurements.push(Measurement {
                metric,
                value,
                split,
                provenance: Provenance::Evaluator,
            });
        }
        Ok(())
    };
    take(Split::Search, raw.metrics)?;
    for (name, metrics) in raw.splits.0 {
        take(split(&name)?, metrics)?;
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = measurements.iter().find(|m| !seen.insert((m.metric.as_str(), m.split))) {
        return Err(ResultError::Malformed(format!(
            "metric `{}` is given twice on one split",
            twice.metric
        )));
    }
    if measurements.len() > METRICS_LIMIT {
        return Err(ResultError::Malformed(format!("more than {METRICS_LIMIT} metrics")));
    }
    let testimony = Testimony {
        samples: by_split(raw.samples)?,
        agreement: by_split(raw.agreement)?,
        outputs: digest("outputs", raw.outputs)?,
        parameters: digest("parameters", raw.parameters)?,
    };
    if let Some(share) = testimony.agreement.values().find(|share| !(0.0..=1.0).contains(*share)) {
        return Err(ResultError::Malformed(format!("an agreement of {share} is no share")));
    }
    let scores = raw.scores.0.into_iter().map(|(metric, items)| (metric, items.0)).collect();
    Ok(Told { measurements, scores, testimony, feedback: Feedback::new(&raw.feedback) })
}

/// What an evaluator told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// Metrics of all splits.
    pub measurements: Vec<Measurement>,
    /// Scores by metric and item.
    pub scores: BTreeMap<String, BTreeMap<String, f64>>,
    /// What it says of its own work.
    pub testimony: Testimony,
    /// Words for proposers.
    pub feedback: Feedback,
}

fn split(name: &str) -> Result<Split, ResultError> {
    match name {
        "search" => Ok(Split::Search),
        "select" => Ok(Split::Select),
        "report" => Ok(Split::Report),
        other => Err(ResultError::Malformed(format!(
            "`{}` is no split; expected `search`, `select` or `report`",
            other.escape_debug()
        ))),
    }
}

fn by_split<V>(told: Unique<V>) -> Result<BTreeMap<Split, V>, ResultError> {
    told.0.into_iter().map(|(name, value)| Ok((split(&name)?, value))).collect()
}

fn digest(what: &str, told: Option<String>) -> Result<Option<String>, ResultError> {
    let plain =
        |text: &String| text.len() <= DIGEST_LIMIT && text.chars().all(|c| c.is_ascii_graphic());
    match told {
        Some(text) if !plain(&text) => Err(ResultError::Malformed(format!(
            "`{what}` is to be a digest: at most {DIGEST_LIMIT} visible characters"
        ))),
        told => Ok(told),
    }
}

/// The key before a bare `NaN` or `Infinity`, which several languages' JSON writers print and JSON forbids.
fn non_finite_literal(text: &str) -> Option<String> {
    static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?i)"([^"\\]{1,200})"\s*:\s*[-+]?(?:nan|inf(?:inity)?)\b"#).ok()
    });
    Some(LITERAL.as_ref()?.captures(text)?[1].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(text: &str) -> String {
        match parse_result(text.as_bytes()) {
            Err(ResultError::Malformed(what)) => what,
            other => panic!("expected a malformed result, got {other:?}"),
        }
    }

    #[test]
    fn a_result_yields_measurements_by_split() {
        let Told { measurements, feedback, .. } = parse_result(
            br#"{"metrics": {"bpb": 2.5}, "splits": {"select": {"bpb": 2.75}}, "feedback": "a\u001b[31mb\u0007"}"#,
        )
        .unwrap();
        let expected = |value, split| Measurement {
            metric: "bpb".to_owned(),
            value,
            split,
            provenance: Provenance::Evaluator,
        };
        assert_eq!(measurements, [expected(2.5, Split::Search), expected(2.75, Split::Select)]);
        assert_eq!(feedback, Feedback("ab".to_owned()));
    }

    #[test]
    fn an_evaluator_testifies_by_split_and_within_bounds() {
        let told = parse_result(
            br#"{"metrics": {}, "samples": {"search": 9, "select": 8}, "agreement": {"report": 0.5},
                "outputs": "6d6d", "parameters": "k=5"}"#,
        );
        let expected = Testimony {
            samples: BTreeMap::from([(Split::Search, 9), (Split::Select, 8)]),
            agreement: BTreeMap::from([(Split::Report, 0.5)]),
            outputs: Some("6d6d".to_owned()),
            parameters: Some("k=5".to_owned()),
        };
        assert_eq!(told.unwrap().testimony, expected);
        for text in [
            r#"{"metrics": {}, "samples": {"search": -1}}"#,
            r#"{"metrics": {}, "samples": {"test": 1}}"#,
            r#"{"metrics": {}, "agreement": {"search": 1.5}}"#,
            r#"{"metrics": {}, "outputs": "two words"}"#,
        ] {
            malformed(text);
        }
    }

    #[test]
    fn what_is_not_finite_is_a_failure_and_names_the_metric() {
        for text in [
            r#"{"metrics": {"loss": NaN}}"#,
            r#"{"metrics": {"loss": -Infinity}}"#,
            r#"{"metrics": {"ok": 1, "loss": inf}}"#,
        ] {
            assert_eq!(
                parse_result(text.as_bytes()),
                Err(ResultError::NonFinite("loss".to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn garbage_says_what_is_wrong() {
        assert!(malformed("").contains("wrote no result"));
        assert!(malformed("loss = 3").contains("schema result"));
        assert!(malformed(r#"{"metrics": {"a": 1, "a": 2}}"#).contains("appears twice"));
        assert!(malformed(r#"{"metrics": {"a": "1,5"}}"#).contains("schema result"));
        assert!(
            malformed(r#"{"metrics": {}, "splits": {"test": {}}}"#).contains("`test` is no split")
        );
        assert!(
            malformed(r#"{"metrics": {"a": 1}, "splits": {"search": {"a": 2}}}"#).contains("twice")
        );
        assert!(malformed(r#"{"metrics": {"a": 1}, "score": 2}"#).contains("unknown field"));
    }
}
