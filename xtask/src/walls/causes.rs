//! Every cause of failure is produced by a test that goes through what produces it in a study.

use std::collections::BTreeSet;

use crate::tools::root;

const RUNS: (&str, &str) =
    ("crates/cli/tests/e2e/causes.rs", "each_way_to_fail_as_it_runs_is_told_apart");
const REFUSALS: (&str, &str) =
    ("crates/cli/tests/e2e/causes.rs", "each_way_to_be_refused_is_told_apart");
const TUNER: &str = "crates/agents/src/tuner/tests.rs";
const ENGINE: &str = "crates/engine/src/propose/tests.rs";
const SCRIPTED: &str = "crates/evaluate/src/replicate/tests.rs";

/// Each cause by its stable name, the file and the test that produces it.
const PRODUCED: [(&str, (&str, &str)); 31] = [
    ("no_proposal", (TUNER, "a_recipe_without_settings_yields_no_proposal")),
    ("proposer_failed", (TUNER, "a_surface_that_is_no_glob_is_the_proposers_failure")),
    ("patch_does_not_apply", REFUSALS),
    ("merge_conflict", (ENGINE, "parents_that_change_the_same_lines_conflict")),
    (
        "outside_surface",
        ("crates/lineage/src/tests/rules.rs", "a_surface_is_its_globs_and_its_symbols"),
    ),
    ("protected_path", REFUSALS),
    ("forbidden_file", REFUSALS),
    ("empty_edit", REFUSALS),
    ("duplicate_tree", REFUSALS),
    ("syntax", REFUSALS),
    ("exception", RUNS),
    ("signal", RUNS),
    ("out_of_memory", RUNS),
    ("wall_limit", RUNS),
    ("cpu_limit", RUNS),
    ("output_flood", RUNS),
    ("disk_limit", RUNS),
    ("process_limit", RUNS),
    ("denied", RUNS),
    ("non_finite_metric", RUNS),
    ("metric_missing", RUNS),
    ("gate_miss", RUNS),
    ("artifact_too_large", RUNS),
    ("bad_artifact", RUNS),
    ("evaluator_crash", RUNS),
    ("evaluator_limit", RUNS),
    ("malformed_result", RUNS),
    (
        "red_line",
        (
            "crates/decide/src/tests/supervised.rs",
            "an_edit_that_crosses_a_line_ends_before_anything_runs",
        ),
    ),
    ("sandbox_failed", (SCRIPTED, "how_a_recipe_ends_decides_the_cause")),
    (
        "harness_failed",
        ("crates/decide/src/tests/flow.rs", "trials_wait_for_the_baseline_and_end_with_it"),
    ),
    ("cancelled", (SCRIPTED, "how_a_recipe_ends_decides_the_cause")),
];

/// The names that `Cause::name` gives.
fn causes() -> BTreeSet<String> {
    let text = fs_err::read_to_string(root().join("crates/core/src/outcome.rs")).unwrap();
    let from = text.find("impl Cause {").unwrap();
    let body = &text[from..from + text[from..].find("    /// Who is to blame").unwrap()];
    let names = body.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    names.map(str::to_owned).collect()
}

/// `out_of_memory` as its variant is called.
fn variant(cause: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    cause.split('_').map(word).collect()
}

#[test]
fn every_cause_of_failure_is_produced_by_a_test() {
    let listed: BTreeSet<String> = PRODUCED.iter().map(|(cause, _)| (*cause).to_owned()).collect();
    assert_eq!(listed, causes());
    for (cause, (file, test)) in PRODUCED {
        let text = fs_err::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}()")), "{cause}: {file} has no test `{test}`");
        let named = [format!("\"{cause}\""), format!("Cause::{}", variant(cause))];
        assert!(named.iter().any(|name| text.contains(name)), "{file} does not name {cause}");
    }
}
