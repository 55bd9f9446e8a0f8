//! A task of two shell scripts. The recipe hands over a file of six numbers; the evaluator says how far they are from
//! where they began, so that no edit is ever better, every trial takes one replicate, and the metric has no noise: what
//! is measured is the house, not the search.

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
name = "distance"
goal = "minimize"
"#;

/// Where every knob begins.
pub(crate) const START: u32 = 5000;

const EVALUATE: &str = r#"distance=0
while read -r name equals value; do
    way=$((value - 5000))
    distance=$((distance + ${way#-}))
done <"$EMPIRIC_ARTIFACTS/knobs.toml"
printf '{"metrics": {"distance": %d}}' "$distance" >"$EMPIRIC_RESULT"
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
    let host = Host { cache: dir.join("cache"), path: "/usr/bin:/bin".into() };
    empiric_tasks::load(dir, &host).map_err(|problems| anyhow!("{problems:?}"))
}
