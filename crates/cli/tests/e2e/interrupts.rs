//! Ctrl-C: once to finish what runs, twice to end it.

use std::time::Duration;

use empiric_testkit::{Home, tasks::TRAIN};

use crate::{home, words};

const RUN: &str = "run task --study study --slots 2 --trials 4 --json";

/// A home whose task takes `seconds` to train.
fn slow(seconds: &str) -> Home {
    let home = home();
    let task = home.path().join("task");
    let text = std::fs::read_to_string(task.join("task.toml")).unwrap();
    std::fs::write(task.join("task.toml"), text.replace("wall = \"2s\"", "wall = \"1h\"")).unwrap();
    std::fs::write(task.join("recipe/train.sh"), format!("sleep {seconds}\n{TRAIN}")).unwrap();
    home
}

#[test]
fn one_interrupt_finishes_and_records_what_runs_and_the_same_command_goes_on() {
    let home = slow("0.2");
    let session = home.start(words(RUN)).unwrap();
    session.until("leased").unwrap();
    session.interrupt();
    let ended = session.end().unwrap();
    assert_eq!(ended.code, Some(130), "{}", ended.talk);
    let called = |name: &str| ended.events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(called("leased") + 1, called("measured"), "{:#?}", ended.events);
    assert_eq!(called("fenced"), 0);
    assert_eq!(ended.events.last().unwrap()["state"], "stopped");

    let rest = home.start(words(RUN)).unwrap().end().unwrap();
    assert_eq!(rest.code, Some(0), "{}", rest.talk);
    assert!(rest.events.iter().all(|event| event["event"] != "fenced"));
    let summary = rest.events.last().unwrap();
    assert_eq!((&summary["state"], &summary["trials"]), (&"finished".into(), &4.into()));
}

#[test]
fn two_interrupts_end_what_runs() {
    let home = slow("100000");
    let mut session = home.start(words(RUN)).unwrap();
    session.until("leased").unwrap();
    session.until("leased").unwrap();
    let asleep =
        || home.left_running(Duration::ZERO).iter().any(|found| found.command == "sleep 100000");
    while !asleep() {
        assert!(!session.has_ended().unwrap(), "it ended before its recipe ran");
    }
    // Signals that are sent at once may arrive as one.
    while !session.has_ended().unwrap() {
        session.interrupt();
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = session.end().unwrap();
    assert_eq!(ended.code, Some(130), "{}", ended.talk);
    let fenced = ended.events.iter().filter(|event| event["event"] == "fenced");
    assert_eq!(fenced.count(), 2, "{:#?}", ended.events);
    assert_eq!(home.left_running(Duration::ZERO), []);
    assert_eq!(home.say(words("verify study")).unwrap().code, Some(0));
}
