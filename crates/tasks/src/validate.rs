//! From the file as written to the task as meant: fills in defaults and checks what a schema cannot say, such as
//! files that must exist, names that must be known, and data that must stay hidden. Reports all it finds.

mod commands;
mod metrics;
mod recipe;
mod splits;

use std::{ops::Range, path::Path, path::PathBuf, time::Duration};

use empiric_core::{
    Task,
    task::{Data, Environment, PREDICTOR, Visible},
};

use crate::{
    Host,
    diagnostic::{Problems, did_you_mean},
    files,
    input::{At, DataTable, EnvironmentTable, Input},
    python::Requirement,
};

/// How long `[prepare]` may take unless it says otherwise.
pub(crate) const PREPARE_WALL: Duration = Duration::from_secs(600);

/// The task that `input` means, its recipe's directory, and the limit of `[prepare]`. Only to be used when no problem
/// was found: what is wrong or missing is replaced by something harmless.
pub(crate) fn validate(
    input: &Input,
    root: &Path,
    host: &Host,
    problems: &mut Problems,
) -> (Task, PathBuf, Duration) {
    let mut check = Check { root, problems };
    if let Some(schema) = input.schema.as_ref().filter(|schema| *schema.get() != 1) {
        check
            .problems
            .add(schema.span(), format!("schema {} is not known", schema.get()))
            .label("must be 1")
            .help("write `schema = 1`, or use a newer Empiric");
    }
    check.name(input.name.as_ref(), "name");

    let recipe = check.recipe(input.recipe.as_ref(), host);
    let surfaces = check.surfaces(&input.surface, &recipe);
    let environment = check.environment(input.environment.as_ref());
    let (prepare, prepare_wall) = check.prepare(input.prepare.as_ref());
    let data = check.data(input, &recipe);
    let artifact_code = check.artifact(input.artifact.as_ref(), &recipe);
    let stages = check.stages(&input.stage, &recipe);
    let predictor = input
        .predictor
        .as_ref()
        .map(|c| check.command(c.run.as_ref(), c.limits.as_ref(), &recipe.dir));
    let evaluator = input.evaluator.as_ref().map(|c| {
        check.out_of_reach(c.run.as_ref(), &recipe);
        check.command(c.run.as_ref(), c.limits.as_ref(), root)
    });
    let asked = predictor.as_ref().map(|_| PREDICTOR);
    let units: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).chain(asked).collect();
    let (metric, pattern) = check.metric(input.metric.as_ref(), &units, evaluator.is_some());
    let gates = check.gates(&input.gate, &units);
    let plausible = check.gates(&input.plausible, &units);
    let objectives = check.objectives(&input.objective, &metric, &units);
    let splits = input.splits.as_ref();
    let splits = splits.and_then(|splits| check.splits(splits, &data, evaluator.is_some()));
    let hide = input.sandbox.as_ref().and_then(|sandbox| sandbox.hide.as_ref());
    let hide = hide.map(|hide| check.hide(hide, &data));

    let task = Task {
        name: input.name.as_ref().map(|name| name.get().clone()).unwrap_or_default(),
        summary: input.summary.clone().unwrap_or_default(),
        recipe: recipe.recipe,
        surfaces,
        environment,
        prepare,
        data,
        artifact_code,
        stages,
        predictor,
        evaluator,
        metric,
        objectives,
        splits,
        pattern,
        gates,
        plausible,
        network: input.sandbox.as_ref().and_then(|sandbox| sandbox.network).unwrap_or_default(),
        hide,
    };
    (task, recipe.dir, prepare_wall)
}

/// One validation under way.
struct Check<'a> {
    root: &'a Path,
    problems: &'a mut Problems,
}

impl Check<'_> {
    /// Names go into directories, metrics and messages.
    fn name(&mut self, name: Option<&At<String>>, key: &str) {
        let Some(name) = name else { return };
        let text = name.get();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || !text.chars().all(plain) {
            self.problems
                .add(name.span(), format!("`{text}` cannot be a {key}"))
                .label("only letters, digits, `-` and `_`");
        }
    }

    fn environment(&mut self, table: Option<&EnvironmentTable>) -> Environment {
        let Some(table) = table else { return Environment::default() };
        if let Some(python) = &table.python
            && let Err(error) = python.get().parse::<Requirement>()
        {
            self.problems.add(python.span(), error.to_string()).label("not a version requirement");
        }
        if let Some(requirements) = &table.requirements {
            self.file(requirements.get(), requirements.span(), self.root, "requirements file");
        }
        if let Some(vars) = &table.vars {
            for (name, value) in vars.get() {
                let problem = if name.starts_with("EMPIRIC_") {
                    Some("names that begin with `EMPIRIC_` are set by Empiric")
                } else if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                    Some("neither names nor values may hold NUL, and names no `=`")
                } else {
                    None
                };
                if let Some(problem) = problem {
                    self.problems
                        .add(vars.span(), format!("variable `{name}` cannot be set"))
                        .label(problem);
                }
            }
        }
        Environment {
            python: table.python.as_ref().map(|python| python.get().clone()),
            requirements: table.requirements.as_ref().map(|file| file.get().clone()),
            vars: table.vars.as_ref().map(|vars| vars.get().clone()).unwrap_or_default(),
        }
    }

    /// A list of files to hide lies in data that recipe code does not see.
    fn hide(&mut self, path: &At<String>, data: &[Data]) -> String {
        let text = path.get();
        let hidden =
            |data: &Data| data.visible == Visible::Evaluator && files::within(text, &data.path);
        if !data.iter().any(hidden) {
            self.problems
                .add(path.span(), format!("`{text}` lies in no data of the evaluator's alone"))
                .label("recipe code would see it, or it is nowhere")
                .help(
                    "have `[prepare]` write it below a `[[data]]` with `visible = \"evaluator\"`",
                );
        }
        text.clone()
    }

    fn data(&mut self, input: &Input, recipe: &recipe::Checked) -> Vec<Data> {
        let prepared = input.prepare.is_some();
        if prepared && input.data.is_empty() {
            self.problems.add(None, "`[prepare]` makes data, but no `[[data]]` names it").help(
                "add `[[data]]` with `path = \"data/public\"`, or another directory that it writes",
            );
        }
        let mut found: Vec<(Data, Option<Range<usize>>)> = Vec::new();
        for DataTable { path, visible } in &input.data {
            let Some(path) = path else { continue };
            let visible = visible.as_ref().map_or(Visible::All, |visible| *visible.get());
            if let Some(text) = self.data_path(path, visible, prepared, recipe) {
                self.apart(&text, visible, path, &found);
                found.push((Data { path: text, visible }, path.span()));
            }
        }
        found.into_iter().map(|(data, _)| data).collect()
    }

    /// The cleaned path of one piece of data, when it can be one.
    fn data_path(
        &mut self,
        path: &At<String>,
        visible: Visible,
        prepared: bool,
        recipe: &recipe::Checked,
    ) -> Option<String> {
        let text = files::normal(path.get()).filter(|text| text != ".");
        let Some(text) = text else {
            self.problems
                .add(
                    path.span(),
                    format!("data path `{}` is not below the task's directory", path.get()),
                )
                .label("must be relative, without `..`")
                .help("keep data inside the task, or link to it from there");
            return None;
        };
        if prepared && !files::within(&text, "data") {
            self.problems
                .add(path.span(), format!("`[prepare]` cannot make `{text}`"))
                .label("not below `data/`")
                .help(format!("it writes below $EMPIRIC_DATA, which `data/` stands for: `path = \"data/{text}\"`"));
        } else if !prepared && !self.root.join(&text).exists() {
            self.problems
                .add(path.span(), format!("data `{text}` does not exist"))
                .label("no such file or directory")
                .help("create it, or add `[prepare]` with a command that makes it");
        } else if !prepared && visible == Visible::Evaluator && recipe.holds(&self.root.join(&text))
        {
            self.problems
                .add(
                    path.span(),
                    format!("hidden data `{text}` lies inside the recipe, which can read it"),
                )
                .label("visible to the recipe")
                .help("move it out of the recipe's directory");
        }
        Some(text)
    }

    /// Checks one piece of data against those before it.
    fn apart(
        &mut self,
        text: &str,
        visible: Visible,
        path: &At<String>,
        before: &[(Data, Option<Range<usize>>)],
    ) {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        for (other, _) in before {
            let leaks = visible != other.visible
                && (files::within(text, &other.path) || files::within(&other.path, text));
            if leaks {
                self.problems
                    .add(
                        path.span(),
                        format!("hidden and visible data overlap: `{text}` and `{}`", other.path),
                    )
                    .label("the recipe would see hidden data")
                    .help("name directories of which neither lies inside the other");
            } else if last(text) == last(&other.path) {
                self.problems
                    .add(
                        path.span(),
                        format!(
                            "`{text}` and `{}` would both be `$EMPIRIC_DATA/{}`",
                            other.path,
                            last(text)
                        ),
                    )
                    .label("same last component as another")
                    .help("rename one of the two");
            }
        }
    }

    /// Checks that `name` is a file below `base`.
    fn file(&mut self, name: &str, span: Option<Range<usize>>, base: &Path, what: &str) {
        if base.join(name).is_file() {
            return;
        }
        let place =
            base.strip_prefix(self.root).ok().and_then(Path::to_str).unwrap_or("the recipe");
        let place =
            if place.is_empty() { "the task's directory".to_owned() } else { format!("`{place}`") };
        let present = files::list(base).unwrap_or_default();
        self.problems
            .add(span, format!("{what} `{name}` does not exist in {place}"))
            .label("no such file")
            .help_if(did_you_mean(name, present.iter().map(String::as_str)));
    }
}
