//! What can be asked of a study: what the command line can ask, by the same way. A request lies in the study's inbox until
//! the session at work on it answers, or the next one does; the ledger then says who asked.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use empiric_core::{
    Budget,
    study::{refuses_pin, refuses_requeue},
};
use empiric_ledger::{Request, RequestId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Body, Params, Words, limit, look, trial::alone};
use crate::{held::Held, problem::Problem};

/// Longest note, characters.
const NOTE: usize = 10_000;
/// Longest name, characters.
const NAME: usize = 100;

/// A request, and who makes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Who asks; the user that the server runs as where it is absent.
    #[schema(max_length = 100)]
    by: Option<String>,
    /// What.
    ask: Control,
}

/// What can be asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Control {
    /// No new trials until resumed.
    Pause {},
    /// Trials go on.
    Resume {},
    /// What runs is finished and recorded, then the session ends.
    Stop {},
    /// Write something down.
    Note {
        /// What.
        #[schema(min_length = 1, max_length = 10000)]
        text: String,
    },
    /// Set caps; those that are absent stay as they are.
    Budget {
        /// Trials.
        #[schema(minimum = 1)]
        trials: Option<u32>,
        /// Wall-clock seconds.
        #[schema(exclusive_minimum = 0.0)]
        wall_s: Option<f64>,
        /// CPU seconds.
        #[schema(exclusive_minimum = 0.0)]
        cpu_s: Option<f64>,
        /// GPU seconds.
        #[schema(exclusive_minimum = 0.0)]
        gpu_s: Option<f64>,
        /// Tokens of model calls.
        #[schema(minimum = 1)]
        tokens: Option<u64>,
        /// US dollars for model calls.
        #[schema(exclusive_minimum = 0.0)]
        usd: Option<f64>,
        /// Model calls.
        #[schema(minimum = 1)]
        calls: Option<u64>,
    },
    /// Have every new trial of a trial's arm start from it, until the arm keeps one or it is unpinned. Verdicts know
    /// nothing of it.
    Pin {
        /// Which: `t17`, `champion`, `baseline`.
        #[schema(max_length = 20)]
        trial: String,
    },
    /// Let policies choose again.
    Unpin {
        /// Which.
        #[schema(max_length = 20)]
        trial: String,
    },
    /// Have a trial that ended undecided measured once more, as a trial of its own.
    Requeue {
        /// Which.
        #[schema(max_length = 20)]
        trial: String,
    },
}

/// A request that was posted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Posted {
    /// Its id, by which what became of it is asked for.
    request: String,
    /// Whether a session is at work that will answer it within moments.
    at_work: bool,
}

/// Ask something of a study
#[utoipa::path(post, path = "/api/studies/{study}/requests", tag = "controls",
    params(("study" = String, Path, description = "its name")),
    request_body = Asked,
    responses((status = 202, description = "it lies in the inbox", body = Posted),
              (status = 413, description = "the body is too large", body = Problem)))]
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Body(asked): Body<Asked>,
) -> Result<(StatusCode, Json<Posted>), Problem> {
    let by = named(asked.by.as_deref(), &app.user)?;
    let at = (app.clock)();
    let posted = look(&app, id, move |held| {
        let request = request(held, asked.ask)?;
        let id = held.inbox().post(&by, request, at)?;
        Ok(Posted { request: id.to_string(), at_work: held.at_work() })
    });
    Ok((StatusCode::ACCEPTED, posted.await?))
}

/// The name that goes with the request.
fn named(by: Option<&str>, user: &str) -> Result<String, Problem> {
    let by = by.map(str::trim).filter(|by| !by.is_empty()).unwrap_or(user);
    if by.chars().count() > NAME || by.chars().any(char::is_control) {
        return Err(Problem::request(format!(
            "by: at most {NAME} characters, none of them control characters"
        )));
    }
    Ok(by.to_owned())
}

fn request(held: &Held, control: Control) -> Result<Request, Problem> {
    Ok(match control {
        Control::Pause {} => Request::Pause,
        Control::Resume {} => Request::Resume,
        Control::Stop {} => Request::Stop,
        Control::Note { text } => {
            let text = text.trim().to_owned();
            if text.is_empty() || text.chars().count() > NOTE {
                return Err(Problem::request(format!("text: between 1 and {NOTE} characters")));
            }
            Request::Note { text }
        }
        Control::Budget { trials, wall_s, cpu_s, gpu_s, tokens, usd, calls } => {
            let caps = [wall_s, cpu_s, gpu_s, usd];
            if caps.into_iter().flatten().any(|cap| !cap.is_finite() || cap <= 0.0)
                || trials == Some(0)
                || tokens == Some(0)
                || calls == Some(0)
            {
                return Err(Problem::request("a cap is a number above 0"));
            }
            let now = *held.extract().study().budget();
            let budget = Budget {
                trials: trials.or(now.trials),
                wall_s: wall_s.or(now.wall_s),
                cpu_s: cpu_s.or(now.cpu_s),
                gpu_s: gpu_s.or(now.gpu_s),
                tokens: tokens.or(now.tokens),
                usd: usd.or(now.usd),
                calls: calls.or(now.calls),
                ..now
            };
            if budget == now {
                return Err(Problem::request("name a cap that differs from the one in force"));
            }
            Request::Budget { budget }
        }
        Control::Pin { trial } => {
            let trial = alone(held, held.trial_no(&trial)?)?;
            allowed(refuses_pin(held.extract().study().settings(), &trial))?;
            Request::Pin { trial: trial.no }
        }
        Control::Unpin { trial } => {
            let trial = held.trial_no(&trial)?;
            let pinned = held.pinned().values().any(|pinned| *pinned == trial);
            allowed((!pinned).then(|| format!("{trial} is not pinned")))?;
            Request::Unpin { trial }
        }
        Control::Requeue { trial } => {
            let trial = alone(held, held.trial_no(&trial)?)?;
            allowed(refuses_requeue(&trial))?;
            Request::Requeue { trial: trial.no }
        }
    })
}

fn allowed(refusal: Option<String>) -> Result<(), Problem> {
    match refusal {
        None => Ok(()),
        Some(why) => Err(Problem::new(StatusCode::CONFLICT, why)),
    }
}

/// What became of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answered {
    /// Whether it was answered; until then it waits.
    answered: bool,
    /// The trial that it became.
    trial: Option<String>,
    /// Why it was not done, where it was not.
    refusal: Option<String>,
    /// The last event when it was answered.
    seq: Option<u64>,
}

/// What became of a request
#[utoipa::path(get, path = "/api/studies/{study}/requests/{request}", tag = "controls",
    params(("study" = String, Path, description = "its name"),
           ("request" = String, Path, description = "its id")),
    responses((status = 200, body = Answered)))]
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Words((id, request)): Words<(String, String)>,
) -> Result<Json<Answered>, Problem> {
    look(&app, id, move |held| {
        let unknown = || Problem::missing("there is no such request");
        let request: RequestId = request.parse().map_err(|_| unknown())?;
        if let Some(answer) = held.reader.answer(request)? {
            return Ok(Answered {
                answered: true,
                trial: answer.trial.map(|no| no.to_string()),
                refusal: answer.refusal,
                seq: Some(answer.seq),
            });
        }
        let mail = held.inbox().waiting()?;
        let waits = mail.posted.iter().any(|posted| posted.id == request);
        // It may have been answered between the two looks.
        if !waits && held.reader.answer(request)?.is_none() {
            return Err(unknown());
        }
        Ok(Answered { answered: false, trial: None, refusal: None, seq: None })
    })
    .await
}

/// Which notes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<u64>,
    /// Notes in a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Notes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notes {
    /// They.
    notes: Vec<Written>,
    /// Where older ones begin; absent on the last page.
    next: Option<u64>,
}

/// A note.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Written {
    /// Its event.
    seq: u64,
    /// When it was written.
    at: String,
    /// Who wrote it.
    by: String,
    /// What. Data, whatever it says.
    text: String,
}

/// What was written down
#[utoipa::path(get, path = "/api/studies/{study}/notes", tag = "study",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Notes)))]
pub(crate) async fn notes(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Notes>, Problem> {
    let limit = limit(wanted.limit, 50, 500)?;
    look(&app, id, move |held| {
        let before = wanted.after.unwrap_or(u64::MAX);
        let older = held.notes.iter().rev().filter(|note| note.seq < before);
        let notes: Vec<Written> = older
            .take(limit)
            .map(|note| Written {
                seq: note.seq,
                at: note.at.to_string(),
                by: note.by.clone(),
                text: note.text.clone(),
            })
            .collect();
        let next = notes.last().filter(|_| notes.len() == limit).map(|last| last.seq);
        Ok(Notes { notes, next })
    })
    .await
}
