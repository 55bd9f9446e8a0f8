//! Providers that fail in every documented way, through whole studies; and caps on money however many propose at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use empiric_testkit::{
    Home, Said,
    model::{Asked, Fault, ModelServer, Say, ToolUse},
};
use serde_json::{Value, json};

use crate::{home, models::events, words};

/// A list of models that are waited for briefly.
fn list(home: &Home, url: &str) {
    let text = format!(
        "[provider.test]\nwire = \"chat\"\nurl = \"{url}\"\n\
         [waiting]\nidle_s = 0.25\nanswer_s = 0.25\nfirst_s = 0.002\nlongest_s = 0.02\n\
         [price]\n\"test/one\" = {{ input = 1, output = 2 }}\n"
    );
    fs_err::write(home.path().join("models.toml"), text).unwrap();
}

const RUN: &str = "run task --study s --arm generalist --no-check --seed 2 --model test/one --models-file models.toml";

/// Writes knobs that nobody has tried and that are worth no second look, and hands them in.
fn turn(asked: &Asked, n: u64) -> Say {
    let submit =
        json!({"hypothesis": format!("knob {n}"), "direction": "decrease", "reach": "parameter"});
    let knobs = format!(
        "rate = {}\nwidth = 24\ndecay = 0.3\nwarmup = 30\nclip = 2.0\n",
        2.0 + n as f64 / 1e4
    );
    match asked.results {
        0 => Say::tool("write_file", json!({"path": "knobs.toml", "text": knobs})),
        _ => Say::tool("submit", submit),
    }
}

/// How a study ends whose provider never does anything else.
#[derive(Debug, PartialEq)]
enum Ends {
    /// The session ends, no trial is blamed or lost: exit 7.
    Session(&'static str),
    /// Trials fail as infra's, which costs no idea anything, and five in a row end the session: exit 7.
    Infra,
    /// Every trial fails as its proposer's, and the study goes on to its end: exit 0.
    Proposer(&'static str),
}

/// What docs/agents.md says.
fn due(fault: Fault) -> Ends {
    match fault {
        Fault::OutOfQuota | Fault::BadKey => Ends::Session("key is missing or not accepted"),
        Fault::UnknownModel => Ends::Session("no such model or provider"),
        Fault::Broken | Fault::Overloaded | Fault::OverloadedLate | Fault::Reset => {
            Ends::Session("answers nobody")
        }
        Fault::Stalled | Fault::Silent => Ends::Session("answers nobody"),
        Fault::RateLimited { .. } => Ends::Infra,
        Fault::ContextOverflow | Fault::Declines | Fault::Redirect => {
            Ends::Proposer("proposer_failed")
        }
        Fault::Truncated | Fault::Empty | Fault::Garbage => Ends::Proposer("proposer_failed"),
        Fault::MalformedCall => Ends::Proposer("no_proposal"),
    }
}

fn failed(home: &Home) -> Value {
    let status = &home.say(words("status s --json")).unwrap().json()[0];
    status["outcomes"]["failed"].clone()
}

fn replays(home: &Home, what: &str) {
    let again = home.say(words("verify s --replay")).unwrap();
    assert_eq!(again.code, Some(0), "{what}: {again:?}");
}

#[test]
fn a_provider_that_does_nothing_else_ends_every_study_as_documented() {
    for fault in Fault::ALL {
        let home = home();
        let server = ModelServer::start(move |_: &Asked| Say::Fault(fault)).unwrap();
        list(&home, &server.url());
        let said = home.say(words(&format!("{RUN} --trials 3 --slots 1"))).unwrap();
        drop(server);
        let failed = failed(&home);
        match due(fault) {
            Ends::Session(says) => {
                assert_eq!(said.code, Some(7), "{fault:?}: {said:?}");
                assert!(said.talk.contains(says), "{fault:?}: {said:?}");
                assert!(said.talk.contains("no idea is blamed"), "{fault:?}: {said:?}");
            }
            Ends::Infra => {
                assert_eq!(said.code, Some(7), "{fault:?}: {said:?}");
                assert!(said.talk.contains("could not be proposed"), "{fault:?}: {said:?}");
                assert!(said.talk.contains("no idea is blamed"), "{fault:?}: {said:?}");
                assert_eq!(failed, json!({"proposer_failed": 5}), "{fault:?}");
            }
            Ends::Proposer(cause) => {
                assert_eq!(said.code, Some(0), "{fault:?}: {said:?}");
                assert_eq!(failed, json!({ (cause): 3 }), "{fault:?}: {said:?}");
            }
        }
        // Whatever was blamed on anybody but the provider, no trial of an idle provider was.
        let events = events(&home.path().join("s"));
        let blamed = |event: &&Value| event["outcome"]["blame"] == "edit";
        let blamed = events.iter().filter(blamed).count();
        let proposers = matches!(due(fault), Ends::Proposer(_));
        assert_eq!(blamed, if proposers { 3 } else { 0 }, "{fault:?}");
        replays(&home, &format!("{fault:?}"));
    }
}

#[test]
fn a_provider_that_fails_now_and_then_is_got_over() {
    for fault in Fault::ALL {
        if matches!(
            due(fault),
            Ends::Session("key is missing or not accepted" | "no such model or provider")
        ) {
            continue;
        }
        // A refusal to answer is an answer, and so is one to take the request.
        let lost = matches!(fault, Fault::Declines | Fault::Redirect);
        let home = home();
        let count = AtomicU64::new(0);
        let server = ModelServer::start(move |asked: &Asked| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            if n % 5 == 1 { Say::Fault(fault) } else { turn(asked, n) }
        })
        .unwrap();
        list(&home, &server.url());
        let said = home.say(words(&format!("{RUN} --trials 3 --slots 1"))).unwrap();
        assert_eq!(said.code, Some(0), "{fault:?}: {said:?}");
        let failed = failed(&home);
        let infra = failed.get("proposer_failed").and_then(Value::as_u64).unwrap_or_default();
        assert!(lost || infra == 0, "{fault:?}: {failed}");
        let events = events(&home.path().join("s"));
        let called = events.iter().filter(|event| event["event"] == "called");
        let attempts: u64 = called.map(|event| event["call"]["attempts"].as_u64().unwrap()).sum();
        assert_eq!(attempts, server.count(), "{fault:?}: every request is in the ledger");
        drop(server);
        replays(&home, &format!("{fault:?}"));
    }
}

#[test]
fn an_arm_that_cannot_be_asked_ends_alone() {
    let home = home();
    let late = Fault::ALL.into_iter().find(|fault| due(*fault) == Ends::Infra).unwrap();
    let server = ModelServer::start(move |_: &Asked| Say::Fault(late)).unwrap();
    list(&home, &server.url());
    let said = home.say(words(&format!("{RUN} --arm tuner --trials 8 --slots 2"))).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let events = events(&home.path().join("s"));
    let concluded = |arm: &str| {
        let asked = events.iter().filter(|event| event["event"] == "asked" && event["arm"] == arm);
        let trials: Vec<&Value> = asked.map(|event| &event["trial"]).collect();
        let ended = events.iter().filter(|event| event["event"] == "concluded");
        ended.filter(|event| trials.contains(&&event["trial"])).collect::<Vec<_>>()
    };
    assert!(concluded("generalist").iter().all(|event| event["outcome"]["blame"] == "infra"));
    assert!((5..10).contains(&concluded("generalist").len()), "{said:?}");
    assert_eq!(concluded("tuner").len(), 8, "{said:?}");
    let ended = events.iter().find(|event| event["event"] == "finished").unwrap().to_string();
    assert!(ended.contains("generalist: 5 trials in a row could not be proposed"), "{ended}");
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_none_at_once() {
    let home = home();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // With the waits that everybody has.
    let line =
        "run task --study s --arm generalist --no-check --model test/one --trials 3 --slots 1";
    let url = format!("http://{dead}/v1");
    let said: Said = home.say(words(line).into_iter().chain(["--base-url", &url])).unwrap();
    assert_eq!(said.code, Some(7), "{said:?}");
    assert!(said.talk.contains("is it running?") && said.talk.contains("--base-url"), "{said:?}");
    assert_eq!(failed(&home), json!({}));
    let events = events(&home.path().join("s"));
    let called = events.iter().filter(|event| event["event"] == "called");
    let attempts = called.map(|event| event["call"]["attempts"].as_u64().unwrap()).max();
    assert_eq!(attempts, Some(3), "three tries take two to three seconds");
    // Nothing was lost: with a server, the same command goes on.
    let server =
        ModelServer::start(|asked: &Asked| turn(asked, asked.text().len() as u64)).unwrap();
    let url = server.url();
    let said: Said = home.say(words(line).into_iter().chain(["--base-url", &url])).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    replays(&home, "afterwards");
}

#[test]
fn a_cap_on_money_holds_however_many_propose_at_once() {
    for slots in [1_u64, 8, 32] {
        let home = home();
        let (at_once, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (seen, count) = (Arc::clone(&most), AtomicU64::new(0));
        let largest = Arc::new(AtomicU64::new(0));
        let large = Arc::clone(&largest);
        let server = ModelServer::on(0, false, move |asked: &Asked| {
            let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(now, Ordering::SeqCst);
            let n = count.fetch_add(1, Ordering::SeqCst);
            // Room is reserved for a token a byte, and for all that it may answer.
            let worst = asked.body.to_string().len() as u64 + 2 * 8_000;
            large.fetch_max(worst, Ordering::SeqCst);
            // Long enough for all to be there at once, however slowly they come.
            std::thread::sleep(std::time::Duration::from_millis(100 + 30 * (slots - 1)));
            at_once.fetch_sub(1, Ordering::SeqCst);
            let mut say = turn(asked, n);
            if let Say::Reply(said) = &mut say {
                said.calls.insert(0, ToolUse { name: "list_files".into(), arguments: json!({}) });
                said.output = Some(4_000);
            }
            say
        })
        .unwrap();
        // However busy the machine is, this server is waited for.
        let list = format!(
            "[provider.test]\nwire = \"chat\"\nurl = \"{}\"\n[price]\n\"test/one\" = {{ input = 1, output = 2 }}\n",
            server.url()
        );
        fs_err::write(home.path().join("models.toml"), list).unwrap();
        let run = format!("{RUN} --trials 4000 --slots {slots} --budget 1.2usd");
        let said = home.say(words(&run)).unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.talk.contains("paused: "), "{said:?}");
        let status = &home.say(words("status s --json")).unwrap().json()[0];
        let spent = status["cost"]["usd"].as_f64().unwrap();
        let one = largest.load(Ordering::SeqCst) as f64 / 1e6;
        println!(
            "{slots:>2} slots, at most {:>2} requests at once: spent {spent:.4} of 1.2 USD in {} calls; room for one is {one:.4}",
            most.load(Ordering::SeqCst),
            server.count()
        );
        assert!(most.load(Ordering::SeqCst) as u64 >= slots, "{slots} slots: too few at once");
        assert!(spent <= 1.2, "{slots} slots: {spent}");
        assert!(1.2 - spent <= 2.0 * one, "{slots} slots left room: {spent}");
        let events = events(&home.path().join("s"));
        let called = events.iter().filter(|event| event["event"] == "called").count();
        assert_eq!(called as u64, server.count());
    }
}

#[test]
fn arms_that_ask_models_have_equal_parts_of_a_cap_on_money() {
    let home = home();
    let count = AtomicU64::new(0);
    // One arm's replies cost nine times the other's.
    let server = ModelServer::on(0, false, move |asked: &Asked| {
        let mut say = turn(asked, count.fetch_add(1, Ordering::SeqCst));
        if let Say::Reply(said) = &mut say {
            let dear = asked.text().contains("the generalist researcher");
            said.output = Some(if dear { 4_500 } else { 500 });
        }
        say
    })
    .unwrap();
    list(&home, &server.url());
    let run = format!("{RUN} --arm no-lineage --trials 4000 --slots 2 --budget 0.6usd");
    let said = home.say(words(&run)).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let study = empiric_ledger::Reader::open(&home.path().join("s")).unwrap().study().unwrap();
    let spent = |arm: &str| study.arm(arm).unwrap().cost().usd;
    let (dear, cheap) = (spent("generalist"), spent("no-lineage"));
    // A proposal may be under way when the last one is paid.
    assert!(dear + cheap <= 0.6, "{dear} and {cheap}");
    assert!(dear < 0.36 && cheap > 0.2, "{dear} and {cheap}");
}
