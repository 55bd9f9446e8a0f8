//! The metering proxy: other people's agents talk to their models through it, and it holds the key, pays from the purse,
//! and records what is said.
//!
//! It answers at a listener that whoever runs the agent hands over: a port on loopback, or the door of a sandbox. The
//! agent is given a token that is good for this proxy alone; the key is put in on the way out and never comes back. What
//! is no call to a model that can be metered is turned down.

mod asked;
mod passed;
mod relay;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use empiric_core::{Spend, Usage};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::{Builder, Runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Catalogue, Exchange, Origin, Purse, Refused, Secret, Tape, TapeError, Timeouts, http};

pub use asked::Dialect;
pub use passed::Passed;

/// Everything that a proxy needs.
pub struct ProxyOptions {
    /// Providers and prices.
    pub catalogue: Catalogue,
    /// Their keys.
    pub keys: BTreeMap<String, Secret>,
    /// Which provider answers which dialect; what is not named is turned down.
    pub routes: BTreeMap<Dialect, String>,
    /// What pays.
    pub purse: Purse,
    /// Where exchanges are kept.
    pub tape: Option<Arc<dyn Tape>>,
    /// How long is waited for what.
    pub timeouts: Timeouts,
    /// The most tokens of output that a request may ask for; put into requests that name none.
    pub most_output: u32,
}

/// Serves agents. One serves all proposers of a session.
pub struct Proxy {
    shared: Arc<Shared>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    options: ProxyOptions,
    http: reqwest::Client,
}

/// What came through one [`Visit`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Requests that were sent on.
    pub calls: u32,
    /// Tokens billed, as far as providers said.
    pub usage: Usage,
    /// What the purse was charged.
    pub spend: Spend,
    /// The first request that the purse had no room for.
    pub refused: Option<Refused>,
    /// The first thing in the way of every call, whatever it asks: no key, no price, no such model.
    pub setup: Option<String>,
    /// What else went wrong, in few words, the last few of them.
    pub trouble: Vec<String>,
}

/// One agent's stay at the proxy; over when it is dropped.
pub struct Visit {
    inner: Arc<Guest>,
    cancel: CancellationToken,
    tracker: TaskTracker,
    runtime: tokio::runtime::Handle,
}

/// Who it is, and what is known of its traffic.
struct Guest {
    shared: Arc<Shared>,
    origin: Origin,
    token: Secret,
    /// The number of the next call to be recorded.
    next: Mutex<u32>,
    tally: Mutex<Tally>,
}

impl Proxy {
    /// A proxy with threads of its own.
    ///
    /// # Errors
    /// When this machine gives no threads, or no certificates to check servers by.
    pub fn new(options: ProxyOptions) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("proxy")
            .enable_all()
            .build()?;
        let http = http::client(options.timeouts).map_err(std::io::Error::other)?;
        Ok(Self { shared: Arc::new(Shared { options, http }), runtime: Some(runtime) })
    }

    /// Serves whoever connects to `listener` and shows `token`, in the name of `origin`, whose calls are numbered from
    /// its `nth` on as they end: they may overlap, and one that never arrived has no number.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn admit(
        &self,
        listener: TcpListener,
        origin: Origin,
        token: Secret,
    ) -> std::io::Result<Visit> {
        let runtime = self.runtime.as_ref().map(|runtime| runtime.handle().clone());
        let runtime = runtime.ok_or_else(|| std::io::Error::other("the proxy has ended"))?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let shared = Arc::clone(&self.shared);
        let next = Mutex::new(origin.nth);
        let guest = Arc::new(Guest { shared, origin, token, next, tally: Mutex::default() });
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, Arc::clone(&guest), cancel.clone(), tracker.clone());
        tracker.spawn_on(accepting, &runtime);
        Ok(Visit { inner: guest, cancel, tracker, runtime })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its last owner may be an async task, which must not wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Visit {
    /// Ends it: nobody is let in any more, what is under way is broken off and settled; says what came through. Blocks
    /// the calling thread, which must not be one that runs async tasks.
    #[must_use]
    pub fn end(self) -> Tally {
        self.cancel.cancel();
        self.tracker.close();
        self.runtime.block_on(self.tracker.wait());
        self.inner.tally().clone()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Guest {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records under the next number, one at a time. Blocks.
    fn record(&self, tape: &dyn Tape, mut exchange: Exchange) -> Result<(), TapeError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.origin.nth = *next;
        tape.record(exchange)?;
        *next += 1;
        Ok(())
    }

    fn setup(&self, what: String) {
        self.tally().setup.get_or_insert(what);
    }

    fn trouble(&self, what: impl Into<String>) {
        const KEPT: usize = 8;
        let mut tally = self.tally();
        tally.trouble.push(what.into());
        let more = tally.trouble.len().saturating_sub(KEPT);
        tally.trouble.drain(..more);
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    guest: Arc<Guest>,
    cancel: CancellationToken,
    tracker: TaskTracker,
) {
    loop {
        let connection = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => connection,
                // Out of descriptors: whoever holds them will give them back.
                Err(_) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (guest, cancel, relays) = (Arc::clone(&guest), cancel.clone(), tracker.clone());
        tracker.spawn(async move {
            let service = service_fn(|request| {
                let (guest, cancel, relays) = (Arc::clone(&guest), cancel.clone(), relays.clone());
                async move { Ok::<_, Infallible>(relay::answer(guest, request, cancel, relays).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(connection), service);
            tokio::select! {
                () = cancel.cancelled() => {}
                // A connection that breaks is its client's business.
                _ = served => {}
            }
        });
    }
}
