//! From a path to a task: finds the file, parses it, and hands what is well formed to validation.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use empiric_core::{Digest, Globs, Task, task::Recipe};
use serde::Deserialize as _;
use toml::de::{DeTable, Deserializer};

use crate::{
    Host,
    diagnostic::{Diagnostic, Problems},
    files,
    input::{Input, schema},
    shape,
    validate::validate,
};

/// Name of the file that makes a directory a task.
pub const FILE: &str = "task.toml";

/// A task that is ready to be worked on.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The task's directory, absolute and without links. Evaluator and `[prepare]` run here.
    pub root: PathBuf,
    /// What `task.toml` asks for.
    pub task: Task,
    /// The recipe's directory, absolute: below `root`, or a kept copy of a repository. Stages run in copies of it.
    pub recipe_dir: PathBuf,
    /// Hash of the trusted files when the task was loaded.
    pub source_digest: Digest,
    /// How long `[prepare]` may take.
    pub prepare_wall: Duration,
    /// Trusted files, relative to `root`, sorted.
    pub trusted: Vec<String>,
}

impl Loaded {
    /// Hash of the trusted files as they are now; differs from `source_digest` when any of them changed. Files that
    /// appeared since do not count, files that went are an error.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn current_digest(&self) -> io::Result<Digest> {
        files::digest(&self.root, self.trusted.iter().map(String::as_str))
    }
}

/// Reads the task at `path`, a directory with a `task.toml` or the file itself.
///
/// # Errors
/// Every problem of the file at once, in the order of the file.
pub fn load(path: &Path, host: &Host) -> Result<Loaded, Vec<Diagnostic>> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let (root, text) = match read(&file) {
        Ok(read) => read,
        Err(error) => {
            let mut problems = Problems::new(file, Arc::from(""));
            problems
                .add(None, format!("cannot read the task: {error}"))
                .help("name a directory with a task.toml; `empiric init` writes one");
            return Err(problems.into_vec());
        }
    };
    let mut problems = Problems::new(file, Arc::from(text.as_str()));
    let Some((task, recipe_dir, prepare_wall)) = interpret(&text, &root, host, &mut problems)
    else {
        return Err(problems.into_vec());
    };
    let digest = trusted(&root, &recipe_dir, &task).and_then(|trusted| {
        Ok((files::digest(&root, trusted.iter().map(String::as_str))?, trusted))
    });
    match digest {
        Ok((source_digest, trusted)) => {
            Ok(Loaded { root, task, recipe_dir, source_digest, prepare_wall, trusted })
        }
        Err(error) => {
            problems.add(None, format!("cannot read the task's files: {error}"));
            Err(problems.into_vec())
        }
    }
}

fn read(file: &Path) -> io::Result<(PathBuf, String)> {
    let text = fs_err::read_to_string(file)?;
    let file = fs_err::canonicalize(file)?;
    Ok((file.parent().unwrap_or(Path::new("/")).to_owned(), text))
}

/// The task that `text` means in the directory `root`, its recipe's directory and the limit of `[prepare]`; none when
/// there are problems.
pub(crate) fn interpret(
    text: &str,
    root: &Path,
    host: &Host,
    problems: &mut Problems,
) -> Option<(Task, PathBuf, Duration)> {
    let input = parse(text, problems)?;
    let meant = validate(&input, root, host, problems);
    problems.is_empty().then_some(meant)
}

/// What of the file is well formed; none when it is not TOML.
fn parse(text: &str, problems: &mut Problems) -> Option<Input> {
    let (mut table, errors) = DeTable::parse_recoverable(text);
    let mut told = None;
    for error in &errors {
        // What follows on the same line is the parser finding its way back.
        let line =
            error.span().map(|span| text.get(..span.start).unwrap_or(text).matches('\n').count());
        if told != Some(line) {
            problems.add(error.span(), error.message()).label("not TOML");
        }
        told = Some(line);
    }
    if !errors.is_empty() {
        return None;
    }
    shape::check(&mut table, &schema(), problems);
    match Input::deserialize(Deserializer::from(table)) {
        Ok(input) => Some(input),
        Err(error) => {
            problems.add(error.span(), error.message());
            None
        }
    }
}

/// Files whose change would change what a measurement means: all of the task's directory but the recipe and the
/// data. Where the recipe is the whole directory, all but what proposers may edit.
fn trusted(root: &Path, recipe_dir: &Path, task: &Task) -> io::Result<Vec<String>> {
    let recipe = recipe_dir.strip_prefix(root).ok().and_then(Path::to_str);
    let editable = editable(&task.recipe).map_err(io::Error::other)?;
    let mut found = files::list(root)?;
    found.retain(|file| {
        let of_recipe = match recipe {
            Some("") => editable.matches(file),
            Some(recipe) => files::within(file, recipe),
            None => false,
        };
        !of_recipe && !task.data.iter().any(|data| files::within(file, &data.path))
    });
    Ok(found)
}

/// The globs of `recipe.edit`.
pub(crate) fn editable(recipe: &Recipe) -> Result<Globs, empiric_core::globs::GlobError> {
    Globs::new(&recipe.edit)
}
