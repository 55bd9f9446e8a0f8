//! A study that others write: what is asked of it, and what it tells while it goes on.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use empiric_core::Event;
use empiric_ledger::{Durability, Inbox, Ledger, Options, Reply, Request as Asked};
use empiric_testkit::story::Story;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{HOST, Served, write};

fn written(dir: &Path) -> Served {
    write(&Story::sixty(), &dir.join("golf"));
    Served::of(dir)
}

fn open(dir: &Path) -> Ledger {
    let clock = Arc::new(Timestamp::now);
    Ledger::open(Options { dir: dir.join("golf"), clock, durability: Durability::default() })
        .unwrap()
}

#[tokio::test]
async fn what_is_asked_lies_in_the_inbox_with_a_name_until_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let served = written(dir.path());
    let requests = "/api/studies/golf/requests";
    let asks = [
        json!({"kind": "pause"}),
        json!({"kind": "resume"}),
        json!({"kind": "stop"}),
        json!({"kind": "note", "text": " look at t3 "}),
        json!({"kind": "budget", "trials": 500}),
    ];
    let mut ids = Vec::new();
    for ask in asks {
        let reply = served.post(requests, &json!({"by": "bo", "ask": ask})).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        assert_eq!(reply.json()["at_work"], false);
        ids.push(reply.json()["request"].as_str().unwrap().to_owned());
    }
    let anonymous = served.post(requests, &json!({"ask": {"kind": "pause"}})).await;
    assert_eq!(anonymous.status, StatusCode::ACCEPTED);
    let mail = Inbox::of(&dir.path().join("golf")).waiting().unwrap();
    assert_eq!(mail.unreadable, []);
    let posted: Vec<(&str, &Asked)> =
        mail.posted.iter().map(|one| (one.by.as_str(), &one.request)).collect();
    let story = Story::sixty();
    let budget = empiric_core::Budget { trials: Some(500), ..*story.study.budget() };
    let expected = [
        ("bo", Asked::Pause),
        ("bo", Asked::Resume),
        ("bo", Asked::Stop),
        ("bo", Asked::Note { text: "look at t3".to_owned() }),
        ("bo", Asked::Budget { budget }),
        ("ann", Asked::Pause),
    ];
    assert_eq!(posted.len(), expected.len());
    assert!(expected.iter().all(|(by, asked)| posted.contains(&(by, asked))), "{posted:?}");

    let waiting = served.json(&format!("{requests}/{}", ids[3])).await;
    assert_eq!(waiting["answered"], false);
    let ledger = open(dir.path());
    let note = Event::Noted { by: "bo".to_owned(), text: "look at t3".to_owned() };
    let reply = Reply { request: ids[3].parse().unwrap(), trial: None, refusal: None };
    ledger.append_answering(vec![note], vec![reply]).await.unwrap();
    let answered = served.json(&format!("{requests}/{}", ids[3])).await;
    assert_eq!((&answered["answered"], &answered["refusal"]), (&json!(true), &Value::Null));
    let notes = served.json("/api/studies/golf/notes?limit=1").await;
    assert_eq!(
        (&notes["notes"][0]["by"], &notes["notes"][0]["text"]),
        (&json!("bo"), &json!("look at t3"))
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = written(dir.path());
    for body in [
        json!({}),
        json!({"ask": {"kind": "delete"}}),
        json!({"ask": {"kind": "pause", "now": true}}),
        json!({"ask": {"kind": "note", "text": "  "}}),
        json!({"ask": {"kind": "note", "text": "x".repeat(10_001)}}),
        json!({"ask": {"kind": "budget"}}),
        json!({"ask": {"kind": "budget", "trials": 0}}),
        json!({"ask": {"kind": "budget", "trials": -1}}),
        json!({"ask": {"kind": "budget", "wall_s": 0.0}}),
        json!({"ask": {"kind": "pause"}, "by": "a\nb"}),
        json!({"ask": {"kind": "pause"}, "by": "x".repeat(101)}),
        json!({"ask": {"kind": "pause"}, "as": "root"}),
        json!([]),
    ] {
        let reply = served.post("/api/studies/golf/requests", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}: {}", reply.body);
    }
    let form = Request::post("/api/studies/golf/requests")
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer())
        .header(header::CONTENT_TYPE, "text/plain");
    let reply = served.send(form.body(Body::from(r#"{"ask":{"kind":"pause"}}"#)).unwrap()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let large = json!({"ask": {"kind": "note", "text": "x".repeat(4 << 20)}});
    assert_eq!(
        served.post("/api/studies/golf/requests", &large).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(!Inbox::of(&dir.path().join("golf")).has_requests().unwrap());
}

/// The ids of the first `n` events that a connection tells, which is then cut.
async fn ids(served: &Served, words: &str, last: Option<&str>, n: usize) -> Vec<u64> {
    let request = Request::get(format!("/api/studies/golf/live{words}"))
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer());
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    let response =
        tower::ServiceExt::oneshot(served.router.clone(), request.body(Body::empty()).unwrap())
            .await
            .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    let told = |text: &str| -> Vec<u64> {
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
    };
    while told(&text).len() < n {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        let chunk = chunk.expect("events come").expect("the stream has no end").unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    told(&text).into_iter().take(n).collect()
}

#[tokio::test]
async fn a_feed_that_was_cut_goes_on_without_loss_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let served = written(dir.path());
    let head = served.json("/api/studies/golf").await["seq"].as_u64().unwrap();
    let ledger = open(dir.path());
    for n in 0..10 {
        ledger
            .append(vec![Event::Noted { by: "bo".to_owned(), text: n.to_string() }])
            .await
            .unwrap();
    }
    let first = ids(&served, &format!("?after={head}"), None, 4).await;
    assert_eq!(first, (head + 1..=head + 4).collect::<Vec<_>>());
    // A browser says by itself what it saw last; that goes before the address it began with.
    let last = first.last().unwrap().to_string();
    let second = ids(&served, &format!("?after={head}"), Some(&last), 6).await;
    assert_eq!(second, (head + 5..=head + 10).collect::<Vec<_>>());
    // What happens while a connection is open is told too.
    let more = async {
        let note = Event::Noted { by: "bo".to_owned(), text: "more".to_owned() };
        ledger.append(vec![note]).await.unwrap();
    };
    let words = format!("?after={}", head + 10);
    let (told, ()) = tokio::join!(ids(&served, &words, None, 1), more);
    assert_eq!(told, [head + 11]);
    let bad = Request::get("/api/studies/golf/live")
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, served.bearer())
        .header("last-event-id", "x");
    assert_eq!(served.send(bad.body(Body::empty()).unwrap()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_feed_ends_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let served = written(dir.path());
    let cancel = served.cancel.clone();
    let feed = served.get("/api/studies/golf/live");
    let end = async {
        cancel.cancel();
    };
    let (reply, ()) = tokio::join!(feed, end);
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_study_that_grows_is_told_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::many(40);
    let half = story.records.len() / 2;
    let later = story.records.split_off(half);
    write(&story, &dir.path().join("golf"));
    let served = Served::of(dir.path());
    let before = served.json("/api/studies/golf").await;
    let ledger = open(dir.path());
    for record in later {
        ledger.append(vec![record.event]).await.unwrap();
        served.json("/api/studies/golf/trials?limit=1").await;
    }
    drop(ledger);
    let after = served.json("/api/studies/golf").await;
    assert_ne!(before["trials"], after["trials"]);
    // The same as of a server that sees it for the first time.
    assert_eq!(after, Served::of(dir.path()).json("/api/studies/golf").await);
    assert_eq!(
        served.json("/api/studies/golf/curve").await,
        Served::of(dir.path()).json("/api/studies/golf/curve").await
    );
}
