//! Differences between two trees, as counts and as a patch that `git apply` understands.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

use empiric_core::{Lines, TreeId, trial::FileChange};
use imara_diff::{Algorithm, InternedInput};

use crate::{
    Mode, Result, Store,
    store::{blob, object_id},
    tree::{Change, Leaf, changes},
};

/// Unchanged lines shown around a change, as in git.
const CONTEXT: u32 = 3;

/// What differs between two trees. A renamed file is one deleted and one added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Every file that differs, in order of path; binary files count no lines.
    pub files: Vec<FileChange>,
    unified: String,
}

impl Diff {
    /// The difference as a patch in git's extended unified format; binary files are only noted.
    #[must_use]
    pub fn unified(&self) -> &str {
        &self.unified
    }
}

impl Store {
    /// What differs between tree `a` and tree `b`.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn diff(&self, a: TreeId, b: TreeId) -> Result<Diff> {
        let repo = self.repo();
        let mut diff = Diff::default();
        for (path, change) in changes(&repo, Some(object_id(a)), Some(object_id(b)))? {
            let mut file = FileChange { path, added: 0, removed: 0, lines: Lines::default() };
            let from = diff.unified.len();
            for change in parts(change) {
                let old = Side::load(&repo, change.old)?;
                let new = Side::load(&repo, change.new)?;
                let text = FileDiff { path: &file.path, old: &old, new: &new };
                let lines = text.write(&mut diff.unified).unwrap_or_default();
                file.added += lines.added;
                file.removed += lines.removed;
            }
            let (removed, added) = sides(&diff.unified[from..]);
            file.lines = Lines::of(&file.path, &removed, &added);
            diff.files.push(file);
        }
        Ok(diff)
    }
}

/// Lines removed and added, from a patch of one file.
fn sides(patch: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    let mut within = false;
    for line in patch.lines() {
        match line.split_at_checked(1) {
            Some(("-", line)) if within => removed.push(line),
            Some(("+", line)) if within => added.push(line),
            // A line of a hunk begins with a sign or a blank.
            _ if line.starts_with("diff --git ") => within = false,
            _ if line.starts_with("@@ ") => within = true,
            _ => {}
        }
    }
    (removed, added)
}

/// A file that becomes a link, or the reverse, is one thing deleted and another added.
fn parts(change: Change) -> Vec<Change> {
    match (change.old, change.new) {
        (Some(old), Some(new)) if old.mode.is_file() != new.mode.is_file() => {
            vec![Change { old: change.old, new: None }, Change { old: None, new: change.new }]
        }
        _ => vec![change],
    }
}

struct Side {
    leaf: Option<Leaf>,
    bytes: Vec<u8>,
}

impl Side {
    fn load(repo: &gix::Repository, leaf: Option<Leaf>) -> Result<Self> {
        let bytes = match leaf {
            Some(leaf) if leaf.mode != Mode::Submodule => blob(repo, leaf.id)?,
            Some(_) | None => Vec::new(),
        };
        Ok(Self { leaf, bytes })
    }

    fn id(&self) -> String {
        self.leaf.map_or_else(|| "0".repeat(40), |leaf| leaf.id.to_string())
    }
}

/// Text that line tools can work on; everything else is binary.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[derive(Default)]
struct Counts {
    added: u32,
    removed: u32,
}

struct FileDiff<'a> {
    path: &'a str,
    old: &'a Side,
    new: &'a Side,
}

impl FileDiff<'_> {
    fn write(&self, out: &mut String) -> Result<Counts, fmt::Error> {
        let (a, b) = (quoted("a/", self.path), quoted("b/", self.path));
        writeln!(out, "diff --git {a} {b}")?;
        let kept_mode = match (self.old.leaf, self.new.leaf) {
            (Some(old), Some(new)) if old.mode == new.mode => format!(" {}", new.mode.octal()),
            (Some(old), Some(new)) => {
                writeln!(out, "old mode {}\nnew mode {}", old.mode.octal(), new.mode.octal())?;
                String::new()
            }
            (None, Some(new)) => {
                writeln!(out, "new file mode {}", new.mode.octal())?;
                String::new()
            }
            (Some(old), None) => {
                writeln!(out, "deleted file mode {}", old.mode.octal())?;
                String::new()
            }
            (None, None) => String::new(),
        };
        let same = self.old.leaf.map(|leaf| leaf.id) == self.new.leaf.map(|leaf| leaf.id);
        if !same {
            writeln!(out, "index {}..{}{kept_mode}", self.old.id(), self.new.id())?;
        }
        let side = |side: &Side, name: &str| {
            // A tab ends a name with blanks in it, as git writes it.
            let tab = if name.contains(' ') { "\t" } else { "" };
            side.leaf.map_or_else(|| "/dev/null".to_owned(), |_| format!("{name}{tab}"))
        };
        let (a, b) = (side(self.old, &a), side(self.new, &b));
        let (Some(old), Some(new)) = (text(&self.old.bytes), text(&self.new.bytes)) else {
            if !same {
                writeln!(out, "Binary files {a} and {b} differ")?;
            }
            return Ok(Counts::default());
        };
        if old == new {
            return Ok(Counts::default());
        }
        writeln!(out, "--- {a}\n+++ {b}")?;
        hunks(out, old, new)
    }
}

/// A path as git quotes it. Control characters and backslashes never get into a recipe's tree.
fn quoted(side: &str, path: &str) -> String {
    if path.contains('"') {
        format!("\"{side}{}\"", path.replace('"', "\\\""))
    } else {
        format!("{side}{path}")
    }
}

fn hunks(out: &mut String, old: &str, new: &str) -> Result<Counts, fmt::Error> {
    let input = InternedInput::new(old, new);
    let mut diff = imara_diff::Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let changed: Vec<_> = diff.hunks().collect();
    let line = |out: &mut String, sign: char, token| -> fmt::Result {
        let line: &str = input.interner[token];
        out.write_char(sign)?;
        out.write_str(line)?;
        if line.ends_with('\n') {
            Ok(())
        } else {
            out.write_str("\n\\ No newline at end of file\n")
        }
    };
    for group in changed.chunk_by(|a, b| b.before.start - a.before.end <= 2 * CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let lead = first.before.start.min(CONTEXT);
        let tail = (input.before.len() as u32 - last.before.end).min(CONTEXT);
        let before = first.before.start - lead..last.before.end + tail;
        let after = first.after.start - lead..last.after.end + tail;
        writeln!(out, "@@ -{} +{} @@", range(&before), range(&after))?;
        let mut at = before.start;
        for hunk in group {
            for token in &input.before[at as usize..hunk.before.start as usize] {
                line(out, ' ', *token)?;
            }
            for token in &input.before[hunk.before.start as usize..hunk.before.end as usize] {
                line(out, '-', *token)?;
            }
            for token in &input.after[hunk.after.start as usize..hunk.after.end as usize] {
                line(out, '+', *token)?;
            }
            at = hunk.before.end;
        }
        for token in &input.before[at as usize..before.end as usize] {
            line(out, ' ', *token)?;
        }
    }
    Ok(Counts { added: diff.count_additions(), removed: diff.count_removals() })
}

/// Lines are counted from 1; an empty range names the line before it.
fn range(lines: &Range<u32>) -> String {
    let start = if lines.is_empty() { lines.start } else { lines.start + 1 };
    format!("{start},{}", lines.len())
}
