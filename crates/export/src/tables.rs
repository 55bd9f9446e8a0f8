//! What the tables of a study say.

use empiric_core::{
    Failure, Measurement, Outcome, Purpose, Replicate, Study, Trial, TrialNo,
    trial::{Direction, UnitRecord},
};

use crate::table::{Make, Table, table};

mod calls;

pub use calls::turns;

/// The tables of `study`: `trials`, `replicates`, `units`, `measurements`, and `calls` of models. Rows are in the order of the ledger; a row's
/// `study` and `trial` lead from one table to another.
#[must_use]
pub fn tables(study: &Study) -> Vec<Table> {
    vec![trials(study), replicates(study), units(study), measurements(study), calls::calls(study)]
}

struct TrialOf<'a> {
    study: &'a str,
    metric: &'a str,
    trial: &'a Trial,
}

impl TrialOf<'_> {
    fn failure(&self) -> Option<&Failure> {
        match &self.trial.outcome {
            Some(Outcome::Failed(failure)) => Some(failure),
            Some(Outcome::Valid { .. }) | None => None,
        }
    }

    fn gain(&self) -> (Option<f64>, Option<[f64; 2]>) {
        match &self.trial.outcome {
            Some(Outcome::Valid { gain, gain_interval, .. }) => (*gain, *gain_interval),
            Some(Outcome::Failed(_)) | None => (None, None),
        }
    }

    fn cost(&self, of: impl Fn(&empiric_core::Cost) -> f64) -> f64 {
        self.trial
            .replicates
            .iter()
            .filter_map(|found| found.result.as_ref())
            .map(|result| of(&result.cost))
            .sum()
    }

    fn lines(&self, of: impl Fn(&empiric_core::trial::FileChange) -> u32) -> Option<i64> {
        let edit = self.trial.edit.as_ref()?;
        Some(edit.files.iter().map(|file| i64::from(of(file))).sum())
    }
}

fn number(no: TrialNo) -> i64 {
    i64::from(no.0)
}

fn trials(study: &Study) -> Table {
    let (id, metric) = (study.id().to_string(), study.task().metric.name.clone());
    let rows: Vec<TrialOf<'_>> =
        study.trials().iter().map(|trial| TrialOf { study: &id, metric: &metric, trial }).collect();
    table(
        "trials",
        &rows,
        &[
            ("study", Make::Text(|row| Some(row.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.trial.no)))),
            ("arm", Make::Text(|row| Some(row.trial.arm.clone()))),
            (
                "operator",
                Make::Text(|row| {
                    let edit = row.trial.edit.as_ref();
                    Some(edit.map_or(row.trial.ask.operator, |edit| edit.operator).to_string())
                }),
            ),
            ("proposer", Make::Text(|row| Some(row.trial.edit.as_ref()?.proposer.clone()))),
            ("surface", Make::Text(|row| row.trial.edit.as_ref()?.surface.clone())),
            (
                "parents",
                Make::Text(|row| {
                    let parents = row.trial.parents().iter().map(ToString::to_string);
                    Some(parents.collect::<Vec<_>>().join(" "))
                }),
            ),
            (
                "hypothesis",
                Make::Text(|row| Some(row.trial.edit.as_ref()?.hypothesis.text.clone())),
            ),
            (
                "predicted_metric",
                Make::Text(|row| {
                    Some(row.trial.edit.as_ref()?.hypothesis.prediction.as_ref()?.metric.clone())
                }),
            ),
            (
                "predicted_change",
                Make::Real(|row| {
                    let prediction = row.trial.edit.as_ref()?.hypothesis.prediction.as_ref()?;
                    Some(match prediction.direction {
                        Direction::Increase => prediction.size?,
                        Direction::Decrease => -prediction.size?,
                        Direction::Unchanged => 0.0,
                    })
                }),
            ),
            (
                "outcome",
                Make::Text(|row| {
                    Some(match row.trial.outcome.as_ref()? {
                        Outcome::Valid { verdict, .. } => verdict.to_string(),
                        Outcome::Failed(_) => "failed".to_owned(),
                    })
                }),
            ),
            ("blame", Make::Text(|row| Some(row.failure()?.blame.to_string()))),
            ("phase", Make::Text(|row| Some(row.failure()?.phase.to_string()))),
            ("cause", Make::Text(|row| Some(row.failure()?.cause.name().to_owned()))),
            ("margin", Make::Real(|row| row.failure()?.margin)),
            ("signature", Make::Text(|row| Some(row.failure()?.signature().hash.to_string()))),
            (
                "reason",
                Make::Text(|row| {
                    Some(match row.trial.outcome.as_ref()? {
                        Outcome::Valid { reason, .. } => reason.clone(),
                        Outcome::Failed(failure) => failure.excerpt.clone(),
                    })
                }),
            ),
            ("search_score", Make::Real(|row| row.trial.search_score(row.metric))),
            ("gain", Make::Real(|row| row.gain().0)),
            ("gain_low", Make::Real(|row| row.gain().1.map(|ends| ends[0]))),
            ("gain_high", Make::Real(|row| row.gain().1.map(|ends| ends[1]))),
            ("lines_added", Make::Whole(|row| row.lines(|file| file.added))),
            ("lines_removed", Make::Whole(|row| row.lines(|file| file.removed))),
            ("replicates", Make::Whole(|row| i64::try_from(row.trial.replicates.len()).ok())),
            ("cpu_s", Make::Real(|row| Some(row.cost(|cost| cost.cpu_s)))),
            ("gpu_s", Make::Real(|row| Some(row.cost(|cost| cost.gpu_s)))),
            ("commit", Make::Text(|row| Some(row.trial.edit.as_ref()?.commit.to_string()))),
            ("tree", Make::Text(|row| Some(row.trial.edit.as_ref()?.tree.to_string()))),
            ("asked_at", Make::Time(|row| Some(row.trial.asked_at))),
            ("ended_at", Make::Time(|row| row.trial.ended_at)),
        ],
    )
}

struct ReplicateOf<'a> {
    study: &'a str,
    replicate: &'a Replicate,
}

impl ReplicateOf<'_> {
    fn result(&self) -> Option<&empiric_core::trial::Measured> {
        self.replicate.result.as_ref()
    }
}

fn all<'a>(study: &'a Study, id: &'a str) -> Vec<ReplicateOf<'a>> {
    let replicates = study.trials().iter().flat_map(|trial| &trial.replicates);
    replicates.map(|replicate| ReplicateOf { study: id, replicate }).collect()
}

fn replicates(study: &Study) -> Table {
    let id = study.id().to_string();
    table(
        "replicates",
        &all(study, &id),
        &[
            ("study", Make::Text(|row| Some(row.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.replicate.trial)))),
            ("replicate", Make::Text(|row| Some(row.replicate.id.to_string()))),
            ("purpose", Make::Text(|row| Some(purpose(row.replicate.purpose).to_owned()))),
            (
                "challenger",
                Make::Whole(|row| match row.replicate.purpose {
                    Purpose::Confirm { of } | Purpose::Audit { of } => Some(number(of)),
                    Purpose::Search | Purpose::Report => None,
                }),
            ),
            ("index", Make::Whole(|row| Some(i64::from(row.replicate.index)))),
            ("seed", Make::Whole(|row| Some(i64::from(row.replicate.seed.0)))),
            ("slot", Make::Text(|row| Some(row.replicate.slot.clone()))),
            ("segment", Make::Whole(|row| Some(i64::from(row.replicate.segment)))),
            ("usable", Make::Truth(|row| Some(row.result()?.failure.is_none()))),
            (
                "cause",
                Make::Text(|row| Some(row.result()?.failure.as_ref()?.cause.name().to_owned())),
            ),
            ("wall_s", Make::Real(|row| Some(row.result()?.cost.wall_s))),
            ("cpu_s", Make::Real(|row| Some(row.result()?.cost.cpu_s))),
            ("gpu_s", Make::Real(|row| Some(row.result()?.cost.gpu_s))),
        ],
    )
}

struct Within<'a, T> {
    of: ReplicateOf<'a>,
    part: &'a T,
}

fn within<'a, T: 'a, I: Iterator<Item = &'a T>>(
    study: &'a Study,
    id: &'a str,
    parts: impl Fn(&'a empiric_core::trial::Measured) -> I,
) -> Vec<Within<'a, T>> {
    let each = |of: ReplicateOf<'a>| {
        let replicate = of.replicate;
        replicate
            .result
            .iter()
            .flat_map(&parts)
            .map(move |part| Within { of: ReplicateOf { study: id, replicate }, part })
            .collect::<Vec<_>>()
    };
    all(study, id).into_iter().flat_map(each).collect()
}

fn units(study: &Study) -> Table {
    let id = study.id().to_string();
    let rows: Vec<Within<'_, UnitRecord>> = within(study, &id, |result| result.units.iter());
    table(
        "units",
        &rows,
        &[
            ("study", Make::Text(|row| Some(row.of.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.of.replicate.trial)))),
            ("replicate", Make::Text(|row| Some(row.of.replicate.id.to_string()))),
            ("unit", Make::Text(|row| Some(row.part.name.clone()))),
            ("ending", Make::Text(|row| Some(row.part.ending.clone()))),
            ("sandbox", Make::Text(|row| Some(row.part.sandbox.clone()))),
            ("wall_s", Make::Real(|row| Some(row.part.wall_s))),
            ("cpu_s", Make::Real(|row| Some(row.part.cpu_s))),
            (
                "peak_memory_bytes",
                Make::Whole(|row| i64::try_from(row.part.peak_memory_bytes).ok()),
            ),
            ("log", Make::Text(|row| row.part.log.clone())),
        ],
    )
}

fn measurements(study: &Study) -> Table {
    let id = study.id().to_string();
    let rows: Vec<Within<'_, Measurement>> =
        within(study, &id, |result| result.measurements.iter());
    table(
        "measurements",
        &rows,
        &[
            ("study", Make::Text(|row| Some(row.of.study.to_owned()))),
            ("trial", Make::Whole(|row| Some(number(row.of.replicate.trial)))),
            ("replicate", Make::Text(|row| Some(row.of.replicate.id.to_string()))),
            ("purpose", Make::Text(|row| Some(purpose(row.of.replicate.purpose).to_owned()))),
            ("seed", Make::Whole(|row| Some(i64::from(row.of.replicate.seed.0)))),
            ("metric", Make::Text(|row| Some(row.part.metric.clone()))),
            ("split", Make::Text(|row| Some(row.part.split.name().to_owned()))),
            ("value", Make::Real(|row| Some(row.part.value))),
            ("provenance", Make::Text(|row| Some(row.part.provenance.to_string()))),
        ],
    )
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Search => "search",
        Purpose::Confirm { .. } => "confirm",
        Purpose::Audit { .. } => "audit",
        Purpose::Report => "report",
    }
}
