//! A model server on loopback that thinks nothing of its own: it answers by rules, over Chat Completions, Responses and
//! Messages, streamed or not, and fails in every documented way when told to.
//!
//! It reads the protocols by themselves and shares no code with the clients it tests. Ends with its [`ModelServer`].

mod http;
mod script;
mod speak;

use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

pub use script::{Asked, Fault, Protocol, Rule, Said, Say, Script, ToolUse, When};

/// Decides what is answered.
pub trait Mind: Send + Sync {
    /// The answer to a request.
    fn answer(&self, asked: &Asked) -> Say;
}

impl<F: Fn(&Asked) -> Say + Send + Sync> Mind for F {
    fn answer(&self, asked: &Asked) -> Say {
        self(asked)
    }
}

/// A running server.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    mind: Box<dyn Mind>,
    /// Every request, in the order of arrival.
    asked: Mutex<Vec<Asked>>,
    /// Whether requests are kept; a long study's would fill the memory.
    keeps: bool,
    count: AtomicU64,
    ending: AtomicBool,
    /// Connections under way, so that the end of the server is theirs.
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl ModelServer {
    /// Starts one on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(mind: impl Mind + 'static) -> io::Result<Self> {
        Self::on(0, true, mind)
    }

    /// Starts one on `port`, or a free one for 0; `keeps` says whether [`Self::asked`] is filled.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn on(port: u16, keeps: bool, mind: impl Mind + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mind: Box::new(mind),
            asked: Mutex::default(),
            keeps,
            count: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("model-server".to_owned())
            .spawn(move || accept(&listener, &served))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for all protocols.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked().clone()
    }

    /// How many requests there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        // Whoever accepts has to be woken to see it.
        TcpStream::connect(self.address).ok();
        for connection in self.shared.open().values() {
            connection.shutdown(Shutdown::Both).ok();
        }
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (n, connection) in (0..).zip(listener.incoming()) {
        if shared.ending.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let Ok(twin) = connection.try_clone() else { continue };
        shared.open().insert(n, twin);
        let served = Arc::clone(shared);
        std::thread::spawn(move || {
            // A connection that breaks is its client's business.
            converse(connection, &served).ok();
            served.open().remove(&n);
        });
    }
}

/// One connection, request by request.
fn converse(mut connection: TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut held = Vec::new();
    while let Some(request) = http::read(&mut connection, &mut held)? {
        let last = request
            .headers
            .get("connection")
            .is_some_and(|word| word.eq_ignore_ascii_case("close"));
        let Some(asked) = Asked::read(&request.path, request.headers, &request.body) else {
            http::answer(
                &mut connection,
                404,
                &[],
                b"{\"error\":{\"message\":\"no such route\"}}",
            )?;
            continue;
        };
        shared.count.fetch_add(1, Ordering::SeqCst);
        if shared.keeps {
            shared.asked().push(asked.clone());
        }
        if !speak::answer(&mut connection, &asked, shared.mind.answer(&asked))? || last {
            return Ok(());
        }
    }
    Ok(())
}
