//! Faults on purpose, fewer than `cargo xtask faults` makes of them.

use std::path::PathBuf;

use empiric_testkit::faults::{self, Row, Setting, Table};

/// Fails unless every row is as promised.
fn as_promised(fault: impl FnOnce(&Setting, &mut Table<'_>) -> anyhow::Result<()>) {
    let mut quiet = |_: &Row| {};
    let mut table = Table::new(&mut quiet);
    let exe = PathBuf::from(env!("CARGO_BIN_EXE_empiric"));
    fault(&Setting { exe, level: "auto".to_owned() }, &mut table).unwrap();
    let wrong: Vec<_> = table.rows.iter().filter(|row| !row.ok).collect();
    assert!(!table.rows.is_empty() && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_study_that_is_killed_goes_on_and_loses_nothing() {
    as_promised(|setting, table| faults::kills(setting, 20, 4, table));
}

#[test]
fn a_study_that_dies_at_any_door_goes_on_and_loses_nothing() {
    as_promised(faults::doors);
}

#[test]
fn a_machine_that_fails_is_told_apart_and_costs_nothing() {
    as_promised(faults::surroundings);
}

#[test]
fn a_changed_byte_is_found() {
    as_promised(|setting, table| faults::flips(setting, 4, table));
}

#[test]
fn a_forged_decision_is_found_though_the_chain_holds() {
    as_promised(faults::rewrites);
}

#[test]
fn a_recipe_that_misbehaves_gets_the_outcome_it_deserves() {
    as_promised(faults::recipes);
}
