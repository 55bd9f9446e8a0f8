//! Edits as models write them: blocks that say which lines of a file go and which come in their place.
//!
//! ```text
//! model.py
//! <<<<<<< SEARCH
//! depth = 4
//! =======
//! depth = 6
//! >>>>>>> REPLACE
//! ```
//!
//! The line before a block names the file; a code fence may stand between, and a block without such a line goes on in
//! the file before it. Lines are compared whole, but for how they end, and must be found exactly once: a guess which of
//! two places was meant would be measured as if it had been the idea. A block that searches for nothing makes a new
//! file. Blocks apply in turn. What stands between blocks is prose and not read.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Files;

#[cfg(test)]
mod tests;

const SEARCH: &str = "<<<<<<< SEARCH";
const DIVIDER: &str = "=======";
const REPLACE: &str = ">>>>>>> REPLACE";
/// Most characters of somebody else's text in a message.
const SHOWN: usize = 120;
/// Most line numbers in a message.
const PLACES: usize = 5;

/// Search-and-replace blocks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    path: String,
    /// Line of its first marker, from 1.
    line: usize,
    search: Vec<String>,
    replace: Vec<String>,
}

/// Edits that are not understood or do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("edit block at line {line}{}: {fault}", .path.as_deref().map(|path| format!(" of {}", shown(path))).unwrap_or_default())]
pub struct EditError {
    /// Line of the text of edits, from 1.
    pub line: usize,
    /// The file, once known.
    pub path: Option<String>,
    /// What is wrong.
    pub fault: EditFault,
}

/// What is wrong with an edit block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// There is no block at all.
    #[error(
        "there is none; write `{SEARCH}`, the lines to find, `{DIVIDER}`, the new lines, `{REPLACE}`"
    )]
    NoBlock,
    /// No line before it names a file.
    #[error("it names no file; write the path on the line before `{SEARCH}`")]
    NoPath,
    /// A marker is missing, or stands where another is due.
    #[error("`{found}` stands where `{due}` is due")]
    Marker {
        /// What stands there; `the end` at the end.
        found: String,
        /// What should.
        due: &'static str,
    },
    /// The file to change is not there.
    #[error("there is no such file; search for nothing to make a new one")]
    NoFile,
    /// The file to make is there.
    #[error(
        "it searches for nothing, but the file is there and not empty; search for the lines to replace"
    )]
    FileExists,
    /// The lines are not in the file.
    #[error("its lines are not in the file{}", .missing.as_deref().map(|line| format!("; no line of it is `{line}`")).unwrap_or_default())]
    NotFound {
        /// The first line that the file does not have anywhere; none when only their order differs.
        missing: Option<String>,
    },
    /// The lines are there more than once.
    #[error("its lines are in the file {times} times, at lines {}; add lines around them until there is one place", lines(.places))]
    Ambiguous {
        /// How often.
        times: usize,
        /// Where the first of them begin, from 1.
        places: Vec<usize>,
    },
}

/// Text to find in a file exactly once, and what comes in its place: the form that programs send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The file, within the recipe.
    pub path: String,
    /// Text that stands in the file exactly once, whitespace and line ends included; empty to make a new file.
    pub search: String,
    /// What comes in its place.
    pub replace: String,
}

/// A replacement that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("edit {number} of {}: {fault}", shown(.path))]
pub struct ReplaceError {
    /// Which of them, from 1.
    pub number: usize,
    /// Its file.
    pub path: String,
    /// What is wrong.
    pub fault: EditFault,
}

/// The files that `replacements` change, one after the other, as they are afterwards.
///
/// # Errors
/// When one does not fit `files` or what earlier ones made of them.
pub fn replace(
    files: &Files,
    replacements: &[Replacement],
) -> Result<BTreeMap<String, String>, ReplaceError> {
    let mut changed: BTreeMap<String, String> = BTreeMap::new();
    for (n, one) in replacements.iter().enumerate() {
        let current = changed.get(&one.path).map(String::as_str);
        let current = current.or_else(|| files.get(&one.path).map(AsRef::as_ref));
        let text = one.apply(current).map_err(|fault| ReplaceError {
            number: n + 1,
            path: one.path.clone(),
            fault,
        })?;
        changed.insert(one.path.clone(), text);
    }
    Ok(changed)
}

impl Replacement {
    /// The file after this replacement.
    fn apply(&self, text: Option<&str>) -> Result<String, EditFault> {
        match (text, self.search.is_empty()) {
            (None, true) => return Ok(self.replace.clone()),
            (None, false) => return Err(EditFault::NoFile),
            (Some(""), true) => return Ok(self.replace.clone()),
            (Some(_), true) => return Err(EditFault::FileExists),
            (Some(_), false) => {}
        }
        let text = text.unwrap_or_default();
        let places: Vec<usize> = text.match_indices(&self.search).map(|(at, _)| at).collect();
        match places[..] {
            [at] => {
                let end = at + self.search.len();
                Ok([&text[..at], &self.replace, &text[end..]].concat())
            }
            [] => {
                let bare: Vec<&str> = text.lines().collect();
                let missing = self.search.lines().find(|line| !bare.contains(line));
                Err(EditFault::NotFound { missing: missing.map(shown) })
            }
            [..] => {
                let line = |at: &usize| text[..*at].matches('\n').count() + 1;
                let first = places.iter().take(PLACES).map(line).collect();
                Err(EditFault::Ambiguous { times: places.len(), places: first })
            }
        }
    }
}

impl Edits {
    /// Reads the blocks of `text`.
    ///
    /// # Errors
    /// When there is none, one is not complete, or one names no file.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let lines: Vec<&str> = text.lines().collect();
        let mut blocks: Vec<Block> = Vec::new();
        let mut after = 0;
        let mut at = 0;
        while at < lines.len() {
            if lines[at].trim_end() != SEARCH {
                at += 1;
                continue;
            }
            let before = blocks.last().map(|block| block.path.as_str());
            let path = named(&lines[after..at]).or(before).map(str::to_owned);
            let fail = |line: usize, fault| EditError { line: line + 1, path: path.clone(), fault };
            let (search, divider) = until(&lines, at + 1, DIVIDER).map_err(|(n, f)| fail(n, f))?;
            let (replace, end) =
                until(&lines, divider + 1, REPLACE).map_err(|(n, f)| fail(n, f))?;
            let Some(path) = path.clone() else { return Err(fail(at, EditFault::NoPath)) };
            blocks.push(Block { path, line: at + 1, search, replace });
            (after, at) = (end + 1, end + 1);
        }
        if blocks.is_empty() {
            return Err(EditError { line: 1, path: None, fault: EditFault::NoBlock });
        }
        Ok(Self { blocks })
    }

    /// The files that the blocks change, as they are afterwards.
    ///
    /// # Errors
    /// When a block does not fit `files` or what earlier blocks made of them.
    pub fn apply(&self, files: &Files) -> Result<BTreeMap<String, String>, EditError> {
        let mut changed: BTreeMap<String, String> = BTreeMap::new();
        for block in &self.blocks {
            let current = changed.get(&block.path).map(String::as_str);
            let current = current.or_else(|| files.get(&block.path).map(AsRef::as_ref));
            let text = block.apply(current).map_err(|fault| EditError {
                line: block.line,
                path: Some(block.path.clone()),
                fault,
            })?;
            changed.insert(block.path.clone(), text);
        }
        Ok(changed)
    }
}

impl Block {
    /// The file after this block.
    fn apply(&self, text: Option<&str>) -> Result<String, EditFault> {
        let Some(text) = text else {
            let new = self.search.is_empty();
            return if new { Ok(joined(&self.replace, "\n")) } else { Err(EditFault::NoFile) };
        };
        if self.search.is_empty() {
            let empty = text.is_empty();
            return if empty {
                Ok(joined(&self.replace, "\n"))
            } else {
                Err(EditFault::FileExists)
            };
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let bare: Vec<&str> = lines.iter().map(|line| ended(line).0).collect();
        let places: Vec<usize> = bare
            .windows(self.search.len())
            .enumerate()
            .filter(|(_, window)| *window == self.search)
            .map(|(at, _)| at)
            .collect();
        let at = match places[..] {
            [at] => at,
            [] => {
                let missing = self.search.iter().find(|line| !bare.contains(&line.as_str()));
                return Err(EditFault::NotFound { missing: missing.map(|line| shown(line)) });
            }
            [..] => {
                let first = places.iter().take(PLACES).map(|at| at + 1).collect();
                return Err(EditFault::Ambiguous { times: places.len(), places: first });
            }
        };
        let end = at + self.search.len();
        let mut new = joined(&self.replace, ended(lines[0]).1);
        // A file that did not end its last line still does not.
        if end == lines.len() && ended(lines[end - 1]).1.is_empty() {
            new.truncate(ended(&new).0.len());
        }
        Ok(lines[..at]
            .iter()
            .copied()
            .chain([new.as_str()])
            .chain(lines[end..].iter().copied())
            .collect())
    }
}

/// A line and how it ends; the last of a file may have no end.
fn ended(line: &str) -> (&str, &str) {
    let bare = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    line.split_at(bare.len())
}

/// The lines as text; an end that is not known is a newline.
fn joined(lines: &[String], end: &str) -> String {
    let end = if end.is_empty() { "\n" } else { end };
    lines.iter().flat_map(|line| [line.as_str(), end]).collect()
}

/// The file that the line right before a block names.
fn named<'a>(before: &[&'a str]) -> Option<&'a str> {
    let mut lines = before.iter().rev().map(|line| line.trim());
    let mut last = lines.next()?;
    if last.starts_with("```") {
        last = lines.next()?;
    }
    let path = last.trim_matches('`').trim();
    (!path.is_empty()).then_some(path)
}

/// The lines from `from` to the marker `due`, and where that stands; no other marker may come before it.
fn until(
    lines: &[&str],
    from: usize,
    due: &'static str,
) -> Result<(Vec<String>, usize), (usize, EditFault)> {
    let marker = |line: &str| [SEARCH, DIVIDER, REPLACE].contains(&line.trim_end());
    let at = lines[from..].iter().position(|line| marker(line)).map(|at| from + at);
    let found = at.map_or("the end", |at| lines[at].trim_end());
    match at {
        Some(at) if found == due => {
            Ok((lines[from..at].iter().map(|line| (*line).to_owned()).collect(), at))
        }
        Some(_) | None => {
            let place = at.unwrap_or(lines.len().saturating_sub(1));
            Err((place, EditFault::Marker { found: found.to_owned(), due }))
        }
    }
}

fn shown(text: &str) -> String {
    text.trim_end().chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

fn lines(places: &[usize]) -> impl fmt::Display {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
