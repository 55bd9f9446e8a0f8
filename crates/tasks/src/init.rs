//! Writes a starter `task.toml` for a directory, from what is found in it.

use std::{fmt::Write as _, path::Path, path::PathBuf};

use crate::{Error, FILE, files, quick::name_of};

/// Names under which scripts of each kind are looked for, in order of preference.
const EVALUATORS: [&str; 6] =
    ["evaluate.py", "evaluator.py", "eval.py", "score.py", "evaluate.sh", "score.sh"];
const TRAINERS: [&str; 8] =
    ["train.py", "main.py", "run.py", "bench.py", "train.sh", "main.sh", "run.sh", "bench.sh"];
const PREPARERS: [&str; 4] = ["prepare.py", "prepare.sh", "download.py", "data.sh"];

/// Writes `task.toml` into `dir` and returns its path. What is found there is filled in; the rest is commented out, or
/// a guess that `load` complains about where it is wrong.
///
/// # Errors
/// When there is one already, or the directory cannot be read or written.
pub fn init(dir: &Path) -> Result<PathBuf, Error> {
    let file = dir.join(FILE);
    if file.exists() {
        return Err(Error::Exists(file));
    }
    let dir = fs_err::canonicalize(dir)?;
    let text = starter(&name_of(&dir), &files::list(&dir)?);
    fs_err::write(&file, text)?;
    Ok(file)
}

/// What tells coding agents how to take part.
const AGENTS: &str = include_str!("agents.md");
/// The file that they read.
const AGENTS_FILE: &str = "AGENTS.md";
/// What our part of that file stands between.
const MARKS: [&str; 2] = ["<!-- empiric: begin -->\n", "<!-- empiric: end -->\n"];

/// Writes into `AGENTS.md` of `dir` how a coding agent takes part in the study `study` of the task in `dir`, and returns the
/// file's path. What else the file says stays; our own part of it, between marks, is replaced.
///
/// # Errors
/// When the file cannot be read or written, or has one of the marks without the other.
pub fn agents(dir: &Path, study: &Path) -> Result<PathBuf, Error> {
    let file = dir.join(AGENTS_FILE);
    let before = match fs_err::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let fill = |path: &Path| path.display().to_string();
    let ours = AGENTS.replace("{task}", &fill(dir)).replace("{study}", &fill(study));
    let ours = format!("{}{ours}{}", MARKS[0], MARKS[1]);
    let text = match (before.find(MARKS[0]), before.find(MARKS[1])) {
        (None, None) if before.is_empty() => ours,
        (None, None) => format!("{}\n\n{ours}", before.trim_end()),
        (Some(from), Some(to)) if from < to => {
            format!("{}{ours}{}", &before[..from], &before[to + MARKS[1].len()..])
        }
        (Some(_) | None, Some(_) | None) => return Err(Error::Marks(file)),
    };
    let staging = file.with_extension("md.partial");
    fs_err::write(&staging, text)?;
    fs_err::rename(&staging, &file)?;
    Ok(file)
}

/// The text for a directory called `name` with `files`.
fn starter(name: &str, files: &[String]) -> String {
    let root = if files.iter().any(|file| file.starts_with("recipe/")) { "recipe" } else { "." };
    let recipe: Vec<&str> = match root {
        "." => files.iter().map(String::as_str).collect(),
        _ => files.iter().filter_map(|file| file.strip_prefix("recipe/")).collect(),
    };
    let first = |names: &[&str], among: &[&str]| {
        names.iter().find(|name| among.contains(name)).map(ToString::to_string)
    };
    let task: Vec<&str> = files.iter().map(String::as_str).collect();
    let evaluator = first(&EVALUATORS, &task);
    let prepare = first(&PREPARERS, &task);
    let train = first(&TRAINERS, &recipe)
        .or_else(|| {
            recipe
                .iter()
                .find(|file| file.ends_with(".py") && !EVALUATORS.contains(file))
                .map(ToString::to_string)
        })
        .unwrap_or_else(|| "train.py".to_owned());
    let edit = if recipe.iter().any(|file| file.starts_with("src/")) {
        "src/**"
    } else if recipe.iter().any(|file| file.ends_with(".py") && !file.contains('/')) {
        "*.py"
    } else {
        "**"
    };
    let protect: Vec<String> = match root {
        "." => evaluator.iter().chain(&prepare).map(|file| format!("{file:?}")).collect(),
        _ => Vec::new(),
    };
    let requirements = task.contains(&"requirements.txt");
    let list = |script: &str| match script {
        script if script.ends_with(".py") => format!("[\"python\", {script:?}]"),
        script => format!("[\"sh\", {script:?}]"),
    };

    let mut text = String::new();
    let mut put = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    put(&format!("schema = 1\nname = \"{name}\"\nsummary = \"\"  # one line: what is improved"));
    put("\n[recipe]");
    put(&format!("root = \"{root}\""));
    put(&format!("edit = [\"{edit}\"]  # what proposers may change; everything else is protected"));
    if !protect.is_empty() {
        put(&format!("protect = [{}]", protect.join(", ")));
    }
    put("\n[environment]");
    put("python = \">=3.8\"");
    put(&format!("{}requirements = \"requirements.txt\"", if requirements { "" } else { "# " }));
    put(
        "\n# Runs once and writes below $EMPIRIC_DATA. Data of the evaluator alone are hidden from the recipe.",
    );
    let prepare_line = prepare.as_deref().unwrap_or("prepare.py");
    let mark = if prepare.is_some() { "" } else { "# " };
    put(&format!("{mark}[prepare]\n{mark}run = {}", list(prepare_line)));
    put(&format!("{mark}[[data]]\n{mark}path = \"data/public\""));
    put("# [[data]]\n# path = \"data/hidden\"\n# visible = \"evaluator\"");
    put(
        "\n# Runs in the recipe's directory and leaves what is scored in $EMPIRIC_OUT. Cheap stages come first.",
    );
    put(&format!(
        "[[stage]]\nname = \"train\"\nrun = {}\nlimits = {{ wall = \"10m\" }}",
        list(&train)
    ));
    match &evaluator {
        Some(script) => {
            put(
                "\n# Runs apart from the recipe: reads $EMPIRIC_ARTIFACTS, writes {\"metrics\": {\"loss\": 0.5}} to $EMPIRIC_RESULT.",
            );
            put(&format!("[evaluator]\nrun = {}\nlimits = {{ wall = \"10m\" }}", list(script)));
        }
        None => {
            put(
                "\n# Without an evaluator the metric is what the last stage prints, as `METRIC loss=0.5` or `loss: 0.5`: it is",
            );
            put(
                "# reported by the recipe itself, and marked so. An evaluator runs apart from it and writes",
            );
            put("# {\"metrics\": {\"loss\": 0.5}} to $EMPIRIC_RESULT.");
            put("# [evaluator]\n# run = [\"python\", \"evaluate.py\"]");
        }
    }
    put("\n[metric]\nname = \"loss\"\ngoal = \"minimize\"  # or \"maximize\"");
    put("\n# [[gate]]\n# metric = \"train.peak_memory_bytes\"\n# max = 2_000_000_000");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_part_of_the_agents_file_is_replaced_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let write = |study: &str| agents(dir.path(), Path::new(study));
        let read = || fs_err::read_to_string(dir.path().join(AGENTS_FILE)).unwrap();
        write("studies/one").unwrap();
        assert!(read().contains("empiric mcp") || read().contains("\"mcp\", \"studies/one\""));
        assert!(!read().contains("{study}") && !read().contains("{task}"));
        fs_err::write(dir.path().join(AGENTS_FILE), "# House rules\n\nBe kind.\n").unwrap();
        write("studies/one").unwrap();
        let with = read() + "\n## After\n";
        fs_err::write(dir.path().join(AGENTS_FILE), &with).unwrap();
        write("studies/two").unwrap();
        assert_eq!(read(), with.replace("studies/one", "studies/two"));
        assert!(read().starts_with("# House rules\n\nBe kind.\n\n<!-- empiric: begin -->\n"));
        fs_err::write(dir.path().join(AGENTS_FILE), MARKS[0]).unwrap();
        assert!(write("studies/two").unwrap_err().to_string().contains("AGENTS.md"));
        assert_eq!(read(), MARKS[0]);
    }
}
