//! One attempt over HTTP: bytes out, events in, with nobody waited for longer than agreed. It follows no redirect, because
//! a key goes to the server that it was given for and to no other.

use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::{
    Class, Provider, Secret, Wire,
    wire::{self, Bill, Decoded, Fault},
};

/// Version of Anthropic's protocol.
pub(crate) const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Most bytes of an answer.
const LONGEST: usize = 64 << 20;
/// Most bytes of a line of a stream of events, which is held until its end.
const LINE: usize = 4 << 20;
/// Most bytes of a refusal that are read.
const REFUSAL: usize = 64 << 10;

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer, and for a whole answer that is not streamed.
    pub answer: Duration,
    /// For the next piece of a stream.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            answer: Duration::from_mins(10),
            idle: Duration::from_mins(2),
        }
    }
}

/// A client for all providers.
///
/// # Errors
/// When this machine offers no certificates to check servers by.
pub(crate) fn client(timeouts: Timeouts) -> reqwest::Result<reqwest::Client> {
    // Another crate of this process may have chosen already; any choice will do.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .connect_timeout(timeouts.connect)
        .redirect(reqwest::redirect::Policy::none())
        // A kept connection that its server has closed meanwhile breaks under a request that may then have been billed.
        .pool_max_idle_per_host(0)
        // Variables of the environment are read by the command line and by nobody else.
        .no_proxy()
        .build()
}

/// The headers that a provider wants, its key among them.
pub(crate) fn headers(provider: &Provider, key: Option<&Secret>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    let unfit = |what: &str| {
        Fault::new(Class::Rejected, format!("header `{what}` cannot be sent"), Bill::Nothing)
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key {
        let (name, value) = match provider.wire {
            Wire::Messages => (HeaderName::from_static("x-api-key"), key.reveal().to_owned()),
            Wire::Chat | Wire::Responses => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| unfit(name.as_str()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if provider.wire == Wire::Messages {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    for (name, value) in &provider.headers {
        let name = HeaderName::try_from(name).map_err(|_| unfit(name))?;
        let value = HeaderValue::try_from(value).map_err(|_| unfit(name.as_str()))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Sends `body`, and reads the answer to its end.
pub(crate) async fn ask(
    client: &reqwest::Client,
    provider: &Provider,
    key: Option<&Secret>,
    body: Vec<u8>,
    timeouts: Timeouts,
) -> Result<Decoded, Fault> {
    let wire = provider.wire;
    let mut headers = headers(provider, key)?;
    let accept = if provider.stream { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let url = format!("{}/{}", provider.url, wire.path());
    let sent = client.post(url).headers(headers).body(body).send();
    // A stream begins before anything was thought of.
    let head = if provider.stream { timeouts.idle } else { timeouts.answer };
    let response =
        tokio::time::timeout(head, sent).await.map_err(|_| stalled())?.map_err(|e| network(&e))?;
    let status = response.status();
    let after_ms = retry_after(response.headers());
    let streamed = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/event-stream"));
    if !status.is_success() {
        let said = collect(response.bytes_stream(), REFUSAL, timeouts.idle)
            .await
            .unwrap_or_else(|(said, _)| said);
        return Err(wire::of_status(status.as_u16(), after_ms, &String::from_utf8_lossy(&said)));
    }
    if streamed {
        return stream(wire, response.bytes_stream(), timeouts.idle).await;
    }
    // A server that does not stream is silent until it has thought of everything.
    let all = collect(response.bytes_stream(), LONGEST, timeouts.answer)
        .await
        .map_err(|(_, fault)| fault)?;
    let body =
        serde_json::from_slice(&all).map_err(|_| Fault::malformed("the reply is no JSON"))?;
    wire.decode(&body)
}

/// The bytes of a body; with a fault where they end too early, what came until then.
pub(crate) async fn collect(
    stream: impl Stream<Item = reqwest::Result<Bytes>>,
    most: usize,
    idle: Duration,
) -> Result<Vec<u8>, (Vec<u8>, Fault)> {
    let mut stream = std::pin::pin!(stream);
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(idle, stream.next()).await {
            Err(_) => return Err((all, stalled())),
            Ok(None) => return Ok(all),
            Ok(Some(Err(error))) => return Err((all, network(&error))),
            Ok(Some(Ok(bytes))) => all.extend_from_slice(&bytes),
        }
        if all.len() > most {
            return Err((all, Fault::malformed("the reply is far too long")));
        }
    }
}

/// Puts a stream of events together.
async fn stream(
    wire: Wire,
    bytes: impl Stream<Item = reqwest::Result<Bytes>>,
    idle: Duration,
) -> Result<Decoded, Fault> {
    let mut assembler = wire.assembler();
    let mut events = std::pin::pin!(measured(bytes).eventsource());
    loop {
        let event = match tokio::time::timeout(idle, events.next()).await {
            Err(_) => return Err(stalled()),
            Ok(None) => break,
            // A connection that breaks in the midst of a reply has cut it off.
            Ok(Some(Err(EventStreamError::Transport(Broken::Off)))) => {
                return Err(Fault::malformed("the stream is cut off"));
            }
            Ok(Some(Err(EventStreamError::Transport(Broken::TooLong)))) => {
                return Err(Fault::malformed("the reply is far too long"));
            }
            Ok(Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)))) => {
                return Err(Fault::malformed("the stream is no stream of events"));
            }
            Ok(Some(Ok(event))) => event,
        };
        if assembler.take(&event.event, &event.data)? {
            break;
        }
    }
    wire.decode(&assembler.body()?)
}

/// Why the bytes of a stream end before it does.
enum Broken {
    Off,
    TooLong,
}

/// The bytes of a stream of events, up to where it, or a line of it, is too long to be held.
fn measured(
    bytes: impl Stream<Item = reqwest::Result<Bytes>>,
) -> impl Stream<Item = Result<Bytes, Broken>> {
    let (mut all, mut line) = (0, 0);
    bytes.map(move |bytes| {
        let bytes = bytes.map_err(|_| Broken::Off)?;
        all += bytes.len();
        line = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => bytes.len() - at - 1,
            None => line + bytes.len(),
        };
        if all > LONGEST || line > LINE { Err(Broken::TooLong) } else { Ok(bytes) }
    })
}

fn stalled() -> Fault {
    Fault::new(Class::Stalled, "", Bill::Unknown)
}

/// Without the URL, in which some put keys.
pub(crate) fn network(error: &reqwest::Error) -> Fault {
    let mut message = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&error.to_string());
        cause = error.source();
    }
    let bill = if error.is_connect() { Bill::Nothing } else { Bill::Unknown };
    Fault::new(Class::Network, message, bill)
}

/// The wait that a provider asks for, milliseconds. A date is not read: it would be one of another machine's clock.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms =
        number("retry-after-ms").or_else(|| number("retry-after").map(|seconds| seconds * 1e3))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the range"
    )]
    (0.0..=1e9).contains(&ms).then_some(ms.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// How many of `pieces` pass before it is too much, of at most a hundred.
    fn passed(piece: Vec<u8>) -> usize {
        let piece = Bytes::from(piece);
        let endless = futures_util::stream::repeat_with(move || Ok(piece.clone()));
        let pieces = measured(endless).take(100).take_while(|piece| {
            let fine = !matches!(piece, Err(Broken::TooLong));
            async move { fine }
        });
        pieces.count().now_or_never().unwrap()
    }

    #[test]
    fn neither_a_line_nor_a_stream_without_an_end_is_held() {
        let mut piece = vec![b'x'; 1 << 20];
        assert_eq!(passed(piece.clone()), LINE >> 20);
        piece[9] = b'\n';
        assert_eq!(passed(piece), LONGEST >> 20);
    }
}
