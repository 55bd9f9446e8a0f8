//! What is read out of edits.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    Inspection, RedLine, Severity,
    task::{Data, Visible},
};

use super::measured::task;
use crate::{Files, inspect};

const TRAIN: &str = r#"
import os
import numpy as np
from pathlib import Path

STEPS = 100

def main():
    rng = np.random.default_rng(int(os.environ["EMPIRIC_SEED"]))
    data = Path(os.environ["EMPIRIC_DATA"]) / "public"
    hidden = rng.normal(0, 1, (4, 4))
    np.save(Path(os.environ["EMPIRIC_OUT"]) / "weights.npy", hidden)
"#;

fn files(train: &str, more: &[(&str, &[u8])]) -> Files {
    let mut files: Files = BTreeMap::from([("train.py".to_owned(), Arc::from(train.as_bytes()))]);
    files.extend(more.iter().map(|(path, bytes)| ((*path).to_owned(), Arc::from(*bytes))));
    files
}

fn read(train: &str, more: &[(&str, &[u8])], max_data: Option<u64>) -> Inspection {
    let mut task = task();
    task.recipe.max_data_bytes = max_data;
    task.data = vec![
        Data { path: "data/public".to_owned(), visible: Visible::All },
        Data { path: "data/hidden".to_owned(), visible: Visible::Evaluator },
    ];
    inspect(&task, &files(TRAIN, &[]), &files(train, more))
}

/// The lines that the edit `from` -> `to` of the recipe crosses.
fn found(from: &str, to: &str) -> Vec<(RedLine, Severity)> {
    assert!(TRAIN.contains(from), "{from}");
    let inspection = read(&TRAIN.replace(from, to), &[], None);
    inspection.concerns.iter().map(|concern| (concern.line, concern.severity)).collect()
}

const SEED: &str = r#"int(os.environ["EMPIRIC_SEED"])"#;
const DATA: &str = r#"/ "public""#;

#[test]
fn an_unchanged_recipe_raises_nothing_and_draws() {
    let inspection = read(TRAIN, &[], None);
    assert_eq!(inspection, Inspection { concerns: Vec::new(), random: Some(true) });
}

#[test]
fn the_evaluators_own_variables_are_not_to_be_named() {
    let to = r#"/ "public"; print(os.environ.get("EMPIRIC_RESULT"))"#;
    assert_eq!(found(DATA, to), [(RedLine::Evaluator, Severity::Fail)]);
}

#[test]
fn paths_to_hidden_data_are_seen_and_layers_called_hidden_are_not() {
    for to in [
        r#"/ "hidden""#,
        r#"/ "../hidden/labels.npy""#,
        r#"/ "public"; open("/srv/data/hidden")"#,
        r#"/ "public"; os.path.join("x", "hidden")"#,
        r#"/ "public"; places = ("data/" "hidden",)"#,
    ] {
        assert_eq!(found(DATA, to), [(RedLine::ProtectedData, Severity::Fail)], "{to}");
    }
    for to in [
        r#"/ "public"; params = {"hidden": 3, "mlp/hidden": 4}"#,
        r#"/ "public"; print("the hidden layer")"#,
        r#"/ "public"; "hidden".join(["a", "b"])"#,
    ] {
        assert_eq!(found(DATA, to), [], "{to}");
    }
}

#[test]
fn a_seed_of_the_codes_own_is_seen_however_it_is_written() {
    for to in ["20", "[1, 2]", "10 + 7", "STEPS"] {
        assert_eq!(found(SEED, to), [(RedLine::Seed, Severity::Fail)], "{to}");
    }
}

#[test]
fn a_choice_among_seeds_is_seen() {
    for to in [
        r#"(17, 5)[int(os.environ["EMPIRIC_SEED"]) % 2]"#,
        r#"int(os.environ["EMPIRIC_SEED"]) % 4"#,
        r#"int(os.environ["EMPIRIC_SEED"]) >> 28"#,
        r#"17 if int(os.environ["EMPIRIC_SEED"]) > 9 else 5"#,
    ] {
        let lines = found(SEED, to);
        assert!(lines.contains(&(RedLine::Seed, Severity::Fail)), "{to}: {lines:?}");
    }
}

#[test]
fn honest_ways_with_a_seed_pass() {
    for to in [
        r#"int(os.environ["EMPIRIC_SEED"]) + 1"#,
        r#"int(os.environ["EMPIRIC_SEED"]) % 2**32"#,
        r#"[int(os.environ["EMPIRIC_SEED"]), 3]"#,
        r#"np.random.SeedSequence(int(os.environ["EMPIRIC_SEED"])).spawn(2)[0]"#,
        r#"seeded(os.environ["EMPIRIC_SEED"])"#,
    ] {
        assert_eq!(found(SEED, to), [], "{to}");
    }
}

#[test]
fn a_generator_beside_the_given_seed_is_a_doubt() {
    let to = r#"/ "public"; projection = np.random.default_rng(7).normal(0, 1, 9)"#;
    assert_eq!(found(DATA, to), [(RedLine::Seed, Severity::Quarantine)]);
}

#[test]
fn a_recipe_without_chance_may_forget_the_seed() {
    let train = TRAIN
        .replace(&format!("np.random.default_rng({SEED})"), "None")
        .replace("rng.normal(0, 1, (4, 4))", "np.ones((4, 4))");
    let expected = Inspection { concerns: Vec::new(), random: Some(false) };
    assert_eq!(read(&train, &[], None), expected);
}

#[test]
fn code_that_is_never_run_draws_nothing() {
    let unused = "import numpy as np\n\ndef noise(rng):\n    return rng.normal(0, 1)\n\ndef scale(x):\n    return 2 * x\n";
    let mut task = task();
    task.stages[1].command.run = vec!["python".to_owned(), "train.py".to_owned()];
    let random = |train: &str| {
        let tree = files(train, &[("augment.py", unused.as_bytes())]);
        inspect(&task, &files(TRAIN, &[]), &tree).random
    };
    assert_eq!(random("from augment import scale\n\nprint(scale(2))\n"), Some(false));
    assert_eq!(random("from augment import noise\n\nprint(noise(None))\n"), Some(true));
    assert_eq!(random("import augment\n\nprint(getattr(augment, 'noise')(None))\n"), Some(true));
    let twin = unused.replace("noise", "augment");
    let tree =
        files("from augment import scale\n\nprint(scale(2))\n", &[("augment.py", twin.as_bytes())]);
    let found = inspect(&task, &files(TRAIN, &[]), &tree).random;
    assert_eq!(found, Some(false), "a module is not the function of its name");
    let class = "class Net:\n    def __init__(self, rng):\n        self.w = rng.normal()\n\n";
    assert_eq!(random(&format!("{class}print(1)\n")), Some(false));
    assert_eq!(random(&format!("{class}print(Net(None))\n")), Some(true));
}

#[test]
fn data_in_the_code_count_wherever_they_are() {
    let blob = "Zm9v".repeat(800);
    let numbers = "7, ".repeat(1200);
    for train in [
        format!("{TRAIN}\nBLOB = \"{blob}\"\n"),
        format!("{TRAIN}\nBLOB = (\n    \"{blob}\"\n    \"{blob}\"\n)\n"),
        format!("{TRAIN}\nTABLE = [{numbers}]\n"),
        format!("{TRAIN}\n# {blob}\n"),
        format!("{TRAIN}\nNUMBER = {}\n", "7".repeat(3000)),
    ] {
        let lines = read(&train, &[], None).concerns;
        assert_eq!(lines.len(), 1, "{}", &train[TRAIN.len()..TRAIN.len() + 20]);
        assert_eq!(
            (lines[0].line, lines[0].severity),
            (RedLine::CarriedData, Severity::Quarantine)
        );
        let strict = read(&train, &[], Some(1024)).concerns;
        assert_eq!(strict[0].severity, Severity::Fail);
    }
    let beside: (&str, &[u8]) = ("table.bin", &[200; 3000]);
    assert_eq!(read(TRAIN, &[beside], None).concerns[0].line, RedLine::CarriedData);
}

#[test]
fn code_and_words_are_no_data() {
    let words = "a message of usual length that says what went wrong and where";
    let doc =
        format!("\n\n\ndef more():\n    \"\"\"{}\"\"\"\n", "What it does, and why. ".repeat(200));
    let code: String = (0..200).map(|n| format!("STEP_{n} = {n}\n")).collect();
    for more in [format!("\nprint(\"{words}\")\n"), doc, format!("\n{code}")] {
        assert_eq!(read(&format!("{TRAIN}{more}"), &[], Some(1024)).concerns, []);
    }
    let module: (&str, &[u8]) = ("kernel.cu", include_bytes!("../measured.rs"));
    assert_eq!(read(TRAIN, &[module], Some(1024)).concerns, []);
}
