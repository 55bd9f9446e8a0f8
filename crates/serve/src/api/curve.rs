//! The score of every trial, thinned to what can be drawn: where marks of one kind crowd, the best, the worst and the
//! first of a stretch of trials stand for all of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use empiric_core::{Goal, Purpose, TrialNo};
use empiric_decide::stats::Estimate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, finite, limit, look_again};
use crate::{
    held::Held,
    index::{Cell, Mark, Name, Row},
    problem::Problem,
};

/// Which part of it, and how fine.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The first trial's number.
    from: Option<u32>,
    /// The last trial's number.
    to: Option<u32>,
    /// Points at most; some more where kinds of trials mix.
    #[param(minimum = 100, maximum = 20000, default = 2000)]
    points: Option<u32>,
    /// Only trials of this arm.
    arm: Option<String>,
}

/// Scores by trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Curve {
    /// The last trial's number.
    last: u32,
    /// Trials in the part that was asked for.
    trials: usize,
    /// Whether points stand for others.
    thinned: bool,
    /// Points by how the trials stand; kept trials are not among them.
    series: Vec<Series>,
    /// Failed trials, by stretches.
    failed: Vec<Stretch>,
    /// Kept trials of the part, in the order of their conclusions.
    keeps: Vec<Kept>,
    /// The best confirmed value from a trial on, by arm.
    levels: Vec<Level>,
    /// The baseline's noise, by segment.
    bands: Vec<Band>,
    /// Values of one segment are not compared with those of another.
    seams: Vec<Seam>,
    /// Between which values most of it lies.
    #[schema(min_items = 2, max_items = 2)]
    range: Option<[f64; 2]>,
}

/// Points of one kind, column by column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    /// How these trials stand.
    mark: Mark,
    /// Trials' numbers, ascending.
    trial: Vec<u32>,
    /// Their scores.
    score: Vec<f64>,
    /// Trials that each point stands for.
    count: Vec<u32>,
}

/// Failures in a stretch of trials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stretch {
    /// The first of them.
    trial: u32,
    /// How many.
    count: u32,
}

/// A kept trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Kept {
    /// Its number.
    trial: u32,
    /// Its arm.
    arm: String,
    /// The score it was noticed for.
    score: Option<f64>,
    /// Its mean on fresh seeds.
    mean: f64,
    /// That mean's 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    interval: Option<[f64; 2]>,
    /// Replicates that it rests on.
    replicates: usize,
    /// Its gain over the champion of its moment.
    gain: Option<f64>,
}

/// The best confirmed value from a trial on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Level {
    /// The arm.
    arm: String,
    /// From this trial's number on.
    from: u32,
    /// The value; absent where it is not known.
    mean: Option<f64>,
    /// Whose it is.
    trial: String,
}

/// The baseline's noise in a segment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Band {
    /// The first trial's number.
    from: u32,
    /// The last trial's number.
    to: u32,
    /// The baseline's mean.
    mean: f64,
    /// Standard deviation of one replicate.
    sd: f64,
}

/// Where a segment begins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seam {
    /// The first trial that was asked for in it.
    trial: u32,
    /// Its number.
    segment: u32,
    /// Why it began.
    reason: String,
}

/// The score of every trial
#[utoipa::path(get, path = "/api/studies/{study}/curve", tag = "study",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Curve)))]
pub(crate) async fn curve(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let points = limit(wanted.points, 2000, 20_000)?.max(100);
    let asked = format!("curve {wanted:?}");
    look_again(&app, id, asked, move |held| Ok(drawn(held, &wanted, points))).await
}

fn drawn(held: &mut Held, wanted: &Wanted, points: usize) -> Curve {
    let last = u32::try_from(held.index.rows.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let from = wanted.from.unwrap_or(0).min(last);
    let to = wanted.to.unwrap_or(last).clamp(from, last);
    // An arm that no trial is of has no name here, and so no points.
    let arm = wanted.arm.as_deref().map(|arm| held.index.names.find(arm));
    let own =
        |mark: Mark, of: Name| arm.is_none_or(|arm| mark == Mark::Baseline || Some(of) == arm);
    let trials = to - from + 1;
    let dense = trials as usize > points;
    // Three points for each kind that a stretch holds, and most stretches hold one or two kinds.
    let wide = if dense { trials.div_ceil((points as u32 / 4).max(1)) } else { 1 };
    let mut stretches = held.index.stretches(from, to, wide);
    for cells in &mut stretches {
        cells.retain(|cell| own(cell.mark, cell.arm));
    }
    let keeps: Vec<u32> = held.index.keeps().collect();
    let keeps: Vec<Row> = keeps
        .into_iter()
        .filter_map(|no| held.index.row(TrialNo(no)).cloned())
        .filter(|row| (from..=to).contains(&row.no) && own(row.mark, row.arm))
        .collect();
    let keeps: Vec<Kept> = keeps.iter().filter_map(|row| kept(held, row)).collect();
    let series = series(&stretches);
    let bands = bands(held, last);
    Curve {
        last,
        trials: stretches.iter().flatten().map(|cell| cell.trials as usize).sum(),
        thinned: series.iter().any(|series| series.count.iter().any(|count| *count > 1)),
        failed: failed(&stretches, wide.max(trials.div_ceil(600))),
        range: range(held, &series, &keeps, &bands),
        series,
        levels: levels(held, arm.flatten(), last),
        keeps,
        bands,
        seams: seams(held, from, to),
    }
}

fn series(stretches: &[Vec<Cell>]) -> Vec<Series> {
    let mut all = Vec::new();
    for mark in Mark::ALL {
        if matches!(mark, Mark::Failed | Mark::Keep) {
            continue;
        }
        let mut series = Series { mark, trial: Vec::new(), score: Vec::new(), count: Vec::new() };
        for cells in stretches {
            // Arms of one kind cross within a stretch.
            let own = cells.iter().filter(|cell| cell.mark == mark);
            let mut points: Vec<_> = own.flat_map(Cell::points).collect();
            points.sort_unstable_by_key(|(trial, ..)| *trial);
            for (trial, score, count) in points {
                series.trial.push(trial);
                series.score.push(score);
                series.count.push(count);
            }
        }
        if !series.trial.is_empty() {
            all.push(series);
        }
    }
    all
}

fn failed(stretches: &[Vec<Cell>], wide: u32) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let cells = stretches.iter().flatten();
    for cell in cells.filter(|cell| cell.mark == Mark::Failed) {
        match found.last_mut().filter(|last| last.trial / wide == cell.at / wide) {
            Some(last) => {
                last.trial = last.trial.min(cell.at);
                last.count += cell.trials;
            }
            None => found.push(Stretch { trial: cell.at, count: cell.trials }),
        }
    }
    found
}

fn kept(held: &mut Held, row: &Row) -> Option<Kept> {
    let fresh = Some(held.confirmed(row.trial())).filter(|fresh| fresh.n > 0);
    let mean = fresh.map(|fresh| fresh.mean).or(row.score())?;
    Some(Kept {
        trial: row.no,
        arm: held.index.names.get(row.arm).unwrap_or_default().to_owned(),
        score: row.score(),
        mean: finite(mean)?,
        interval: fresh.and_then(|fresh| Estimate::of(&fresh, 0.95).interval),
        replicates: fresh.map_or(0, |fresh| fresh.n),
        gain: row.gain(),
    })
}

/// The first trial that was asked for in each segment.
fn opened(held: &Held) -> Vec<(u32, u32)> {
    let rows = &held.index.rows;
    let first = |seam: &crate::held::Seam| {
        let at = seam.at.as_microsecond();
        let place = rows.partition_point(|row| row.asked_at < at);
        (seam.segment, u32::try_from(place).unwrap_or(u32::MAX))
    };
    held.seams.iter().map(first).collect()
}

fn seams(held: &Held, from: u32, to: u32) -> Vec<Seam> {
    let opened = opened(held).into_iter().zip(&held.seams).skip(1);
    let seams =
        opened.map(|((segment, trial), seam)| Seam { trial, segment, reason: seam.reason.clone() });
    seams.filter(|seam| (from..=to).contains(&seam.trial)).collect()
}

fn bands(held: &Held, last: u32) -> Vec<Band> {
    let opened = opened(held);
    let ends = opened.iter().skip(1).map(|(_, first)| *first).chain([last]);
    let bands = opened.iter().zip(ends).filter_map(|((segment, from), to)| {
        let values = held.sample(TrialNo::BASELINE, Purpose::Search, *segment);
        (values.n > 0).then(|| Band {
            from: if *segment == 0 { 0 } else { *from },
            to,
            mean: values.mean,
            sd: values.sd().unwrap_or(0.0),
        })
    });
    bands.filter(|band| band.mean.is_finite() && band.sd.is_finite()).collect()
}

fn levels(held: &mut Held, arm: Option<Name>, last: u32) -> Vec<Level> {
    let mut arms: BTreeMap<Name, Vec<Row>> = BTreeMap::new();
    for row in held.index.keeps().filter_map(|no| held.index.row(TrialNo(no))) {
        arms.entry(row.arm).or_default().push(row.clone());
    }
    let start = finite(held.sample(TrialNo::BASELINE, Purpose::Search, 0).mean);
    let mut levels = Vec::new();
    for (name, keeps) in arms.into_iter().filter(|(name, _)| arm.is_none_or(|arm| arm == *name)) {
        let arm = held.index.names.get(name).unwrap_or_default().to_owned();
        let level = |from, mean, trial: TrialNo| Level {
            arm: arm.clone(),
            from,
            mean,
            trial: trial.to_string(),
        };
        levels.push(level(0, start, TrialNo::BASELINE));
        let mut at = 0;
        for row in keeps {
            // Conclusions may cross the order of numbers.
            at = row.no.max(at).min(last);
            levels.push(level(at, kept(held, &row).map(|kept| kept.mean), row.trial()));
        }
    }
    levels
}

/// Limits that all keeps and the noise band fit into, and most points: not those beyond the outer fences (Tukey 1977: three
/// interquartile ranges), nor those farther on the worse side than what was gained.
fn range(held: &Held, series: &[Series], keeps: &[Kept], bands: &[Band]) -> Option<[f64; 2]> {
    let mut core: Vec<f64> = keeps
        .iter()
        .flat_map(|kept| {
            let ends = kept.interval.unwrap_or([kept.mean; 2]);
            [Some(kept.mean), kept.score, Some(ends[0]), Some(ends[1])]
        })
        .flatten()
        .collect();
    core.extend(
        bands.iter().flat_map(|band| [band.mean - 2.5 * band.sd, band.mean + 2.5 * band.sd]),
    );
    let kept = keeps.iter().filter_map(|kept| Some((kept.score?, 1)));
    let drawn =
        series.iter().flat_map(|one| one.score.iter().copied().zip(one.count.iter().copied()));
    let mut counted: Vec<(f64, u32)> = drawn.chain(kept).collect();
    counted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = counted.iter().map(|(_, count)| f64::from(*count)).sum();
    let at = |share: f64| {
        let mut passed = 0.0;
        let mut scores = counted.iter();
        let found = scores.find(|(_, count)| {
            passed += f64::from(*count);
            passed > share * (all - 1.0)
        });
        found.map(|(score, _)| *score)
    };
    let (Some(q1), Some(q3)) = (at(0.25), at(0.75)) else { return span(&core) };
    let fence = 3.0 * (q3 - q1);
    let mut near = [q1 - fence, q3 + fence];
    if let (Some([low, high]), false) = (span(&core), keeps.is_empty()) {
        let reach = 1.2 * (high - low);
        match held.extract().study().task().metric.goal {
            Goal::Minimize => near[1] = near[1].min(high + reach),
            Goal::Maximize => near[0] = near[0].max(low - reach),
        }
    }
    let scores: Vec<f64> = counted.iter().map(|(score, _)| *score).collect();
    core.extend(scores.iter().filter(|score| (near[0]..=near[1]).contains(score)));
    let [low, high] = span(&core).or_else(|| span(&scores))?;
    let margin = 0.04 * (high - low);
    Some([low - margin, high + margin])
}

fn span(values: &[f64]) -> Option<[f64; 2]> {
    let low = values.iter().copied().filter(|value| value.is_finite()).reduce(f64::min)?;
    let high = values.iter().copied().filter(|value| value.is_finite()).reduce(f64::max)?;
    Some([low, high])
}
