//! The same seed on one slot asks and proposes the same.

use serde_json::Value;

use crate::{home, words};

#[test]
fn the_same_seed_on_one_slot_makes_the_same_first_proposals() {
    let home = home();
    let trees = |study: &str, seed: u32| -> Vec<Value> {
        let line = format!("run task --study {study} --slots 1 --trials 5 --seed {seed} --json");
        let said = home.say(words(&line)).unwrap();
        assert_eq!(said.code, Some(0), "{}", said.talk);
        let trials = home.say(["trials", study, "--json"]).unwrap().json();
        trials.iter().map(|trial| trial["tree"].clone()).collect()
    };
    let first = trees("a", 7);
    assert_eq!(first.len(), 6);
    assert_eq!(first, trees("b", 7));
    assert_ne!(first, trees("c", 8));
}
