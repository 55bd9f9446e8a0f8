//! Changed lines as hashes: what an edit is made of, without its text.
//!
//! The harness computes them from trees. They answer two questions that need no more than equality: was this line tried
//! before, and is this the same kind of change as that one?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hashes kept of each side of one file; an edit larger than this is compared by its first lines alone.
const MOST: usize = 256;

/// The changed lines of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Lines {
    /// Hash of each line added, sorted; lines that say nothing on their own are left out.
    pub added: Vec<u32>,
    /// The same of lines removed.
    pub removed: Vec<u32>,
    /// Hash of all changed lines with their numbers struck out, so that moving one literal twice is one kind of edit.
    pub shape: u32,
}

impl Lines {
    /// The lines of a change to the file at `path`.
    #[must_use]
    pub fn of(path: &str, removed: &[&str], added: &[&str]) -> Self {
        let hashes = |lines: &[&str]| {
            let mut hashes: Vec<u32> =
                lines.iter().filter(|line| telling(line)).map(|line| hash(path, line)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes.truncate(MOST);
            hashes
        };
        let side = |sign: char, lines: &[&str]| -> Vec<String> {
            let telling = lines.iter().filter(|line| telling(line));
            telling.map(|line| format!("{sign}{}", without_numbers(line))).collect()
        };
        let mut shapes = side('-', removed);
        shapes.extend(side('+', added));
        if shapes.is_empty() {
            return Self::default();
        }
        shapes.sort_unstable();
        shapes.dedup();
        Self {
            added: hashes(added),
            removed: hashes(removed),
            shape: hash(path, &shapes.join("\n")),
        }
    }

    /// Whether no changed line says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Whether a line says anything on its own: a lone bracket or `else:` is in every other edit.
fn telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() > 4
}

fn hash(path: &str, text: &str) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_bytes());
    hasher.update(b"\0");
    hasher.update(text.split_whitespace().collect::<Vec<_>>().join(" ").as_bytes());
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The line with every number replaced by one sign.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut number = false;
    let mut word = false;
    for c in line.trim().chars() {
        let starts = c.is_ascii_digit() && !word;
        let goes_on = number && (c.is_ascii_alphanumeric() || ".+-_".contains(c));
        if starts || goes_on {
            if !number {
                out.push('#');
            }
            number = true;
        } else {
            number = false;
            word = c.is_alphanumeric() || c == '_';
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_one_literal_twice_is_one_kind_of_edit() {
        let once = Lines::of("a.py", &["RATE = 0.01"], &["RATE = 2e-2"]);
        let twice = Lines::of("a.py", &["RATE = 2e-2"], &["RATE = 0.5"]);
        assert_eq!(once.shape, twice.shape);
        assert_eq!(once.added, twice.removed);
        assert_ne!(once.shape, Lines::of("b.py", &["RATE = 0.01"], &["RATE = 2e-2"]).shape);
        assert_ne!(once.shape, Lines::of("a.py", &["WIDTH = 1"], &["WIDTH = 2"]).shape);
    }

    #[test]
    fn names_with_digits_are_names() {
        assert_eq!(without_numbers("  conv2 = layer(16, x1, 1e-3)"), "conv2 = layer(#, x1, #)");
    }

    #[test]
    fn indentation_and_lone_brackets_do_not_count() {
        let plain = Lines::of("a.py", &[], &["value = f(x)", ")"]);
        let indented = Lines::of("a.py", &[], &["    value = f(x)"]);
        assert_eq!(plain, indented);
        // Otherwise it would be written as nothing and read back as something else.
        assert_eq!(Lines::of("a.py", &["}"], &["]"]), Lines::default());
    }
}
