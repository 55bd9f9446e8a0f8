//! The real program, from words to exit code, in a home of its own and on a task that takes milliseconds.

#![expect(clippy::unwrap_used, reason = "a test ends by its panic")]

mod ablation;
mod agents;
mod arms;
mod book;
mod causes;
mod contract;
mod faults;
mod interrupts;
mod models;
mod programs;
mod providers;
mod quick;
mod repeatable;
mod steering;
mod study;
mod wrong;

use std::path::Path;

use empiric_testkit::{Home, tasks};

/// A home with the tiny task in `task`.
fn home() -> Home {
    let home = bare_home();
    tasks::tiny(&home.path().join("task")).unwrap();
    home
}

fn bare_home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_empiric"))).unwrap()
}

/// The words of a command line without quotes.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
