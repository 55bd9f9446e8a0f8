//! What must hold of whatever is read from others, for any bytes at all: task files, results, events, patches, edits.
//!
//! Each target is a function that panics when a property does not hold. `cargo xtask fuzz` drives them by coverage for
//! as long as it is told; the tests here replay the seeds in `fuzz/seeds` and a few thousand mutations of them.

mod events;
mod models;
mod texts;

#[cfg(test)]
mod tests;

/// A name, and what panics when a property does not hold of the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// The targets by name. Each has seeds in `fuzz/seeds/<name>` and a driver in `fuzz/fuzz_targets/<name>.rs`.
pub const TARGETS: [Target; 8] = [
    ("task", texts::task),
    ("result", texts::result),
    ("events", events::events),
    ("patch", texts::patch),
    ("edits", texts::edits),
    ("printed", texts::printed),
    ("globs", texts::globs),
    ("models", models::models),
];

/// Runs the target called `name` on `data`.
///
/// # Panics
/// When a property does not hold, and when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("there is no fuzz target `{name}`")).1(data);
}

/// Longest message about somebody else's input, bytes.
const MESSAGE: usize = 2000;

#[track_caller]
fn bounded(message: &impl ToString) {
    let message = message.to_string();
    assert!(message.len() <= MESSAGE, "{} bytes of message: {:.300}", message.len(), message);
}
