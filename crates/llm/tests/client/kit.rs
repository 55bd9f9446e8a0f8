//! A client of a fake provider, with a clock that only counts.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use empiric_core::{BlobId, TrialNo};
use empiric_llm::{
    Call, Catalogue, Client, Clock, Exchange, Limits, Options, Origin, Patience, Purse, Request,
    Secret, Tape, TapeError, Timeouts,
};

pub(crate) const KEY: &str = "sk-test-9f8e7d6c";

/// Providers of the fake server: each protocol, streamed and not.
pub(crate) const WAYS: [&str; 6] =
    ["chat", "chat-whole", "responses", "responses-whole", "messages", "messages-whole"];

/// A clock on which waiting takes no time.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    pub(crate) now: Mutex<Duration>,
    pub(crate) slept: Mutex<Vec<Duration>>,
}

impl Clock for Ticks {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        *self.now.lock().unwrap() += time;
        self.slept.lock().unwrap().push(time);
        Box::pin(tokio::task::yield_now())
    }
}

/// A tape in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) Mutex<Vec<Exchange>>);

impl Tape for Memory {
    fn recorded(&self, origin: &Origin, request: &BlobId) -> Result<Option<Vec<u8>>, TapeError> {
        let all = self.0.lock().unwrap();
        let found = all.iter().rev().find(|one| one.origin == *origin && one.blob == *request);
        Ok(found.map(|one| one.answer.clone()))
    }

    fn record(&self, exchange: Exchange) -> Result<(), TapeError> {
        self.0.lock().unwrap().push(exchange);
        Ok(())
    }
}

/// A client and what it was made with.
pub(crate) struct Kit {
    pub(crate) client: Client,
    pub(crate) clock: Arc<Ticks>,
    pub(crate) purse: Purse,
    pub(crate) tape: Arc<Memory>,
}

pub(crate) fn catalogue(url: &str) -> Catalogue {
    let provider = |way: &str| {
        let (wire, stream) = way.strip_suffix("-whole").map_or((way, true), |wire| (wire, false));
        format!(
            "[provider.{way}]\nwire = \"{wire}\"\nurl = \"{url}\"\nstream = {stream}\nkey_env = \"KEY\"\n"
        )
    };
    let price = |way: &str| {
        format!("\"{way}/fake\" = {{ input = 1, cached = 0.1, written = 1.25, output = 2 }}\n")
    };
    let (providers, prices) = (WAYS.map(provider).concat(), WAYS.map(price).concat());
    let text = format!("{providers}[price]\n{prices}");
    Catalogue::built_in().unwrap().with(&text, "test").unwrap()
}

pub(crate) fn patience() -> Patience {
    Patience {
        rate_limited: 2,
        overloaded: 2,
        network: 2,
        stalled: 1,
        malformed: 1,
        ..Patience::default()
    }
}

pub(crate) fn kit_with(url: &str, limits: Limits, timeouts: Timeouts) -> Kit {
    let catalogue = catalogue(url);
    let keys: BTreeMap<String, Secret> =
        catalogue.keys(|name| (name == "KEY").then(|| KEY.to_owned())).unwrap();
    let (clock, tape) = (Arc::new(Ticks::default()), Arc::new(Memory::default()));
    let purse = Purse::new(limits);
    let options = Options {
        catalogue,
        keys,
        purse: purse.clone(),
        tape: Some(Arc::clone(&tape) as Arc<dyn Tape>),
        patience: patience(),
        timeouts,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        seed: 7,
    };
    Kit { client: Client::new(options).unwrap(), clock, purse, tape }
}

pub(crate) fn kit(url: &str) -> Kit {
    kit_with(url, Limits::default(), Timeouts::default())
}

pub(crate) fn origin(trial: u32, nth: u32) -> Origin {
    Origin { arm: "specialists".into(), role: "data".into(), trial: TrialNo(trial), nth }
}

pub(crate) fn request(way: &str, text: &str) -> Request {
    Request::new(format!("{way}/fake").parse().unwrap(), "You improve recipes.", text, 500)
}

pub(crate) fn call(way: &str, text: &str) -> Call {
    Call { origin: origin(1, 0), request: request(way, text) }
}
