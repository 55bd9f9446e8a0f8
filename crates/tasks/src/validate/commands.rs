//! Stages and other commands: their programs, files and limits.

use std::{path::Path, time::Duration};

use empiric_core::task::{Command, Limits, Stage};

use super::{Check, PREPARE_WALL, recipe::Checked};
use crate::input::{Argv, At, LimitsTable, PrepareTable, StageTable};
use crate::units::{Bytes, Seconds};

/// Names that stand for commands with a table of their own.
const RESERVED: [&str; 2] = ["evaluator", "predictor"];

/// Programs whose first argument is a file to run.
const INTERPRETERS: [&str; 10] =
    ["python", "python3", "sh", "bash", "node", "Rscript", "julia", "perl", "ruby", "lua"];

impl Check<'_> {
    pub(super) fn stages(&mut self, tables: &[StageTable], recipe: &Checked) -> Vec<Stage> {
        if tables.is_empty() {
            self.problems.add(None, "the task has no stage, so nothing would run").help(
                "add `[[stage]]` with `name = \"train\"` and `run = [\"python\", \"train.py\"]`",
            );
        }
        let mut stages: Vec<Stage> = Vec::new();
        for table in tables {
            self.name(table.name.as_ref(), "stage name");
            let command = self.command(table.run.as_ref(), table.limits.as_ref(), &recipe.dir);
            let Some(name) = &table.name else { continue };
            if RESERVED.contains(&name.get().as_str()) {
                self.problems
                    .add(name.span(), format!("no stage can be called `{}`", name.get()))
                    .label("reserved")
                    .help(format!("use `[{}]` for that command, or another name", name.get()));
            }
            if stages.iter().any(|other| other.name == *name.get()) {
                self.problems
                    .add(name.span(), format!("stage `{}` is declared twice", name.get()))
                    .label("again here")
                    .help("give it another name; metrics are called after stages");
            }
            stages.push(Stage { name: name.get().clone(), command });
        }
        stages
    }

    pub(super) fn prepare(
        &mut self,
        table: Option<&PrepareTable>,
    ) -> (Option<Vec<String>>, Duration) {
        let Some(table) = table else { return (None, PREPARE_WALL) };
        let wall = table.limits.as_ref().and_then(|limits| limits.wall.as_ref());
        let wall = self.seconds(wall, "wall").map_or(PREPARE_WALL, Duration::from_secs_f64);
        (Some(self.argv(table.run.as_ref(), self.root)), wall)
    }

    /// A command that runs in `dir`.
    pub(super) fn command(
        &mut self,
        run: Option<&Argv>,
        limits: Option<&LimitsTable>,
        dir: &Path,
    ) -> Command {
        Command { run: self.argv(run, dir), limits: self.limits(limits) }
    }

    fn argv(&mut self, run: Option<&Argv>, dir: &Path) -> Vec<String> {
        let Some(run) = run else { return Vec::new() };
        if run.get().first().is_none_or(|program| program.get().is_empty()) {
            self.problems.add(run.span(), "the command is empty").label("no program").help(
                "write the program and its arguments, such as `run = [\"python\", \"train.py\"]`",
            );
        }
        if let Some(odd) = run.get().iter().find(|arg| arg.get().contains('\0')) {
            self.problems.add(odd.span(), "an argument cannot hold NUL").label("here");
        }
        // A recipe that is not there has been reported already.
        if let Some(script) = script(run.get())
            && !dir.as_os_str().is_empty()
        {
            self.file(script.get(), script.span(), dir, "file");
        }
        run.get().iter().map(|arg| arg.get().clone()).collect()
    }

    /// Checks that proposers cannot edit the evaluator.
    pub(super) fn out_of_reach(&mut self, run: Option<&Argv>, recipe: &Checked) {
        let Some(script) = run.and_then(|run| script(run.get())) else { return };
        if recipe.edits(&self.root.join(script.get())) {
            self.problems
                .add(
                    script.span(),
                    format!("proposers may edit the evaluator's `{}`", script.get()),
                )
                .label("editable")
                .help("name it in `recipe.protect`, or move it out of the recipe");
        }
    }

    fn limits(&mut self, table: Option<&LimitsTable>) -> Limits {
        let default = Limits::default();
        let Some(table) = table else { return default };
        if let Some(zero) = table.processes.as_ref().filter(|count| *count.get() == 0) {
            self.problems
                .add(zero.span(), "a command needs at least one process")
                .label("must be at least 1");
        }
        Limits {
            wall_s: self.seconds(table.wall.as_ref(), "wall").unwrap_or(default.wall_s),
            cpu_s: self.seconds(table.cpu.as_ref(), "cpu").or(default.cpu_s),
            memory: self.bytes(table.memory.as_ref(), "memory").or(default.memory),
            processes: table.processes.as_ref().map(|count| *count.get()).or(default.processes),
            disk: self.bytes(table.disk.as_ref(), "disk").or(default.disk),
            output: self.bytes(table.output.as_ref(), "output").unwrap_or(default.output),
            gpus: table.gpus.unwrap_or(default.gpus),
        }
    }

    fn seconds(&mut self, limit: Option<&At<Seconds>>, key: &str) -> Option<f64> {
        let limit = limit?;
        let Seconds(seconds) = *limit.get();
        // A century is more than any clock needs and still counts in every clock's type.
        let fits = seconds > 0.0 && seconds < 3.2e9;
        if !fits {
            self.problems.add(
                limit.span(),
                format!("limit `{key}` must be more than zero and less than a century"),
            );
        }
        fits.then_some(seconds)
    }

    fn bytes(&mut self, limit: Option<&At<Bytes>>, key: &str) -> Option<u64> {
        let limit = limit?;
        let Bytes(bytes) = *limit.get();
        if bytes == 0 {
            self.problems
                .add(limit.span(), format!("limit `{key}` must be more than zero"))
                .label("zero");
        }
        Some(bytes)
    }
}

/// The file of a command's own directory that it runs, when that can be seen: a program with a relative path, or the
/// first argument of an interpreter.
fn script(run: &[At<String>]) -> Option<&At<String>> {
    let program = run.first()?;
    if program.get().contains('/') {
        return (!program.get().starts_with('/')).then_some(program);
    }
    let file = run.get(1).filter(|_| INTERPRETERS.contains(&program.get().as_str()))?;
    let named = !file.get().starts_with(['-', '/']) && Path::new(file.get()).extension().is_some();
    named.then_some(file)
}
