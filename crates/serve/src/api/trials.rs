//! Lists of trials.

use std::{cmp::Ordering, sync::Arc};

use axum::{extract::State, response::Response};
use empiric_core::TrialNo;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Params, Words, limit, look_again, time};
use crate::{
    held::Held,
    index::{Mark, Name, Row},
    problem::Problem,
};

/// Which trials, in which order. Filters are joined by *and*.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    after: Option<String>,
    /// Trials in a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// How they are ordered.
    #[serde(default)]
    order: Order,
    /// How they stand.
    mark: Option<Mark>,
    /// The cause of their failure.
    cause: Option<String>,
    /// Who is to blame for it.
    blame: Option<String>,
    /// Where they failed.
    phase: Option<String>,
    /// What their failure is recognised by: a signature's hash.
    signature: Option<String>,
    /// How their edit came about.
    operator: Option<String>,
    /// Who made it.
    proposer: Option<String>,
    /// The surface it lies in.
    surface: Option<String>,
    /// The arm that asked for them.
    arm: Option<String>,
    /// A trial that they start from.
    #[param(pattern = "^t?[0-9]{1,9}$")]
    parent: Option<String>,
}

/// An order of trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// From the last one asked for.
    #[default]
    Newest,
    /// From the baseline.
    Oldest,
    /// From the best score; trials without one come not at all.
    Score,
    /// From the largest gain; trials without one come not at all.
    Gain,
}

/// Some of the trials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trials {
    /// They.
    trials: Vec<Line>,
    /// Where the next page begins; absent on the last one. Valid for the same order and filters.
    next: Option<String>,
    /// How many match in all.
    matching: usize,
}

/// A trial in one line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    /// Its number.
    pub(crate) trial: String,
    /// How it stands.
    pub(crate) mark: Mark,
    /// The arm that asked for it.
    pub(crate) arm: Option<String>,
    /// How its edit comes about.
    pub(crate) operator: Option<String>,
    /// The surface it lies in.
    pub(crate) surface: Option<String>,
    /// Who made it.
    pub(crate) proposer: Option<String>,
    /// The trials it starts from.
    pub(crate) parents: Vec<String>,
    /// Why it is worth measuring.
    pub(crate) hypothesis: Option<String>,
    /// Mean over its search seeds.
    pub(crate) score: Option<f64>,
    /// Replicates that the score rests on.
    pub(crate) score_replicates: u32,
    /// Estimated gain over the champion of its moment.
    pub(crate) gain: Option<f64>,
    /// Why it failed.
    pub(crate) cause: Option<String>,
    /// Who is to blame.
    pub(crate) blame: Option<String>,
    /// Where it failed.
    pub(crate) phase: Option<String>,
    /// Finished replicates.
    pub(crate) replicates: u32,
    /// CPU seconds of them.
    pub(crate) cpu_s: f64,
    /// Calls of models that were made for it.
    pub(crate) calls: u32,
    /// Tokens of them.
    pub(crate) tokens: u64,
    /// US dollars that they were charged.
    pub(crate) usd: f64,
    /// When it was asked for.
    pub(crate) asked_at: String,
    /// When it ended.
    pub(crate) ended_at: Option<String>,
}

/// Trials, paged and filtered
#[utoipa::path(get, path = "/api/studies/{study}/trials", tag = "trials",
    params(("study" = String, Path, description = "its name"), Wanted),
    responses((status = 200, body = Trials)))]
pub(crate) async fn trials(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, Problem> {
    let asked = format!("trials {wanted:?}");
    look_again(&app, id, asked, move |held| page(held, &wanted)).await
}

fn page(held: &mut Held, wanted: &Wanted) -> Result<Trials, Problem> {
    let limit = limit(wanted.limit, 50, 500)?;
    let after = wanted.after.as_deref().map(cursor).transpose()?;
    if wanted.signature.is_some() {
        held.recognise()?;
    }
    let filter = Filter::of(held, wanted)?;
    let goal = held.extract().study().task().metric.goal;
    // The key by which a page is ordered, smallest first; the number breaks ties.
    let key = |row: &Row| -> Option<(f64, u32)> {
        match wanted.order {
            Order::Newest => Some((-f64::from(row.no), row.no)),
            Order::Oldest => Some((f64::from(row.no), row.no)),
            Order::Score => row.score().map(|score| (-goal.gain(score, 0.0), row.no)),
            Order::Gain => row.gain().map(|gain| (-gain, row.no)),
        }
    };
    let mut found: Vec<(f64, u32)> = match &filter {
        None => Vec::new(),
        Some(filter) => {
            held.index.rows.iter().filter(|row| filter.takes(held, row)).filter_map(key).collect()
        }
    };
    let matching = found.len();
    if let Some(after) = after {
        let after = held.index.rows.get(after as usize).and_then(key);
        let after = after.ok_or_else(|| Problem::request("after: no page gave this cursor"))?;
        found.retain(|place| by_key(place, &after) == Ordering::Greater);
    }
    let more = found.len() > limit;
    if more {
        found.select_nth_unstable_by(limit, by_key);
        found.truncate(limit);
    }
    found.sort_unstable_by(by_key);
    let next = found.last().filter(|_| more).map(|(_, no)| format!("t{no}"));
    let numbers: Vec<u32> = found.into_iter().map(|(_, no)| no).collect();
    Ok(Trials { trials: lines(held, &numbers)?, next, matching })
}

fn by_key(a: &(f64, u32), b: &(f64, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

fn cursor(text: &str) -> Result<u32, Problem> {
    let no: Result<TrialNo, _> = text.parse();
    no.map(|no| no.0).map_err(|_| Problem::request("after: no page gave this cursor"))
}

/// Lines of these trials, in this order.
pub(crate) fn lines(held: &Held, numbers: &[u32]) -> Result<Vec<Line>, Problem> {
    let trials: Vec<TrialNo> = numbers.iter().copied().map(TrialNo).collect();
    let mut texts = held.reader.hypotheses(&trials)?;
    let rows = trials.iter().filter_map(|no| held.index.row(*no));
    Ok(rows.map(|row| line(held, row, texts.remove(&row.trial()))).collect())
}

fn line(held: &Held, row: &Row, hypothesis: Option<String>) -> Line {
    let name = |name: Name| held.index.names.get(name).map(str::to_owned);
    Line {
        trial: row.trial().to_string(),
        mark: row.mark,
        arm: name(row.arm),
        operator: name(row.operator),
        surface: name(row.surface),
        proposer: name(row.proposer),
        parents: row.parents.iter().map(|no| TrialNo(*no).to_string()).collect(),
        hypothesis,
        score: row.score(),
        score_replicates: row.score_n,
        gain: row.gain(),
        cause: name(row.cause),
        blame: name(row.blame),
        phase: name(row.phase),
        replicates: row.replicates,
        cpu_s: f64::from(row.cpu_s),
        calls: row.calls,
        tokens: row.tokens,
        usd: row.usd,
        asked_at: time(row.asked_at),
        ended_at: (row.ended_at != 0).then(|| time(row.ended_at)),
    }
}

/// A name that a row bears.
type Column = fn(&Row) -> Name;

/// What a row must bear.
struct Filter<'a> {
    mark: Option<Mark>,
    parent: Option<u32>,
    signature: Option<&'a str>,
    /// Pairs of a column and its name.
    names: Vec<(Column, Name)>,
}

impl<'a> Filter<'a> {
    /// None where a name is asked for that no trial bears.
    fn of(held: &Held, wanted: &'a Wanted) -> Result<Option<Self>, Problem> {
        let columns: [(&Option<String>, Column); 7] = [
            (&wanted.cause, |row| row.cause),
            (&wanted.blame, |row| row.blame),
            (&wanted.phase, |row| row.phase),
            (&wanted.operator, |row| row.operator),
            (&wanted.proposer, |row| row.proposer),
            (&wanted.surface, |row| row.surface),
            (&wanted.arm, |row| row.arm),
        ];
        let mut names = Vec::new();
        for (asked, column) in columns {
            match asked.as_deref().map(|text| held.index.names.find(text)) {
                None => {}
                Some(Some(name)) => names.push((column, name)),
                Some(None) => return Ok(None),
            }
        }
        let parent = wanted.parent.as_deref().map(|word| held.trial_no(word)).transpose()?;
        let signature = wanted.signature.as_deref();
        Ok(Some(Self { mark: wanted.mark, parent: parent.map(|no| no.0), signature, names }))
    }

    fn takes(&self, held: &Held, row: &Row) -> bool {
        self.mark.is_none_or(|mark| row.mark == mark)
            && self.parent.is_none_or(|parent| row.parents.contains(&parent))
            && self.names.iter().all(|(column, name)| column(row) == *name)
            && self.signature.is_none_or(|hash| {
                held.signatures.of(row.no).is_some_and(|signature| signature.hash == hash)
            })
    }
}
