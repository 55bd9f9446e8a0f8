//! The ledger itself, a page at a time.

use std::sync::Arc;

use axum::{Json, extract::State};
use empiric_core::{Event, Outcome, Record};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, limit, look, replicates::purpose};
use crate::problem::Problem;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<u64>,
    /// Events in a page.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
    /// From the last one back, rather than from the first one on. Not together with `trial`.
    newest: Option<bool>,
    /// Only those about this trial.
    trial: Option<String>,
}

/// Some events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Events {
    /// They.
    events: Vec<Told>,
    /// Where the next page begins; absent on the last one.
    next: Option<u64>,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recorded)]
pub(crate) struct Told {
    /// Its place in the ledger, from 1.
    pub(crate) seq: u64,
    /// When it was appended.
    pub(crate) at: String,
    /// Its name.
    pub(crate) name: String,
    /// The trial that it is about.
    pub(crate) trial: Option<String>,
    /// What happened, in words. Data, whatever it says.
    pub(crate) text: String,
    /// The event as the ledger has it.
    #[schema(value_type = Object)]
    pub(crate) body: serde_json::Value,
}

/// The ledger's events
#[utoipa::path(get, path = "/api/studies/{study}/events", tag = "events",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Events)))]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Events>, Problem> {
    let limit = limit(wanted.limit, 100, 500)?;
    look(&app, id, move |held| {
        let metric = &held.extract().study().task().metric.name;
        let newest = wanted.newest.unwrap_or(false);
        let most = limit as u32;
        let records = match &wanted.trial {
            Some(_) if newest => return Err(Problem::request("newest: not together with trial")),
            Some(word) => {
                let no = held.trial_no(word)?;
                held.reader.trial_records(no, wanted.after.unwrap_or(0), most)?
            }
            None if newest => held.reader.records_before(wanted.after.unwrap_or(u64::MAX), most)?,
            None => held.reader.records(wanted.after.unwrap_or(0), most)?,
        };
        let next = records.last().filter(|_| records.len() == limit).map(|last| last.seq);
        let told = records.iter().map(|record| Told {
            body: serde_json::to_value(&record.event).unwrap_or_default(),
            ..brief(record, metric)
        });
        Ok(Events { events: told.collect(), next })
    })
    .await
}

/// The record without its body; `metric` is the one that is told where one was measured.
pub(crate) fn brief(record: &Record, metric: &str) -> Told {
    Told {
        seq: record.seq,
        at: record.at.to_string(),
        name: record.event.name().to_owned(),
        trial: record.event.trial().map(|no| no.to_string()),
        text: words(&record.event, metric),
        body: serde_json::Value::Null,
    }
}

/// What happened, in words.
fn words(event: &Event, metric: &str) -> String {
    match event {
        Event::StudyOpened { task, .. } => format!("study of {} opened", task.name),
        Event::SessionStarted { sandbox, slots, .. } => {
            format!("session started: {} slots, sandbox {sandbox}", slots.len())
        }
        Event::SegmentOpened { segment, reason, .. } => format!("segment {segment}: {reason}"),
        Event::BudgetSet { by, .. } if by.is_empty() => "budget set".to_owned(),
        Event::BudgetSet { by, .. } => format!("budget set by {by}"),
        Event::Pinned { trial, by } => format!("{by} has new trials start from {trial}"),
        Event::Unpinned { by, .. } => format!("{by} lets the policy choose again"),
        Event::Requeued { trial, by } => format!("{by} has {trial} measured once more"),
        Event::Staffed { arm, .. } => format!("{arm} has its team"),
        Event::Called { call, .. } => format!("{} asked {}", call.role, call.model),
        Event::Rehearsed { .. } => "a smoke stage was run before the edit was handed in".to_owned(),
        Event::Fetched { fetch, .. } => match &fetch.fault {
            None => format!("{} was read", fetch.url),
            Some(why) => format!("{} was not to be read: {why}", fetch.url),
        },
        Event::IdeaAdded { by, sketch, .. } => format!("{by} has an idea: {}", sketch.text),
        Event::IdeaChanged { by, .. } => format!("{by} ranks an idea anew"),
        Event::Learned { by, insight, .. } => format!("{by} learnt: {}", insight.text),
        Event::Asked { ask, arm, .. } => {
            let parents: Vec<String> = ask.parents.iter().map(ToString::to_string).collect();
            let from = if parents.is_empty() {
                String::new()
            } else {
                format!(" from {}", parents.join(", "))
            };
            format!("{arm} asks to {}{from}", ask.operator)
        }
        Event::Proposed { edit, .. } => edit.hypothesis.text.clone(),
        Event::Leased { purpose: what, slot, seed, .. } => {
            format!("{} under seed {} in {slot}", purpose(*what).0, seed.0)
        }
        Event::Measured { result, .. } => match &result.failure {
            Some(failure) => failure.to_string(),
            None => {
                let mut named = result.measurements.iter().filter(|one| one.metric == metric);
                let shown = named.next();
                shown.map_or_else(|| "measured".to_owned(), |one| format!("{metric} {}", one.value))
            }
        },
        Event::Fenced { reason, .. } => format!("a replicate is void and runs again: {reason}"),
        Event::Quarantined { quarantine, .. } => {
            let why: Vec<String> = quarantine.concerns.iter().map(ToString::to_string).collect();
            format!("measured once more before it may be kept: {}", why.join("; "))
        }
        Event::Concluded { outcome, .. } => match outcome {
            Outcome::Valid { verdict, reason, .. } => format!("{verdict}: {reason}"),
            Outcome::Failed(failure) => failure.to_string(),
        },
        Event::ReportOpened { champions } => {
            let champions: Vec<String> = champions.iter().map(ToString::to_string).collect();
            format!("closing comparison of {} and the baseline", champions.join(", "))
        }
        Event::AblationOpened { champion, hunks, .. } => {
            format!(
                "{champion} is taken apart: {} changes of the baseline, one at a time",
                hunks.len()
            )
        }
        Event::Noted { by, text } => format!("{by}: {text}"),
        Event::Paused { by } => format!("paused by {by}"),
        Event::Resumed { by } => format!("resumed by {by}"),
        Event::Stopped { by } => format!("stopped: {by}"),
        Event::Finished { reason } => format!("finished: {reason}"),
    }
}
