//! Models that take no time to think: specialists of the trivial task whose model server answers at once, so that what
//! is measured is the way to a model and back.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use empiric_agents::{Specialists, digest::Channels, prompts::Prompts, roster};
use empiric_engine::Recorder;
use empiric_llm::{Catalogue, Client, Limits, ModelId, Options, Purse, SystemClock};
use empiric_testkit::model::{Asked, ModelServer, Say};
use serde_json::json;

use crate::task;

/// The arm.
pub(crate) const ARM: &str = "generalist";

/// A proposer, its record, and the server that answers it; it serves until this is dropped.
pub(crate) struct Instant {
    pub(crate) proposer: Specialists,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) server: ModelServer,
}

/// Everything in one reply: a knob moved, and handed in.
fn mind() -> impl Fn(&Asked) -> Say {
    let next = AtomicU32::new(task::START);
    move |_| {
        let knobs = task::knobs(next.fetch_add(1, Ordering::Relaxed) + 1);
        Say::tools([
            ("write_file", json!({"path": "knobs.toml", "text": knobs})),
            (
                "submit",
                json!({"hypothesis": "one knob further", "direction": "decrease", "reach": "parameter"}),
            ),
        ])
    }
}

impl Instant {
    /// Starts it for the study in `dir`.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        let server = ModelServer::on(0, false, mind())?;
        let list =
            format!("[provider.bench]\nwire = \"chat\"\nurl = \"{}\"\nfree = true\n", server.url());
        let catalogue = Catalogue::built_in()?.with(&list, "the bench")?;
        let recorder = Recorder::new(dir, Purse::new(Limits::default()));
        let client = Client::new(Options {
            keys: Default::default(),
            purse: recorder.purse().clone(),
            tape: Some(Arc::clone(&recorder) as _),
            patience: catalogue.patience(),
            timeouts: catalogue.timeouts(),
            catalogue,
            clock: Arc::new(SystemClock::default()),
            seed: 0,
        })?;
        let models: [ModelId; 1] = ["bench/instant".parse()?];
        let (prompts, channels) = (Prompts::default(), Channels::all());
        let roles = roster::generalist();
        let proposer = Specialists::new(ARM, roles, &models, prompts, channels, Arc::new(client));
        Ok(Self { proposer, recorder, server })
    }
}
