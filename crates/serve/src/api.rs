//! The REST interface: its routes, the document that describes them, and what they share.

mod calls;
mod compare;
mod controls;
mod curve;
mod events;
mod failures;
mod feed;
mod graph;
mod insights;
mod replicates;
mod slots;
mod studies;
mod study;
mod trial;
mod trials;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use empiric_ledger::Clock;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use utoipa::{
    OpenApi,
    openapi::{
        Ref, RefOr, ResponseBuilder, SecurityRequirement,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{agents::Agents, held::Held, problem::Problem, shelf::Shelf};

/// What all handlers share.
pub(crate) struct App {
    pub(crate) shelf: Shelf,
    pub(crate) user: String,
    pub(crate) clock: Clock,
    pub(crate) agents: Agents,
    pub(crate) cancel: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Empiric",
        description = "Studies, looked at and steered. Lists are paged by cursors: what `next` says goes into `after`. \
                       Whatever is asked of a study becomes a request in its inbox, which the session at work on it \
                       answers, or the next one. Times are RFC 3339, durations seconds, trials `t` and a number."
    ),
    components(schemas(Problem, trials::Order))
)]
struct Frame;

/// The routes and their document.
pub(crate) fn router() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(studies::studies))
        .routes(routes!(study::study))
        .routes(routes!(study::report))
        .routes(routes!(trials::trials))
        .routes(routes!(trial::trial))
        .routes(routes!(trial::diff))
        .routes(routes!(replicates::replicates))
        .routes(routes!(replicates::log))
        .routes(routes!(calls::calls))
        .routes(routes!(compare::compare))
        .routes(routes!(curve::curve))
        .routes(routes!(graph::graph))
        .routes(routes!(failures::failures))
        .routes(routes!(insights::insights))
        .routes(routes!(slots::slots))
        .routes(routes!(events::events))
        .routes(routes!(feed::feed))
        .routes(routes!(controls::ask))
        .routes(routes!(controls::answer))
        .routes(routes!(controls::notes))
        .routes(routes!(described))
        .split_for_parts();
    finish(&mut document);
    (router, document)
}

/// The OpenAPI 3.1 document, as JSON.
#[must_use]
pub fn document() -> String {
    let mut text = router().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "interface", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn described() -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// Adds what holds for every operation: how to prove who asks, and how a refusal looks.
fn finish(document: &mut utoipa::openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    components
        .add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post].into_iter().flatten();
        for operation in operations {
            refuse(operation);
        }
    }
}

fn refuse(operation: &mut Operation) {
    let refusals = [
        ("400", "the request is not understood"),
        ("401", "the token is missing or wrong"),
        ("403", "the host or the origin is not this server's"),
        ("404", "there is no such thing"),
        ("409", "the study is not in a state for that"),
        ("500", "Empiric itself failed, or the study is damaged"),
    ];
    for (status, description) in refusals {
        let content = utoipa::openapi::ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
            .build();
        let reply = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(reply));
    }
}

/// Words in the path.
pub(crate) struct Words<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Words<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|words| Self(words.0)).map_err(|refusal| Problem::missing(refusal.body_text()))
    }
}

/// Parameters in the query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|params| Self(params.0)).map_err(|refusal| Problem::request(refusal.body_text()))
    }
}

/// A body of JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        use axum::extract::rejection::JsonRejection;
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(refusal) => {
                let unread = matches!(refusal, JsonRejection::BytesRejection(_));
                let status = if unread { refusal.status() } else { StatusCode::BAD_REQUEST };
                Err(Problem::new(status, refusal.body_text()))
            }
        }
    }
}

/// Looks at a study on a thread that may block.
pub(crate) async fn look<T: Send + 'static>(
    app: &Arc<App>,
    study: String,
    look: impl FnOnce(&mut Held) -> Result<T, Problem> + Send + 'static,
) -> Result<Json<T>, Problem> {
    let app = Arc::clone(app);
    let looked = tokio::task::spawn_blocking(move || app.shelf.look(&study, look)).await;
    looked.map_err(|error| Problem::internal(error.to_string()))?.map(Json)
}

/// The same where the answer is worked out of the ledger alone: as long as nothing happens it is given again as it is.
pub(crate) async fn look_again<T: Serialize + Send + 'static>(
    app: &Arc<App>,
    study: String,
    asked: String,
    look: impl FnOnce(&mut Held) -> Result<T, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let app = Arc::clone(app);
    let looked = tokio::task::spawn_blocking(move || {
        app.shelf.look(&study, |held| {
            if let Some(answer) = held.answer(&asked) {
                return Ok(answer);
            }
            let told = serde_json::to_vec(&look(held)?);
            let answer = Bytes::from(told.map_err(|error| Problem::internal(error.to_string()))?);
            held.keep_answer(asked, answer.clone());
            Ok(answer)
        })
    });
    let answer = looked.await.map_err(|error| Problem::internal(error.to_string()))??;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// How many items a page has: what was asked, `usual` where nothing was.
pub(crate) fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<usize, Problem> {
    match asked.unwrap_or(usual) {
        0 => Err(Problem::request("limit: a page has at least one item")),
        limit if limit > most => Err(Problem::request(format!("limit: at most {most}"))),
        limit => Ok(limit as usize),
    }
}

/// Microseconds since 1970, as RFC 3339.
pub(crate) fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// A number that JSON can hold.
pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}
