//! The score of every trial, thinned to what can be drawn: where marks of one kind crowd, the best, the worst and the
//! first of a stretch of trials stand for all of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use empiric_core::{Goal, Purpose, Split, Trial, TrialNo};
use empiric_decide::stats::{Estimate, Sample};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, finite, limit, look};
use crate::{
    held::Held,
    index::{Mark, Name, Row},
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
) -> Result<Json<Curve>, Problem> {
    let points = limit(wanted.points, 2000, 20_000)?.max(100);
    look(&app, id, move |held| Ok(drawn(held, &wanted, points))).await
}

fn drawn(held: &Held, wanted: &Wanted, points: usize) -> Curve {
    let rows = &held.index.rows;
    let last = u32::try_from(rows.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let from = wanted.from.unwrap_or(0).min(last);
    let to = wanted.to.unwrap_or(last).clamp(from, last);
    let arm = wanted.arm.as_deref().map(|arm| held.index.names.find(arm));
    let part = rows.get(from as usize..=to as usize).unwrap_or_default();
    let own = |row: &&Row| arm.is_none_or(|arm| row.mark == Mark::Baseline || Some(row.arm) == arm);
    let part: Vec<&Row> = part.iter().filter(own).collect();
    let measured =
        |row: &&&Row| row.score().is_some() && !matches!(row.mark, Mark::Failed | Mark::Keep);
    let thinned = part.iter().filter(measured).count() > points;
    // Three points for each kind that a stretch holds, and most stretches hold one or two kinds.
    let wide = if thinned { (to - from + 1).div_ceil((points as u32 / 4).max(1)) } else { 1 };
    let seams = seams(held, from, to);
    let bands = bands(held, last);
    let keeps: Vec<Kept> = held
        .index
        .keeps()
        .filter_map(|no| held.index.row(TrialNo(no)))
        .filter(|row| (from..=to).contains(&row.no) && own(row))
        .filter_map(|row| kept(held, row))
        .collect();
    Curve {
        last,
        trials: part.len(),
        thinned,
        series: series(&part, wide),
        failed: failed(&part, wide.max((to - from + 1).div_ceil(600))),
        range: range(held, &part, &keeps, &bands),
        levels: levels(held, arm.flatten(), last),
        keeps,
        bands,
        seams,
    }
}

fn series(part: &[&Row], wide: u32) -> Vec<Series> {
    let mut all = Vec::new();
    for mark in Mark::ALL {
        if matches!(mark, Mark::Failed | Mark::Keep) {
            continue;
        }
        let mut series = Series { mark, trial: Vec::new(), score: Vec::new(), count: Vec::new() };
        let mut own = part
            .iter()
            .filter(|row| row.mark == mark)
            .filter_map(|row| Some((row.no, row.score()?)))
            .peekable();
        let mut stretch = Vec::new();
        while let Some(point) = own.next() {
            stretch.push(point);
            if own.peek().is_some_and(|next| next.0 / wide == point.0 / wide) {
                continue;
            }
            for (trial, score, count) in thin(&stretch) {
                series.trial.push(trial);
                series.score.push(score);
                series.count.push(count);
            }
            stretch.clear();
        }
        if !series.trial.is_empty() {
            all.push(series);
        }
    }
    all
}

/// The lowest, the highest and the first of a stretch, in the order of trials; the first stands for the rest.
fn thin(stretch: &[(u32, f64)]) -> Vec<(u32, f64, u32)> {
    if stretch.len() <= 3 {
        return stretch.iter().map(|(no, score)| (*no, *score, 1)).collect();
    }
    let by_score = |a: &&(u32, f64), b: &&(u32, f64)| a.1.total_cmp(&b.1);
    let ends = [stretch.iter().min_by(by_score), stretch.iter().max_by(by_score), stretch.first()];
    let mut chosen: Vec<(u32, f64)> = ends.into_iter().flatten().copied().collect();
    chosen.sort_by_key(|(no, _)| *no);
    chosen.dedup_by_key(|(no, _)| *no);
    let rest = u32::try_from(stretch.len() - chosen.len()).unwrap_or(u32::MAX);
    let counted = chosen.into_iter().enumerate();
    counted.map(|(place, (no, score))| (no, score, if place == 0 { 1 + rest } else { 1 })).collect()
}

fn failed(part: &[&Row], wide: u32) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for row in part.iter().filter(|row| row.mark == Mark::Failed) {
        match stretches.last_mut().filter(|last| last.trial / wide == row.no / wide) {
            Some(last) => last.count += 1,
            None => stretches.push(Stretch { trial: row.no, count: 1 }),
        }
    }
    stretches
}

fn kept(held: &Held, row: &Row) -> Option<Kept> {
    let fresh = held.extract().trial(row.trial()).map(|trial| confirmed(held, trial));
    let fresh = fresh.filter(|fresh| fresh.n > 0);
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

/// Values of `trial`, one of the extract, from its own confirmation; on the split that scores are on.
fn confirmed(held: &Held, trial: &Trial) -> Sample {
    let purpose = Purpose::Confirm { of: trial.no };
    let own = trial.replicates.iter().rfind(|replicate| replicate.purpose == purpose);
    own.map_or_else(|| Sample::of(&[]), |last| sample(held, trial, purpose, last.segment))
}

fn sample(held: &Held, trial: &Trial, purpose: Purpose, segment: u32) -> Sample {
    let metric = &held.extract().study().task().metric.name;
    let values = trial.values(metric, Split::Search, purpose, segment);
    Sample::of(&values.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
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
    let Some(baseline) = held.extract().trial(TrialNo::BASELINE) else { return Vec::new() };
    let opened = opened(held);
    let ends = opened.iter().skip(1).map(|(_, first)| *first).chain([last]);
    let bands = opened.iter().zip(ends).filter_map(|((segment, from), to)| {
        let values = sample(held, baseline, Purpose::Search, *segment);
        (values.n > 0).then(|| Band {
            from: if *segment == 0 { 0 } else { *from },
            to,
            mean: values.mean,
            sd: values.sd().unwrap_or(0.0),
        })
    });
    bands.filter(|band| band.mean.is_finite() && band.sd.is_finite()).collect()
}

fn levels(held: &Held, arm: Option<Name>, last: u32) -> Vec<Level> {
    let names = &held.index.names;
    let mut arms: BTreeMap<Name, Vec<&Row>> = BTreeMap::new();
    for row in held.index.keeps().filter_map(|no| held.index.row(TrialNo(no))) {
        arms.entry(row.arm).or_default().push(row);
    }
    let baseline = held.extract().trial(TrialNo::BASELINE);
    let start = baseline.and_then(|trial| finite(sample(held, trial, Purpose::Search, 0).mean));
    let mut levels = Vec::new();
    for (name, keeps) in arms.into_iter().filter(|(name, _)| arm.is_none_or(|arm| arm == *name)) {
        let level = |from, mean, trial: TrialNo| Level {
            arm: names.get(name).unwrap_or_default().to_owned(),
            from,
            mean,
            trial: trial.to_string(),
        };
        levels.push(level(0, start, TrialNo::BASELINE));
        let mut at = 0;
        for row in keeps {
            // Conclusions may cross the order of numbers.
            at = row.no.max(at).min(last);
            levels.push(level(at, kept(held, row).map(|kept| kept.mean), row.trial()));
        }
    }
    levels
}

/// Limits that all keeps and the noise band fit into, and most trials: not those beyond the outer fences (Tukey 1977: three
/// interquartile ranges), nor those farther on the worse side than what was gained.
fn range(held: &Held, part: &[&Row], keeps: &[Kept], bands: &[Band]) -> Option<[f64; 2]> {
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
    let mut scores: Vec<f64> = part.iter().filter_map(|row| row.score()).collect();
    scores.sort_unstable_by(f64::total_cmp);
    let at =
        |share: f64| scores.get((share * scores.len().saturating_sub(1) as f64) as usize).copied();
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

#[cfg(test)]
mod tests {
    use super::thin;

    #[test]
    fn a_crowded_stretch_keeps_its_ends_and_counts_the_rest() {
        let stretch: Vec<(u32, f64)> = (0..10).map(|no| (no, f64::from((no * 7) % 10))).collect();
        let thinned = thin(&stretch);
        let scores: Vec<f64> = thinned.iter().map(|(_, score, _)| *score).collect();
        assert!(scores.contains(&0.0) && scores.contains(&9.0), "{scores:?}");
        assert_eq!(thinned.iter().map(|(_, _, count)| count).sum::<u32>(), 10);
        assert!(thinned.is_sorted_by_key(|(no, ..)| *no));
    }
}
