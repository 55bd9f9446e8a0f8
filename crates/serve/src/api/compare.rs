//! Two trials beside one another.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use empiric_core::{Split, Trial};
use empiric_decide::stats::{Contrast, Sample};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Params, Words, finite, look,
    trial::{self, Difference, Ended},
    trials::{self, Line},
};
use crate::{held::Held, problem::Problem};

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
    /// Values that both have under the same seed, for the same purpose, in the same segment.
    pairs: Vec<Paired>,
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
        let (one, other) = (trial::recorded(held, a)?, trial::recorded(held, b)?);
        let metric = held.extract().study().task().metric.clone();
        let values = |trial: &Trial| -> BTreeMap<_, f64> {
            let valued = trial.replicates.iter().filter_map(|replicate| {
                let (purpose, of) = trial::purpose(replicate.purpose);
                let key = (purpose, of, replicate.segment, replicate.seed);
                Some((key, replicate.value(&metric.name, Split::Select)?))
            });
            valued.collect()
        };
        let before = values(&one);
        let pairs: Vec<Paired> = values(&other)
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
            pairs,
            diff: both.then(|| trial::difference(held, a, b)).transpose()?,
        })
    })
    .await
}

fn side(held: &Held, trial: &Trial) -> Result<Side, Problem> {
    let mut values: BTreeMap<(&str, Split), Vec<f64>> = BTreeMap::new();
    let results = trial.replicates.iter().filter_map(|replicate| replicate.result.as_ref());
    for measurement in results.flat_map(|result| &result.measurements) {
        let key = (measurement.metric.as_str(), measurement.split);
        values.entry(key).or_default().push(measurement.value);
    }
    let means = values.into_iter().filter_map(|((metric, split), values)| {
        let split = match split {
            Split::Search => "search",
            Split::Select => "select",
            Split::Report => "report",
        };
        Some(MeanOf {
            metric: metric.to_owned(),
            split: split.to_owned(),
            mean: finite(Sample::of(&values).mean)?,
            replicates: values.len(),
        })
    });
    let line = trials::lines(held, &[trial.no.0])?.into_iter().next();
    Ok(Side {
        line: line.ok_or_else(|| Problem::missing(format!("there is no trial {}", trial.no)))?,
        outcome: trial.outcome.as_ref().map(trial::ended),
        means: means.collect(),
    })
}
