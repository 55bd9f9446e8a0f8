//! Which studies there are.

use std::sync::Arc;

use axum::{Json, extract::State};
use empiric_core::study;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    study::{Metric, StudyState},
};
use crate::{held::Held, problem::Problem};

/// The studies that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Studies {
    /// By name.
    studies: Vec<Entry>,
}

/// One study.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Its directory's name, by which it is asked for.
    id: String,
    /// The task's name.
    task: Option<String>,
    /// What is improved.
    metric: Option<Metric>,
    /// Where it stands.
    state: Option<StudyState>,
    /// Trials asked for, the baseline apart.
    trials: Option<usize>,
    /// Kept ones.
    keeps: Option<usize>,
    /// Gain of the champion over the baseline, per cent of the baseline.
    gain_percent: Option<f64>,
    /// When something happened last.
    last_at: Option<String>,
    /// Why it cannot be read, where it cannot.
    problem: Option<String>,
}

/// Which studies there are
#[utoipa::path(get, path = "/api/studies", tag = "studies", responses((status = 200, body = Studies)))]
pub(crate) async fn studies(State(app): State<Arc<App>>) -> Result<Json<Studies>, Problem> {
    let listed = tokio::task::spawn_blocking(move || {
        let names = app.shelf.studies().into_keys();
        let studies = names.map(|id| match app.shelf.look(&id, |held| Ok(entry(&id, held))) {
            Ok(entry) => entry,
            Err(problem) => Entry {
                id,
                task: None,
                metric: None,
                state: None,
                trials: None,
                keeps: None,
                gain_percent: None,
                last_at: None,
                problem: Some(problem.error),
            },
        });
        Studies { studies: studies.collect() }
    });
    listed.await.map(Json).map_err(|error| Problem::internal(error.to_string()))
}

fn entry(id: &str, held: &Held) -> Entry {
    let study = held.extract().study();
    let summary = empiric_decide::summary(study);
    let baseline = summary.baseline.map(|baseline| baseline.mean);
    let gain = summary
        .champion
        .zip(baseline)
        .map(|(champion, baseline)| 100.0 * champion.gain / baseline.abs());
    Entry {
        id: id.to_owned(),
        task: Some(study.task().name.clone()),
        metric: Some(Metric::of(&study.task().metric)),
        state: Some(held.state().into()),
        trials: Some(held.index.rows.len().saturating_sub(1)),
        keeps: Some(held.index.keeps().count()),
        gain_percent: gain.and_then(super::finite),
        last_at: Some(held.last_at.to_string()),
        problem: None,
    }
}

impl From<study::State> for StudyState {
    fn from(state: study::State) -> Self {
        match state {
            study::State::Running => Self::Running,
            study::State::Paused => Self::Paused,
            study::State::Stopped => Self::Stopped,
            study::State::Finished => Self::Finished,
        }
    }
}
