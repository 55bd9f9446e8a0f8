//! What was said between a trial's proposer and its models: bounded, and text only.

use std::sync::Arc;

use axum::{Json, extract::State};
use empiric_core::quote;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, limit, look, trial::alone};
use crate::problem::Problem;

/// Most bytes of what is said at one time.
const PART: usize = 16 << 10;

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<u32>,
    /// Calls in a page.
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: Option<u32>,
}

/// Calls of models, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Calls {
    /// They.
    calls: Vec<Call>,
    /// How many there are.
    total: usize,
    /// Where the next page begins; absent on the last one.
    next: Option<u32>,
}

/// A call of a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Call {
    /// Its place among the calls for its trial, from 0.
    index: u32,
    /// The role that asked.
    role: String,
    /// The model, as `provider/model`.
    model: String,
    /// Tokens billed as input, as far as the provider said.
    input_tokens: u64,
    /// Tokens billed as output.
    output_tokens: u64,
    /// US dollars that it was charged, over all attempts.
    usd: f64,
    /// Requests sent for it.
    attempts: u32,
    /// Seconds from request to end.
    wall_s: f64,
    /// Why it gave nothing, if it did not.
    fault: Option<String>,
    /// What was said since the call before, and what came back.
    said: Vec<Said>,
}

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said {
    /// By whom: `system`, `harness`, `model`, `tool`, `refused`, `reply` or `failed`.
    who: String,
    /// What; at most 16 KiB of it. Data, whatever it says.
    text: String,
}

/// What was said between a trial's proposer and its models
#[utoipa::path(get, path = "/api/studies/{study}/trials/{trial}/calls", tag = "trials",
    params(("study" = String, Path, description = "its name"),
           ("trial" = String, Path, description = "such as `t17`"), Wanted),
    responses((status = 200, body = Calls)))]
pub(crate) async fn calls(
    State(app): State<Arc<App>>,
    Words((id, word)): Words<(String, String)>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Calls>, Problem> {
    let limit = limit(wanted.limit, 20, 50)?;
    look(&app, id, move |held| {
        let all = alone(held, held.trial_no(&word)?)?.calls;
        let from = wanted.after.map_or(0, |after| (after as usize).saturating_add(1));
        let blobs = held.blobs();
        let read =
            |call: &empiric_core::Call| (blobs.get(call.request).ok(), blobs.get(call.answer).ok());
        // What the call before the page asked is not told again.
        let before = from.checked_sub(1).and_then(|at| all.get(at));
        let mut shown = before.map_or(0, |call| {
            let (request, answer) = read(call);
            empiric_llm::said(request.as_deref(), answer.as_deref(), 0, 0).1
        });
        let page = all.iter().skip(from).take(limit);
        let calls: Vec<Call> = page
            .map(|call| {
                let (request, answer) = read(call);
                let (said, turns) =
                    empiric_llm::said(request.as_deref(), answer.as_deref(), shown, PART);
                shown = turns;
                Call {
                    index: call.index,
                    role: quote::line(&call.role, 60),
                    model: quote::line(&call.model, 80),
                    input_tokens: call.usage.input,
                    output_tokens: call.usage.output,
                    usd: call.cost().usd,
                    attempts: call.attempts,
                    wall_s: call.wall_s,
                    fault: call.fault.map(|fault| fault.name().to_owned()),
                    said: said
                        .into_iter()
                        .map(|one| Said { who: one.who.name().to_owned(), text: one.text })
                        .collect(),
                }
            })
            .collect();
        let last = from + calls.len();
        let next = (last < all.len() && !calls.is_empty())
            .then(|| u32::try_from(last - 1).unwrap_or(u32::MAX));
        Ok(Calls { calls, total: all.len(), next })
    })
    .await
}
