//! Studies for coding agents: the Model Context Protocol, behind the same guard as everything else. What a client hands in
//! lies in the study's inbox, as what the page asks does, and the session at work on the study takes it, or the next one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use empiric_ledger::Clock;
use empiric_mcp::{Desk, Http, Layout, Service};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{App, Words},
    problem::Problem,
};

/// See the module.
pub(crate) struct Agents {
    hosts: Vec<String>,
    origins: Vec<String>,
    clock: Clock,
    cancel: CancellationToken,
    /// By directory: a client's session outlives its requests.
    mounted: Mutex<BTreeMap<PathBuf, Arc<Http>>>,
}

impl Agents {
    pub(crate) fn new(
        hosts: Vec<String>,
        origins: Vec<String>,
        clock: Clock,
        cancel: CancellationToken,
    ) -> Self {
        Self { hosts, origins, clock, cancel, mounted: Mutex::default() }
    }

    fn of(&self, dir: &Path) -> Arc<Http> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        let made = mounted.entry(dir.to_owned()).or_insert_with(|| {
            let desk = Desk::new(Layout::new(dir), Arc::clone(&self.clock));
            let service = Service::new(desk, None, None);
            let cancel = self.cancel.child_token();
            Arc::new(empiric_mcp::http(service, &self.hosts, &self.origins, cancel))
        });
        Arc::clone(made)
    }
}

/// The study of this name.
pub(crate) async fn named(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    request: Request,
) -> Response {
    match app.shelf.studies().remove(&id) {
        Some(dir) => app.agents.of(&dir).handle(request).await.map(Body::new),
        None => Problem::missing("there is no such study here").into_response(),
    }
}

/// The one study that is served.
pub(crate) async fn only(State(app): State<Arc<App>>, request: Request) -> Response {
    let mut studies = app.shelf.studies();
    match (studies.pop_first(), studies.is_empty()) {
        (Some((_, dir)), true) => app.agents.of(&dir).handle(request).await.map(Body::new),
        _ => {
            let mut problem = Problem::missing("not one study is served here but none, or several");
            problem.hint = Some("name it: /mcp/NAME; /api/studies lists them".to_owned());
            problem.into_response()
        }
    }
}
