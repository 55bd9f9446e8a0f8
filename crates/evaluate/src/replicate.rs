//! One replicate from end to end: stages, artefact, predictor and evaluator, measurements.

use std::{
    future::Future,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use empiric_core::{
    Cause, Cost, Failure, Globs, Measurement, Phase, Provenance, Seed, Split, Task,
    task::{ARTIFACT_BYTES, PREDICTOR, UNIT_RESOURCES},
    trial::{Measured, UnitRecord},
};
use empiric_doors::{self as doors, Door};
use empiric_sandbox::{Level, Policy, Report};
use fs_err as fs;

use crate::{
    artifact::Artifact,
    classify,
    contract::{self, ResultError, harmless},
    plan::{Installation, Plan, RESULT_FILE, SlotDirs},
    printed::Printed,
};

/// One unit to run.
#[derive(Debug)]
pub struct UnitSpec {
    /// Stage name, `predictor` or `evaluator`.
    pub name: String,
    /// What runs and what it is granted.
    pub policy: Policy,
    /// Where it is recorded while it lives.
    pub record: PathBuf,
}

/// A unit that left no report: its helper could not be started, or died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost(pub String);

/// Starts units and waits for their ends.
pub trait Runner: Sync {
    /// The level that units run at.
    fn level(&self) -> Level;

    /// Runs one unit.
    fn run(&self, unit: UnitSpec) -> impl Future<Output = Result<Report, Lost>> + Send;

    /// Runs two units joined by a pair of pipes and ends the second when the first has ended.
    fn run_joined(
        &self,
        first: UnitSpec,
        second: UnitSpec,
    ) -> impl Future<Output = Result<(Report, Report), Lost>> + Send;

    /// Keeps a unit's bounded output and returns its id.
    fn keep_log(&self, text: String) -> impl Future<Output = Option<String>> + Send;
}

/// Runs the tree in `dirs.recipe` once under `seed`.
///
/// Never fails: whatever goes wrong is a classified failure in the result.
pub async fn measure(
    runner: &impl Runner,
    installation: &Installation,
    dirs: &SlotDirs,
    seed: Seed,
) -> Measured {
    let plan = Plan { installation, dirs, level: runner.level(), seed };
    let mut run = Run { runner, plan, task: &installation.task, measured: Measured::default() };
    if let Err(error) = run.prepare() {
        run.measured.failure = Some(harness(Phase::Train, &error));
        return run.measured;
    }
    let before = directories(dirs);
    if let Err(failure) = run.replicate().await {
        run.measured.failure = Some(failure);
    }
    let cancelled =
        run.measured.failure.as_ref().is_some_and(|failure| failure.cause == Cause::Cancelled);
    if !cancelled && directories(dirs) != before {
        let what = format!("the directories of slot {} were removed while it ran", dirs.name);
        run.measured.failure = Some(harness(Phase::Train, &what));
    }
    run.measured
}

/// Runs the stages named `check` and `smoke` of the tree in `dirs.recipe`, and nothing that is measured or scored; none
/// where the task has no such stage.
///
/// Never fails: whatever goes wrong is a classified failure in the result.
pub async fn smoke(
    runner: &impl Runner,
    installation: &Installation,
    dirs: &SlotDirs,
    seed: Seed,
) -> Option<Measured> {
    let cheap = |phase: Phase| matches!(phase, Phase::Check | Phase::Smoke);
    let task = &installation.task;
    if !task.stages.iter().any(|stage| cheap(Phase::of_stage(&stage.name))) {
        return None;
    }
    let plan = Plan { installation, dirs, level: runner.level(), seed };
    let mut run = Run { runner, plan, task, measured: Measured::default() };
    let ended = match run.prepare() {
        Ok(()) => run.stages(cheap).await.map(drop),
        Err(error) => Err(harness(Phase::Smoke, &error)),
    };
    run.measured.failure = ended.err();
    Some(run.measured)
}

/// What the slot's directories are, whatever lies in them; none for one that is not there.
fn directories(dirs: &SlotDirs) -> [Option<(u64, u64)>; 2] {
    [&dirs.recipe, &dirs.units]
        .map(|dir| fs::metadata(dir).ok().map(|found| (found.dev(), found.ino())))
}

struct Run<'a, R> {
    runner: &'a R,
    plan: Plan<'a>,
    task: &'a Task,
    measured: Measured,
}

impl<R: Runner> Run<'_, R> {
    /// Removes what the last replicate left in the slot, and makes what somebody else removed.
    fn prepare(&self) -> std::io::Result<()> {
        let SlotDirs { out, result, units, .. } = self.plan.dirs;
        empiric_sandbox::remove(&aside(out))?;
        fresh(out).and_then(|()| emptied(result)).and_then(|()| fs::create_dir_all(units))
    }

    async fn replicate(&mut self) -> Result<(), Failure> {
        let last = self.stages(|_| true).await?;
        self.count_artifact()?;
        match &self.task.evaluator {
            Some(command) => self.evaluate(command).await?,
            None => self.read_printed(last.as_ref())?,
        }
        self.require_metrics()
    }

    /// Runs the stages of the phases that are wanted, in their order; the report of the last.
    async fn stages(&mut self, wanted: impl Fn(Phase) -> bool) -> Result<Option<Report>, Failure> {
        let mut last = None;
        for (index, stage) in self.task.stages.iter().enumerate() {
            let phase = Phase::of_stage(&stage.name);
            if !wanted(phase) {
                continue;
            }
            let policy = self.plan.stage(&stage.command);
            let report = self
                .runner
                .run(self.spec(&stage.name, index, policy))
                .await
                .map_err(|lost| gone(phase, lost))?;
            self.record(&stage.name, &report, stage.command.limits.gpus).await;
            self.resources(&stage.name, &report);
            if let Some(failure) = classify::recipe(&report, phase) {
                return Err(failure);
            }
            // A cheap stage only looks: nothing it made may spare the stages that are measured.
            if phase != Phase::Train {
                fresh(&self.plan.dirs.out).map_err(|error| harness(phase, &error))?;
            }
            last = Some(report);
        }
        Ok(last)
    }

    fn spec(&self, name: &str, index: usize, policy: Policy) -> UnitSpec {
        UnitSpec {
            name: name.to_owned(),
            policy,
            record: self.plan.dirs.units.join(format!("{index}.alive")),
        }
    }

    /// Books a unit: how it ended, what it printed, what it cost.
    async fn record(&mut self, name: &str, report: &Report, gpus: u32) {
        let (stdout, stderr) = (report.stdout.text(), report.stderr.text());
        let log = match (stdout.is_empty(), stderr.is_empty()) {
            (true, true) => None,
            (false, true) => Some(stdout),
            (true, false) => Some(stderr),
            (false, false) => Some(format!("{stdout}\n--- standard error ---\n{stderr}")),
        };
        let log = match log {
            Some(text) => self.runner.keep_log(text).await,
            None => None,
        };
        let usage = &report.usage;
        // The predictor runs beside the evaluator.
        let beside = name == PREDICTOR;
        self.measured.cost += Cost {
            wall_s: if beside { 0.0 } else { usage.wall_seconds },
            cpu_s: usage.cpu_seconds,
            gpu_s: usage.wall_seconds * f64::from(gpus),
            ..Cost::default()
        };
        self.measured.units.push(UnitRecord {
            name: name.to_owned(),
            ending: report.ending.to_string(),
            sandbox: report.level.as_str().to_owned(),
            wall_s: usage.wall_seconds,
            cpu_s: usage.cpu_seconds,
            peak_memory_bytes: usage.peak_memory_bytes,
            log,
        });
    }

    /// What a unit of recipe code used, as metrics.
    fn resources(&mut self, unit: &str, report: &Report) {
        let usage = &report.usage;
        let used = [usage.wall_seconds, usage.cpu_seconds, usage.peak_memory_bytes as f64];
        for (resource, value) in UNIT_RESOURCES.iter().zip(used) {
            self.harness_metric(format!("{unit}.{resource}"), value);
        }
    }

    fn harness_metric(&mut self, metric: String, value: f64) {
        let provenance = Provenance::Harness;
        self.measured.measurements.push(Measurement {
            metric,
            value,
            split: Split::Search,
            provenance,
        });
    }

    fn count_artifact(&mut self) -> Result<(), Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::new(Phase::Score, Cause::BadArtifact)
                .excerpt(harmless(&error.to_string(), 600))
        };
        let mut artifact = Artifact::count(&self.plan.dirs.out).map_err(|error| bad(&error))?;
        let out = &self.plan.dirs.out;
        artifact.settle(out, &aside(out)).map_err(|error| bad(&error))?;
        if !self.task.artifact_code.is_empty() {
            let code = Globs::new(&self.task.artifact_code)
                .map_err(|error| harness(Phase::Score, &error))?;
            artifact =
                artifact.with_code(&self.plan.dirs.recipe, &code).map_err(|error| bad(&error))?;
        }
        self.harness_metric(ARTIFACT_BYTES.to_owned(), artifact.bytes as f64);
        Ok(())
    }

    async fn evaluate(&mut self, command: &empiric_core::task::Command) -> Result<(), Failure> {
        let first = self.task.stages.len();
        let evaluator = self.spec("evaluator", first, self.plan.evaluator(command));
        let (report, predictor) = match &self.task.predictor {
            Some(asked) => {
                let predictor = self.spec(PREDICTOR, first + 1, self.plan.predictor(asked));
                let both = self.runner.run_joined(evaluator, predictor).await;
                let (report, predictor) = both.map_err(|lost| gone(Phase::Score, lost))?;
                self.record(PREDICTOR, &predictor, asked.limits.gpus).await;
                self.resources(PREDICTOR, &predictor);
                (report, Some(predictor))
            }
            None => {
                (self.runner.run(evaluator).await.map_err(|lost| gone(Phase::Score, lost))?, None)
            }
        };
        self.record("evaluator", &report, command.limits.gpus).await;
        if let Some(failure) = classify::evaluator(&report, predictor.as_ref()) {
            return Err(failure);
        }
        doors::before(Door::Result);
        let bytes = read_bounded(&self.plan.dirs.result.join(RESULT_FILE))
            .map_err(|what| Failure::new(Phase::Score, Cause::MalformedResult).excerpt(what))?;
        let told = contract::parse_result(&bytes).map_err(|error| match &error {
            ResultError::NonFinite(metric) => {
                Failure::new(Phase::Score, Cause::NonFiniteMetric { metric: metric.clone() })
            }
            ResultError::Malformed(what) => {
                Failure::new(Phase::Score, Cause::MalformedResult).excerpt(what)
            }
        })?;
        doors::after(Door::Result);
        // A harness metric is measured here, whatever the evaluator says of it.
        self.measured.measurements.extend(
            told.measurements.into_iter().filter(|m| !self.task.is_harness_metric(&m.metric)),
        );
        self.measured.testimony = told.testimony;
        self.measured.feedback = told.feedback.0;
        Ok(())
    }

    fn read_printed(&mut self, last: Option<&Report>) -> Result<(), Failure> {
        let printed = Printed::new(self.task).map_err(|error| harness(Phase::Score, &error))?;
        let text = last
            .map(|report| format!("{}\n{}", report.stderr.text(), report.stdout.text()))
            .unwrap_or_default();
        for (metric, value) in printed.read(&text) {
            if !value.is_finite() {
                return Err(Failure::new(Phase::Train, Cause::NonFiniteMetric { metric }));
            }
            if !self.task.is_harness_metric(&metric) {
                let provenance = Provenance::Recipe;
                self.measured.measurements.push(Measurement {
                    metric,
                    value,
                    split: Split::Search,
                    provenance,
                });
            }
        }
        Ok(())
    }

    /// The task's metric and those of its gates must all be there.
    fn require_metrics(&self) -> Result<(), Failure> {
        let phase = if self.task.evaluator.is_some() { Phase::Score } else { Phase::Train };
        let needed = std::iter::once(&self.task.metric.name)
            .chain(self.task.gates.iter().map(|gate| &gate.metric));
        for metric in needed {
            let found = |m: &Measurement| m.metric == *metric && m.split == Split::Search;
            if !self.measured.measurements.iter().any(found) {
                let source = if phase == Phase::Score {
                    "the evaluator's result"
                } else {
                    "the last stage's output"
                };
                return Err(Failure::new(phase, Cause::MetricMissing { metric: metric.clone() })
                    .excerpt(format!("{source} has no `{metric}`")));
            }
        }
        Ok(())
    }
}

/// Where an artefact is written anew.
fn aside(out: &Path) -> PathBuf {
    out.with_extension("new")
}

fn gone(phase: Phase, Lost(how): Lost) -> Failure {
    Failure::new(phase, Cause::SandboxFailed).excerpt(harmless(&how, 600))
}

fn harness(phase: Phase, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(phase, Cause::HarnessFailed).excerpt(harmless(&error.to_string(), 600))
}

/// Makes `dir` a new, empty directory: what recipe code made of its own one (times, permissions, the room that many
/// names took) is no message to whoever comes next.
fn fresh(dir: &Path) -> std::io::Result<()> {
    empiric_sandbox::remove(dir)?;
    fs::create_dir_all(dir)
}

/// Makes `dir`, which recipe code never sees, an empty directory; one that is there already stays, which is cheaper.
fn emptied(dir: &Path) -> std::io::Result<()> {
    let real = fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir());
    if real && clear(dir).is_ok() { Ok(()) } else { fresh(dir) }
}

fn clear(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The evaluator's result, opened as plain data: no link followed, no more than the limit read.
fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
        Ok(found) if !found.is_file() => Err("the result is not a plain file".to_owned()),
        Ok(found) if found.len() > contract::RESULT_LIMIT => {
            Err(format!("the result is larger than {} bytes", contract::RESULT_LIMIT))
        }
        Ok(_) => fs::read(path).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
