//! The server: a study, or a directory of studies, over HTTP. A REST interface with an OpenAPI document, live events, the
//! page that is made of both, the controls of the command line, and the Model Context Protocol for agents.
//!
//! What it knows it reads from the ledger while others write it; what it is asked to change it posts to the study's
//! inbox, as the command line does. It never writes a ledger, and decides nothing. Whatever a recipe, a model or a
//! stranger wrote is told as JSON text and never as markup.
//!
//! A look costs what it shows: trials in brief are held in memory ([`index`]), the fold that the summary rests on leaves
//! out what it does not need ([`extract`]), everything else is a question to the ledger that an index answers.

mod agents;
mod api;
mod extract;
mod guard;
mod held;
mod index;
mod page;
mod problem;
mod shelf;
mod signatures;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{Router, middleware, routing::any};
use empiric_ledger::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use api::document;
pub use guard::Token;
pub use shelf::Source;

use crate::{agents::Agents, api::App, guard::Guard, shelf::Shelf, tls::TlsListener};

/// What is served, to whom, and how.
#[derive(Clone)]
pub struct Options {
    /// What.
    pub source: Source,
    /// The address to listen at.
    pub bind: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// How an address that others can reach is protected; must be there unless `bind` is loopback.
    pub outside: Option<Outside>,
    /// What whoever asks must know.
    pub token: Token,
    /// Whose name goes with what is asked of a study.
    pub user: String,
    /// The time.
    pub clock: Clock,
}

/// What stands between the server and whoever can reach its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// The server itself speaks TLS.
    Tls {
        /// Its certificate with the chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// A proxy that speaks TLS.
    Proxy {
        /// The origin that it shows the server under, such as `https://empiric.example.org`.
        origin: String,
    },
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that others reach, in the clear.
    #[error(
        "listen at {0}: others than this machine can reach it, so a certificate or the origin of a proxy must be named"
    )]
    Open(IpAddr),
    /// A proxy's origin that is none.
    #[error("serve behind `{0}`: it is not an origin such as https://empiric.example.org")]
    Origin(String),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    address: SocketAddr,
    public: Option<String>,
    options: Options,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// When it would be open to others in the clear, or cannot be had.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let (tls, public) = match &options.outside {
            None if options.bind.is_loopback() => (None, None),
            None => return Err(Error::Open(options.bind)),
            Some(Outside::Tls { certificate, key }) => {
                (Some(tls::acceptor(certificate, key)?), None)
            }
            Some(Outside::Proxy { origin }) => (None, Some(checked_origin(origin)?)),
        };
        let listener = TcpListener::bind((options.bind, options.port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, tls, address, public, options })
    }

    /// Where it is, token and all.
    #[must_use]
    pub fn url(&self) -> String {
        let own = || {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", self.address)
        };
        let origin = self.public.clone().unwrap_or_else(own);
        format!("{origin}/?token={}", self.options.token.reveal())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `cancel`; then ends what live events still flow.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let guard = Guard::new(
            self.options.token.clone(),
            self.address,
            self.tls.is_some(),
            self.public.as_deref(),
        );
        let app = router(self.options, guard, cancel.clone());
        let ended = cancel.cancelled_owned();
        match self.tls {
            Some(acceptor) => {
                let listener = TlsListener::new(self.listener, acceptor)?;
                axum::serve(listener, app).with_graceful_shutdown(ended).await?;
            }
            None => axum::serve(self.listener, app).with_graceful_shutdown(ended).await?,
        }
        Ok(())
    }
}

/// All routes, each behind the guard.
fn router(options: Options, guard: Guard, cancel: CancellationToken) -> Router {
    let Options { source, user, clock, .. } = options;
    let (hosts, origins) = guard.known();
    let agents = Agents::new(hosts, origins, Arc::clone(&clock), cancel.clone());
    let app = Arc::new(App { shelf: Shelf::new(source), user, clock, agents, cancel });
    let routes = Router::new()
        .merge(api::router().0)
        .route("/mcp", any(agents::only))
        .route("/mcp/{study}", any(agents::named))
        .fallback(page::page)
        .with_state(app);
    routes.layer(middleware::from_fn_with_state(Arc::new(guard), guard::guard))
}

/// `origin` without a slash at its end, if it is one.
fn checked_origin(origin: &str) -> Result<String, Error> {
    let bare = origin.trim_end_matches('/');
    let host = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://"));
    let fits = |host: &str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c))
    };
    if host.is_some_and(fits) { Ok(bare.to_owned()) } else { Err(Error::Origin(origin.to_owned())) }
}
