//! What has worked: trials by operator, surface, proposer and arm, the largest gains, the nearest misses.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App, Words, finite, look_again,
    trials::{self, Line},
};
use crate::{
    held::Held,
    index::{Column, Mark},
    problem::Problem,
};

/// Trials of each list.
const LIST: usize = 12;

/// What has worked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Insights {
    /// By operator.
    operators: Vec<Family>,
    /// By surface.
    surfaces: Vec<Family>,
    /// By proposer.
    proposers: Vec<Family>,
    /// By arm.
    arms: Vec<Family>,
    /// The largest confirmed gains.
    gains: Vec<Line>,
    /// Undecided trials with the largest estimates.
    undecided: Vec<Line>,
    /// What was asked for last.
    latest: Vec<Line>,
}

/// Trials that have something in common.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Family {
    /// What; absent where they have none.
    name: Option<String>,
    /// Trials.
    trials: usize,
    /// Kept.
    keeps: usize,
    /// Not measured to the end.
    failed: usize,
    /// The largest gain of a kept one.
    best: Option<f64>,
    /// The sum of the gains of kept ones.
    gained: f64,
    /// CPU seconds.
    cpu_s: f64,
    /// US dollars for model calls.
    usd: f64,
}

/// What has worked
#[utoipa::path(get, path = "/api/studies/{study}/insights", tag = "study",
    params(("study" = String, Path, description = "its name")),
    responses((status = 200, body = Insights)))]
pub(crate) async fn insights(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
) -> Result<Response, Problem> {
    look_again(&app, id, "insights".to_owned(), |held| {
        let latest: Vec<u32> =
            held.index.rows.iter().skip(1).rev().take(LIST).map(|row| row.no).collect();
        Ok(Insights {
            operators: families(held, Column::Operator),
            surfaces: families(held, Column::Surface),
            proposers: families(held, Column::Proposer),
            arms: families(held, Column::Arm),
            gains: largest(held, Mark::Keep)?,
            undecided: largest(held, Mark::Inconclusive)?,
            latest: trials::lines(held, &latest)?,
        })
    })
    .await
}

fn families(held: &Held, column: Column) -> Vec<Family> {
    let family = |(name, sum): (_, &crate::index::Sum)| Family {
        name: held.index.names.get(name).map(str::to_owned),
        trials: sum.trials,
        keeps: sum.mark(Mark::Keep),
        failed: sum.mark(Mark::Failed),
        best: sum.best.and_then(finite),
        gained: finite(sum.gained).unwrap_or(0.0),
        cpu_s: sum.cpu_s,
        usd: sum.usd,
    };
    let mut families: Vec<Family> = held.index.by(column).map(family).collect();
    families.sort_by(|a, b| b.keeps.cmp(&a.keeps).then(b.trials.cmp(&a.trials)));
    families.truncate(50);
    families
}

fn largest(held: &Held, mark: Mark) -> Result<Vec<Line>, Problem> {
    let rows = held.index.rows.iter().filter(|row| row.mark == mark);
    let mut gains: Vec<(f64, u32)> = rows.filter_map(|row| Some((row.gain()?, row.no))).collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    gains.truncate(LIST);
    trials::lines(held, &gains.into_iter().map(|(_, no)| no).collect::<Vec<_>>())
}
