//! Recipes of the tiny task that do what no recipe should, each with what must become of it.

use std::path::Path;

use crate::tasks::{TRAIN, patch};

/// One misbehaving recipe.
#[derive(Debug, Clone)]
pub struct Misbehaviour {
    /// What it does.
    pub name: &'static str,
    /// The cause of failure that must be recorded, or `valid` where it must not pay off but may be measured.
    pub expected: &'static str,
    script: String,
}

impl Misbehaviour {
    fn new(name: &'static str, expected: &'static str, does: &str) -> Self {
        Self { name, expected, script: format!("{TRAIN}{does}\n") }
    }

    /// The edit that makes the unedited recipe behave so.
    #[must_use]
    pub fn patch(&self) -> String {
        patch("train.sh", TRAIN, &self.script)
    }
}

/// All of them. `outside` is a directory of this machine that the recipe tries to write to, `port` a port that listens
/// on loopback.
#[must_use]
pub fn misbehaviours(outside: &Path, port: u16) -> Vec<Misbehaviour> {
    let places =
        format!("'{}' /usr . .. \"$EMPIRIC_OUT/..\" \"$EMPIRIC_OUT/../result\"", outside.display());
    vec![
        Misbehaviour::new("sleeps for ever", "wall_limit", "sleep 1000000"),
        Misbehaviour::new(
            "forks a daemon",
            "valid",
            "setsid sleep 1000000 </dev/null >/dev/null 2>&1 &",
        ),
        Misbehaviour::new("prints 1 GB", "output_flood", "head -c 1000000000 /dev/zero"),
        // It looks for the end of a line that never ends.
        Misbehaviour::new("eats memory", "out_of_memory", "tail -n 1 /dev/zero"),
        Misbehaviour::new(
            "returns NaN",
            "non_finite_metric",
            r#"echo "rate = -1" > "$EMPIRIC_OUT/model.toml""#,
        ),
        Misbehaviour::new(
            "writes outside its directory",
            "exception",
            &format!(
                "for place in {places}; do\n  if (echo escaped > \"$place/empiric-escaped\"); then exit 0; fi\ndone\nexit 9"
            ),
        ),
        Misbehaviour::new(
            "locks its temporary files",
            "valid",
            "mkdir -p \"$TMPDIR/a/b/c\" && chmod 0 \"$TMPDIR/a/b\" \"$TMPDIR/a\"",
        ),
        // All of it belongs to the same user; whoever comes next needs it as it is.
        Misbehaviour::new(
            "takes permissions from others",
            "exception",
            &format!(
                "for place in {places} train.sh knobs.toml; do\n  [ -e \"$place\" ] || continue\n  if chmod 0 \"$place\" || touch -d 2001-01-01 \"$place\"; then exit 0; fi\ndone 2>/dev/null\nexit 9"
            ),
        ),
        Misbehaviour::new(
            "opens a socket",
            "exception",
            &format!("bash -c 'echo hello > /dev/tcp/127.0.0.1/{port}' || exit 9"),
        ),
    ]
}
