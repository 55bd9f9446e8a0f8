//! Wrong input: one clear message, the documented exit code, nothing half-written.

use empiric_testkit::Said;

use crate::{
    contract::{self, holds},
    home, words,
};

/// What `run` says of the tiny task with `from` replaced by `to` in its file `file`.
fn changed(file: &str, from: &str, to: &str) -> (Said, Said) {
    let home = home();
    let path = home.path().join("task").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {file}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let line = "run task --study study --trials 3 --slots 2";
    let said = home.say(words(line)).unwrap();
    let written = home.path().join("study").exists();
    assert_eq!(written, said.code == Some(7), "a study of bad input is there: {}", said.talk);
    (said, home.say(words(line).into_iter().chain(["--json"])).unwrap())
}

/// Checks the exit code and that one message says all of `needles`; the same as JSON.
#[track_caller]
fn refused((said, json): &(Said, Said), code: i32, kind: &str, needles: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.talk);
    for needle in needles {
        assert!(said.talk.contains(needle), "no `{needle}` in: {}", said.talk);
    }
    assert_eq!(json.code, Some(code), "{}", json.talk);
    let error = serde_json::from_str(json.talk.lines().last().unwrap()).unwrap();
    holds(&error, contract::ERROR);
    assert_eq!(error["kind"], kind);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_key_that_was_meant() {
    let said = changed("task.toml", "goal =", "gaol =");
    refused(&said, 3, "input", &["gaol", "goal", "task.toml:"]);
    assert_eq!(said.0.out, "");
}

#[test]
fn a_missing_direction_asks_for_one() {
    let said = changed("task.toml", "goal = \"minimize\"\n", "");
    refused(&said, 3, "input", &["goal", "minimize", "maximize"]);
}

#[test]
fn a_wrong_unit_names_the_right_ones() {
    let said = changed("task.toml", "wall = \"2s\"", "wall = \"2 parsecs\"");
    refused(&said, 3, "input", &["2 parsecs", "task.toml:"]);
}

#[test]
fn a_missing_file_is_named() {
    let said = changed("task.toml", "evaluate.sh", "nowhere.sh");
    refused(&said, 3, "input", &["nowhere.sh", "task.toml:"]);

    let home = home();
    let said = home.say(words("run nowhere")).unwrap();
    assert_eq!(said.code, Some(3));
    assert!(said.talk.contains("there is no `nowhere`"), "{}", said.talk);
    for line in
        ["status task", "verify task", "trials nowhere", "submit nowhere --patch x --hypothesis y"]
    {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(3), "{line}: {}", said.talk);
        assert!(said.talk.contains("there is no study in"), "{}", said.talk);
    }
}

#[test]
fn an_evaluator_that_writes_garbage_is_blamed() {
    let said = changed("evaluate.sh", "awk ", "echo rubbish > \"$EMPIRIC_RESULT\"; exit 0\nawk ");
    refused(
        &said,
        7,
        "broken",
        &["malformed_result", "evaluator", "the baseline cannot be measured"],
    );
    assert_eq!(said.0.talk.matches("error:").count(), 1, "{}", said.0.talk);
}

#[test]
fn the_command_line_is_held_to_its_own_words() {
    let home = home();
    for (line, code, needle) in [
        ("run task --slots 0", 2, "--slots"),
        ("run task --level 2", 2, "--level 2"),
        ("run task --budget 2parsecs", 2, "2parsecs"),
        ("run task --policy wishful", 2, "wishful"),
        ("run task --eval ./x", 2, "--edit"),
        ("run task --eval ./bench.sh --edit *.sh --metric loss", 3, "loss:min"),
        ("rum task", 2, "run"),
    ] {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(code), "{line}: {}", said.talk);
        assert!(said.talk.contains(needle), "{line}: no `{needle}` in {}", said.talk);
        assert_eq!(said.out, "", "{line}");
    }
    assert!(!home.path().join("studies").exists());
}
