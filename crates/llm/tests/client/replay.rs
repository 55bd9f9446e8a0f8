//! What is on the tape is answered from it.

use std::sync::Arc;

use empiric_llm::{Class, Models, Replay};
use empiric_testkit::model::{Fault, ModelServer, Said, Say};

use crate::kit::{WAYS, call, kit, origin};

#[test]
fn a_replay_is_bit_equal_and_needs_no_network() {
    let server = ModelServer::start(|asked: &empiric_testkit::model::Asked| {
        if asked.text().contains("fail") {
            return Say::Fault(Fault::ContextOverflow);
        }
        Say::Reply(Said {
            text: format!("answer to {}", asked.last()),
            thinking: "hm".into(),
            ..Said::default()
        })
    })
    .unwrap();
    let kit = kit(&server.url());
    let mut calls = Vec::new();
    for (n, way) in WAYS.into_iter().enumerate() {
        for text in ["idea one", "idea two", "fail"] {
            let mut call = call(way, text);
            call.origin = origin(n as u32, calls.len() as u32);
            calls.push(call);
        }
    }
    let live: Vec<_> = calls.iter().map(|call| kit.client.call(call)).collect();
    let (count, spent) = (server.count(), kit.purse.spent(&empiric_llm::Scope::Study));
    // Asked again in the same session, as after a crash, nothing is sent and nothing is paid.
    let again: Vec<_> = calls.iter().map(|call| kit.client.call(call)).collect();
    assert_eq!(again, live);
    assert_eq!((server.count(), kit.purse.spent(&empiric_llm::Scope::Study)), (count, spent));
    drop(server);
    let replay = Replay(Arc::clone(&kit.tape) as _);
    let replayed: Vec<_> = calls.iter().map(|call| replay.call(call)).collect();
    assert_eq!(replayed, live);
    let bits = |answers: &[Result<empiric_llm::Reply, empiric_llm::Error>]| {
        answers.iter().map(|answer| serde_json::to_vec(answer).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&replayed), bits(&live));
    assert!(live.iter().any(Result::is_err) && live.iter().any(Result::is_ok));
}

#[test]
fn a_miss_says_which_call_is_missing() {
    let server = ModelServer::start(|_: &_| Say::text("yes")).unwrap();
    let kit = kit(&server.url());
    kit.client.call(&call("chat", "go")).unwrap();
    let replay = Replay(Arc::clone(&kit.tape) as _);
    let mut other = call("chat", "go on");
    let error = replay.call(&other).unwrap_err();
    assert_eq!(error.class, Class::NotRecorded);
    assert!(error.to_string().contains("call 0 of data for t1"), "{error}");
    // The same words in another trial are another call.
    other = call("chat", "go");
    other.origin.trial.0 = 2;
    assert_eq!(replay.call(&other).unwrap_err().class, Class::NotRecorded);
}
