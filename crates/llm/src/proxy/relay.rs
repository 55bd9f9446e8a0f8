//! One request through the proxy: paid for, sent on with the real key, handed back as it comes, metered as it passes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use empiric_core::{BlobId, Spend, Usage};
use eventsource_stream::Eventsource as _;
use futures_util::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{
        ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Guest,
    asked::{Asked, Dialect, Unmetered},
    passed,
};
use crate::{Class, Error, Exchange, ModelId, Price, Provider, Reservation, gemini, http, wire};

/// Most bytes of a request, and of an answer that is metered.
const LONGEST: usize = 64 << 20;
/// Pieces of an answer that may wait for a slow agent.
const WAITING: usize = 64;
/// Headers that agents may send along, beside those that the proxy sets.
const PASSED: [&str; 5] =
    ["anthropic-beta", "openai-beta", "user-agent", "anthropic-version", "x-goog-api-client"];
/// Headers that come back.
const RETURNED: [HeaderName; 2] = [CONTENT_TYPE, RETRY_AFTER];

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Answers one request. What is still to be read of the provider's answer is read by a task of `relays`, so that it is
/// metered to its end even if the agent hangs up.
pub(super) async fn answer(
    guest: Arc<Guest>,
    request: Request<Incoming>,
    cancel: CancellationToken,
    relays: TaskTracker,
) -> Response<Body> {
    match relay(&guest, request, cancel, relays).await {
        Ok(response) => response,
        Err(Turned { status, dialect, kind, message }) => {
            guest.trouble(format!("{} {kind}: {message}", status.as_u16()));
            let body = dialect.error(kind, &message).to_string();
            let mut response = Response::new(Full::new(body.into()).boxed_unsync());
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

/// A request that the proxy itself turns down.
struct Turned {
    status: StatusCode,
    dialect: Dialect,
    kind: &'static str,
    message: String,
}

async fn relay(
    guest: &Arc<Guest>,
    request: Request<Incoming>,
    cancel: CancellationToken,
    relays: TaskTracker,
) -> Result<Response<Body>, Turned> {
    let options = &guest.shared.options;
    let turned = |status, dialect, kind, message: String| Turned { status, dialect, kind, message };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if !shows(&parts.headers, parts.uri.query(), guest) {
        let message = "this proxy is for one agent, which is told its token".to_owned();
        return Err(turned(
            StatusCode::UNAUTHORIZED,
            Dialect::Messages,
            "authentication_error",
            message,
        ));
    }
    let body = Limited::new(body, LONGEST).collect().await.map_err(|_| {
        let message = "the request is too long, or broke off".to_owned();
        turned(StatusCode::PAYLOAD_TOO_LARGE, Dialect::Messages, "request_too_large", message)
    })?;
    let asked = Asked::read(&path, parts.uri.query(), &body.to_bytes(), options.most_output);
    let asked = asked.map_err(|unmetered| match unmetered {
        Unmetered::Route => {
            let message = format!("{path} is no route to a model that can be metered");
            turned(StatusCode::NOT_FOUND, Dialect::Messages, "not_found_error", message)
        }
        Unmetered::Body => {
            let message = "the request is no JSON object with a model".to_owned();
            turned(StatusCode::BAD_REQUEST, Dialect::Messages, "invalid_request_error", message)
        }
    })?;
    let dialect = asked.dialect;
    let route = options.routes.get(&dialect);
    let (name, provider) = route
        .and_then(|name| Some((name, options.catalogue.provider(name)?)))
        .ok_or_else(|| {
        let message = format!("no provider is set for {dialect:?}, which the agent speaks");
        guest.setup(message.clone());
        turned(StatusCode::NOT_FOUND, dialect, "not_found_error", message)
    })?;
    let named = format!("{name}/{}", asked.model);
    let model: ModelId = named.parse().map_err(|error: crate::BadModelId| {
        turned(StatusCode::BAD_REQUEST, dialect, "invalid_request_error", error.to_string())
    })?;
    let price = match options.catalogue.price(&model) {
        Some(price) => price,
        None if !options.purse.limits().binds_money() => Price::FREE,
        None => {
            let message = Error::new(Class::Unpriced, &model, "").to_string();
            guest.setup(message.clone());
            return Err(turned(StatusCode::PAYMENT_REQUIRED, dialect, "unpriced", message));
        }
    };
    let worst = Spend {
        calls: 1,
        tokens: asked.input.saturating_add(asked.output),
        money: price.worst(asked.input, asked.output),
    };
    let reservation =
        options.purse.reserve_when_free(&guest.origin, worst).await.map_err(|refused| {
            let message = refused.to_string();
            guest.tally().refused.get_or_insert(refused);
            turned(StatusCode::PAYMENT_REQUIRED, dialect, "budget_exhausted", message)
        })?;
    let mut open = Open {
        guest: Arc::clone(guest),
        model,
        price,
        asked,
        reservation: Some(reservation),
        worst,
    };
    let sent = open.send(name, provider, &parts.headers);
    let response = tokio::select! {
        () = cancel.cancelled() => {
            return Err(turned(StatusCode::SERVICE_UNAVAILABLE, dialect, "cancelled", "the visit is over".to_owned()));
        }
        sent = sent => match sent {
            Ok(response) => response,
            Err((connected, message)) => {
                if !connected {
                    open.release();
                    guest.setup(format!("{message}; is it running?"));
                }
                return Err(turned(StatusCode::BAD_GATEWAY, dialect, "api_error", message));
            }
        },
    };
    Ok(open.pass(response, cancel, relays))
}

/// Whether the agent shows its token, in whichever way its language has.
fn shows(headers: &HeaderMap, query: Option<&str>, guest: &Guest) -> bool {
    let token = guest.token.reveal();
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bearer = header(AUTHORIZATION.as_str()).strip_prefix("Bearer ").unwrap_or_default();
    let key = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|part| part.strip_prefix("key="));
    [bearer, header("x-api-key"), header("x-goog-api-key"), key.unwrap_or_default()]
        .contains(&token)
}

/// A request that is paid for and not over. Dropped, it is settled at its worst.
struct Open {
    guest: Arc<Guest>,
    model: ModelId,
    price: Price,
    asked: Asked,
    reservation: Option<Reservation>,
    worst: Spend,
}

impl Open {
    /// Sends it on; what goes wrong comes with whether it may have arrived.
    async fn send(
        &self,
        name: &str,
        provider: &Provider,
        sent_along: &HeaderMap,
    ) -> Result<reqwest::Response, (bool, String)> {
        let shared = &self.guest.shared;
        let key = shared.options.keys.get(name);
        let mut headers = match self.asked.dialect {
            Dialect::Gemini => google(provider, key),
            Dialect::Chat | Dialect::Responses | Dialect::Messages => http::headers(provider, key),
        }
        .map_err(|fault| (false, fault.message))?;
        for name in PASSED {
            if let Some(value) = sent_along.get(name)
                && !provider.headers.contains_key(name)
            {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        let accept = if self.asked.stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let base = provider.speaks(self.asked.dialect).unwrap_or(&provider.url);
        let url = format!("{base}/{}", self.asked.path);
        let sent = shared.http.post(url).headers(headers).body(self.asked.body.to_string()).send();
        match tokio::time::timeout(shared.options.timeouts.answer, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                Err((!error.is_connect(), format!("{} cannot be reached", self.model.provider())))
            }
            Err(_) => Err((true, format!("{} does not answer", self.model.provider()))),
        }
    }

    /// Hands the answer back while it is read and metered by a task.
    fn pass(
        mut self,
        response: reqwest::Response,
        cancel: CancellationToken,
        relays: TaskTracker,
    ) -> Response<Body> {
        let status = response.status();
        let (pieces, waiting) = mpsc::channel::<Bytes>(WAITING);
        let body = futures_util::stream::unfold(waiting, |mut waiting| async move {
            let bytes = waiting.recv().await?;
            Some((Ok(Frame::data(bytes)), waiting))
        });
        let mut passed = Response::new(StreamBody::new(body).boxed_unsync());
        *passed.status_mut() = status;
        for name in RETURNED {
            if let Some(value) = response.headers().get(&name) {
                passed.headers_mut().insert(name, value.clone());
            }
        }
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let events = kind.starts_with("text/event-stream");
        let idle = self.guest.shared.options.timeouts.idle;
        relays.spawn(async move {
            let all = tokio::select! {
                () = cancel.cancelled() => None,
                all = pump(response.bytes_stream(), pieces, idle) => Some(all),
            };
            match all {
                Some((all, whole)) => self.close(status, events, &all, whole).await,
                None => self.settle(None, &json!({"broken_off": true})),
            }
        });
        passed
    }

    /// Reads what was billed out of an answer, settles and records.
    async fn close(&mut self, status: StatusCode, events: bool, all: &[u8], whole: bool) {
        if !status.is_success() {
            let said = String::from_utf8_lossy(all).into_owned();
            let wire::Fault { class, message, .. } = wire::of_status(status.as_u16(), None, &said);
            let error = Error::new(class, &self.model, self.scrubbed(&message));
            self.guest.trouble(error.to_string());
            if error.is_of_the_setup() {
                self.guest.setup(error.to_string());
            }
            let answer = json!({"status": status.as_u16(), "body": self.scrubbed(&said), "class": error.class});
            self.settle(Some(Usage::default()), &answer);
            return;
        }
        let body = match (events, self.asked.dialect.wire()) {
            (false, _) => serde_json::from_slice(all).ok(),
            (true, Some(wire)) => wire.put_together(all).ok(),
            (true, None) => last_usage(all).await,
        };
        let body = body.unwrap_or_else(|| Value::String(String::from_utf8_lossy(all).into_owned()));
        let usage = passed::billed(self.asked.dialect, &body).filter(|_| whole);
        self.settle(usage, &json!({"status": status.as_u16(), "body": body, "whole": whole}));
    }

    /// A provider's words without its key.
    fn scrubbed(&self, words: &str) -> String {
        let key = self.guest.shared.options.keys.get(self.model.provider());
        key.map_or_else(|| words.to_owned(), |key| key.scrub(words))
    }

    /// It was never sent.
    fn release(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            reservation.release();
        }
    }

    /// Settles for what was billed, or at the worst where nobody said, and records.
    fn settle(&mut self, usage: Option<Usage>, answer: &Value) {
        let Some(reservation) = self.reservation.take() else { return };
        let spend = usage.map_or(self.worst, |usage| Spend {
            calls: 1,
            tokens: usage.total(),
            money: self.price.cost(&usage),
        });
        reservation.settle(spend);
        let usage = usage.unwrap_or_default();
        {
            let mut tally = self.guest.tally();
            tally.calls += 1;
            tally.usage += usage;
            tally.spend += spend;
        }
        let Some(tape) = &self.guest.shared.options.tape else { return };
        let request = json!({"passed": {"path": self.asked.path, "body": self.asked.body}})
            .to_string()
            .into_bytes();
        let exchange = Exchange {
            origin: self.guest.origin.clone(),
            model: self.model.clone(),
            blob: BlobId::of(&request),
            request,
            answer: match answer.get("class") {
                Some(class) => json!({"passed": answer, "err": {"class": class}}),
                None => json!({"passed": answer}),
            }
            .to_string()
            .into_bytes(),
            usage,
            spend,
            attempts: 1,
            wall: Duration::ZERO,
        };
        // A tape may wait until the exchange is safe.
        if let Err(error) = tokio::task::block_in_place(|| self.guest.record(&**tape, exchange)) {
            self.guest.trouble(format!("a call could not be recorded: {error}"));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.settle(None, &json!({"broken_off": true}));
    }
}

/// Google's own headers.
fn google(
    provider: &Provider,
    key: Option<&crate::Secret>,
) -> Result<HeaderMap, crate::wire::Fault> {
    let mut headers = http::headers(provider, None)?;
    if let Some(key) = key
        && let Ok(mut value) = HeaderValue::try_from(key.reveal())
    {
        value.set_sensitive(true);
        headers.insert("x-goog-api-key", value);
    }
    Ok(headers)
}

/// Reads an answer to its end, handing pieces on as long as somebody takes them; whether it came to its end.
async fn pump(
    stream: impl Stream<Item = reqwest::Result<Bytes>>,
    pieces: mpsc::Sender<Bytes>,
    idle: Duration,
) -> (Vec<u8>, bool) {
    let mut stream = std::pin::pin!(stream);
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(idle, stream.next()).await {
            Ok(None) => return (all, true),
            Ok(Some(Ok(bytes))) if all.len() + bytes.len() <= LONGEST => {
                all.extend_from_slice(&bytes);
                // An agent that has hung up is still to pay for what it asked.
                pieces.send(bytes).await.ok();
            }
            Err(_) | Ok(Some(_)) => return (all, false),
        }
    }
}

/// The last chunk of a stream of Google's that says what was billed.
async fn last_usage(all: &[u8]) -> Option<Value> {
    let mut last = None;
    let mut events = std::pin::pin!(whole(all).eventsource());
    while let Some(Ok(event)) = events.next().await {
        let chunk: Option<Value> = serde_json::from_str(&event.data).ok();
        last = chunk.filter(|chunk| gemini::usage(chunk).is_some()).or(last);
    }
    last
}

fn whole(all: &[u8]) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::iter([Ok(Bytes::copy_from_slice(all))])
}
