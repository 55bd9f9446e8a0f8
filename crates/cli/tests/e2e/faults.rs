//! Faults on purpose, fewer than `cargo xtask faults` makes of them.

use std::path::Path;

use empiric_testkit::faults::{self, Row, Table};

/// Fails unless every row is as promised.
fn as_promised(fault: impl FnOnce(&Path, &mut Table<'_>) -> anyhow::Result<()>) {
    let mut quiet = |_: &Row| {};
    let mut table = Table::new(&mut quiet);
    fault(Path::new(env!("CARGO_BIN_EXE_empiric")), &mut table).unwrap();
    let wrong: Vec<_> = table.rows.iter().filter(|row| !row.ok).collect();
    assert!(!table.rows.is_empty() && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_study_that_is_killed_goes_on_and_loses_nothing() {
    as_promised(|exe, table| faults::kills(exe, 20, 4, table));
}

#[test]
fn a_changed_byte_is_found() {
    as_promised(|exe, table| faults::flips(exe, 4, table));
}

#[test]
fn a_forged_decision_is_found_though_the_chain_holds() {
    as_promised(faults::rewrites);
}

#[test]
fn a_recipe_that_misbehaves_gets_the_outcome_it_deserves() {
    as_promised(faults::recipes);
}
