//! A task without a file: a directory, what may be edited, and a command that prints the metric.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use empiric_core::task::Limits;
use toml::{Table, Value};

use crate::{
    Host, Loaded,
    diagnostic::{Diagnostic, Problems},
    files,
    load::interpret,
    process::find,
};

/// Characters that a shell gives a meaning to; a command with one of them is run by `sh`.
const SHELL: [char; 14] = ['|', '&', ';', '<', '>', '$', '`', '(', ')', '*', '?', '~', '{', '\n'];

/// What a quick start is given on the command line.
#[derive(Debug, Clone)]
pub struct Quick {
    /// The directory with the code; also the recipe.
    pub dir: PathBuf,
    /// Globs of files that may be edited.
    pub edit: Vec<String>,
    /// Command that prints the metric, as typed in a shell.
    pub eval: String,
    /// The metric and which way is better: `loss:min`, `accuracy:max`.
    pub metric: String,
    /// Regular expression with one group, for a metric that is printed in another form.
    pub pattern: Option<String>,
    /// The task's name; the directory's unless given.
    pub name: Option<String>,
    /// Limits of the command.
    pub limits: Limits,
}

/// The task that a quick start describes: one stage `train`, no evaluator, a metric that the recipe itself reports.
///
/// # Errors
/// Every problem at once. They have no span, for there is no file.
pub fn quick(quick: &Quick, host: &Host) -> Result<Loaded, Vec<Diagnostic>> {
    let mut problems = Problems::new(quick.dir.clone(), Arc::from(""));
    let root = fs_err::canonicalize(&quick.dir).unwrap_or_else(|error| {
        problems.add(None, format!("cannot read the directory: {error}"));
        quick.dir.clone()
    });
    let (metric, goal) = metric(&quick.metric, &mut problems);
    let run = argv(&quick.eval, &root, host, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let strings =
        |items: &[String]| Value::Array(items.iter().cloned().map(Value::String).collect());
    let mut metric = Table::from_iter([entry("name", metric), entry("goal", goal)]);
    metric.extend(quick.pattern.as_ref().map(|pattern| entry("pattern", pattern.as_str())));
    let stage = Table::from_iter([entry("name", "train"), ("run".to_owned(), strings(&run))]);
    let recipe = Table::from_iter([
        entry("root", "."),
        ("edit".to_owned(), strings(&quick.edit)),
        ("writable".to_owned(), Value::Boolean(true)),
    ]);
    let name = quick.name.clone().unwrap_or_else(|| name_of(&root));
    let text = Table::from_iter([
        ("schema".to_owned(), Value::Integer(1)),
        entry("name", name.as_str()),
        entry("summary", format!("{} of `{}`", quick.metric, quick.eval).as_str()),
        ("recipe".to_owned(), Value::Table(recipe)),
        ("metric".to_owned(), Value::Table(metric)),
        ("stage".to_owned(), Value::Array(vec![Value::Table(stage)])),
    ])
    .to_string();
    let Some((mut task, recipe_dir, prepare_wall)) = interpret(&text, &root, host, &mut problems)
    else {
        let mut problems = problems.into_vec();
        problems.iter_mut().for_each(|problem| problem.span = None);
        return Err(problems);
    };
    task.stages.iter_mut().for_each(|stage| stage.command.limits = quick.limits);
    // Nothing is trusted: all that the metric rests on is in the recipe.
    let source_digest = files::digest_of([]);
    Ok(Loaded { root, task, recipe_dir, source_digest, prepare_wall, trusted: Vec::new() })
}

fn entry(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), Value::String(value.to_owned()))
}

/// Name and goal from `loss:min`.
fn metric<'a>(text: &'a str, problems: &mut Problems) -> (&'a str, &'static str) {
    let Some((name, direction)) = text.rsplit_once(':') else {
        problems
            .add(None, format!("metric `{text}` does not say which way is better"))
            .help(format!("write `{text}:min` or `{text}:max`"));
        return (text, "minimize");
    };
    let goal = match direction {
        "min" | "minimize" => "minimize",
        "max" | "maximize" => "maximize",
        _ => {
            problems
                .add(None, format!("metric `{text}`: `{direction}` is not a direction"))
                .help(format!("write `{name}:min` or `{name}:max`"));
            "minimize"
        }
    };
    (name, goal)
}

/// Program and arguments of a command typed in a shell.
fn argv(text: &str, root: &Path, host: &Host, problems: &mut Problems) -> Vec<String> {
    let words = shlex::split(text);
    let assigns = |words: &Vec<String>| words.first().is_some_and(|word| word.contains('='));
    let words = match words {
        Some(words) if text.contains(SHELL) || assigns(&words) => {
            return ["sh", "-c", text].map(str::to_owned).to_vec();
        }
        Some(words) => words,
        None => {
            problems.add(None, format!("command `{text}` has a quote that does not end"));
            return Vec::new();
        }
    };
    match words.first() {
        None => {
            problems
                .add(None, "the command is empty")
                .help("name what prints the metric, such as `python train.py`");
        }
        Some(program) if program.contains('/') || program.starts_with("python") => {}
        Some(program) if find(program, &host.path).is_none() => {
            let here = root.join(program).is_file();
            problems.add(None, format!("no program `{program}` on PATH")).help_if(
                here.then(|| format!("for the file in the directory write `./{program}`")),
            );
        }
        Some(_) => {}
    }
    words
}

/// A name for a task in `root`.
pub(crate) fn name_of(root: &Path) -> String {
    let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "quick".to_owned() } else { name.to_owned() }
}
