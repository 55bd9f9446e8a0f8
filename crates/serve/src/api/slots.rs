//! Who was in which slot, and when.

use std::sync::Arc;

use axum::{Json, extract::State};
use empiric_ledger::LeaseState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, limit, look, replicates::purpose};
use crate::{index::Mark, problem::Problem};

/// Which stretches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<u64>,
    /// Stretches in a page.
    #[param(minimum = 1, maximum = 1000, default = 300)]
    limit: Option<u32>,
}

/// Stretches of time, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Slots {
    /// The slots of the last session.
    slots: Vec<String>,
    /// Stretches in which a replicate held a slot.
    stretches: Vec<Stretch>,
    /// Where older ones begin; absent on the last page.
    next: Option<u64>,
}

/// A stretch of time in which a replicate held a slot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Occupied)]
pub(crate) struct Stretch {
    /// The slot.
    slot: String,
    /// The trial.
    trial: String,
    /// How the trial stands.
    mark: Option<Mark>,
    /// What for: `search`, `confirm`, `audit` or `report`.
    purpose: String,
    /// `leased`, `measured` or `fenced`.
    state: String,
    /// Why what it measured is not usable.
    cause: Option<String>,
    /// When it began.
    from: String,
    /// When it ended.
    to: Option<String>,
}

/// Who was in which slot
#[utoipa::path(get, path = "/api/studies/{study}/slots", tag = "study",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Slots)))]
pub(crate) async fn slots(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Slots>, Problem> {
    let limit = limit(wanted.limit, 300, 1000)?;
    look(&app, id, move |held| {
        let found = held.reader.occupied(wanted.after.unwrap_or(u64::MAX), limit as u32)?;
        let next = found.last().filter(|_| found.len() == limit).map(|last| last.seq);
        let stretches = found.into_iter().map(|occupied| Stretch {
            slot: occupied.slot,
            trial: occupied.trial.to_string(),
            mark: held.index.row(occupied.trial).map(|row| row.mark),
            purpose: purpose(occupied.purpose).0.to_owned(),
            state: match occupied.state {
                LeaseState::Leased => "leased".to_owned(),
                LeaseState::Measured => "measured".to_owned(),
                LeaseState::Fenced => "fenced".to_owned(),
            },
            cause: occupied.cause,
            from: occupied.from.to_string(),
            to: occupied.to.map(|to| to.to_string()),
        });
        let slots = held.sessions.last().map(|session| session.slots.clone()).unwrap_or_default();
        Ok(Slots { slots, stretches: stretches.collect(), next })
    })
    .await
}
