//! Events as they happen, as server-sent events. Each bears its place in the ledger as its id, so whoever was cut off
//! goes on where it was: the browser says so by itself.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, events, look};
use crate::problem::Problem;

/// Between looks at the ledger.
const EVERY: Duration = Duration::from_millis(200);
/// Events read at one time.
const PAGE: u32 = 200;
/// Longest text of an event here, characters.
const TEXT: usize = 400;

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// The event after which to begin; the last one where it is absent. `Last-Event-ID` goes before it.
    after: Option<u64>,
}

/// An event, as the feed tells it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Happened {
    /// Its place in the ledger.
    seq: u64,
    /// When it was appended.
    at: String,
    /// Its name.
    name: String,
    /// The trial that it is about.
    trial: Option<String>,
    /// What happened, in words. Data, whatever it says.
    text: String,
}

/// Events as they happen
///
/// Server-sent events; the data of each is a `Happened`, its id the event's place in the ledger.
#[utoipa::path(get, path = "/api/studies/{study}/live", tag = "events",
    params(("study" = String, Path, description = "its name"), From,
           ("Last-Event-ID" = Option<u64>, Header, description = "the last event seen")),
    responses((status = 200, description = "a stream without end", body = Happened, content_type = "text/event-stream")))]
pub(crate) async fn feed(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(from): Params<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get("last-event-id").map(|id| id.to_str()) {
        None => None,
        Some(Ok("")) => None,
        Some(id) => {
            let id = id.ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Problem::request("Last-Event-ID: it is no event's place"))?)
        }
    };
    let head = look(&app, id.clone(), |held| Ok(held.seq)).await?.0;
    let after = last.or(from.after).unwrap_or(head).min(head);
    let live = events_after(app, id, after);
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(live).keep_alive(alive).into_response())
}

struct Watch {
    app: Arc<App>,
    id: String,
    after: u64,
    waiting: VecDeque<Happened>,
    every: Interval,
}

fn events_after(
    app: Arc<App>,
    id: String,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch { app, id, after, waiting: VecDeque::new(), every };
    stream::unfold(watch, |mut watch| async move {
        loop {
            if let Some(happened) = watch.waiting.pop_front() {
                let data = serde_json::to_string(&happened).unwrap_or_default();
                let event = Event::default().id(happened.seq.to_string()).data(data);
                return Some((Ok(event), watch));
            }
            let cancel = watch.app.cancel.clone();
            tokio::select! {
                () = cancel.cancelled() => return None,
                _ = watch.every.tick() => {}
            }
            let after = watch.after;
            let read = look(&watch.app, watch.id.clone(), move |held| {
                // What is there is read up to where everything else has been brought up to.
                let records =
                    if held.seq > after { held.reader.records(after, PAGE)? } else { Vec::new() };
                let metric = &held.extract().study().task().metric.name;
                Ok(records.iter().map(|record| told(record, metric)).collect::<Vec<_>>())
            });
            // A study that is gone has no more events.
            let happened = read.await.ok()?.0;
            if let Some(last) = happened.last() {
                watch.after = last.seq;
            }
            watch.waiting.extend(happened);
        }
    })
}

fn told(record: &empiric_core::Record, metric: &str) -> Happened {
    let events::Told { seq, at, name, trial, text, body: _ } = events::brief(record, metric);
    let text = if text.chars().count() > TEXT {
        text.chars().take(TEXT).chain(['…']).collect()
    } else {
        text
    };
    Happened { seq, at, name, trial, text }
}
