//! Every documented way to fail, over every protocol, and what becomes of it.

use std::{net::TcpListener, time::Duration};

use empiric_llm::{Class, Limits, Models, Timeouts};
use empiric_testkit::model::{Asked, Fault, ModelServer, Say, Script};
use serde_json::Value;

use crate::kit::{KEY, WAYS, call, kit, kit_with, origin};

/// What must become of a fault: its class, and how often it is tried.
fn due(fault: Fault) -> (Option<Class>, u32) {
    match fault {
        Fault::RateLimited { after_ms } => {
            (Some(Class::RateLimited { after_ms: Some(after_ms) }), 3)
        }
        Fault::Broken | Fault::Overloaded | Fault::OverloadedLate => {
            (Some(Class::Overloaded { after_ms: None }), 3)
        }
        Fault::OutOfQuota | Fault::BadKey => (Some(Class::Auth), 1),
        Fault::UnknownModel => (Some(Class::Unknown), 1),
        Fault::ContextOverflow => (Some(Class::ContextOverflow), 1),
        Fault::Declines => (Some(Class::Declined), 1),
        Fault::Redirect => (Some(Class::Rejected), 1),
        Fault::Truncated | Fault::Empty | Fault::Garbage => (Some(Class::Malformed), 2),
        Fault::Stalled | Fault::Silent => (Some(Class::Stalled), 2),
        Fault::Reset => (Some(Class::Network), 3),
        // The caller tells the model.
        Fault::MalformedCall => (None, 1),
    }
}

#[test]
fn every_fault_ends_as_documented() {
    let server = ModelServer::start(|asked: &Asked| {
        let named = asked.last().strip_prefix("fail by ").and_then(|n| n.parse::<usize>().ok());
        named.map_or_else(|| Say::text("all is well"), |n| Say::Fault(Fault::ALL[n]))
    })
    .unwrap();
    let short = Duration::from_millis(60);
    let hasty = Timeouts { answer: short, idle: short, ..Timeouts::default() };
    let kits = [Timeouts::default(), hasty]
        .map(|timeouts| kit_with(&server.url(), Limits::default(), timeouts));
    for (n, fault) in Fault::ALL.into_iter().enumerate() {
        let silent = matches!(fault, Fault::Stalled | Fault::Silent);
        let kit = &kits[usize::from(silent)];
        for (m, way) in WAYS.into_iter().enumerate() {
            let mut failing = call(way, &format!("fail by {n}"));
            failing.origin = origin(n as u32 + 1, m as u32);
            let (heard, slept) = (server.count(), kit.clock.slept.lock().unwrap().len());
            let answer = kit.client.call(&failing);
            let (heard, slept) =
                (server.count() - heard, kit.clock.slept.lock().unwrap().len() - slept);
            let (class, attempts) = due(fault);
            let seen = answer.as_ref().err().map(|error| error.class.clone());
            assert_eq!(seen, class, "{fault:?} over {way}: {answer:?}");
            // What is said to a server that says nothing may not have arrived yet.
            assert!(silent || heard == u64::from(attempts), "{fault:?} over {way}: {heard}");
            if let Err(error) = &answer {
                assert_eq!(error.attempts, attempts, "{fault:?} over {way}");
                // Silences in a row trip the breaker, whose pauses come on top.
                assert!(silent || slept + 1 == attempts as usize, "{fault:?} over {way}: {slept}");
            }
            let tape = kit.tape.0.lock().unwrap();
            let kept = tape.iter().filter(|exchange| exchange.origin == failing.origin).count();
            assert_eq!(kept, 1, "{fault:?} over {way} is on the tape");
            drop(tape);
            if !silent {
                // An answer in between, so that no breaker trips.
                let mut fine = call(way, "go");
                fine.origin = origin(n as u32 + 1, 100 + m as u32);
                kit.client.call(&fine).unwrap();
            }
        }
    }
}

#[test]
fn a_call_without_readable_arguments_comes_with_their_text() {
    let server = ModelServer::start(Script::always([Say::Fault(Fault::MalformedCall)])).unwrap();
    let kit = kit(&server.url());
    for way in WAYS {
        let reply = kit.client.call(&call(way, "go")).unwrap();
        let arguments = reply.calls().map(|call| call.arguments.clone()).collect::<Vec<Value>>();
        assert_eq!(arguments, ["{\"path\": \"model.py\", \"tex"], "{way}");
    }
}

#[test]
fn a_provider_that_recovers_is_asked_again_no_sooner_than_it_wants() {
    for way in WAYS {
        let say = [
            Say::Fault(Fault::RateLimited { after_ms: 90_000 }),
            Say::Fault(Fault::Overloaded),
            Say::text("yes"),
        ];
        let server = ModelServer::start(Script::always(say)).unwrap();
        let kit = kit(&server.url());
        assert_eq!(kit.client.call(&call(way, "go")).unwrap().text(), "yes", "{way}");
        let slept = kit.clock.slept.lock().unwrap().clone();
        assert_eq!((slept.len(), slept[0]), (2, Duration::from_secs(90)), "{way}: {slept:?}");
        let exchange = kit.tape.0.lock().unwrap()[0].clone();
        assert_eq!((exchange.attempts, exchange.spend.calls), (3, 3), "{way}");
    }
}

#[test]
fn a_server_that_was_never_there_is_said_to_be_none_after_seconds_and_costs_nothing() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kit = kit(&format!("http://{dead}/v1"));
    let error = kit.client.call(&call("chat", "go")).unwrap_err();
    assert_eq!((error.class.clone(), error.attempts), (Class::Down, 3), "{error}");
    assert!(error.is_of_the_setup() && error.to_string().contains("--base-url"), "{error}");
    let spent = kit.purse.spent(&empiric_llm::Scope::Study);
    assert_eq!(spent.calls, 0, "nothing reached anybody");
    let slept: Duration = kit.clock.slept.lock().unwrap().iter().sum();
    assert!(slept <= Duration::from_secs(3), "{slept:?}");
    // Nor is it on the tape as an answer: once the server is there, the call is made again.
    let again = kit.client.call(&call("chat", "go")).unwrap_err();
    assert_eq!((again.class.clone(), again.attempts), (Class::Down, 3), "{again}");
}

#[test]
fn a_server_that_goes_away_for_long_is_waited_for_and_then_holds_nobody_up() {
    let server = ModelServer::start(Script::always([Say::text("yes")])).unwrap();
    let kit = kit(&server.url());
    kit.client.call(&call("chat", "go")).unwrap();
    drop(server);
    let mut classes = Vec::new();
    for n in 1..6 {
        let mut call = call("chat", "go on");
        call.origin = origin(2, n);
        classes.push(kit.client.call(&call).unwrap_err().class);
    }
    // Each call has its own tries; failures in a row are everybody's, and so are the pauses that they lead to.
    assert_eq!(classes[..2], [Class::Network, Class::Network]);
    assert_eq!(classes[4], Class::Down, "{classes:?}");
    let slept: Duration = kit.clock.slept.lock().unwrap().iter().sum();
    assert!((100..180).contains(&slept.as_secs()), "{slept:?}");
}

#[test]
fn no_error_and_no_tape_shows_the_key() {
    let server = ModelServer::start(|asked: &empiric_testkit::model::Asked| {
        assert!(asked.headers["authorization"].contains(KEY));
        Say::Fault(Fault::BadKey)
    })
    .unwrap();
    let kit = kit(&server.url());
    let error = kit.client.call(&call("chat", "go")).unwrap_err();
    let exchange = kit.tape.0.lock().unwrap()[0].clone();
    let all = format!(
        "{error} {error:?} {exchange:?} {} {}",
        String::from_utf8_lossy(&exchange.request),
        String::from_utf8_lossy(&exchange.answer)
    );
    assert!(!all.contains(KEY), "{all}");
}

#[test]
fn a_missing_key_an_unknown_provider_and_a_missing_price_say_what_to_do() {
    let server = ModelServer::start(Script::always([Say::text("yes")])).unwrap();
    let money =
        empiric_llm::Caps { money: Some(empiric_core::Money::from_usd(1.0)), ..Default::default() };
    let kit =
        kit_with(&server.url(), Limits { study: money, ..Limits::default() }, Timeouts::default());
    for (model, class, says) in [
        ("anthropic/claude-opus-4-6", Class::Auth, "ANTHROPIC_API_KEY"),
        ("nobody/x", Class::Unknown, "known providers are anthropic, "),
        ("chat/other", Class::Unpriced, "give one in the models file"),
    ] {
        let mut call = call("chat", "go");
        call.request.model = model.parse().unwrap();
        let error = kit.client.call(&call).unwrap_err();
        assert_eq!(error.class, class, "{model}");
        assert!(error.to_string().contains(says) && error.is_of_the_setup(), "{error}");
    }
    assert_eq!(server.count(), 0);
    // Without a cap on money a price is not needed.
    kit.purse.set_limits(Limits::default());
    let mut call = call("chat", "go");
    call.request.model = "chat/other".parse().unwrap();
    kit.client.call(&call).unwrap();
}

#[test]
fn a_session_that_ends_takes_its_calls_with_it() {
    let server = ModelServer::start(Script::always([Say::Fault(Fault::Stalled)])).unwrap();
    let kit = kit(&server.url());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| kit.client.call(&call("messages", "go")));
        while server.count() == 0 {
            std::thread::yield_now();
        }
        kit.client.cancel();
        assert_eq!(asking.join().unwrap().unwrap_err().class, Class::Cancelled);
    });
    // It was under way, so it is paid for, and it can be asked again.
    let spent = kit.purse.spent(&empiric_llm::Scope::Study);
    let exchange = kit.tape.0.lock().unwrap()[0].clone();
    assert!(spent.money > empiric_core::Money::ZERO);
    assert_eq!(exchange.spend, spent);
    assert_eq!(kit.client.call(&call("messages", "go")).unwrap_err().class, Class::Cancelled);
}
