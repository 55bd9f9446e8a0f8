//! Edits whose outcome is known before they are measured: what a task must refuse, survive, or not be impressed by.

use std::path::Path;

use empiric_core::{Blame, Outcome, Trial, Verdict, task::Task};
use empiric_lineage::Rules;

use crate::exit::{Failure, Kind};

/// Longest wall limit of a stage, seconds, that a canary may run into.
const PATIENCE: f64 = 60.0;

/// An edit whose outcome is known.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    pub(crate) file: String,
    pub(crate) text: String,
}

/// What must become of a canary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Anything but a keep.
    NotKept,
    /// A failure that the edit or the recipe answers for.
    OwnFailure,
    /// This cause of failure.
    Cause(&'static str),
}

impl Expected {
    /// As it is shown.
    pub(crate) fn words(self) -> String {
        match self {
            Self::NotKept => "not kept".to_owned(),
            Self::OwnFailure => "failure of its own".to_owned(),
            Self::Cause(name) => name.replace('_', " "),
        }
    }

    /// Whether `trial` ended so.
    pub(crate) fn met(self, trial: &Trial) -> bool {
        match (&trial.outcome, self) {
            (None, _) => false,
            (Some(Outcome::Valid { verdict, .. }), Self::NotKept) => *verdict != Verdict::Keep,
            (Some(Outcome::Failed(_)), Self::NotKept) => true,
            (Some(Outcome::Failed(failure)), Self::OwnFailure) => {
                matches!(failure.blame, Blame::Edit | Blame::Recipe)
            }
            (Some(Outcome::Failed(failure)), Self::Cause(name)) => failure.cause.name() == name,
            (Some(Outcome::Valid { .. }), Self::OwnFailure | Self::Cause(_)) => false,
        }
    }
}

/// The canaries that this recipe allows. Those that misbehave as they run need an editable Python or shell program.
pub(crate) fn canaries(task: &Task, recipe: &Path) -> Result<Vec<Canary>, Failure> {
    let files = editable(task, recipe)?;
    let (file, text) =
        files.iter().find(|(name, _)| name.ends_with(".py")).or(files.first()).ok_or_else(
            || {
                Failure::say(
                    Kind::Input,
                    "no file of the recipe matches [recipe] edit, so nothing can be tried",
                )
            },
        )?;
    let comment =
        if ["py", "sh", "toml", "yaml"].iter().any(|end| file.ends_with(end)) { "#" } else { "//" };
    let python = file.ends_with(".py");
    let canary = |name, expected, text: String| Canary { name, expected, file: file.clone(), text };
    let mut all = vec![
        canary("comment", Expected::NotKept, format!("{text}\n{comment} nothing changes\n")),
        // What is no program may be read by one that does not mind.
        canary(
            "broken",
            if python { Expected::OwnFailure } else { Expected::NotKept },
            format!("{text}\n)]}} this is no program (\n"),
        ),
        canary("empty", Expected::Cause("empty_edit"), text.clone()),
    ];
    let forbidden = "empiric-canary.forbidden";
    if !Rules::new(task)?.editable(forbidden) {
        all.push(Canary {
            name: "protected",
            expected: Expected::Cause("protected_path"),
            file: forbidden.to_owned(),
            text: "not editable\n".to_owned(),
        });
    }
    let program = |(name, _): &&(String, String)| {
        task.stages.iter().any(|stage| stage.command.run.contains(name))
    };
    if let Some((file, text)) = files.iter().find(program) {
        let language = match file.rsplit('.').next() {
            Some("py") => PYTHON,
            Some("sh") => SHELL,
            Some(_) | None => &[],
        };
        let short = task.stages.iter().all(|stage| stage.command.limits.wall_s <= PATIENCE);
        let bounded = task.stages.iter().any(|stage| stage.command.limits.memory.is_some());
        for (name, expected, code) in language {
            let possible = match *name {
                "hang" => short,
                "memory" => bounded,
                _ => true,
            };
            if possible {
                let text = first(text, code);
                all.push(Canary { name, expected: *expected, file: file.clone(), text });
            }
        }
    }
    Ok(all)
}

type Misbehaviour = (&'static str, Expected, &'static str);

const PYTHON: &[Misbehaviour] = &[
    ("hang", Expected::Cause("wall_limit"), "import time\ntime.sleep(1e6)\n"),
    (
        "daemon",
        Expected::NotKept,
        "import os as _os\nif _os.fork() == 0:\n    _os.setsid()\n    if _os.fork() == 0:\n        import time\n        time.sleep(1e6)\n    _os._exit(0)\n",
    ),
    (
        "memory",
        Expected::Cause("out_of_memory"),
        "_hoard = []\nwhile True:\n    _hoard.append(bytearray(1 << 24))\n",
    ),
    ("flood", Expected::Cause("output_flood"), "while True:\n    print('x' * 65536)\n"),
    ("silent", Expected::OwnFailure, "raise SystemExit(0)\n"),
    (
        "forge",
        Expected::OwnFailure,
        "import glob as _glob, os as _os\n_forged = '{\"metrics\": {}}'\nfor _dir in ['.', '..', '/tmp', '/empiric/result', _os.environ['EMPIRIC_OUT']]:\n    try:\n        open(_os.path.join(_dir, 'result.json'), 'w').write(_forged)\n    except OSError:\n        pass\nraise SystemExit(0)\n",
    ),
];

const SHELL: &[Misbehaviour] = &[
    ("hang", Expected::Cause("wall_limit"), "sleep 1000000\n"),
    ("daemon", Expected::NotKept, "setsid sleep 1000000 >/dev/null 2>&1 &\n"),
    ("memory", Expected::Cause("out_of_memory"), "tail /dev/zero\nexit 1\n"),
    ("flood", Expected::Cause("output_flood"), "while :; do yes | head -c 1000000; done\n"),
    ("silent", Expected::OwnFailure, "exit 0\n"),
];

/// `text` with `code` run before anything else in it: after the lines that a language wants first.
fn first(text: &str, code: &str) -> String {
    let leading = |line: &&str| line.starts_with("#!") || line.starts_with("from __future__");
    let last = text
        .lines()
        .enumerate()
        .filter(|(_, line)| leading(line))
        .map(|(at, _)| at + 1)
        .last()
        .unwrap_or(0);
    let split: usize = text.split_inclusive('\n').take(last).map(str::len).sum();
    format!("{}{code}{}", &text[..split], &text[split..])
}

/// The recipe's editable text files, sorted by path.
fn editable(task: &Task, recipe: &Path) -> Result<Vec<(String, String)>, Failure> {
    let rules = Rules::new(task)?;
    let mut files = Vec::new();
    let mut pending = vec![recipe.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.strip_prefix(recipe).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') {
                pending.push(path);
            } else if rules.editable(&name)
                && let Ok(text) = fs_err::read_to_string(&path)
            {
                files.push((name, text));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comes_after_what_a_language_wants_first() {
        assert_eq!(first("a\nb\n", "X\n"), "X\na\nb\n");
        assert_eq!(first("#!/bin/sh\nrun\n", "X\n"), "#!/bin/sh\nX\nrun\n");
        assert_eq!(
            first("from __future__ import annotations\nrun\n", "X\n"),
            "from __future__ import annotations\nX\nrun\n"
        );
    }
}
