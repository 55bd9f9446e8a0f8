//! The JSON shapes that scripts read.

use empiric_core::TrialNo;
use empiric_testkit::story::Story;

use super::{Status, TrialRow};

#[test]
fn status_of_a_finished_study() {
    insta::assert_json_snapshot!(Status::of(&Story::sixty().study));
}

#[test]
fn status_without_a_champion() {
    let status = serde_json::to_value(Status::of(&Story::many(1).study)).unwrap();
    assert_eq!(status["champion"], serde_json::Value::Null);
    assert_eq!(status["baseline"]["replicates"], 5);
}

#[test]
fn rows_of_a_keep_and_a_failure() {
    let story = Story::sixty();
    let mut row = TrialRow::from(story.study.trial(TrialNo(44)).unwrap().as_ref());
    row.measurements.truncate(1);
    insta::assert_json_snapshot!("keep", row);
    let row = TrialRow::from(story.study.trial(TrialNo(9)).unwrap().as_ref());
    insta::assert_json_snapshot!("failure", row);
}
