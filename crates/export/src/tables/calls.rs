//! Calls of models, and what was said in them.

use empiric_core::{BlobId, Call, Study, TrialNo};

use super::number;
use crate::table::{Make, Table, table};

/// Most bytes of one turn.
const TURN: usize = 64 << 10;

struct CallOf<'a> {
    study: &'a str,
    arm: &'a str,
    trial: TrialNo,
    call: &'a Call,
}

fn all<'a>(study: &'a Study, id: &'a str) -> Vec<CallOf<'a>> {
    let trials = study.trials().iter();
    let each = trials.flat_map(|trial| {
        let of = move |call| CallOf { study: id, arm: &trial.arm, trial: trial.no, call };
        trial.calls.iter().map(of)
    });
    each.collect()
}

fn count(tokens: u64) -> Option<i64> {
    i64::try_from(tokens).ok()
}

pub(super) fn calls(study: &Study) -> Table {
    let id = study.id().to_string();
    table(
        "calls",
        &all(study, &id),
        &[
            ("study", Make::Text(|row| Some(row.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.trial)))),
            ("arm", Make::Text(|row| Some(row.arm.to_owned()))),
            ("call", Make::Whole(|row| Some(i64::from(row.call.index)))),
            ("role", Make::Text(|row| Some(row.call.role.clone()))),
            ("model", Make::Text(|row| Some(row.call.model.clone()))),
            ("input_tokens", Make::Whole(|row| count(row.call.usage.input))),
            ("cached_tokens", Make::Whole(|row| count(row.call.usage.cached))),
            ("written_tokens", Make::Whole(|row| count(row.call.usage.written))),
            ("output_tokens", Make::Whole(|row| count(row.call.usage.output))),
            ("usd", Make::Real(|row| Some(row.call.cost().usd))),
            ("attempts", Make::Whole(|row| Some(i64::from(row.call.attempts)))),
            ("wall_s", Make::Real(|row| Some(row.call.wall_s))),
            ("fault", Make::Text(|row| Some(row.call.fault?.name().to_owned()))),
            ("request", Make::Text(|row| Some(row.call.request.to_string()))),
            ("answer", Make::Text(|row| Some(row.call.answer.to_string()))),
        ],
    )
}

struct Turn<'a> {
    of: &'a CallOf<'a>,
    place: i64,
    said: empiric_llm::Said,
}

/// The table `turns`: what was said in the calls of a study, each turn once, without control characters and no longer than
/// 64 KiB. `read` gives the bytes of a blob.
#[must_use]
pub fn turns(study: &Study, read: &dyn Fn(BlobId) -> Option<Vec<u8>>) -> Table {
    let id = study.id().to_string();
    let calls = all(study, &id);
    let mut rows = Vec::new();
    let (mut trial, mut shown) = (None, 0);
    for of in &calls {
        if trial != Some(of.trial) {
            (trial, shown) = (Some(of.trial), 0);
        }
        let (request, answer) = (read(of.call.request), read(of.call.answer));
        let (said, turns) = empiric_llm::said(request.as_deref(), answer.as_deref(), shown, TURN);
        shown = turns;
        rows.extend((0..).zip(said).map(|(place, said)| Turn { of, place, said }));
    }
    table(
        "turns",
        &rows,
        &[
            ("study", Make::Text(|row| Some(row.of.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.of.trial)))),
            ("call", Make::Whole(|row| Some(i64::from(row.of.call.index)))),
            ("place", Make::Whole(|row| Some(row.place))),
            ("role", Make::Text(|row| Some(row.of.call.role.clone()))),
            ("model", Make::Text(|row| Some(row.of.call.model.clone()))),
            ("who", Make::Text(|row| Some(row.said.who.name().to_owned()))),
            ("text", Make::Text(|row| Some(row.said.text.clone()))),
        ],
    )
}
