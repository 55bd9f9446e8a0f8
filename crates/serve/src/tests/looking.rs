//! What is told of a study is what the ledger says.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use empiric_core::{Outcome, TrialNo, Verdict};
use empiric_ledger::Reader;
use empiric_report::Status;
use empiric_testkit::story::Story;
use serde_json::{Value, json};

use super::{Served, write};

fn sixty() -> (tempfile::TempDir, Served, Story) {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::sixty();
    story.close();
    write(&story, &dir.path().join("golf"));
    let served = Served::of(dir.path());
    (dir, served, story)
}

#[tokio::test]
async fn a_summary_is_the_one_of_the_whole_fold() {
    let (dir, served, story) = sixty();
    let told = served.json("/api/studies/golf").await;
    let whole = Reader::open(&dir.path().join("golf")).unwrap().study().unwrap();
    assert_eq!(whole.seq(), story.study.seq());
    let said = serde_json::to_value(Status::of(&whole)).unwrap();
    assert!(said["champion"].is_object(), "{said}");
    for field in ["mean", "gain", "gain_interval", "trial", "basis"] {
        assert_eq!(told["champion"][field], said["champion"][field], "{field}");
    }
    assert_eq!(told["baseline"], said["baseline"]);
    assert_eq!(told["noise_sd"], said["noise_sd"]);
    assert_eq!(told["deterministic"], said["deterministic"]);
    assert_eq!(told["replicates"], said["replicates"]);
    let meters = told["meters"].as_array().unwrap();
    assert!(meters.iter().all(|meter| meter["name"] != "usd"), "nothing was asked of a model");
    assert_eq!(told["trials"], said["trials"]);
    assert_eq!(told["marks"]["keep"], said["outcomes"]["keep"]);
    let meter = |name: &str| {
        let meters = told["meters"].as_array().unwrap();
        meters.iter().find(|meter| meter["name"] == name).unwrap()["used"].as_f64().unwrap()
    };
    assert_eq!(meter("trials"), f64::from(whole.spent_trials()));
    assert!((meter("cpu") - whole.cost().cpu_s).abs() < 1e-3, "{}", meter("cpu"));
    assert!((meter("wall") - whole.cost().wall_s).abs() < 1e-6, "{}", meter("wall"));
}

#[tokio::test]
async fn pages_of_trials_hold_each_once_in_every_order_and_under_every_filter() {
    let (_dir, served, story) = sixty();
    for words in [
        "",
        "&order=oldest",
        "&order=score",
        "&order=gain",
        "&mark=discard",
        "&mark=failed",
        "&operator=tune&mark=keep",
    ] {
        let mut seen = Vec::new();
        let mut after = String::new();
        let mut matching = None;
        loop {
            let page =
                served.json(&format!("/api/studies/golf/trials?limit=7{words}{after}")).await;
            let lines = page["trials"].as_array().unwrap();
            assert!(lines.len() <= 7);
            seen.extend(lines.iter().map(|line| line["trial"].as_str().unwrap().to_owned()));
            assert!(matching.is_none_or(|matching| matching == page["matching"]));
            matching = Some(page["matching"].clone());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "{words}");
        assert_eq!(json!(seen.len()), matching.unwrap(), "{words}");
    }
    let all = served.json("/api/studies/golf/trials?limit=500").await;
    assert_eq!(all["matching"], json!(story.study.trials().len()));
    let best = served.json("/api/studies/golf/trials?order=score&limit=500").await;
    let scores: Vec<f64> = best["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted(), "{scores:?}");
}

#[tokio::test]
async fn a_trial_is_told_with_everything_recorded_of_it() {
    let (_dir, served, story) = sixty();
    for trial in story.study.trials() {
        let told = served.json(&format!("/api/studies/golf/trials/{}", trial.no)).await;
        assert_eq!(told["replicates_total"], json!(trial.replicates.len()));
        assert_eq!(
            told["line"]["hypothesis"],
            json!(trial.edit.as_ref().map(|edit| &edit.hypothesis.text))
        );
        match &trial.outcome {
            Some(Outcome::Valid { verdict, reason, .. }) => {
                assert_eq!(told["outcome"]["verdict"], json!(verdict.to_string()));
                assert_eq!(told["outcome"]["reason"], json!(reason));
            }
            Some(Outcome::Failed(failure)) => {
                assert_eq!(told["outcome"]["failure"]["cause"], failure.cause.name());
                assert_eq!(told["outcome"]["failure"]["signature_hash"], failure.signature().hash);
            }
            None => assert_eq!(told["outcome"], Value::Null),
        }
    }
    let champion = served.json("/api/studies/golf/trials/champion").await;
    assert_eq!(champion["line"]["trial"], story.study.champion().to_string());
    assert_eq!(champion["champion"], true);
}

#[tokio::test]
async fn failures_are_counted_once_and_found_again_by_their_signature() {
    let (_dir, served, story) = sixty();
    let told = served.json("/api/studies/golf/failures").await;
    let failed = story
        .study
        .trials()
        .iter()
        .filter(|trial| matches!(trial.outcome, Some(Outcome::Failed(_))));
    let failed = failed.count() as u64;
    assert!(failed > 0);
    assert_eq!(told["failed"], failed);
    for list in ["groups", "signatures"] {
        let sum: u64 =
            told[list].as_array().unwrap().iter().map(|one| one["trials"].as_u64().unwrap()).sum();
        assert_eq!(sum, failed, "{list}");
    }
    for signature in told["signatures"].as_array().unwrap() {
        let path =
            format!("/api/studies/golf/trials?signature={}", signature["hash"].as_str().unwrap());
        assert_eq!(served.json(&path).await["matching"], signature["trials"]);
    }
}

#[tokio::test]
async fn the_graph_around_a_trial_is_whole_where_it_says_nothing_is_hidden() {
    let (_dir, served, story) = sixty();
    let told = served.json("/api/studies/golf/graph?around=baseline&depth=8&limit=600").await;
    let nodes = told["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), story.study.trials().len());
    for node in nodes {
        let no: TrialNo = node["trial"].as_str().unwrap().parse().unwrap();
        let parents: Vec<String> =
            story.study.trial(no).unwrap().parents().iter().map(ToString::to_string).collect();
        assert_eq!(node["parents"], json!(parents));
        assert_eq!((&node["hidden"], &node["hidden_parents"]), (&json!(0), &json!(0)));
    }
    let part = served.json("/api/studies/golf/graph?limit=10&depth=1").await;
    let nodes = part["nodes"].as_array().unwrap();
    assert!(nodes.len() <= 10 && nodes.iter().any(|node| node["champion"] == true));
    assert!(nodes.iter().any(|node| node["hidden"].as_u64().unwrap() > 0));
}

#[tokio::test]
async fn a_curve_holds_every_measured_trial_or_says_how_many_a_point_stands_for() {
    let dir = tempfile::tempdir().unwrap();
    let story = Story::many(900);
    write(&story, dir.path());
    let served = Served::of(dir.path());
    let id = dir.path().file_name().unwrap().to_str().unwrap();
    let measured = |from: u32, to: u32| {
        let trials = story.study.trials().iter().filter(|trial| (from..=to).contains(&trial.no.0));
        let scored = trials.filter(|trial| {
            let keep = matches!(trial.outcome, Some(Outcome::Valid { verdict: Verdict::Keep, .. }));
            !keep && trial.search_score("bpb").is_some()
        });
        scored.count() as u64
    };
    for (words, from, to) in [("", 0, 900), ("points=100", 0, 900), ("from=100&to=300", 100, 300)] {
        let told = served.json(&format!("/api/studies/{id}/curve?{words}")).await;
        let series = told["series"].as_array().unwrap();
        let counts = series.iter().flat_map(|one| one["count"].as_array().unwrap());
        assert_eq!(
            counts.map(|count| count.as_u64().unwrap()).sum::<u64>(),
            measured(from, to),
            "{words}"
        );
        let points: usize = series.iter().map(|one| one["trial"].as_array().unwrap().len()).sum();
        if words == "points=100" {
            assert!(told["thinned"] == true && points <= 300, "{points}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_understood_say_so() {
    let (_dir, served, _) = sixty();
    for path in [
        "/api/studies/none",
        "/api/studies/golf/trials/t9999",
        "/api/studies/golf/trials/nonsense",
        "/api/studies/golf/trials/t9999/calls",
        "/api/studies/golf/replicates/00/logs/00",
        "/api/studies/golf/replicates/01990000-7000-7000-8000-000000000000/logs/00",
        "/api/studies/golf/requests/00",
        "/api/studies/golf/report",
        "/api/nothing",
        "/api",
    ] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {}", reply.body);
        assert!(reply.json()["error"].is_string());
    }
    for path in [
        "/api/studies/golf/trials?limit=0",
        "/api/studies/golf/trials?limit=9999",
        "/api/studies/golf/trials?limit=x",
        "/api/studies/golf/trials?order=random",
        "/api/studies/golf/trials?after=zzz",
        "/api/studies/golf/trials?unknown=1",
        "/api/studies/golf/events?newest=true&trial=t1",
        "/api/studies/golf/curve?points=0",
    ] {
        let reply = served.get(path).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: {}", reply.body);
        assert!(reply.json()["error"].is_string());
    }
    let nothing = served.json("/api/studies/golf/trials?cause=never_heard_of").await;
    assert_eq!(nothing["matching"], 0);
}

#[tokio::test]
async fn events_are_paged_in_both_directions_and_by_trial() {
    let (_dir, served, story) = sixty();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = served.json(&format!("/api/studies/golf/events?limit=50{after}")).await;
        seen.extend(
            page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()),
        );
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=story.study.seq()).collect::<Vec<_>>());
    let newest = served.json("/api/studies/golf/events?newest=true&limit=3").await;
    assert_eq!(newest["events"][0]["seq"], json!(story.study.seq()));
    let own = served.json("/api/studies/golf/events?trial=t3&limit=500").await;
    assert!(own["events"].as_array().unwrap().iter().all(|event| event["trial"] == "t3"));
    let slots = served.json("/api/studies/golf/slots?limit=5").await;
    assert_eq!(slots["stretches"].as_array().unwrap().len(), 5);
    let insights = served.json("/api/studies/golf/insights").await;
    assert!(!insights["gains"].as_array().unwrap().is_empty());
}
