//! Tables that repeat the events in a form that can be paged and filtered. Never a source: they are dropped and
//! rebuilt at will, and [`crate::verify`] compares them with a rebuild.
//!
//! Each event touches a bounded number of rows, whatever the size of the study. The same statements refuse an event
//! that does not fit what is there (a trial out of order, a lease that is not held), so nonsense is never appended.

use empiric_core::{
    Cost, Event, Outcome, Purpose, Record, ReplicateId, Split, TrialNo, trial::Measured,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use crate::{Error, chain};

/// The projections and their indexes. Every row can name the event that touched it last: see [`DUMPS`].
pub(crate) const TABLES: &str = "
CREATE TABLE study (
    id      BLOB NOT NULL,
    task    TEXT NOT NULL,
    metric  TEXT NOT NULL,
    segment INTEGER NOT NULL
) STRICT;
CREATE TABLE trial (
    no         INTEGER PRIMARY KEY,
    arm        TEXT NOT NULL,
    operator   TEXT NOT NULL,
    parents    TEXT NOT NULL,
    surface    TEXT,
    proposer   TEXT,
    hypothesis TEXT,
    tree       BLOB,
    commit_id  BLOB,
    kind       TEXT,
    verdict    TEXT,
    cause      TEXT,
    blame      TEXT,
    phase      TEXT,
    gain       REAL,
    score_sum  REAL NOT NULL,
    score_n    INTEGER NOT NULL,
    score      REAL GENERATED ALWAYS AS (score_sum / nullif(score_n, 0)) VIRTUAL,
    replicates INTEGER NOT NULL,
    wall_s     REAL NOT NULL,
    cpu_s      REAL NOT NULL,
    gpu_s      REAL NOT NULL,
    calls      INTEGER NOT NULL,
    tokens     INTEGER NOT NULL,
    usd        REAL NOT NULL,
    asked_at   INTEGER NOT NULL,
    ended_at   INTEGER,
    seq_ended  INTEGER,
    seq_last   INTEGER NOT NULL
) STRICT;
CREATE INDEX trial_verdict ON trial (verdict) WHERE verdict IS NOT NULL;
CREATE INDEX trial_cause ON trial (cause) WHERE cause IS NOT NULL;
CREATE TABLE replicate (
    seq     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    trial   INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    confirm INTEGER,
    idx     INTEGER NOT NULL,
    seed    INTEGER NOT NULL,
    slot    TEXT NOT NULL,
    segment INTEGER NOT NULL,
    state   TEXT NOT NULL,
    cause   TEXT,
    wall_s  REAL,
    cpu_s   REAL,
    gpu_s   REAL,
    leased_at INTEGER NOT NULL,
    ended_at  INTEGER,
    seq_ended INTEGER
) STRICT;
CREATE INDEX replicate_trial ON replicate (trial);
CREATE INDEX replicate_purpose ON replicate (trial, purpose, confirm);
CREATE TABLE measurement (
    replicate  INTEGER NOT NULL,
    idx        INTEGER NOT NULL,
    metric     TEXT NOT NULL,
    split      TEXT NOT NULL,
    value      REAL NOT NULL,
    provenance TEXT NOT NULL,
    PRIMARY KEY (replicate, idx)
) STRICT, WITHOUT ROWID;
";

/// Each projection with a query of all it holds, in order; the first column is the event to name when a row is wrong.
pub(crate) const DUMPS: [(&str, &str); 4] = [
    ("study", "SELECT 1, * FROM study ORDER BY rowid"),
    ("trial", "SELECT seq_last, * FROM trial ORDER BY no"),
    ("replicate", "SELECT seq, * FROM replicate ORDER BY seq"),
    ("measurement", "SELECT replicate, * FROM measurement ORDER BY replicate, idx"),
];

/// Drops the projections and makes them again from the events. The caller's transaction holds it.
pub(crate) fn rebuild(db: &Connection) -> Result<(), Error> {
    for (table, _) in DUMPS {
        db.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    db.execute_batch(TABLES)?;
    let mut events = db.prepare("SELECT seq, at, body FROM event ORDER BY seq")?;
    let mut rows = events.query([])?;
    while let Some(row) = rows.next()? {
        project(db, &chain::record(row)?)?;
    }
    Ok(())
}

/// Takes one event into the projections, or refuses it.
pub(crate) fn project(db: &Connection, record: &Record) -> Result<(), Error> {
    apply(db, record).map_err(|refusal| match refusal {
        Refusal::Unfit(what) => Error::Unfit { name: record.event.name(), what },
        Refusal::Sqlite(error) => error.into(),
    })
}

/// Why an event was not taken in.
enum Refusal {
    Unfit(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
            Self::Unfit(error.to_string())
        } else {
            Self::Sqlite(error)
        }
    }
}

fn apply(db: &Connection, record: &Record) -> Result<(), Refusal> {
    let seq = record.seq.cast_signed();
    match &record.event {
        Event::StudyOpened { study, task, settings: _ } => {
            fits(record.seq == 1, || "the study is open already".to_owned())?;
            let row: [&dyn ToSql; 3] = [study.0.as_bytes(), &task.name, &task.metric.name];
            run(db, "INSERT INTO study VALUES (?, ?, ?, 0)", &row)?;
        }
        _ if record.seq == 1 => {
            return Err(Refusal::Unfit("a study must be opened first".to_owned()));
        }
        Event::SegmentOpened { segment, .. } => {
            run(db, "UPDATE study SET segment = ?", &[segment])?;
        }
        Event::Asked { trial, arm, ask } => {
            let row: [&dyn ToSql; 7] = [
                &trial.0,
                arm,
                &ask.operator.to_string(),
                &numbers(&ask.parents),
                &ask.surface,
                &record.at.as_microsecond(),
                &seq,
            ];
            let sql = "INSERT INTO trial (no, arm, operator, parents, surface, score_sum, score_n, replicates, wall_s,
                           cpu_s, gpu_s, calls, tokens, usd, asked_at, seq_last)
                       SELECT ?1, ?2, ?3, ?4, ?5, 0.0, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, ?6, ?7
                       WHERE ?1 = (SELECT ifnull(max(no) + 1, 0) FROM trial)";
            fits(run(db, sql, &row)? == 1, || format!("{trial} is not the next trial"))?;
        }
        Event::Proposed { trial, edit } => {
            let row: [&dyn ToSql; 9] = [
                &trial.0,
                &edit.operator.to_string(),
                &numbers(&edit.parents),
                &edit.surface,
                &edit.proposer,
                &edit.hypothesis.text,
                &edit.tree.0,
                &edit.commit.0,
                &seq,
            ];
            let sql = "UPDATE trial SET operator = ?2, parents = ?3, surface = ?4, proposer = ?5, hypothesis = ?6,
                           tree = ?7, commit_id = ?8, seq_last = ?9
                       WHERE no = ?1";
            fits(run(db, sql, &row)? == 1, || format!("there is no trial {trial}"))?;
        }
        Event::Leased { replicate, trial, purpose, index, seed, slot } => {
            let (purpose, confirm) = purpose_columns(*purpose);
            let row: [&dyn ToSql; 9] = [
                &seq,
                replicate.0.as_bytes(),
                &trial.0,
                &purpose,
                &confirm,
                index,
                &seed.0,
                slot,
                &record.at.as_microsecond(),
            ];
            let sql = "INSERT INTO replicate
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, segment, 'leased', NULL, NULL, NULL, NULL, ?9, NULL, NULL FROM study";
            run(db, sql, &row)?;
            touch(db, *trial, seq)?;
        }
        Event::Measured { replicate, trial, result } => {
            measured(db, record, *replicate, *trial, result)?;
        }
        Event::Fenced { replicate, trial, .. } => {
            let (row, _) = held(db, *replicate, *trial)?;
            let sql =
                "UPDATE replicate SET state = 'fenced', ended_at = ?, seq_ended = ? WHERE seq = ?";
            run(db, sql, &[record.at.as_microsecond(), seq, row])?;
            touch(db, *trial, seq)?;
        }
        Event::Rehearsed { trial, .. }
        | Event::Fetched { trial, .. }
        | Event::Quarantined { trial, .. }
        | Event::Pinned { trial, .. }
        | Event::Unpinned { trial, .. }
        | Event::Requeued { trial, .. } => {
            touch(db, *trial, seq)?;
        }
        Event::Called { trial, call } => {
            let Cost { tokens, usd, calls, .. } = call.cost();
            let columns: [&dyn ToSql; 5] =
                [&trial.0, &calls.cast_signed(), &tokens.cast_signed(), &usd, &seq];
            let sql = "UPDATE trial SET calls = calls + ?2, tokens = tokens + ?3, usd = usd + ?4, seq_last = ?5 WHERE no = ?1";
            fits(run(db, sql, &columns)? == 1, || format!("there is no trial {trial}"))?;
        }
        Event::Concluded { trial, outcome } => concluded(db, record, *trial, outcome)?,
        Event::SessionStarted { .. }
        | Event::Staffed { .. }
        | Event::IdeaAdded { .. }
        | Event::IdeaChanged { .. }
        | Event::Learned { .. }
        | Event::BudgetSet { .. }
        | Event::ReportOpened { .. }
        | Event::AblationOpened { .. }
        | Event::Noted { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Stopped { .. }
        | Event::Finished { .. } => {}
    }
    Ok(())
}

fn measured(
    db: &Connection,
    record: &Record,
    replicate: ReplicateId,
    trial: TrialNo,
    result: &Measured,
) -> Result<(), Refusal> {
    let (row, purpose) = held(db, replicate, trial)?;
    let cause = result.failure.as_ref().map(|failure| failure.cause.name());
    let Cost { wall_s, cpu_s, gpu_s, tokens: _, usd: _, calls: _ } = result.cost;
    let at = record.at.as_microsecond();
    let seq = record.seq.cast_signed();
    let columns: [&dyn ToSql; 7] = [&row, &cause, &wall_s, &cpu_s, &gpu_s, &at, &seq];
    let sql = "UPDATE replicate SET state = 'measured', cause = ?2, wall_s = ?3, cpu_s = ?4, gpu_s = ?5, ended_at = ?6,
                   seq_ended = ?7
               WHERE seq = ?1";
    run(db, sql, &columns)?;
    for (place, measurement) in result.measurements.iter().enumerate() {
        let columns: [&dyn ToSql; 6] = [
            &row,
            &place.cast_signed(),
            &measurement.metric,
            &measurement.split.name(),
            &measurement.value,
            &measurement.provenance.to_string(),
        ];
        run(db, "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?)", &columns)?;
    }
    let metric: String =
        db.prepare_cached("SELECT metric FROM study")?.query_row([], |row| row.get(0))?;
    let score = result
        .measurements
        .iter()
        .find(|m| m.metric == metric && m.split == Split::Search)
        .filter(|_| purpose == "search" && result.failure.is_none())
        .map(|m| m.value);
    if let Some(score) = score {
        let sql = "UPDATE trial SET score_sum = score_sum + ?, score_n = score_n + 1 WHERE no = ?";
        run(db, sql, &[&score as &dyn ToSql, &trial.0])?;
    }
    let columns: [&dyn ToSql; 5] = [&trial.0, &wall_s, &cpu_s, &gpu_s, &record.seq.cast_signed()];
    let sql = "UPDATE trial SET replicates = replicates + 1, wall_s = wall_s + ?2, cpu_s = cpu_s + ?3, gpu_s = gpu_s + ?4,
                   seq_last = ?5
               WHERE no = ?1";
    fits(run(db, sql, &columns)? == 1, || format!("there is no trial {trial}"))
}

fn concluded(
    db: &Connection,
    record: &Record,
    trial: TrialNo,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let (mut verdict, mut gain) = (None, None);
    let (mut cause, mut blame, mut phase) = (None, None, None);
    let kind = match outcome {
        Outcome::Valid { verdict: reached, gain: estimated, .. } => {
            verdict = Some(reached.to_string());
            gain = *estimated;
            "valid"
        }
        Outcome::Failed(failure) => {
            cause = Some(failure.cause.name());
            blame = Some(failure.blame.to_string());
            phase = Some(failure.phase.to_string());
            "failed"
        }
    };
    let columns: [&dyn ToSql; 9] = [
        &trial.0,
        &kind,
        &verdict,
        &gain,
        &cause,
        &blame,
        &phase,
        &record.at.as_microsecond(),
        &record.seq.cast_signed(),
    ];
    let sql = "UPDATE trial SET kind = ?2, verdict = ?3, gain = ?4, cause = ?5, blame = ?6, phase = ?7, ended_at = ?8,
                   seq_ended = ?9, seq_last = ?9
               WHERE no = ?1 AND kind IS NULL";
    fits(run(db, sql, &columns)? == 1, || format!("{trial} does not exist, or has ended already"))
}

/// The row of a replicate that holds a lease for `trial`, and its purpose.
fn held(db: &Connection, replicate: ReplicateId, trial: TrialNo) -> Result<(i64, String), Refusal> {
    db.prepare_cached(
        "SELECT seq, purpose FROM replicate WHERE id = ? AND trial = ? AND state = 'leased'",
    )?
    .query_row((replicate.0.as_bytes(), trial.0), |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()?
    .ok_or_else(|| Refusal::Unfit(format!("replicate {replicate} holds no lease for {trial}")))
}

/// Notes that event `seq` was about `trial`.
fn touch(db: &Connection, trial: TrialNo, seq: i64) -> Result<(), Refusal> {
    let changed =
        run(db, "UPDATE trial SET seq_last = ? WHERE no = ?", &[&seq as &dyn ToSql, &trial.0])?;
    fits(changed == 1, || format!("there is no trial {trial}"))
}

fn run<T: ToSql>(db: &Connection, sql: &str, columns: &[T]) -> Result<usize, Refusal> {
    Ok(db.prepare_cached(sql)?.execute(params_from_iter(columns))?)
}

fn fits(holds: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Unfit(what())) }
}

fn numbers(trials: &[TrialNo]) -> String {
    let numbers: Vec<String> = trials.iter().map(|trial| trial.0.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

fn purpose_columns(purpose: Purpose) -> (&'static str, Option<u32>) {
    match purpose {
        Purpose::Search => ("search", None),
        Purpose::Confirm { of } => ("confirm", Some(of.0)),
        Purpose::Audit { of } => ("audit", Some(of.0)),
        Purpose::Report => ("report", None),
    }
}

/// The purpose in these columns.
pub(crate) fn purpose(name: &str, confirm: Option<u32>) -> Option<Purpose> {
    match (name, confirm) {
        ("search", None) => Some(Purpose::Search),
        ("confirm", Some(of)) => Some(Purpose::Confirm { of: TrialNo(of) }),
        ("audit", Some(of)) => Some(Purpose::Audit { of: TrialNo(of) }),
        ("report", None) => Some(Purpose::Report),
        _ => None,
    }
}
