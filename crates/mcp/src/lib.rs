//! A study as a server of the Model Context Protocol: any client that speaks it can read what was measured and hand in
//! trials of its own.
//!
//! Everything goes through the study's [`Desk`]: a client's trial passes the same checks as anybody's and carries the
//! client's name. What is told comes from the ledger, is bounded, and quotes what recipes, evaluators, agents and people
//! wrote as data. A client sees what a proposer may see: values of the `search` split, and verdicts.
//!
//! Waiting is done over the ledger, not by the protocol's tasks: a trial is found again by its number or its request,
//! from any connection, however long it takes.

mod answer;
mod ideas;
mod service;
mod tools;
mod trials;
mod view;

use std::{io, sync::Arc};

use rmcp::{
    ServiceExt as _,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio_util::sync::CancellationToken;

pub use empiric_engine::{Desk, Layout};
pub use service::Service;

/// The server over HTTP, see [`http`].
pub type Http = StreamableHttpService<Service, LocalSessionManager>;

/// Most bytes of a request over HTTP; an edit may be a whole recipe.
const REQUEST: usize = 16 << 20;

/// Who measures what is handed in when no process is at work on the study.
pub trait Measurer: Send + Sync {
    /// Sees to it that a session begins soon; returns at once. Called again and again while something waits.
    fn wake(&self);

    /// Why its last session could not measure anything.
    fn trouble(&self) -> Option<String>;
}

/// Serves one client on standard input and output until it goes away or `cancel` says so.
///
/// # Errors
/// When the client does not begin as the protocol asks, or the service's task dies.
pub async fn stdio(service: Service, cancel: CancellationToken) -> io::Result<()> {
    let transport = rmcp::transport::io::stdio_pipes();
    let running = match service.serve_with_ct(transport, cancel).await {
        Ok(running) => running,
        // It went away before it said anything, or was told to.
        Err(
            rmcp::service::ServerInitializeError::ConnectionClosed(_)
            | rmcp::service::ServerInitializeError::Cancelled,
        ) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    running.waiting().await.map_err(io::Error::other)?;
    Ok(())
}

/// The same over HTTP, to be mounted by a server: answers only where `Host` is one of `hosts`, and where `Origin`, if
/// there is one, is one of `origins`. Who may come in at all is for the server to say before.
#[must_use]
pub fn http(
    service: Service,
    hosts: &[String],
    origins: &[String],
    cancel: CancellationToken,
) -> Http {
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins)
        .enforce_origin_validation()
        .with_max_request_body_bytes(REQUEST)
        .with_cancellation_token(cancel);
    StreamableHttpService::new(
        move || Ok(service.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    )
}

#[cfg(test)]
mod tests;
