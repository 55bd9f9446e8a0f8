//! What other processes ask of a study while it runs.

use empiric_testkit::tasks::{TRAIN, patch};

use crate::{
    contract::{self, holds},
    home, words,
};

const RUN: &str = "run task --study study --slots 1 --trials 100000 --json";

#[test]
fn a_running_study_is_paused_resumed_given_trials_and_notes_and_stopped() {
    let home = home();
    let say = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
        said.json().remove(0)
    };
    let session = home.start(words(RUN)).unwrap();
    session.until("concluded").unwrap();

    // One process at a time.
    let second = home.say(words(RUN)).unwrap();
    assert_eq!((second.code, &second.out[..]), (Some(4), ""));
    let error = serde_json::from_str(second.talk.lines().last().unwrap()).unwrap();
    holds(&error, contract::ERROR);
    assert_eq!(error["kind"], "study");

    assert_eq!(say("pause study --json")["answered"], true);
    session.until("paused").unwrap();
    assert_eq!(say("status study --json")["state"], "paused");
    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}: # no change\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let submit = "submit study --parent t0 --patch edit.patch --hypothesis same --predict 0 --json";
    let waiting = home.say(words(&format!("{submit} --wait"))).unwrap();
    assert_eq!(waiting.code, Some(4), "waited for a study that is paused: {}", waiting.talk);
    assert_eq!(say("resume study --json")["answered"], true);
    session.until("resumed").unwrap();

    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}: # nor here\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let row = say(&format!("{submit} --by somebody --wait"));
    holds(&row, contract::TRIAL);
    assert_eq!(row["outcome"]["kind"], "valid", "{row:#}");
    assert_eq!(row["proposer"], "somebody");
    assert_eq!(row["parents"], serde_json::json!(["t0"]));
    assert_eq!(row["hypothesis"], "same");
    assert_eq!(row["prediction"]["direction"], "unchanged");
    assert_ne!(row["outcome"]["verdict"], "keep");

    assert_eq!(say("note study hello --json")["answered"], true);
    assert_eq!(session.until("noted").unwrap()["text"], "hello");
    assert_eq!(say("stop study --json")["answered"], true);
    let ended = session.end().unwrap();
    assert_eq!(ended.code, Some(130), "{}", ended.talk);
    let summary = ended.events.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["state"]),
        (&"study_summary".into(), &"stopped".into())
    );
    assert_eq!(say("verify study --json")["ok"], true);

    // Nobody is at work any more: there is nothing to stop, and what is handed in is measured by who waits for it.
    assert_eq!(home.say(words("stop study")).unwrap().code, Some(4));
    let edit = patch("train.sh", TRAIN, &format!("{TRAIN}exit 17\n"));
    std::fs::write(home.path().join("edit.patch"), edit).unwrap();
    let row = say(&format!("{submit} --wait"));
    assert_eq!(row["outcome"]["cause"], "exception", "{row:#}");
    assert_eq!(say("verify study --json")["ok"], true);
}
