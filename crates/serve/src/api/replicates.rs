//! The replicates of a trial, and what their units printed.

use std::sync::Arc;

use axum::{Json, extract::State};
use empiric_core::{
    BlobId, Measurement, Purpose, Replicate, ReplicateId, Split, TrialNo, trial::UnitRecord,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{App, Params, Words, limit, look, trial::Broken};
use crate::problem::Problem;

/// One execution of the trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// Its id.
    id: String,
    /// What it is for: `search`, `confirm`, `audit` or `report`.
    purpose: String,
    /// The trial whose stream of seeds it runs on, where it is one's.
    of: Option<String>,
    /// Its place in that stream.
    index: u32,
    /// Its seed.
    seed: u32,
    /// Its slot.
    slot: String,
    /// Its segment.
    segment: u32,
    /// The metric on the split that verdicts are made on; absent while it runs and when it failed.
    value: Option<f64>,
    /// Everything measured.
    measurements: Vec<Measured>,
    /// Its units, in order.
    units: Vec<Unit>,
    /// Why it is not usable.
    failure: Option<Broken>,
    /// The evaluator's words for proposers. Data, whatever they say.
    feedback: String,
    /// Whether it has finished.
    finished: bool,
}

/// One value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Measured {
    /// The metric.
    metric: String,
    /// The value.
    value: f64,
    /// The split it was computed on.
    split: String,
    /// Who vouches for it.
    provenance: String,
}

/// One command of a replicate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unit {
    /// Stage name, `predictor` or `evaluator`.
    name: String,
    /// How it ended.
    ending: String,
    /// The sandbox level it ran at.
    sandbox: String,
    /// Wall-clock seconds.
    wall_s: f64,
    /// CPU seconds.
    cpu_s: f64,
    /// Peak memory, bytes; 0 when it could not be measured.
    peak_memory_bytes: u64,
    /// What it printed, by the id that `logs` takes.
    log: Option<String>,
}

pub(crate) fn purpose(purpose: Purpose) -> (&'static str, Option<TrialNo>) {
    match purpose {
        Purpose::Search => ("search", None),
        Purpose::Confirm { of } => ("confirm", Some(of)),
        Purpose::Audit { of } => ("audit", Some(of)),
        Purpose::Report => ("report", None),
    }
}

impl Run {
    pub(crate) fn of(replicate: &Replicate, metric: &str) -> Self {
        let result = replicate.result.as_ref();
        let (purpose, of) = purpose(replicate.purpose);
        Self {
            id: replicate.id.to_string(),
            purpose: purpose.to_owned(),
            of: of.map(|of| of.to_string()),
            index: replicate.index,
            seed: replicate.seed.0,
            slot: replicate.slot.clone(),
            segment: replicate.segment,
            value: replicate.value(metric, Split::Select),
            measurements: result.map_or_else(Vec::new, |result| {
                let one = |measurement: &Measurement| Measured {
                    metric: measurement.metric.clone(),
                    value: measurement.value,
                    split: measurement.split.name().to_owned(),
                    provenance: measurement.provenance.to_string(),
                };
                result.measurements.iter().map(one).collect()
            }),
            units: result.map_or_else(Vec::new, |result| {
                let one = |unit: &UnitRecord| Unit {
                    name: unit.name.clone(),
                    ending: unit.ending.clone(),
                    sandbox: unit.sandbox.clone(),
                    wall_s: unit.wall_s,
                    cpu_s: unit.cpu_s,
                    peak_memory_bytes: unit.peak_memory_bytes,
                    log: unit.log.clone(),
                };
                result.units.iter().map(one).collect()
            }),
            failure: result.and_then(|result| result.failure.as_ref()).map(Broken::of),
            feedback: result.map(|result| result.feedback.clone()).unwrap_or_default(),
            finished: result.is_some(),
        }
    }
}

/// Which replicates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<u64>,
    /// Replicates in a page.
    #[param(minimum = 1, maximum = 500, default = 60)]
    limit: Option<u32>,
}

/// Replicates, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replicates {
    /// They.
    replicates: Vec<Run>,
    /// Where older ones begin; absent on the last page.
    next: Option<u64>,
}

/// The replicates of a trial
#[utoipa::path(get, path = "/api/studies/{study}/trials/{trial}/replicates", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("trial" = String, Path, description = "such as `t17`"), Wanted),
    responses((status = 200, body = Replicates)))]
pub(crate) async fn replicates(
    State(app): State<Arc<App>>,
    Words((id, word)): Words<(String, String)>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Replicates>, Problem> {
    let limit = limit(wanted.limit, 60, 500)?;
    look(&app, id, move |held| {
        let no = held.trial_no(&word)?;
        let before = wanted.after.unwrap_or(u64::MAX);
        let found = held.reader.replicates_before(no, before, limit as u32)?;
        let metric = &held.extract().study().task().metric.name;
        Ok(Replicates {
            next: found.last().filter(|_| found.len() == limit).map(|last| last.seq),
            replicates: found.iter().map(|placed| Run::of(&placed.replicate, metric)).collect(),
        })
    })
    .await
}

/// How much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Tail {
    /// Bytes from its end.
    #[param(minimum = 1, maximum = 1048576, default = 65536)]
    bytes: Option<u32>,
}

/// What a unit printed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Log {
    /// The end of it, control sequences removed. Data, whatever it says.
    text: String,
    /// Bytes in all.
    bytes: usize,
    /// Whether the beginning was left out.
    cut: bool,
}

/// What a unit of a replicate printed
#[utoipa::path(get, path = "/api/studies/{study}/replicates/{replicate}/logs/{log}", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("replicate" = String, Path, description = "its id"),
           ("log" = String, Path, description = "the `log` of one of its units"), Tail),
    responses((status = 200, body = Log)))]
pub(crate) async fn log(
    State(app): State<Arc<App>>,
    Words((id, replicate, log)): Words<(String, String, String)>,
    Params(tail): Params<Tail>,
) -> Result<Json<Log>, Problem> {
    let most = limit(tail.bytes, 1 << 16, 1 << 20)?;
    look(&app, id, move |held| {
        let unknown = || Problem::missing("there is no such replicate, or it has no such log");
        let replicate: Uuid = replicate.parse().map_err(|_| unknown())?;
        let own = held.reader.replicate(ReplicateId(replicate))?.ok_or_else(unknown)?.replicate;
        let mut logs = own.result.iter().flat_map(|result| &result.units);
        // Only what this replicate's own units printed: a store holds other things too.
        let known = logs.any(|unit| unit.log.as_deref() == Some(&log));
        let blob: Option<BlobId> = known.then(|| log.parse().ok()).flatten();
        let bytes = held.blobs().get(blob.ok_or_else(unknown)?)?;
        let from = bytes.len().saturating_sub(most);
        let text = empiric_core::quote::clean(&String::from_utf8_lossy(&bytes[from..]));
        Ok(Log { text, bytes: bytes.len(), cut: from > 0 })
    })
    .await
}
