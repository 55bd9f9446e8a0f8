//! Several ways of searching in one study.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    contract::{self, holds},
    home, words,
};

#[test]
fn arms_take_turns_see_nothing_of_one_another_and_are_shown_side_by_side() {
    let home = home();
    let say = |line: &str| {
        let said = home.say(words(line)).unwrap();
        assert_eq!(said.code, Some(0), "`empiric {line}` says: {}", said.talk);
        said
    };
    let arms = ["tuner", "tuner=greedy", "random", "null"];
    let asked: Vec<String> = arms.iter().map(|arm| format!("--arm {arm}")).collect();
    let run = format!("run task --study study --slots 2 --trials 6 --json {}", asked.join(" "));
    let mut events = say(&run).json();
    let summary = events.pop().unwrap();

    // In turn: none is ever ahead of another by more than there are slots, and one that waits for its turn.
    let mut made: BTreeMap<&str, u32> = arms.iter().map(|arm| (*arm, 0)).collect();
    for event in
        events.iter().filter(|event| event["event"] == "asked" && event["arm"] != "baseline")
    {
        *made.get_mut(event["arm"].as_str().unwrap()).unwrap() += 1;
        let (least, most) = (made.values().min().unwrap(), made.values().max().unwrap());
        assert!(most - least <= 3, "{made:?}");
    }
    for arm in summary["arms"].as_array().unwrap() {
        holds(arm, contract::ARM);
        assert_eq!(arm["spent"], 6, "{arm:#}");
    }
    let names: Vec<_> =
        summary["arms"].as_array().unwrap().iter().map(|arm| &arm["name"]).collect();
    assert_eq!(names, arms);
    let null = &summary["arms"][3];
    assert_eq!((&null["outcomes"]["keep"], &null["outcomes"]["failed"]), (&json!(0), &json!({})));

    let trials = say("trials study --json").json();
    let arm_of: BTreeMap<_, _> =
        trials.iter().map(|t| (t["trial"].clone().to_string(), &t["arm"])).collect();
    let baseline = trials[0]["tree"].clone();
    let mut seeds = Vec::new();
    for trial in trials.iter().skip(1) {
        for parent in trial["parents"].as_array().unwrap().iter().filter(|parent| **parent != "t0")
        {
            assert_eq!(arm_of[&parent.to_string()], &trial["arm"], "{trial:#}");
        }
        assert_eq!(trial["tree"] == baseline, trial["arm"] == "null", "{trial:#}");
        if trial["arm"] == "null" {
            seeds.push(trial["measurements"][0]["seed"].as_u64().unwrap());
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 6, "a placebo was measured under another one's seed");

    let verification = say("verify study --json").json().remove(0);
    assert_eq!(verification["faults"], json!([]));
    assert!(verification["checked"]["asks"].as_u64().unwrap() >= 24);
    let page = say("status study").out;
    assert!(arms.iter().all(|arm| page.contains(&format!("arm {arm}"))), "{page}");
    say("report study");
    let page = std::fs::read_to_string(home.path().join("study/report.html")).unwrap();
    assert!(page.contains("Arms side by side"));
}

#[test]
fn an_arm_that_is_not_known_or_named_twice_is_refused() {
    let home = home();
    for (arms, needles) in [
        ("--arm tuna", ["`tuna` is no arm", "tuner, random, null"]),
        ("--arm tuner=greed", ["`greed` is no policy", "greedy"]),
        ("--arm tuner --arm tuner", ["given twice", "--arm tuner=greedy"]),
    ] {
        let said = home.say(words(&format!("run task --study study --trials 3 {arms}"))).unwrap();
        assert_eq!(said.code, Some(2), "{}", said.talk);
        assert!(needles.iter().all(|needle| said.talk.contains(needle)), "{}", said.talk);
        assert!(!home.path().join("study").exists());
    }
}
