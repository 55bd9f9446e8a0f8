//! The one door to other machines: a request, a status and a bounded reply, within a time limit.
//!
//! Errors never say the address: it may hold a token.

use std::time::Duration;

use reqwest::{Client, Method, header::HeaderMap, redirect::Policy};
use tokio::runtime::Runtime;

/// Most bytes of a reply.
const REPLY: usize = 4 << 20;

/// A client of its own thread.
pub(crate) struct Web {
    runtime: Runtime,
    client: Client,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why nothing came back, without the address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Web {
    pub(crate) fn new(limit: Duration) -> Result<Self, Unreachable> {
        // Somebody else of this process may have chosen already; then theirs is used.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Unreachable(error.to_string()))?;
        let client = Client::builder()
            .timeout(limit)
            .redirect(Policy::none())
            .user_agent(concat!("empiric/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(said)?;
        Ok(Self { runtime, client })
    }

    pub(crate) fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Reply, Unreachable> {
        self.runtime.block_on(async {
            let request = self.client.request(method, url).headers(headers).body(body);
            let mut response = request.send().await.map_err(said)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(said)? {
                if body.len() + chunk.len() > REPLY {
                    return Err(Unreachable(format!(
                        "the reply is larger than {} MiB",
                        REPLY >> 20
                    )));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Reply { status, body })
        })
    }
}

/// The error and its causes, without the address.
fn said(error: reqwest::Error) -> Unreachable {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(found) = cause {
        let said = found.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = found.source();
    }
    Unreachable(text)
}
