//! A task of two shell scripts. The recipe hands over a file of six numbers; the evaluator mixes them into a penalty
//! that only the numbers of the baseline escape. No edit is ever better, none says where to look next, and the metric
//! has no noise: every trial takes one replicate, and what is measured is the house, not the search.

use std::path::Path;

use anyhow::anyhow;
use empiric_tasks::{Host, Loaded};

const TASK: &str = r#"schema = 1
name = "trivial"
summary = "six numbers, best left alone"

[recipe]
root = "recipe"
edit = ["knobs.toml"]

[[stage]]
name = "train"
run = ["/bin/sh", "train.sh"]
limits = { wall = "30s", memory = "256MiB" }

[evaluator]
run = ["/bin/sh", "evaluate.sh"]
limits = { wall = "30s", memory = "256MiB" }

[metric]
name = "penalty"
goal = "minimize"
"#;

/// Where every knob begins.
pub(crate) const START: u32 = 5000;

const EVALUATE: &str = r#"mixed=0
moved=0
while read -r name equals value; do
    mixed=$(((mixed * 31 + value) % 99991))
    [ "$value" = 5000 ] || moved=1
done <"$EMPIRIC_ARTIFACTS/knobs.toml"
printf '{"metrics": {"penalty": %d}}' $((moved * (1 + mixed))) >"$EMPIRIC_RESULT"
"#;

/// The knobs file whose first knob is `first`.
pub(crate) fn knobs(first: u32) -> String {
    let rest = ["b", "c", "d", "e", "f"].map(|name| format!("{name} = {START}\n"));
    format!("a = {first}\n{}", rest.concat())
}

/// Writes the task below `dir`, with a recipe that takes `pause` seconds and a few milliseconds.
pub(crate) fn make(dir: &Path, pause: u32) -> anyhow::Result<Loaded> {
    let recipe = dir.join("recipe");
    fs_err::create_dir_all(&recipe)?;
    let sleep = if pause == 0 { String::new() } else { format!("sleep {pause}\n") };
    let copy =
        "while read -r line; do echo \"$line\"; done <knobs.toml >\"$EMPIRIC_OUT/knobs.toml\"\n";
    fs_err::write(dir.join("task.toml"), TASK)?;
    fs_err::write(dir.join("evaluate.sh"), EVALUATE)?;
    fs_err::write(recipe.join("train.sh"), format!("{sleep}{copy}"))?;
    fs_err::write(recipe.join("knobs.toml"), knobs(START))?;
    empiric_tasks::load(dir, &host(dir)).map_err(|problems| anyhow!("{problems:?}"))
}

/// The machine as the task at `dir` sees it: a cache of its own, and the system's programs.
pub(crate) fn host(dir: &Path) -> Host {
    Host { cache: dir.join("cache"), path: "/usr/bin:/bin".into() }
}
