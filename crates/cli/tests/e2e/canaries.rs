//! What is tried before a study begins.

use serde_json::Value;

use crate::{home, words};

const RUN: &str = "run task --study study --slots 1 --json --trials";

/// What the canaries noted, in order.
fn notes(events: &[Value]) -> Vec<String> {
    let noted = events.iter().filter(|event| event["event"] == "noted" && event["by"] == "check");
    noted.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_study_notes_its_canaries_once() {
    let home = home();
    let run = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.talk);
        notes(&said.json())
    };
    assert_eq!(run(&format!("{RUN} 1")), ["canaries as expected: empty, silent, forge"]);
    assert_eq!(run(&format!("{RUN} 2")), Vec::<String>::new(), "the same task was tried already");

    // Another evaluator is another task to try.
    let evaluate = home.path().join("task/evaluate.sh");
    let text = std::fs::read_to_string(&evaluate).unwrap();
    std::fs::write(&evaluate, format!("# changed\n{text}")).unwrap();
    assert_eq!(run(&format!("{RUN} 3")).len(), 1);
}

#[test]
fn a_task_that_scores_what_was_never_made_is_not_run() {
    let home = home();
    let evaluate = home.path().join("task/evaluate.sh");
    std::fs::write(&evaluate, "echo '{\"metrics\": {\"loss\": 1}}' > \"$EMPIRIC_RESULT\"\n")
        .unwrap();
    let said = home.say(words(&format!("{RUN} 1"))).unwrap();
    assert_eq!((said.code, &said.out[..]), (Some(7), ""), "{}", said.talk);
    for needle in ["the canary `silent` was not stopped", "nothing was run", "--no-check"] {
        assert!(said.talk.contains(needle), "no `{needle}` in {}", said.talk);
    }
    assert!(!home.path().join("study").exists());
    let said = home.say(words(&format!("{RUN} 1 --no-check"))).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    assert_eq!(notes(&said.json()), Vec::<String>::new());
}

#[test]
fn an_evaluator_that_trips_over_a_canary_is_warned_of() {
    let home = home();
    let evaluate = home.path().join("task/evaluate.sh");
    let text = std::fs::read_to_string(&evaluate).unwrap();
    assert!(text.contains("exit 3"));
    std::fs::write(&evaluate, text.replace("exit 3", "exit 1")).unwrap();
    let said = home.say(words(&format!("{RUN} 1"))).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    assert!(said.talk.contains("exit with status 3"), "{}", said.talk);
    assert!(notes(&said.json())[0].contains("but silent: evaluator_crash"));
}
