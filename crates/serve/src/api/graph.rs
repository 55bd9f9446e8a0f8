//! The graph of trials, by neighbourhood: around one trial, with the chain of champions to hold on to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use axum::{extract::State, response::Response};
use empiric_core::TrialNo;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, limit, look_again};
use crate::{
    held::Held,
    index::{Index, Mark, Name, Row},
    problem::Problem,
};

/// Which part of the graph.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The trial in the middle; the champion where none is named.
    around: Option<String>,
    /// Steps from it.
    #[param(minimum = 1, maximum = 8, default = 2)]
    depth: Option<u32>,
    /// Trials at most.
    #[param(minimum = 1, maximum = 600, default = 120)]
    limit: Option<u32>,
    /// Whether kept trials are there wherever they are.
    spine: Option<bool>,
}

/// A part of the graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Graph {
    /// The trial in the middle.
    around: String,
    /// Trials, ascending.
    nodes: Vec<Node>,
    /// Trials in all.
    total: usize,
}

/// A trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Node {
    /// Its number.
    trial: String,
    /// How it stands.
    mark: Mark,
    /// Its operator.
    operator: Option<String>,
    /// Its arm.
    arm: Option<String>,
    /// Its surface.
    surface: Option<String>,
    /// Its score.
    score: Option<f64>,
    /// Its gain.
    gain: Option<f64>,
    /// Its parents among these trials.
    parents: Vec<String>,
    /// Whether it lies on the way from the baseline to the champion.
    chain: bool,
    /// Whether it is the champion.
    champion: bool,
    /// Children that are not among these trials.
    hidden: usize,
    /// Parents that are not among these trials.
    hidden_parents: usize,
}

/// The graph around a trial
#[utoipa::path(get, path = "/api/studies/{study}/graph", tag = "study",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Graph)))]
pub(crate) async fn graph(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let most = limit(wanted.limit, 120, 600)?;
    let depth = limit(wanted.depth, 2, 8)?;
    let asked = format!("graph {wanted:?}");
    look_again(&app, id, asked, move |held| {
        let middle = match wanted.around.as_deref() {
            Some(word) => held.trial_no(word)?,
            None => held.champion(),
        };
        Ok(around(held, middle, depth, most, wanted.spine.unwrap_or(true)))
    })
    .await
}

fn around(held: &Held, middle: TrialNo, depth: usize, most: usize, spine: bool) -> Graph {
    let index = &held.index;
    let champion = held.champion();
    let chain: BTreeSet<u32> = ancestors(index, champion.0, most).collect();
    let mut taken = BTreeSet::from([middle.0]);
    taken.extend(ancestors(index, middle.0, most / 3));
    if spine {
        let keeps: Vec<u32> = index.keeps().rev().take(most / 3).collect();
        taken.extend(chain.iter().rev().take(most / 3).copied());
        taken.extend(keeps);
    }
    let mut waiting = VecDeque::from([(middle.0, 0)]);
    let mut seen = BTreeSet::from([middle.0]);
    while let Some((no, steps)) = waiting.pop_front() {
        if taken.len() >= most || steps == depth {
            continue;
        }
        for next in neighbours(index, no, most) {
            if taken.len() >= most {
                break;
            }
            taken.insert(next);
            if seen.insert(next) {
                waiting.push_back((next, steps + 1));
            }
        }
    }
    let rows = taken.iter().filter_map(|no| index.row(TrialNo(*no)));
    let nodes = rows.map(|row| {
        let name = |name: Name| index.names.get(name).map(str::to_owned);
        let parents = row.parents.iter().filter(|parent| taken.contains(*parent));
        let parents: Vec<String> = parents.map(|no| TrialNo(*no).to_string()).collect();
        let children = index.children(row.no).iter();
        Node {
            trial: row.trial().to_string(),
            mark: row.mark,
            operator: name(row.operator),
            arm: name(row.arm),
            surface: name(row.surface),
            score: row.score(),
            gain: row.gain(),
            chain: chain.contains(&row.no),
            champion: row.trial() == champion && champion != TrialNo::BASELINE,
            hidden: children.filter(|child| !taken.contains(*child)).count(),
            hidden_parents: row.parents.len() - parents.len(),
            parents,
        }
    });
    Graph { around: middle.to_string(), nodes: nodes.collect(), total: index.rows.len() }
}

/// The trial and its first parents, at most so many.
fn ancestors(index: &Index, no: u32, most: usize) -> impl Iterator<Item = u32> {
    let parent = |no: &u32| {
        let parent = index.row(TrialNo(*no))?.parents.first().copied()?;
        // A trial starts from an older one.
        (parent < *no).then_some(parent)
    };
    std::iter::successors(Some(no), parent).take(most.max(1))
}

/// Parents, then children: those that something came of first, then the newest.
fn neighbours(index: &Index, no: u32, most: usize) -> Vec<u32> {
    let interest = |row: &Row| {
        let rank = match row.mark {
            Mark::Baseline | Mark::Keep => 0,
            _ if !index.children(row.no).is_empty() => 1,
            Mark::Open => 2,
            Mark::Inconclusive => 3,
            Mark::Discard => 4,
            Mark::Failed => 5,
        };
        (rank, std::cmp::Reverse(row.no))
    };
    let rows = index.children(no).iter().filter_map(|child| index.row(TrialNo(*child)));
    let mut children: Vec<_> = rows.map(|row| (interest(row), row.no)).collect();
    if children.len() > most {
        children.select_nth_unstable(most);
        children.truncate(most);
    }
    children.sort_unstable();
    let parents = index.row(TrialNo(no)).map(|row| row.parents.to_vec()).unwrap_or_default();
    // Failures last of all, and never more than half a picture of them.
    let shown = fewer_failures(index, children.into_iter().map(|(_, no)| no).collect(), most / 4);
    parents.into_iter().chain(shown).collect()
}

fn fewer_failures(index: &Index, children: Vec<u32>, most: usize) -> Vec<u32> {
    let mut counts: BTreeMap<Mark, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for no in children {
        let Some(row) = index.row(TrialNo(no)) else { continue };
        let count = counts.entry(row.mark).or_default();
        *count += 1;
        if matches!(row.mark, Mark::Failed | Mark::Discard) && *count > most {
            continue;
        }
        kept.push(no);
    }
    kept
}
