//! Where one study stands, and its report.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use empiric_core::{Budget, Goal, Provenance, TrialNo};
use empiric_report::Status as Told;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Words, finite, look};
use crate::{
    held::Held,
    index::{Column, Mark, Name, Sum},
    problem::Problem,
};

/// Where a study stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StudyState {
    /// Trials are made.
    Running,
    /// No new trials until resumed.
    Paused,
    /// Its last session ended early; the same command goes on.
    Stopped,
    /// It is over.
    Finished,
}

/// What is improved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: String,
    /// `minimize` or `maximize`.
    pub(crate) goal: String,
    /// Its unit; may be empty.
    pub(crate) unit: String,
}

impl Metric {
    pub(crate) fn of(metric: &empiric_core::Metric) -> Self {
        Self {
            name: metric.name.clone(),
            goal: match metric.goal {
                Goal::Minimize => "minimize".to_owned(),
                Goal::Maximize => "maximize".to_owned(),
            },
            unit: metric.unit.clone(),
        }
    }
}

/// Where a study stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Study {
    /// Its name here.
    id: String,
    /// Its id for ever.
    study: String,
    /// The task's name.
    task: String,
    /// What the task says of itself.
    summary: String,
    /// What is improved.
    metric: Metric,
    /// Where it stands.
    state: StudyState,
    /// Whether a process is at work on it.
    at_work: bool,
    /// Trials asked for, the baseline apart.
    trials: usize,
    /// Trials by how they stand.
    marks: BTreeMap<String, usize>,
    /// Finished replicates.
    replicates: u64,
    /// The unedited recipe.
    baseline: Option<Mean>,
    /// Standard deviation of one replicate.
    noise_sd: f64,
    /// Whether every tree has given one value only.
    deterministic: bool,
    /// What the study can find, in a sentence.
    power: String,
    /// The best confirmed trial, if any beats the baseline.
    champion: Option<Champion>,
    /// Which error is held at `level` over the whole study.
    error_control: String,
    /// That level.
    level: f64,
    /// What was spent, and the caps.
    meters: Vec<Meter>,
    /// The caps in force.
    budget: Caps,
    /// The arms.
    arms: Vec<Arm>,
    /// Trials that new ones start from, chosen by hand.
    pins: Vec<Pin>,
    /// The search policy.
    policy: String,
    /// What everything random derives from.
    seed: u64,
    /// Slots of the last session.
    slots: Vec<String>,
    /// Sandbox level of the last session.
    sandbox: String,
    /// Who vouches for the metric: `recipe`, `evaluator` or `harness`.
    provenance: String,
    /// Names that trials bear, to filter by.
    names: Named,
    /// Segments, within which values can be compared.
    segments: usize,
    /// When it began.
    started_at: Option<String>,
    /// When something happened last.
    last_at: String,
    /// The last event: where live events go on from.
    seq: u64,
    /// Its directory.
    directory: String,
    /// Whether `empiric report` has written a report.
    report: bool,
}

/// A mean and how sure it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mean {
    /// The mean, in the metric's unit.
    mean: f64,
    /// Its 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    interval: Option<[f64; 2]>,
    /// Replicates it rests on.
    replicates: usize,
}

/// The best confirmed trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Champion {
    /// The trial.
    trial: String,
    /// Its mean on data and seeds that selection did not see.
    mean: f64,
    /// Its gain over the baseline, positive when better.
    gain: f64,
    /// The gain's 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    gain_interval: Option<[f64; 2]>,
    /// The gain, per cent of the baseline.
    gain_percent: Option<f64>,
    /// `report` after the closing comparison, `confirm` before it.
    basis: String,
}

/// What was spent of something, and its cap.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Meter {
    /// `trials`, `wall`, `cpu`, `gpu`, `usd`, `tokens` or `calls`.
    name: String,
    /// What was spent; seconds where it is time.
    used: f64,
    /// The cap; absent where none binds.
    cap: Option<f64>,
}

/// Caps; an absent one does not bind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Caps {
    /// Trials.
    trials: Option<u32>,
    /// Wall-clock seconds.
    wall_s: Option<f64>,
    /// CPU seconds.
    cpu_s: Option<f64>,
    /// GPU seconds.
    gpu_s: Option<f64>,
    /// Tokens of model calls.
    tokens: Option<u64>,
    /// US dollars for model calls.
    usd: Option<f64>,
    /// Model calls.
    calls: Option<u64>,
    /// Trials in a row without a keep that end the search.
    drought: Option<u32>,
    /// Confirmed value of the metric that is good enough.
    target: Option<f64>,
}

impl Caps {
    fn of(budget: &Budget) -> Self {
        let Budget { trials, wall_s, cpu_s, gpu_s, tokens, usd, calls, drought, target } = *budget;
        Self { trials, wall_s, cpu_s, gpu_s, tokens, usd, calls, drought, target }
    }
}

/// One way of searching.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Arm {
    /// Its name.
    name: String,
    /// Its trials, the baseline apart.
    trials: usize,
    /// Its trials by how they stand.
    marks: BTreeMap<String, usize>,
    /// Its last keep.
    champion: Option<String>,
    /// That one's gain over the baseline, positive when better.
    gain: Option<f64>,
    /// The gain's 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    gain_interval: Option<[f64; 2]>,
    /// CPU seconds.
    cpu_s: f64,
    /// GPU seconds.
    gpu_s: f64,
    /// Tokens of model calls.
    tokens: u64,
    /// US dollars for them.
    usd: f64,
}

/// A trial that an arm's new ones start from until it keeps one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pin {
    /// The arm.
    arm: String,
    /// The trial.
    trial: String,
}

/// Names that trials of a study bear.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Named {
    /// Operators.
    operators: Vec<String>,
    /// Proposers.
    proposers: Vec<String>,
    /// Surfaces.
    surfaces: Vec<String>,
    /// Causes of failure.
    causes: Vec<String>,
}

/// Where a study stands
#[utoipa::path(get, path = "/api/studies/{study}", tag = "study",
    params(("study" = String, Path, description = "its name")),
    responses((status = 200, body = Study)))]
pub(crate) async fn study(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
) -> Result<Json<Study>, Problem> {
    look(&app, id.clone(), move |held| Ok(told(id, held))).await
}

fn told(id: String, held: &Held) -> Study {
    let fold = held.extract().study();
    let task = fold.task();
    // Of the extract: counts in it are not the study's, what it says of baseline, noise and champion is.
    let said = Told::of(fold);
    let baseline = said.baseline.mean;
    let real = |own: &str| own.parse().map_or(TrialNo::BASELINE, |own| held.extract().real(own));
    let index = &held.index;
    let name = |name: Name| index.names.get(name).unwrap_or_default().to_owned();
    let of_arm = |(arm, sum): (Name, &Sum)| {
        let counts = Mark::ALL.into_iter().map(|each| (mark(each), sum.mark(each)));
        let told = Arm {
            name: name(arm),
            trials: sum.trials,
            marks: counts.filter(|(_, count)| *count > 0).collect(),
            champion: None,
            gain: None,
            gain_interval: None,
            cpu_s: sum.cpu_s,
            gpu_s: sum.gpu_s,
            tokens: sum.tokens,
            usd: sum.usd,
        };
        (arm, told)
    };
    let mut arms: BTreeMap<Name, Arm> = index.by(Column::Arm).map(of_arm).collect();
    let whole = index.whole();
    for keep in held.index.keeps() {
        if let Some(arm) = held.index.row(TrialNo(keep)).and_then(|row| arms.get_mut(&row.arm)) {
            arm.champion = Some(TrialNo(keep).to_string());
        }
    }
    for arm in arms.values_mut() {
        let found = said.arms.iter().find(|own| own.name == arm.name);
        if let Some(champion) = found.and_then(|own| own.champion.as_ref()) {
            arm.champion = Some(real(&champion.trial).to_string());
            arm.gain = finite(champion.gain);
            arm.gain_interval = champion.gain_interval;
        }
    }
    let named = |column| {
        let names = index.by(column).map(|(found, _)| name(found));
        names.filter(|name| !name.is_empty()).collect()
    };
    // Trials are counted for each arm; every other cap is the whole study's.
    let (budget, among) = (fold.budget(), u32::try_from(fold.settings().arms.len()).unwrap_or(1));
    let meters = meters(budget, among, whole, held.wall_s());
    let pins = held.pinned().into_iter();
    Study {
        id,
        study: said.study.clone(),
        task: task.name.clone(),
        summary: task.summary.clone(),
        metric: Metric::of(&task.metric),
        state: held.state().into(),
        at_work: held.at_work(),
        trials: held.index.rows.len().saturating_sub(1),
        marks: Mark::ALL.into_iter().map(|each| (mark(each), whole.mark(each))).collect(),
        replicates: whole.replicates,
        baseline: baseline.map(|mean| Mean {
            mean,
            interval: said.baseline.interval,
            replicates: said.baseline.replicates,
        }),
        noise_sd: said.noise_sd,
        deterministic: said.deterministic,
        power: baseline.map_or_else(
            || "nothing has been measured yet".to_owned(),
            |mean| said.noise.alarm(said.deterministic, mean),
        ),
        champion: said.champion.as_ref().map(|champion| Champion {
            trial: real(&champion.trial).to_string(),
            mean: champion.mean,
            gain: champion.gain,
            gain_interval: champion.gain_interval,
            gain_percent: baseline.and_then(|mean| finite(100.0 * champion.gain / mean.abs())),
            basis: champion.basis.to_owned(),
        }),
        error_control: match said.noise.error {
            empiric_core::study::ErrorControl::Fdr => "fdr".to_owned(),
            empiric_core::study::ErrorControl::Fwer => "fwer".to_owned(),
        },
        level: said.noise.level,
        meters,
        budget: Caps::of(budget),
        arms: arms.into_values().collect(),
        pins: pins.map(|(arm, trial)| Pin { arm, trial: trial.to_string() }).collect(),
        policy: said.search.policy.clone(),
        seed: fold.settings().seed,
        slots: held.sessions.last().map(|session| session.slots.clone()).unwrap_or_default(),
        sandbox: fold.sandbox().to_owned(),
        provenance: match task.provenance() {
            Provenance::Recipe => "recipe".to_owned(),
            Provenance::Evaluator => "evaluator".to_owned(),
            Provenance::Harness => "harness".to_owned(),
        },
        names: Named {
            operators: named(Column::Operator),
            proposers: named(Column::Proposer),
            surfaces: named(Column::Surface),
            causes: named(Column::Cause),
        },
        segments: held.seams.len(),
        started_at: held.sessions.first().map(|session| session.at.to_string()),
        last_at: held.last_at.to_string(),
        seq: held.seq,
        directory: held.dir.display().to_string(),
        report: held.dir.join("report.html").is_file(),
    }
}

/// The mark's name.
pub(crate) fn mark(mark: Mark) -> String {
    match mark {
        Mark::Baseline => "baseline",
        Mark::Keep => "keep",
        Mark::Inconclusive => "inconclusive",
        Mark::Discard => "discard",
        Mark::Failed => "failed",
        Mark::Open => "open",
    }
    .to_owned()
}

fn meters(budget: &Budget, among: u32, spent: &Sum, wall_s: f64) -> Vec<Meter> {
    let trials = budget.trials.map(|trials| f64::from(trials) * f64::from(among.max(1)));
    let count = |count: u64| count as f64;
    let all = [
        ("trials", spent.spent as f64, trials),
        ("wall", wall_s, budget.wall_s),
        ("cpu", spent.cpu_s, budget.cpu_s),
        ("gpu", spent.gpu_s, budget.gpu_s),
        ("usd", spent.usd, budget.usd),
        ("tokens", count(spent.tokens), budget.tokens.map(count)),
        ("calls", count(spent.calls), budget.calls.map(count)),
    ];
    let shown = all.into_iter().filter(|(name, used, cap)| {
        matches!(*name, "trials" | "wall" | "cpu") || *used > 0.0 || cap.is_some()
    });
    shown.map(|(name, used, cap)| Meter { name: name.to_owned(), used, cap }).collect()
}

/// What a report may do in a browser: be looked at.
const REPORT_CSP: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The report that `empiric report` wrote
///
/// A self-contained page, as `empiric report STUDY` left it in the study's directory.
#[utoipa::path(get, path = "/api/studies/{study}/report", tag = "study",
    params(("study" = String, Path, description = "its name")),
    responses((status = 200, description = "the page", body = String, content_type = "text/html")))]
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    Words(id): Words<String>,
) -> Result<Response, Problem> {
    let read = look(&app, id, |held| {
        fs_err::read(held.dir.join("report.html")).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Problem::missing("there is no report yet: `empiric report` writes it, at any time")
            } else {
                error.into()
            }
        })
    });
    let Json(page) = read.await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_CSP),
    ];
    Ok((headers, page).into_response())
}
