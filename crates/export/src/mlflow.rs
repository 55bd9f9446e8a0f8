//! A study in an MLflow tracking server, by its REST API (version 2.0, as MLflow 2 and 3 speak it): an experiment for the
//! task, a run for the study, a child run for each trial. What is there already is left as it is, so the same command
//! brings a server up to date.

use std::time::Duration;

use empiric_core::{Outcome, Study, Trial, TrialNo};
use jiff::Timestamp;
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use crate::web::{Unreachable, Web};

/// For one request.
const LIMIT: Duration = Duration::from_secs(30);
/// Metrics in one batch, and characters of a value (the server's own limits).
const BATCH: usize = 1000;
const PARAM: usize = 500;
const TAG: usize = 5000;
/// Runs on a page of a search.
const PAGE: u32 = 1000;

/// Why a server was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MlflowError {
    /// It cannot be reached.
    #[error("the tracking server cannot be reached")]
    Unreachable(#[from] Unreachable),
    /// It refuses.
    #[error("the tracking server refuses `{call}` with {status}: {said}")]
    Refused {
        /// The call.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of its reply.
        said: String,
    },
    /// It says something else than its API promises.
    #[error("the tracking server's reply to `{call}` has no `{missing}`")]
    Strange {
        /// The call.
        call: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The token cannot be a header.
    #[error("the token of the tracking server is no text that a header can hold")]
    Token,
}

/// What is sent along with a run: a name and its bytes.
pub type Artefact = (String, Vec<u8>);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Logged {
    /// Runs that were made.
    pub runs: usize,
    /// Runs that were there.
    pub kept: usize,
    /// Files that were sent.
    pub artefacts: usize,
}

/// A tracking server.
pub struct Mlflow {
    web: Web,
    base: String,
    headers: HeaderMap,
}

/// A run on the server.
struct Run {
    id: String,
    artefacts: String,
}

impl Mlflow {
    /// The server at `base`, such as `http://127.0.0.1:5000`; `token` is sent as a bearer token.
    ///
    /// # Errors
    /// When no client can be made, or the token cannot be sent.
    pub fn new(base: &str, token: Option<&str>) -> Result<Self, MlflowError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| MlflowError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { web: Web::new(LIMIT)?, base: base.trim_end_matches('/').to_owned(), headers })
    }

    /// Logs every ended trial of `study` that is not there yet. `artefacts` gives the files of a trial; those of
    /// [`TrialNo::BASELINE`] go with the study's own run.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn log(
        &self,
        study: &Study,
        artefacts: &dyn Fn(TrialNo) -> Vec<Artefact>,
    ) -> Result<Logged, MlflowError> {
        let experiment = self.experiment(&study.task().name)?;
        let mut there = self.there(&experiment, &study.id().to_string())?;
        let mut logged = Logged { runs: 0, kept: there.len(), artefacts: 0 };
        let name = format!("study {}", &study.id().to_string()[..8]);
        let parent = match there.remove("study") {
            Some(id) => id,
            None => {
                let begun =
                    study.trial(TrialNo::BASELINE).map_or(Timestamp::UNIX_EPOCH, |t| t.asked_at);
                let tags = tags(study, "study", vec![("empiric.arms", crate::arms(study))]);
                let run = self.begin(&experiment, &name, begun, &tags)?;
                logged.runs += 1;
                self.batch(&run.id, &[], &study_params(study))?;
                logged.artefacts += self.send(&run, artefacts(TrialNo::BASELINE))?;
                run.id
            }
        };
        // The study's own values are sent again each time: they grow.
        let ended = study.trials().iter().filter_map(|trial| trial.ended_at).max();
        self.batch(&parent, &study_metrics(study), &[])?;
        for trial in study.trials().iter().filter(|trial| trial.ended_at.is_some()) {
            if there.contains_key(&trial.no.to_string()) {
                continue;
            }
            let mut more = trial_tags(trial);
            more.push(("mlflow.parentRunId", parent.clone()));
            let tags = tags(study, &trial.no.to_string(), more);
            let run = self.begin(&experiment, &trial.no.to_string(), trial.asked_at, &tags)?;
            for metrics in trial_metrics(study, trial).chunks(BATCH) {
                self.batch(&run.id, metrics, &[])?;
            }
            self.batch(&run.id, &[], &trial_params(trial))?;
            if trial.no != TrialNo::BASELINE {
                logged.artefacts += self.send(&run, artefacts(trial.no))?;
            }
            let status = if matches!(trial.outcome, Some(Outcome::Failed(_))) {
                "FAILED"
            } else {
                "FINISHED"
            };
            self.end(&run.id, status, trial.ended_at.unwrap_or(trial.asked_at))?;
            logged.runs += 1;
        }
        if study.state() == empiric_core::study::State::Finished {
            self.end(&parent, "FINISHED", ended.unwrap_or(Timestamp::UNIX_EPOCH))?;
        }
        Ok(logged)
    }

    fn call(&self, method: Method, call: &str, body: &Value) -> Result<Value, MlflowError> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.base);
        let body = if method == Method::GET { Vec::new() } else { body.to_string().into_bytes() };
        let reply = self.web.send(method, &url, self.headers.clone(), body)?;
        if !(200..300).contains(&reply.status) {
            return Err(refused(call, reply.status, &reply.body));
        }
        Ok(serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    /// The experiment of this name, made if it is not there.
    fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        let create = self.call(Method::POST, "experiments/create", &json!({"name": name}));
        let found = match create {
            Ok(made) => text(&made, "/experiment_id"),
            Err(MlflowError::Refused { status: 400, said, .. })
                if said.contains("RESOURCE_ALREADY_EXISTS") =>
            {
                // Characters that a query cannot hold are written as their bytes.
                let escaped: String = name
                    .bytes()
                    .map(|byte| match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                            char::from(byte).to_string()
                        }
                        byte => format!("%{byte:02X}"),
                    })
                    .collect();
                let call = format!("experiments/get-by-name?experiment_name={escaped}");
                text(&self.call(Method::GET, &call, &Value::Null)?, "/experiment/experiment_id")
            }
            Err(error) => return Err(error),
        };
        found.ok_or_else(|| strange("experiments/create", "experiment_id"))
    }

    /// Runs of this study that are there: trial (or `study`) to id.
    fn there(
        &self,
        experiment: &str,
        study: &str,
    ) -> Result<std::collections::BTreeMap<String, String>, MlflowError> {
        let mut found = std::collections::BTreeMap::new();
        let mut token = String::new();
        loop {
            let query = json!({
                "experiment_ids": [experiment],
                "filter": format!("tags.`empiric.study` = '{study}'"),
                "max_results": PAGE,
                "page_token": token,
            });
            let page = self.call(Method::POST, "runs/search", &query)?;
            for run in page["runs"].as_array().into_iter().flatten() {
                let tags = run["data"]["tags"].as_array().into_iter().flatten();
                let of = tags.clone().find(|tag| tag["key"] == "empiric.trial");
                if let (Some(of), Some(id)) =
                    (of.and_then(|tag| tag["value"].as_str()), run["info"]["run_id"].as_str())
                {
                    found.insert(of.to_owned(), id.to_owned());
                }
            }
            match page["next_page_token"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => next.clone_into(&mut token),
                None => return Ok(found),
            }
        }
    }

    fn begin(
        &self,
        experiment: &str,
        name: &str,
        at: Timestamp,
        tags: &[Value],
    ) -> Result<Run, MlflowError> {
        let call = "runs/create";
        let made = self.call(
            Method::POST,
            call,
            &json!({
                "experiment_id": experiment,
                "run_name": name,
                "start_time": at.as_millisecond(),
                "tags": tags,
            }),
        )?;
        Ok(Run {
            id: text(&made, "/run/info/run_id").ok_or_else(|| strange(call, "run_id"))?,
            artefacts: text(&made, "/run/info/artifact_uri").unwrap_or_default(),
        })
    }

    fn batch(&self, run: &str, metrics: &[Value], params: &[Value]) -> Result<(), MlflowError> {
        if metrics.is_empty() && params.is_empty() {
            return Ok(());
        }
        let body = json!({"run_id": run, "metrics": metrics, "params": params});
        self.call(Method::POST, "runs/log-batch", &body).map(drop)
    }

    fn end(&self, run: &str, status: &str, at: Timestamp) -> Result<(), MlflowError> {
        let body = json!({"run_id": run, "status": status, "end_time": at.as_millisecond()});
        self.call(Method::POST, "runs/update", &body).map(drop)
    }

    /// Sends files through the server's own store. A run whose artefacts lie elsewhere gets none.
    fn send(&self, run: &Run, artefacts: Vec<Artefact>) -> Result<usize, MlflowError> {
        let Some(path) = run.artefacts.strip_prefix("mlflow-artifacts:") else { return Ok(0) };
        let path = path.trim_start_matches('/');
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let n = artefacts.len();
        for (name, bytes) in artefacts {
            let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}/{name}", self.base);
            let reply = self.web.send(Method::PUT, &url, headers.clone(), bytes)?;
            if !(200..300).contains(&reply.status) {
                return Err(refused("mlflow-artifacts", reply.status, &reply.body));
            }
        }
        Ok(n)
    }
}

fn refused(call: &str, status: u16, body: &[u8]) -> MlflowError {
    let said: String =
        String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(300).collect();
    let call = call.split('?').next().unwrap_or_default().to_owned();
    MlflowError::Refused { call, status, said }
}

fn strange(call: &str, missing: &'static str) -> MlflowError {
    MlflowError::Strange { call: call.to_owned(), missing }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

fn pair(key: &str, value: &str, most: usize) -> Value {
    json!({"key": key, "value": value.chars().take(most).collect::<String>()})
}

fn tags(study: &Study, of: &str, more: Vec<(&str, String)>) -> Vec<Value> {
    let own = [
        ("empiric.study", study.id().to_string()),
        ("empiric.trial", of.to_owned()),
        ("empiric.sandbox", study.sandbox().to_owned()),
        ("empiric.provenance", study.task().provenance().to_string()),
    ];
    own.into_iter().chain(more).map(|(key, value)| pair(key, &value, TAG)).collect()
}

fn trial_tags(trial: &Trial) -> Vec<(&'static str, String)> {
    let mut tags = Vec::new();
    match &trial.outcome {
        Some(Outcome::Valid { verdict, reason, .. }) => {
            tags.push(("empiric.outcome", verdict.to_string()));
            tags.push(("empiric.reason", reason.clone()));
        }
        Some(Outcome::Failed(failure)) => {
            tags.push(("empiric.outcome", "failed".to_owned()));
            tags.push(("empiric.cause", failure.cause.name().to_owned()));
            tags.push(("empiric.blame", failure.blame.to_string()));
            tags.push(("empiric.reason", failure.excerpt.clone()));
        }
        None => {}
    }
    if let Some(edit) = &trial.edit {
        tags.push(("mlflow.note.content", edit.hypothesis.text.clone()));
        tags.push(("mlflow.source.git.commit", edit.commit.to_string()));
    }
    tags.retain(|(_, value)| !value.is_empty());
    tags
}

fn trial_params(trial: &Trial) -> Vec<Value> {
    let edit = trial.edit.as_ref();
    let parents: Vec<String> = trial.parents().iter().map(ToString::to_string).collect();
    let params = [
        ("arm", trial.arm.clone()),
        ("operator", edit.map_or(trial.ask.operator, |edit| edit.operator).to_string()),
        ("proposer", edit.map(|edit| edit.proposer.clone()).unwrap_or_default()),
        ("surface", edit.and_then(|edit| edit.surface.clone()).unwrap_or_default()),
        ("parents", parents.join(" ")),
    ];
    let told = params.iter().filter(|(_, value)| !value.is_empty());
    told.map(|(key, value)| pair(key, value, PARAM)).collect()
}

fn study_params(study: &Study) -> Vec<Value> {
    let settings = study.settings();
    let params = [
        ("task", study.task().name.clone()),
        ("metric", study.task().metric.name.clone()),
        ("goal", study.task().metric.goal.to_string()),
        ("seed", settings.seed.to_string()),
        ("arms", crate::arms(study)),
        ("level", settings.rules.level.to_string()),
    ];
    params.iter().map(|(key, value)| pair(key, value, PARAM)).collect()
}

fn metric(key: &str, value: f64, at: Timestamp, step: u32) -> Option<Value> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-. /".contains(c) { c } else { '_' };
    let key: String = key.chars().map(plain).take(250).collect();
    value.is_finite().then(
        || json!({"key": key, "value": value, "timestamp": at.as_millisecond(), "step": step}),
    )
}

/// Each finished replicate's values, and the gain; a step is a place in the order of replicates.
fn trial_metrics(study: &Study, trial: &Trial) -> Vec<Value> {
    let at = trial.ended_at.unwrap_or(trial.asked_at);
    let mut metrics = Vec::new();
    for (step, replicate) in (0..).zip(&trial.replicates) {
        let Some(result) = &replicate.result else { continue };
        for found in &result.measurements {
            let split = match found.split {
                empiric_core::Split::Search => "",
                empiric_core::Split::Select => ".select",
                empiric_core::Split::Report => ".report",
            };
            metrics.extend(metric(&format!("{}{split}", found.metric), found.value, at, step));
        }
        metrics.extend(metric("cpu_s", result.cost.cpu_s, at, step));
    }
    let score = trial.search_score(&study.task().metric.name);
    metrics.extend(score.and_then(|score| metric("search_score", score, at, 0)));
    if let Some(Outcome::Valid { gain: Some(gain), .. }) = &trial.outcome {
        metrics.extend(metric("gain", *gain, at, 0));
    }
    metrics
}

/// The champion's gain, and what was spent.
fn study_metrics(study: &Study) -> Vec<Value> {
    let last = study.trials().iter().filter_map(|trial| trial.ended_at).max();
    let at = last.unwrap_or(Timestamp::UNIX_EPOCH);
    let step = study.next_trial().0;
    let status = empiric_report::Status::of(study);
    let values = [
        ("baseline", status.baseline.mean),
        ("champion", status.champion.as_ref().map(|champion| champion.mean)),
        ("gain", status.champion.as_ref().map(|champion| champion.gain)),
        ("noise_sd", Some(status.noise_sd)),
        ("trials", Some(status.trials as f64)),
        ("keeps", Some(f64::from(status.outcomes.keep))),
        ("cpu_s", Some(status.cost.cpu_s)),
        ("wall_s", Some(status.cost.wall_s)),
    ];
    values.into_iter().filter_map(|(key, value)| metric(key, value?, at, step)).collect()
}
