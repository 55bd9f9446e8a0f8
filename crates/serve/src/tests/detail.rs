//! One trial piece by piece: replicates by pages, what was said to models, what is pinned.

use std::path::Path;

use axum::http::StatusCode;
use empiric_core::{BlobId, Call, Event, Money, Outcome, Spend, TrialNo, Usage, Verdict};
use empiric_ledger::Blobs;
use empiric_llm::{Content, Request, Role, Turn};
use empiric_testkit::story::Story;
use serde_json::{Value, json};

use super::{Served, write};

fn served(story: &Story) -> (tempfile::TempDir, Served) {
    let dir = tempfile::tempdir().unwrap();
    write(story, &dir.path().join("golf"));
    let served = Served::of(dir.path());
    (dir, served)
}

#[tokio::test]
async fn replicates_are_paged_each_once_and_their_logs_are_nobody_elses() {
    let story = Story::many(120);
    let (_dir, served) = served(&story);
    let trials = story.study.trials();
    let busiest = trials.iter().max_by_key(|trial| trial.replicates.len()).unwrap();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/studies/golf/trials/{}/replicates?limit=7{after}", busiest.no);
        let page = served.json(&path).await;
        let ids = page["replicates"].as_array().unwrap().iter();
        seen.extend(ids.map(|one| one["id"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let all: Vec<String> =
        busiest.replicates.iter().rev().map(|replicate| replicate.id.to_string()).collect();
    assert_eq!(seen, all);
    let told = served.json(&format!("/api/studies/golf/trials/{}", busiest.no)).await;
    let newest: Vec<&str> = told["replicates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(newest, all.iter().take(60).rev().collect::<Vec<_>>());
    // A log is asked for by the replicate whose it is.
    let theirs = BlobId::of(b"somebody else's");
    let path = format!("/api/studies/golf/replicates/{}/logs/{theirs}", all[0]);
    assert_eq!(served.get(&path).await.status, StatusCode::NOT_FOUND);
}

/// A call whose request and answer lie in `dir`.
fn call(dir: &Path, index: u32, request: &Request, answer: &Value) -> Call {
    let blobs = Blobs::of(dir);
    Call {
        index,
        role: "optimizer".to_owned(),
        model: "test/one".to_owned(),
        request: blobs.put(&serde_json::to_vec(request).unwrap()).unwrap(),
        answer: blobs.put(&serde_json::to_vec(answer).unwrap()).unwrap(),
        usage: Usage { input: 1000, output: 50, ..Usage::default() },
        spend: Spend { calls: 1, tokens: 1050, money: Money(2_000_000) },
        attempts: 1,
        fault: None,
        wall_s: 2.5,
    }
}

#[tokio::test]
async fn a_conversation_is_told_bounded_and_its_price_is_on_the_meters() {
    let dir = tempfile::tempdir().unwrap();
    let study = dir.path().join("golf");
    let mut story = Story::sixty();
    let text = |text: &str| Content::Text { text: text.to_owned() };
    let first = Turn::user("<script>improve</script> \u{1b}[31mit");
    let reply = Turn { role: Role::Model, content: vec![text("reading")], cache: false };
    let mut request = Request::new("test/one".parse().unwrap(), "be brief", "", 100);
    request.turns = vec![first.clone()];
    let answer = json!({"ok": {"content": [{"type": "text", "text": "x".repeat(50_000)}]}});
    let one = call(&study, 0, &request, &answer);
    request.turns = vec![first, reply, Turn::user("go on")];
    let two = call(&study, 1, &request, &json!({"err": {"message": "overloaded"}}));
    let cost = one.cost();
    for call in [one, two] {
        story.push(Event::Called { trial: TrialNo(5), call });
    }
    write(&story, &study);
    let served = Served::of(dir.path());
    let all = served.json("/api/studies/golf/trials/t5/calls").await;
    assert_eq!((&all["total"], &all["next"]), (&json!(2), &Value::Null));
    let said = |call: &Value| -> Vec<(String, String)> {
        let said = call["said"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        said.map(|one| (word(&one["who"]), word(&one["text"]))).collect()
    };
    let told = said(&all["calls"][0]);
    assert_eq!(told[0], ("system".to_owned(), "be brief".to_owned()));
    assert_eq!(told[1], ("harness".to_owned(), "<script>improve</script> it".to_owned()));
    assert!(told[2].0 == "reply" && told[2].1.len() <= 17_000, "{}", told[2].1.len());
    let expected = [("model", "reading"), ("harness", "go on"), ("failed", "overloaded")];
    let expected = expected.map(|(who, text)| (who.to_owned(), text.to_owned()));
    assert_eq!(said(&all["calls"][1]), expected);
    // By pages it is the same.
    let mut pages = Vec::new();
    for after in ["", "&after=0"] {
        let path = format!("/api/studies/golf/trials/t5/calls?limit=1{after}");
        pages.extend(served.json(&path).await["calls"].as_array().unwrap().clone());
    }
    assert_eq!(json!(pages), all["calls"]);

    let trial = served.json("/api/studies/golf/trials/t5").await;
    assert_eq!(trial["calls"], 2);
    assert_eq!((&trial["line"]["calls"], &trial["line"]["tokens"]), (&json!(2), &json!(2100)));
    let told = served.json("/api/studies/golf").await;
    let meter = |name: &str| {
        let meters = told["meters"].as_array().unwrap();
        meters.iter().find(|meter| meter["name"] == name).unwrap()["used"].as_f64().unwrap()
    };
    assert_eq!((meter("calls"), meter("tokens")), (2.0, 2100.0));
    assert!((meter("usd") - 2.0 * cost.usd).abs() < 1e-12 && cost.usd > 0.0);
}

#[tokio::test]
async fn a_pin_is_told_until_its_arm_keeps_a_trial() {
    let mut story = Story::sixty();
    let pinned = |story: &Story| -> Value {
        let pins = story.study.pins().into_iter();
        pins.map(|(arm, trial)| json!({"arm": arm, "trial": trial})).collect()
    };
    let by = || "ann".to_owned();
    let decided = |verdict: Verdict| {
        let of = move |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Valid { verdict: found, .. }) if *found == verdict);
        let trials = story.study.trials();
        trials.iter().find(|trial| of(&trial.outcome)).map(|trial| trial.no).unwrap()
    };
    let (kept, discarded) = (decided(Verdict::Keep), decided(Verdict::Discard));
    let of_trial = |told: &Value| (told["no_pin"].is_null(), told["no_requeue"].is_null());
    {
        let (_dir, served) = served(&story);
        let path = |no: TrialNo| format!("/api/studies/golf/trials/{no}");
        assert_eq!(of_trial(&served.json(&path(discarded)).await), (true, false));
        for body in
            [json!({"kind": "requeue", "trial": kept}), json!({"kind": "unpin", "trial": kept})]
        {
            let asked = json!({"ask": body});
            let reply = served.post("/api/studies/golf/requests", &asked).await;
            assert_eq!(reply.status, StatusCode::CONFLICT, "{body}: {}", reply.body);
        }
        for body in [
            json!({"kind": "pin", "trial": discarded}),
            json!({"kind": "pin", "trial": "baseline"}),
        ] {
            let reply = served.post("/api/studies/golf/requests", &json!({"ask": body})).await;
            assert_eq!(reply.status, StatusCode::ACCEPTED, "{body}: {}", reply.body);
        }
    }
    let mut steps = vec![
        Event::Pinned { trial: discarded, by: by() },
        Event::Unpinned { trial: kept, by: by() },
        Event::Unpinned { trial: discarded, by: by() },
        Event::Pinned { trial: TrialNo::BASELINE, by: by() },
        Event::Pinned { trial: kept, by: by() },
    ];
    let new = story.study.next_trial();
    let ask = empiric_core::Ask {
        operator: empiric_core::Operator::Improve,
        parents: vec![kept],
        surface: None,
    };
    steps.push(Event::Asked { trial: new, arm: "tuner".to_owned(), ask });
    let outcome = Outcome::Valid {
        verdict: Verdict::Keep,
        reason: String::new(),
        gain: Some(0.01),
        gain_interval: None,
    };
    steps.push(Event::Concluded { trial: new, outcome });
    let mut told = Vec::new();
    for step in steps {
        story.push(step);
        let (_dir, served) = served(&story);
        let pins = served.json("/api/studies/golf").await["pins"].clone();
        assert_eq!(pins, pinned(&story), "after event {}", story.study.seq());
        told.push(pins.as_array().unwrap().len());
    }
    assert_eq!(told, [1, 1, 0, 1, 1, 1, 0]);
}
