//! Why trials failed, counted.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use empiric_core::TrialNo;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Words, look_again};
use crate::{held::Held, index::Mark, problem::Problem};

/// Most signatures told; the most frequent.
const SIGNATURES: usize = 100;
/// Examples of each.
const EXAMPLES: usize = 3;

/// Why trials failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failures {
    /// Failed trials.
    failed: usize,
    /// Ended trials, the baseline apart.
    ended: usize,
    /// By who is to blame, where and why; the most frequent first.
    groups: Vec<Group>,
    /// By what they are recognised by; the most frequent first, at most 100.
    signatures: Vec<Recognised>,
    /// How many signatures there are.
    signatures_total: usize,
}

/// Failures of one kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Group {
    /// Who is to blame.
    blame: String,
    /// Where.
    phase: String,
    /// Why.
    cause: String,
    /// Trials.
    trials: usize,
    /// CPU seconds that they cost.
    cpu_s: f64,
    /// The last of them.
    last: String,
}

/// Failures that are recognised as the same.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Recognised {
    /// A hash of it, to filter trials by.
    hash: String,
    /// Cause, last line and place, without what differs from run to run. Data, whatever it says.
    text: String,
    /// Who is to blame.
    blame: String,
    /// Where.
    phase: String,
    /// Trials.
    trials: usize,
    /// The last ones, newest first.
    examples: Vec<String>,
}

/// Why trials failed
#[utoipa::path(get, path = "/api/studies/{study}/failures", tag = "study",
    params(("study" = String, Path, description = "its name")),
    responses((status = 200, body = Failures)))]
pub(crate) async fn failures(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
) -> Result<Response, Problem> {
    look_again(&app, id, "failures".to_owned(), counted).await
}

fn counted(held: &mut Held) -> Result<Failures, Problem> {
    held.recognise()?;
    let name = |name| held.index.names.get(name).unwrap_or_default().to_owned();
    let mut groups: BTreeMap<_, (usize, f64, u32)> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, (usize, Vec<u32>)> = BTreeMap::new();
    let (mut failed, mut ended) = (0, 0);
    for row in held.index.rows.iter().rev() {
        ended += usize::from(!matches!(row.mark, Mark::Open | Mark::Baseline));
        if row.mark != Mark::Failed {
            continue;
        }
        failed += 1;
        let group = groups.entry((row.blame, row.phase, row.cause)).or_insert((0, 0.0, row.no));
        group.0 += 1;
        group.1 += f64::from(row.cpu_s);
        if let Some(signature) = held.signatures.of(row.no) {
            let kind = kinds.entry(&signature.hash).or_default();
            kind.0 += 1;
            if kind.1.len() < EXAMPLES {
                kind.1.push(row.no);
            }
        }
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|((blame, phase, cause), (trials, cpu_s, last))| Group {
            blame: name(blame),
            phase: name(phase),
            cause: name(cause),
            trials,
            cpu_s,
            last: TrialNo(last).to_string(),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.trials));
    let signatures_total = kinds.len();
    let mut signatures: Vec<Recognised> = kinds
        .into_iter()
        .filter_map(|(hash, (trials, examples))| {
            let row = held.index.row(TrialNo(*examples.first()?))?;
            Some(Recognised {
                hash: hash.to_owned(),
                text: held.signatures.of(row.no)?.text.clone(),
                blame: name(row.blame),
                phase: name(row.phase),
                trials,
                examples: examples.iter().map(|no| TrialNo(*no).to_string()).collect(),
            })
        })
        .collect();
    signatures.sort_by(|a, b| b.trials.cmp(&a.trials).then_with(|| a.hash.cmp(&b.hash)));
    signatures.truncate(SIGNATURES);
    Ok(Failures { failed, ended, groups, signatures, signatures_total })
}
