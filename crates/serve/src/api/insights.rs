//! What has worked: trials by operator, surface, proposer and arm, the largest gains, the nearest misses.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App, Words, finite, look,
    trials::{self, Line},
};
use crate::{
    held::Held,
    index::{Mark, Name, Row},
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
}

/// What has worked
#[utoipa::path(get, path = "/api/studies/{study}/insights", tag = "study",
    params(("study" = String, Path, description = "its name")),
    responses((status = 200, body = Insights)))]
pub(crate) async fn insights(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
) -> Result<Json<Insights>, Problem> {
    look(&app, id, |held| {
        let latest: Vec<u32> =
            held.index.rows.iter().skip(1).rev().take(LIST).map(|row| row.no).collect();
        Ok(Insights {
            operators: families(held, |row| row.operator),
            surfaces: families(held, |row| row.surface),
            proposers: families(held, |row| row.proposer),
            arms: families(held, |row| row.arm),
            gains: largest(held, Mark::Keep)?,
            undecided: largest(held, Mark::Inconclusive)?,
            latest: trials::lines(held, &latest)?,
        })
    })
    .await
}

fn families(held: &Held, column: fn(&Row) -> Name) -> Vec<Family> {
    let mut families: BTreeMap<Name, Family> = BTreeMap::new();
    for row in held.index.rows.iter().filter(|row| row.mark != Mark::Baseline) {
        let family = families.entry(column(row)).or_insert_with(|| Family {
            name: held.index.names.get(column(row)).map(str::to_owned),
            trials: 0,
            keeps: 0,
            failed: 0,
            best: None,
            gained: 0.0,
            cpu_s: 0.0,
        });
        family.trials += 1;
        family.failed += usize::from(row.mark == Mark::Failed);
        family.cpu_s += f64::from(row.cpu_s);
        if row.mark == Mark::Keep {
            family.keeps += 1;
            family.gained += row.gain().unwrap_or(0.0);
            family.best = [family.best, row.gain()].into_iter().flatten().reduce(f64::max);
        }
    }
    let mut families: Vec<Family> = families.into_values().collect();
    families.iter_mut().for_each(|family| family.gained = finite(family.gained).unwrap_or(0.0));
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
