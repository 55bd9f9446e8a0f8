//! What becomes of what a client hands in.

use empiric_core::{Prediction, TrialNo, trial::Direction};
use empiric_ledger::{Ledger, Options, Reply, Request};

use super::*;

#[tokio::test]
async fn each_form_of_an_edit_becomes_the_same_submission_in_the_clients_name() {
    let room = Room::plain().await;
    let forms = [
        json!({"edits": [{"path": "model.py", "search": "h = 4", "replace": "h = 6"}]}),
        json!({"patch": "--- a/model.py\n+++ b/model.py\n@@ -1,2 +1,2 @@\n-depth = 4\n+depth = 6\n width = 8\n"}),
        json!({"files": {"model.py": "depth = 6\nwidth = 8\n"}}),
    ];
    for (n, form) in forms.into_iter().enumerate() {
        let mut asked = form;
        asked["hypothesis"] = json!("deeper is better");
        asked["predict"] = json!(-0.02);
        asked["check_only"] = json!(true);
        let checked = room.told("propose_trial", asked.clone()).await;
        assert_eq!(checked["ok"], true);
        assert_eq!(room.mail().posted.len(), n, "a check hands nothing in");
        asked["check_only"] = json!(false);
        let told = room.told("propose_trial", asked).await;
        assert_eq!(told["state"], "waiting");
        assert_eq!(told["files"], json!([{"path": "model.py", "added": 1, "removed": 1}]));
        let mail = room.mail();
        let posted = mail.posted.last().unwrap();
        assert_eq!(posted.by, "a coding agent");
        let Request::Submit { submission } = &posted.request else { panic!("{posted:?}") };
        assert_eq!(submission.files["model.py"].as_deref(), Some("depth = 6\nwidth = 8\n"));
        assert_eq!(submission.parents, [TrialNo::BASELINE]);
        assert_eq!(
            submission.prediction,
            Some(Prediction {
                metric: "bpb".to_owned(),
                direction: Direction::Decrease,
                size: Some(0.02)
            })
        );
        assert!(*room.woken.0.lock().unwrap() > 0, "nobody is at work, so somebody is woken");
    }
}

#[tokio::test]
async fn what_cannot_become_a_trial_is_refused_with_a_remedy_and_costs_nothing() {
    let room = Room::plain().await;
    let change = |path: &str, search: &str, replace: &str| json!([{"path": path, "search": search, "replace": replace}]);
    for (edit, word) in [
        (
            json!({"edits": change("model.py", "depth = 5", "depth = 6")}),
            "no line of it is `depth = 5`",
        ),
        (json!({"edits": change("model.py", " = ", " == ")}), "2 times, at lines 1, 2"),
        (json!({"edits": change("model.py", "depth = 4", "depth = (4")}), "syntax model.py"),
        (json!({"edits": change("evaluate.sh", "exit 0", "exit 1")}), "protected_path evaluate.sh"),
        (json!({"edits": change("model.py", "depth = 4", "depth = 4")}), "changes nothing"),
        (json!({"edits": change("../x.py", "", "1")}), "does not fit"),
        (json!({"patch": "nonsense"}), "does not fit the tree of t0"),
        (json!({"edits": [], "patch": "x"}), "exactly one of"),
        (json!({}), "exactly one of"),
        (json!({"files": {"model.py": "a = 1\n"}, "parent": "t7"}), "no trial `t7`"),
        (json!({"files": {"model.py": "a = 1\n"}, "hypothesis": " "}), "hypothesis is empty"),
        (json!({"files": {"model.py": "a = 1\n"}, "predict": "a lot"}), "not understood"),
        (json!({"files": {"model.py": "a = 1\n"}, "verdict": "keep"}), "unknown field `verdict`"),
    ] {
        let mut asked = edit.clone();
        if asked.get("hypothesis").is_none() {
            asked["hypothesis"] = json!("it helps");
        }
        let error = room.refused("propose_trial", asked).await;
        assert!(error.contains(word), "{edit}: {error}");
    }
    assert_eq!(room.mail(), Mail::default());
    assert_eq!(*room.woken.0.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_trial_is_found_again_by_its_request_and_waited_for() {
    let room = Room::plain().await;
    *room.woken.1.lock().unwrap() = Some("the disk is full".to_owned());
    let asked = json!({"hypothesis": "deeper", "files": {"model.py": "depth = 6\n"}});
    let told = room.told("propose_trial", asked).await;
    assert!(told["next"].as_str().unwrap().contains("the disk is full"), "{told}");
    let request = told["request"].as_str().unwrap().to_owned();
    let waiting = room.told("get_trial", json!({"request": request})).await;
    assert_eq!(waiting["state"], "waiting");

    // Somebody takes it up, refuses nothing, and it fails at once.
    let ledger = Ledger::open(Options {
        dir: room.dir.path().to_owned(),
        clock: Arc::new(jiff::Timestamp::now),
        durability: Default::default(),
    })
    .unwrap();
    let posted = room.mail().posted.remove(0);
    let ask = Ask { operator: Operator::Improve, parents: vec![TrialNo::BASELINE], surface: None };
    let failure = Failure::new(Phase::Train, Cause::WallLimit);
    let events = vec![
        Event::Asked { trial: TrialNo(1), arm: "submitted".to_owned(), ask },
        Event::Concluded { trial: TrialNo(1), outcome: Outcome::Failed(failure) },
    ];
    let reply = Reply { request: posted.id, trial: Some(TrialNo(1)), refusal: None };
    ledger.append_answering(events, vec![reply]).await.unwrap();
    let ended = room.told("wait_trial", json!({"request": request})).await;
    assert_eq!((&ended["state"], &ended["trial"]), (&json!("ended"), &json!("t1")));
    assert_eq!(ended["outcome"]["failed"], "wall_limit");
    let same = room.told("wait_trial", json!({"trial": "t1", "seconds": 0})).await;
    assert_eq!(same, ended);
    tokio::task::spawn_blocking(|| ledger.close()).await.unwrap().unwrap();

    for (asked, word) in [
        (json!({}), "name the trial"),
        (json!({"request": "x"}), "no request"),
        (json!({"trial": "t2"}), "no trial `t2`"),
        (json!({"trial": "best"}), "`champion`"),
    ] {
        let error = room.refused("wait_trial", asked.clone()).await;
        assert!(error.contains(word), "{asked}: {error}");
    }
}

#[tokio::test]
async fn a_note_is_posted_in_the_clients_name() {
    let room = Room::plain().await;
    room.told("note", json!({"text": "widths are exhausted"})).await;
    let posted = room.mail().posted.remove(0);
    assert_eq!(posted.by, "a coding agent");
    assert_eq!(posted.request, Request::Note { text: "widths are exhausted".to_owned() });
    room.refused("note", json!({"text": "\u{202e} \u{1b}[2J"})).await;
}

#[tokio::test]
async fn ideas_are_told_and_left_behind() {
    let room = Room::plain().await;
    assert_eq!(room.told("ideas", json!({})).await, json!({"ideas": [], "in_all": 0}));
    let asked =
        json!({"text": "tie the\u{202e} embeddings", "reach": "algorithm", "priority": "high"});
    room.told("add_idea", asked).await;
    let Request::IdeaAdd { sketch } = room.mail().posted.remove(0).request else { panic!() };
    assert_eq!((sketch.text.as_str(), sketch.reach.name()), ("tie the embeddings", "algorithm"));
    for (asked, says) in [
        (json!({"text": " ", "reach": "code"}), "says nothing"),
        (json!({"text": "x", "reach": "code", "surface": "nowhere"}), "no surface `nowhere`"),
        (json!({"text": "x", "reach": "far"}), "`far`"),
    ] {
        let error = room.refused("add_idea", asked).await;
        assert!(error.contains(says), "{error}");
    }
}
