//! Tasks for tests.

use std::{io, path::Path};

use fs_err as fs;

const TASK: &str = r#"schema = 1
name = "tiny"
summary = "a noisy valley over a few knobs, some milliseconds a replicate"

[recipe]
root = "recipe"
edit = ["**"]

[[stage]]
name = "train"
run = ["sh", "train.sh"]
limits = { wall = "2s", cpu = "2s", memory = "64MiB", processes = 64, output = "1MiB", disk = "16MiB" }

[evaluator]
run = ["sh", "evaluate.sh"]
limits = { wall = "10s" }

[metric]
name = "loss"
goal = "minimize"
"#;

/// A stage before the tiny task's own in which a proposer may try an edit; for `task.toml`.
pub const SMOKE: &str = r#"[[stage]]
name = "smoke"
run = ["sh", "train.sh"]
limits = { wall = "2s" }

"#;

const KNOBS: &str = "\
rate = 0.2
width = 12
decay = 0.5
warmup = 30
clip = 2.0
";

/// The knobs at which the tiny task's loss is least.
pub const WINNING_KNOBS: &str = "\
rate = 0.05
width = 32
decay = 0.1
warmup = 30
clip = 2.0
";

/// The tiny task's recipe: nothing is learnt, the knobs are the model.
pub const TRAIN: &str = r#"echo "training under seed $EMPIRIC_SEED"
cp knobs.toml "$EMPIRIC_OUT/model.toml"
"#;

/// `loss` is 1 at the best knobs and 1.6 at the recipe's; its noise has a standard deviation of 0.01 and is another one
/// for every seed and every model.
const EVALUATE: &str = r#"[ -f "$EMPIRIC_ARTIFACTS/model.toml" ] || exit 3
awk -v seed="$EMPIRIC_SEED" '
  $2 == "=" { knob[$1] = $3 }
  function off(name, best) { return log(knob[name] / best) ^ 2 }
  END {
    loss = 1 + 0.2 * off("rate", 0.05) + 0.1 * off("width", 32) + 0.05 * off("decay", 0.1)
    srand(seed + int(1000000 * loss))
    rand()
    for (i = 0; i < 12; i++) noise += rand() - 0.5
    printf "{\"metrics\": {\"loss\": %.6f}}\n", loss + 0.01 * noise
  }' "$EMPIRIC_ARTIFACTS/model.toml" > "$EMPIRIC_RESULT"
"#;

/// Writes a task into `dir` whose replicates take a few milliseconds and need nothing but a shell and awk: five knobs in
/// `recipe/knobs.toml`, three of which matter, and a noisy evaluator.
///
/// # Errors
/// When `dir` cannot be written.
pub fn tiny(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("recipe"))?;
    fs::write(dir.join("task.toml"), TASK)?;
    fs::write(dir.join("evaluate.sh"), EVALUATE)?;
    fs::write(dir.join("recipe/knobs.toml"), KNOBS)?;
    fs::write(dir.join("recipe/train.sh"), TRAIN)
}

/// A unified diff that replaces the whole content of the file at `path`.
#[must_use]
pub fn patch(path: &str, old: &str, new: &str) -> String {
    let side = |text: &str, mark: char| -> String {
        text.lines().map(|line| format!("{mark}{line}\n")).collect()
    };
    let (was, is) = (old.lines().count(), new.lines().count());
    format!(
        "--- a/{path}\n+++ b/{path}\n@@ -1,{was} +1,{is} @@\n{}{}",
        side(old, '-'),
        side(new, '+')
    )
}
