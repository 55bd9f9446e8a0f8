//! What a failure is recognised by: its cause, the line that says what happened and the place in the recipe, without
//! whatever differs from one run to the next (numbers, addresses, ids, paths, temporary names, times).
//!
//! Derived, never stored: a better rule here makes every old study's failures group better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cause, Digest, Failure};

#[cfg(test)]
mod tests;

/// Most characters kept of a line, and of a place.
const LINE: usize = 160;
/// Stands for a number, an address, an id or a temporary name.
const NUMBER: char = '#';
/// Stands for a path.
const PATH: char = '/';
/// What may follow a number as its unit.
const UNITS: [&str; 30] = [
    "%", "B", "G", "GB", "GiB", "K", "KB", "KiB", "M", "MB", "MiB", "bytes", "h", "hours", "k",
    "kB", "m", "min", "minutes", "ms", "ns", "s", "sec", "secs", "seconds", "steps", "us", "x",
    "µs", "μs",
];

/// What a failure is recognised by.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Signature {
    /// The first 12 hexadecimal digits of the hash of blame, phase and text.
    pub hash: String,
    /// Cause, last line and place, in at most a few hundred characters.
    pub text: String,
}

impl Failure {
    /// What this failure is recognised by; the same for the same failure with other numbers and in other places.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let mut text = head(&self.cause);
        if telling(&self.cause) {
            let line = normal(last_line(&self.excerpt));
            if !line.is_empty() {
                text = format!("{text}: {line}");
            }
            if let Some(place) = place(&self.excerpt) {
                text = format!("{text} in {place}");
            }
        }
        let key = format!("{}\n{}\n{text}", self.blame, self.phase);
        let hash = Digest::of(key.as_bytes()).to_string()[..12].to_owned();
        Signature { hash, text }
    }
}

/// The cause without the file or the trial that it happened to.
fn head(cause: &Cause) -> String {
    match cause {
        Cause::Exception { .. }
        | Cause::Signal { .. }
        | Cause::NonFiniteMetric { .. }
        | Cause::MetricMissing { .. }
        | Cause::GateMiss { .. }
        | Cause::RedLine { .. } => cause.to_string().chars().take(LINE).collect(),
        Cause::NoProposal
        | Cause::ProposerFailed
        | Cause::PatchDoesNotApply
        | Cause::MergeConflict
        | Cause::OutsideSurface { .. }
        | Cause::ProtectedPath { .. }
        | Cause::ForbiddenFile { .. }
        | Cause::EmptyEdit
        | Cause::DuplicateTree { .. }
        | Cause::Syntax { .. }
        | Cause::OutOfMemory
        | Cause::WallLimit
        | Cause::CpuLimit
        | Cause::OutputFlood
        | Cause::DiskLimit
        | Cause::ProcessLimit
        | Cause::Denied
        | Cause::ArtifactTooLarge
        | Cause::BadArtifact
        | Cause::EvaluatorCrash
        | Cause::EvaluatorLimit
        | Cause::MalformedResult
        | Cause::SandboxFailed
        | Cause::HarnessFailed
        | Cause::Cancelled => cause.name().to_owned(),
    }
}

/// Whether what was printed says more than the cause does. What a program happened to print before it ran into a limit
/// does not.
fn telling(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NoProposal
            | Cause::ProposerFailed
            | Cause::PatchDoesNotApply
            | Cause::ForbiddenFile { .. }
            | Cause::Syntax { .. }
            | Cause::Exception { .. }
            | Cause::Signal { .. }
            | Cause::Denied
            | Cause::BadArtifact
            | Cause::EvaluatorCrash
            | Cause::MalformedResult
            | Cause::RedLine { .. }
            | Cause::SandboxFailed
            | Cause::HarnessFailed
    )
}

/// The line that says what happened: the one after the last frame of a traceback, the one after a panic's place, or the
/// last that is not blank.
fn last_line(excerpt: &str) -> &str {
    let lines: Vec<&str> = excerpt.lines().filter(|line| !line.trim().is_empty()).collect();
    let outside = |from: usize| {
        lines[from..].iter().find(|line| !line.starts_with(char::is_whitespace)).copied()
    };
    if let Some(frame) = lines.iter().rposition(|line| frame(line).is_some())
        && let Some(exception) = outside(frame + 1)
    {
        return exception;
    }
    if let Some(panic) = lines.iter().rposition(|line| line.contains("panicked at"))
        && let Some(message) = lines.get(panic + 1)
    {
        return message;
    }
    lines.last().copied().unwrap_or_default()
}

/// File and function of a Python traceback's frame.
fn frame(line: &str) -> Option<(&str, &str)> {
    let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    let function = rest.split_once(", in ").map_or("", |(_, function)| function.trim());
    rest.starts_with(", line ").then_some((path, function))
}

/// The innermost frame that is the recipe's own.
fn place(excerpt: &str) -> Option<String> {
    let foreign = ["/usr/", "/lib/python", "site-packages", "dist-packages"];
    let own =
        |path: &str| !path.starts_with('<') && !foreign.iter().any(|part| path.contains(part));
    let (path, function) = excerpt.lines().rev().filter_map(frame).find(|(path, _)| own(path))?;
    let file = path.rsplit('/').next().unwrap_or(path);
    let place = normal(&format!("{file} {function}"));
    (!place.is_empty()).then_some(place)
}

/// `line` without what differs from run to run, and bounded.
fn normal(line: &str) -> String {
    let mut text: String = line.chars().take(4 * LINE).collect();
    // What is left when something goes may be something that goes: until nothing does. No step makes it longer.
    loop {
        let next: String = once(&text).chars().take(LINE).collect();
        let next = next.trim_end().to_owned();
        if next == text {
            return text;
        }
        text = next;
    }
}

/// One pass over the words of `text`; blanks become single spaces.
fn once(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let boundary = |c: char| c.is_whitespace() || c.is_control() || "'\"`()[]{}<>,;=|".contains(c);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(boundary).unwrap_or(rest.len());
        if end == 0 {
            let c = if first.is_whitespace() || first.is_control() { ' ' } else { first };
            if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
                out.push(c);
            }
            rest = &rest[first.len_utf8()..];
        } else {
            word(&rest[..end], &mut out);
            rest = &rest[end..];
        }
    }
    merged(&out)
}

/// One word: a path, an id, a temporary name, or a word whose numbers go.
fn word(word: &str, out: &mut String) {
    let bare = word.trim_end_matches(['.', ':', '!', '?']);
    let tail = &word[bare.len()..];
    if bare.contains(PATH) {
        out.push(PATH);
    } else if is_id(bare) {
        out.push(NUMBER);
    } else {
        without_numbers(bare, out);
    }
    out.push_str(tail);
}

/// A UUID, an address, a hash, or a name that Python's `tempfile` makes.
fn is_id(word: &str) -> bool {
    let temporary = word.strip_prefix("tmp").is_some_and(|rest| {
        rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let mixed = digits.bytes().any(|b| b.is_ascii_digit()) && digits.len() >= 8;
    temporary || (!digits.is_empty() && hex && (mixed || digits.len() < word.len()))
}

/// The word with one mark for each number in it, and its unit.
fn without_numbers(word: &str, out: &mut String) {
    let figure = |c: char| c.is_ascii_digit() || c == NUMBER;
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        if !figure(c) {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        // A sign belongs to its number, unless it joins two words.
        let before = out.chars().rev().nth(1);
        if out.ends_with(['-', '+']) && !before.is_some_and(char::is_alphanumeric) {
            out.pop();
        }
        out.push(NUMBER);
        rest = rest.trim_start_matches(figure);
        while let Some(more) = rest.strip_prefix(['.', '_']).filter(|more| more.starts_with(figure))
        {
            rest = more.trim_start_matches(figure);
        }
        let exponent =
            rest.strip_prefix(['e', 'E']).map(|rest| rest.trim_start_matches(['-', '+']));
        if let Some(after) =
            exponent.filter(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        {
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        if UNITS.contains(&rest) {
            return;
        }
    }
}

/// Numbers in a row as one, and units as part of theirs: how many there are differs from run to run too.
fn merged(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let counted = words.last().is_some_and(|last| last.ends_with(NUMBER));
        if !(counted && UNITS.contains(&word)) {
            words.push(word);
        }
    }
    let mut text = words.join(" ");
    for run in ["#, #", "#,#", "# #", "##"] {
        while text.contains(run) {
            text = text.replace(run, "#");
        }
    }
    text
}
