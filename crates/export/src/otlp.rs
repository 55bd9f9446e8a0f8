//! A study as a trace: the study, its trials, their replicates and the calls of models, as spans of OpenTelemetry, sent to a
//! collector in OTLP's JSON form (OTLP 1.0 over HTTP; attributes of calls by the semantic conventions for generative AI).
//!
//! Ids derive from the study's, so what is sent again is the same spans.

use std::{collections::BTreeMap, time::Duration};

use empiric_core::{Event, Outcome, Purpose, Record, ReplicateId, StudyId, TrialNo};
use jiff::Timestamp;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::web::{Unreachable, Web};

/// For one request.
const LIMIT: Duration = Duration::from_secs(30);
/// Spans in one request.
const BATCH: usize = 500;
/// The kinds of OTLP: work within a program, and a call of another.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;

/// Why a collector was not told.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// It cannot be reached.
    #[error("the collector cannot be reached")]
    Unreachable(#[from] Unreachable),
    /// It refuses.
    #[error("the collector refuses the spans with {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of its reply.
        said: String,
    },
}

/// Sends the spans of a study to the collector at `base`, such as `http://127.0.0.1:4318`, and says how many there were.
///
/// # Errors
/// When it cannot be reached or refuses.
pub fn otlp<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    base: &str,
) -> Result<usize, OtlpError> {
    let spans = spans(records);
    let web = Web::new(LIMIT)?;
    let url = format!("{}/v1/traces", base.trim_end_matches('/'));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for batch in spans.chunks(BATCH) {
        let resource = json!({"attributes": [
            attribute("service.name", json!("empiric")),
            attribute("service.version", json!(env!("CARGO_PKG_VERSION"))),
        ]});
        let scope = json!({"scope": {"name": "empiric"}, "spans": batch});
        let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]});
        let reply = web.send(Method::POST, &url, headers.clone(), body.to_string().into_bytes())?;
        if !(200..300).contains(&reply.status) {
            let said = String::from_utf8_lossy(&reply.body).chars().take(300).collect();
            return Err(OtlpError::Refused { status: reply.status, said });
        }
    }
    Ok(spans.len())
}

/// Something that has begun.
struct Begun {
    name: String,
    at: Timestamp,
    parent: Option<String>,
    attributes: Vec<Value>,
}

/// The spans of a study: what has not ended yet ends with the last event.
fn spans<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Value> {
    let mut trace = Trace::default();
    for record in records {
        trace.take(record);
    }
    trace.end()
}

#[derive(Default)]
struct Trace {
    study: Option<StudyId>,
    whole: Option<Begun>,
    trials: BTreeMap<TrialNo, Begun>,
    replicates: BTreeMap<ReplicateId, Begun>,
    spans: Vec<Value>,
    last: Option<Timestamp>,
}

impl Trace {
    fn take(&mut self, record: &Record) {
        let at = record.at;
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let Event::StudyOpened { study, task, .. } = &record.event {
            self.study = Some(*study);
            self.whole = Some(Begun {
                name: format!("study of {}", task.name),
                at,
                parent: None,
                attributes: vec![attribute("empiric.task", json!(task.name))],
            });
        } else if let Event::Asked { trial, arm, ask } = &record.event {
            let attributes = vec![
                attribute("empiric.trial", json!(trial.to_string())),
                attribute("empiric.arm", json!(arm)),
                attribute("empiric.operator", json!(ask.operator.to_string())),
            ];
            let (name, parent) = (format!("trial {}", ask.operator), self.id("study"));
            self.trials.insert(*trial, Begun { name, at, parent: Some(parent), attributes });
        } else if let Event::Called { trial, call } = &record.event {
            let began = Duration::try_from_secs_f64(call.wall_s).unwrap_or_default();
            let began = at.checked_sub(began).unwrap_or(at);
            let mut attributes = vec![
                attribute("gen_ai.operation.name", json!("chat")),
                attribute("gen_ai.request.model", json!(call.model)),
                attribute("gen_ai.usage.input_tokens", json!(call.usage.input)),
                attribute("gen_ai.usage.output_tokens", json!(call.usage.output)),
                attribute("empiric.role", json!(call.role)),
                attribute("empiric.usd", json!(call.cost().usd)),
            ];
            let fault = call.fault.map(|fault| fault.name());
            attributes.extend(fault.map(|fault| attribute("error.type", json!(fault))));
            let parent = Some(self.id(&trial.to_string()));
            let name = format!("chat {}", call.model);
            let begun = Begun { name, at: began, parent, attributes };
            let id = self.id(&format!("{trial} call {}", call.index));
            self.span(&id, CLIENT, &begun, at, fault);
        } else if let Event::Leased { replicate, trial, purpose, seed, slot, .. } = &record.event {
            let attributes = vec![
                attribute("empiric.seed", json!(seed.0)),
                attribute("empiric.slot", json!(slot)),
            ];
            let name = match purpose {
                Purpose::Search => "replicate search",
                Purpose::Confirm { .. } => "replicate confirm",
                Purpose::Audit { .. } => "replicate audit",
                Purpose::Report => "replicate report",
            };
            let parent = Some(self.id(&trial.to_string()));
            self.replicates
                .insert(*replicate, Begun { name: name.to_owned(), at, parent, attributes });
        } else if let Event::Measured { replicate, result, .. } = &record.event {
            if let Some(begun) = self.replicates.remove(replicate) {
                let cause = result.failure.as_ref().map(|failure| failure.cause.name());
                let id = self.id(&replicate.to_string());
                self.span(&id, INTERNAL, &begun, at, cause);
            }
        } else if let Event::Fenced { replicate, .. } = &record.event {
            if let Some(begun) = self.replicates.remove(replicate) {
                let id = self.id(&replicate.to_string());
                self.span(&id, INTERNAL, &begun, at, Some("fenced"));
            }
        } else if let Event::Concluded { trial, outcome } = &record.event
            && let Some(mut begun) = self.trials.remove(trial)
        {
            let (said, cause) = match outcome {
                Outcome::Valid { verdict, .. } => (verdict.to_string(), None),
                Outcome::Failed(failure) => ("failed".to_owned(), Some(failure.cause.name())),
            };
            begun.attributes.push(attribute("empiric.outcome", json!(said)));
            let id = self.id(&trial.to_string());
            self.span(&id, INTERNAL, &begun, at, cause);
        }
    }

    fn end(mut self) -> Vec<Value> {
        let Some(last) = self.last else { return self.spans };
        for (trial, begun) in std::mem::take(&mut self.trials) {
            let id = self.id(&trial.to_string());
            self.span(&id, INTERNAL, &begun, last, None);
        }
        for (replicate, begun) in std::mem::take(&mut self.replicates) {
            let id = self.id(&replicate.to_string());
            self.span(&id, INTERNAL, &begun, last, None);
        }
        if let Some(whole) = self.whole.take() {
            let id = self.id("study");
            self.span(&id, INTERNAL, &whole, last, None);
        }
        self.spans
    }

    fn trace(&self) -> String {
        self.study.map(|study| study.0.simple().to_string()).unwrap_or_default()
    }

    /// Eight bytes that stand for something of this study.
    fn id(&self, what: &str) -> String {
        let hash = Sha256::digest(format!("{} {what}", self.trace()).as_bytes());
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn span(&mut self, id: &str, kind: u8, begun: &Begun, end: Timestamp, error: Option<&str>) {
        // Microseconds, as the ledger has them; 64-bit numbers are text in OTLP's JSON.
        let nanos = |at: Timestamp| (i128::from(at.as_microsecond()) * 1000).to_string();
        let status = match error {
            None => json!({"code": 1}),
            Some(why) => json!({"code": 2, "message": why}),
        };
        let mut span = json!({
            "traceId": self.trace(),
            "spanId": id,
            "name": begun.name,
            "kind": kind,
            "startTimeUnixNano": nanos(begun.at),
            "endTimeUnixNano": nanos(end.max(begun.at)),
            "attributes": begun.attributes,
            "status": status,
        });
        if let Some(parent) = &begun.parent {
            span["parentSpanId"] = json!(parent);
        }
        self.spans.push(span);
    }
}

fn attribute(key: &str, value: Value) -> Value {
    let value = match &value {
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Bool(truth) => json!({"boolValue": truth}),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            json!({"stringValue": value.as_str().unwrap_or_default()})
        }
    };
    json!({"key": key, "value": value})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use empiric_testkit::story::Story;

    use super::*;

    #[test]
    fn a_study_is_one_trace_whose_spans_hang_together() {
        let story = Story::sixty();
        let spans = spans(&story.records);
        let text = |span: &Value, key: &str| span[key].as_str().unwrap_or_default().to_owned();
        let traces: BTreeSet<String> = spans.iter().map(|span| text(span, "traceId")).collect();
        assert_eq!(traces.len(), 1);
        assert!(traces.iter().all(|id| id.len() == 32));
        let ids: BTreeSet<String> = spans.iter().map(|span| text(span, "spanId")).collect();
        assert_eq!(ids.len(), spans.len(), "no two spans have one id");
        let orphans = spans.iter().filter(|span| !ids.contains(&text(span, "parentSpanId")));
        assert_eq!(orphans.count(), 1, "only the study has no parent");
        let replicates: usize =
            story.study.trials().iter().map(|trial| trial.replicates.len()).sum();
        assert_eq!(spans.len(), 1 + story.study.trials().len() + replicates);
        let failed = spans
            .iter()
            .filter(|span| text(span, "name").starts_with("trial ") && span["status"]["code"] == 2);
        let counts: u32 = story.study.counts().failed.values().sum();
        assert_eq!(failed.count(), counts as usize);
        for span in &spans {
            let time = |key: &str| text(span, key).parse::<i64>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
        }
        // What is sent again is the same.
        assert_eq!(super::spans(&story.records), spans);
    }
}
