//! Two trials beside one another.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use empiric_core::{Split, Trial, TrialNo};
use empiric_decide::stats::{Contrast, Sample};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Params, Words, finite, look,
    replicates::purpose,
    trial::{self, Difference, Ended},
    trials::{self, Line},
};
use crate::{held::Held, problem::Problem};

/// Most pairs told.
const PAIRS: usize = 1000;

/// Which two.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pair {
    /// The one that is compared with.
    a: String,
    /// The one that is compared.
    b: String,
}

/// Two trials beside one another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Comparison {
    /// The one that is compared with.
    a: Side,
    /// The one that is compared.
    b: Side,
    /// Values that both have under the same seed, for the same purpose, in the same segment; the last 1,000.
    pairs: Vec<Paired>,
    /// How many such pairs there are.
    pairs_total: usize,
    /// Mean gain of b over a over those pairs, positive when b is better. A description of what was measured, not a
    /// verdict: the pairs were chosen by the search.
    gain: Option<f64>,
    /// Its 95 % interval, from the spread of the differences.
    #[schema(min_items = 2, max_items = 2)]
    gain_interval: Option<[f64; 2]>,
    /// What changed from a to b; absent where one of them has no tree.
    diff: Option<Difference>,
}

/// One of the two.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Side {
    /// In one line.
    line: Line,
    /// How it ended.
    outcome: Option<Ended>,
    /// Mean of everything measured, by metric and split.
    means: Vec<MeanOf>,
}

/// A mean of one metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeanOf {
    /// The metric.
    metric: String,
    /// The split.
    split: String,
    /// The mean.
    mean: f64,
    /// Replicates.
    replicates: usize,
}

/// Two values under one seed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Paired {
    /// What they were measured for.
    purpose: String,
    /// The seed.
    seed: u32,
    /// The first trial's.
    a: f64,
    /// The second trial's.
    b: f64,
}

/// Two trials beside one another
#[utoipa::path(get, path = "/api/studies/{study}/compare", tag = "trials",
    params(("study" = String, Path, description = "its name"), Pair),
    responses((status = 200, body = Comparison)))]
pub(crate) async fn compare(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(pair): Params<Pair>,
) -> Result<Json<Comparison>, Problem> {
    look(&app, id, move |held| {
        let (a, b) = (held.trial_no(&pair.a)?, held.trial_no(&pair.b)?);
        let (one, other) = (trial::alone(held, a)?, trial::alone(held, b)?);
        let metric = held.extract().study().task().metric.clone();
        let values = |no: TrialNo| -> Result<BTreeMap<_, f64>, Problem> {
            let values = held.reader.values(no, &metric.name, Split::Select)?.into_iter();
            let keyed = values.map(|value| {
                let (purpose, of) = purpose(value.purpose);
                ((purpose, of, value.segment, value.seed), value.value)
            });
            Ok(keyed.collect())
        };
        let before = values(a)?;
        let mut pairs: Vec<Paired> = values(b)?
            .into_iter()
            .filter_map(|(key, b)| {
                let a = *before.get(&key)?;
                Some(Paired { purpose: key.0.to_owned(), seed: key.3.0, a, b })
            })
            .collect();
        let gains: Vec<f64> = pairs.iter().map(|pair| metric.goal.gain(pair.b, pair.a)).collect();
        let interval = Contrast::paired(&gains, 0.0).and_then(|contrast| contrast.interval(0.95));
        let (a_side, b_side) = (side(held, &one)?, side(held, &other)?);
        let both = one.edit.is_some() && other.edit.is_some();
        Ok(Comparison {
            a: a_side,
            b: b_side,
            gain: (!gains.is_empty()).then(|| Sample::of(&gains).mean).and_then(finite),
            gain_interval: interval,
            pairs_total: pairs.len(),
            pairs: pairs.split_off(pairs.len().saturating_sub(PAIRS)),
            diff: both.then(|| trial::difference(held, a, b)).transpose()?,
        })
    })
    .await
}

fn side(held: &Held, trial: &Trial) -> Result<Side, Problem> {
    let means = held.reader.means(trial.no)?.into_iter().filter_map(|mean| {
        Some(MeanOf {
            metric: mean.metric,
            split: mean.split,
            mean: finite(mean.mean)?,
            replicates: mean.replicates,
        })
    });
    let line = trials::lines(held, &[trial.no.0])?.into_iter().next();
    Ok(Side {
        line: line.ok_or_else(|| Problem::missing(format!("there is no trial {}", trial.no)))?,
        outcome: trial.outcome.as_ref().map(trial::ended),
        means: means.collect(),
    })
}
