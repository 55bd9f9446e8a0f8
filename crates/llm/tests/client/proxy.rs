//! The metering proxy between an agent that speaks HTTP and the model server.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use empiric_core::{Money, Spend};
use empiric_llm::{
    Caps, Dialect, Limits, Part, Passed, Proxy, ProxyOptions, Purse, Scope, Secret, Tape, Timeouts,
    Visit,
};
use empiric_testkit::model::{Asked, Fault, ModelServer, Said, Say, Script};
use serde_json::{Value, json};

use crate::kit::{KEY, Memory, catalogue, origin};

const TOKEN: &str = "sk-for-one-visit";

struct Kit {
    proxy: Proxy,
    purse: Purse,
    tape: Arc<Memory>,
}

fn kit(url: &str, limits: Limits) -> Kit {
    let catalogue = catalogue(url);
    let keys = catalogue.keys(|name| (name == "KEY").then(|| KEY.to_owned())).unwrap();
    let (purse, tape) = (Purse::new(limits), Arc::new(Memory::default()));
    let routes = [
        (Dialect::Chat, "chat"),
        (Dialect::Responses, "responses"),
        (Dialect::Messages, "messages"),
    ];
    let options = ProxyOptions {
        catalogue,
        keys,
        routes: routes.map(|(dialect, name)| (dialect, name.to_owned())).into_iter().collect(),
        purse: purse.clone(),
        tape: Some(Arc::clone(&tape) as Arc<dyn Tape>),
        timeouts: Timeouts::default(),
        most_output: 500,
    };
    Kit { proxy: Proxy::new(options).unwrap(), purse, tape }
}

impl Kit {
    fn admit(&self) -> (Visit, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (self.proxy.admit(listener, origin(1, 0), Secret::new(TOKEN).unwrap()).unwrap(), address)
    }
}

/// Reading the machine's certificates takes longer than a test may.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
});

/// What an agent that shows `token` hears.
fn post(to: SocketAddr, path: &str, token: &str, body: &Value) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let headers = [
        ("content-type", "application/json"),
        ("x-api-key", token),
        ("anthropic-beta", "a-feature"),
    ];
    let asked = headers
        .into_iter()
        .fold(HTTP.post(format!("http://{to}{path}")), |asked, (name, value)| {
            asked.header(name, value)
        });
    runtime.block_on(async {
        let response = asked.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    })
}

fn requests() -> [(&'static str, Value); 6] {
    let ask = json!([{"role": "user", "content": "improve it"}]);
    let body = |cap: &str, input: &str, stream: bool| json!({"model": "fake", (cap): 9_000, (input): ask, "stream": stream});
    [
        ("/v1/chat/completions", body("max_tokens", "messages", false)),
        ("/v1/chat/completions", body("max_tokens", "messages", true)),
        ("/v1/responses", body("max_output_tokens", "input", false)),
        ("/v1/responses", body("max_output_tokens", "input", true)),
        ("/v1/messages", body("max_tokens", "messages", false)),
        ("/v1/messages?beta=true", body("max_tokens", "messages", true)),
    ]
}

#[test]
fn every_dialect_passes_is_metered_to_the_token_and_never_sees_the_key() {
    let said = Said {
        text: "I widen it".into(),
        input: Some(60),
        cached: 40,
        output: Some(25),
        ..Said::default()
    };
    let server = ModelServer::start(move |_: &Asked| Say::Reply(said.clone())).unwrap();
    let kit = kit(&server.url(), Limits::default());
    let (visit, to) = kit.admit();
    for (path, body) in requests() {
        let (status, heard) = post(to, path, TOKEN, &body);
        assert_eq!(status, 200, "{path}: {heard}");
        assert!(heard.contains("I wide") && !heard.contains(KEY), "{path}: {heard}");
        let asked = server.asked().pop().unwrap();
        let headers = format!("{:?}", asked.headers);
        assert!(headers.contains(KEY) && !headers.contains(TOKEN), "{path}: {headers}");
        assert!(headers.contains("a-feature"), "{path}: {headers}");
        assert!(
            asked.body.to_string().contains("500") && !asked.body.to_string().contains("9000"),
            "{path}"
        );
    }
    let tally = visit.end();
    // 60 at 1, 40 at 0.1 and 25 at 2 dollars a million are 114 millionths.
    let expected = Spend { calls: 6, tokens: 6 * 125, money: Money(6 * 114_000_000) };
    assert_eq!((tally.calls, tally.spend, &tally.trouble), (6, expected, &Vec::new()));
    assert_eq!(kit.purse.spent(&Scope::Study), expected);
    assert_eq!(kit.purse.reserved(&Scope::Study), Spend::default());
    let tape = kit.tape.0.lock().unwrap();
    let nths: Vec<u32> = tape.iter().map(|exchange| exchange.origin.nth).collect();
    assert_eq!(nths, [0, 1, 2, 3, 4, 5]);
    for exchange in tape.iter() {
        let all = format!(
            "{}{}",
            String::from_utf8_lossy(&exchange.request),
            String::from_utf8_lossy(&exchange.answer)
        );
        assert!(all.contains("improve it") && all.contains("I widen it"), "{all}");
        assert!(!all.contains(KEY) && !all.contains(TOKEN), "{all}");
    }
    // What was billed can be read again out of the record, and out of no other.
    for exchange in tape.iter() {
        let answer = String::from_utf8(exchange.answer.clone()).unwrap();
        let read = |answer: &str| Passed::read(&exchange.request, answer.as_bytes());
        let passed = read(&answer).unwrap();
        assert_eq!((passed.model.as_str(), passed.usage), ("fake", Some(exchange.usage)));
        let dearer = read(&answer.replace(":25", ":26")).unwrap();
        assert_ne!(dearer.usage, passed.usage, "{answer}");
        assert_eq!(read("{}"), None);
    }
}

#[test]
fn strangers_and_what_cannot_be_metered_are_turned_down() {
    let server = ModelServer::start(Script::always([Say::text("yes")])).unwrap();
    let money = Caps { money: Some(Money::from_usd(1.0)), ..Caps::default() };
    let kit = kit(&server.url(), Limits { study: money, ..Limits::default() });
    let (visit, to) = kit.admit();
    let (path, body) = &requests()[4];
    let mut unpriced = body.clone();
    unpriced["model"] = "unheard-of".into();
    for (path, token, body, status) in [
        (*path, "sk-guess", body, 401),
        ("/v1/files", TOKEN, body, 404),
        ("/v1/messages/batches", TOKEN, body, 404),
        (path, TOKEN, &json!("text"), 400),
        (path, TOKEN, &unpriced, 402),
        ("/v1beta/models/g:generateContent", TOKEN, &json!({}), 404),
    ] {
        assert_eq!(post(to, path, token, body).0, status, "{path} {body}");
    }
    assert_eq!(server.count(), 0);
    let tally = visit.end();
    assert_eq!((tally.calls, tally.trouble.len()), (0, 6));
    assert_eq!(kit.purse.spent(&Scope::Study), Spend::default());
    // Over means over.
    assert!(TcpStream::connect(to).is_err());
}

#[test]
fn a_refusal_of_the_provider_comes_through_and_costs_no_tokens() {
    let server =
        ModelServer::start(Script::always([Say::Fault(Fault::RateLimited { after_ms: 3_000 })]))
            .unwrap();
    let kit = kit(&server.url(), Limits::default());
    let (visit, to) = kit.admit();
    let (path, body) = &requests()[5];
    let (status, heard) = post(to, path, TOKEN, body);
    assert_eq!((status, heard.contains("slow down")), (429, true));
    assert_eq!(visit.end().spend, Spend { calls: 1, ..Spend::default() });
}

#[test]
fn an_agent_that_hangs_up_pays_for_what_it_asked() {
    let server = ModelServer::start(Script::always([Say::Fault(Fault::Stalled)])).unwrap();
    let kit = kit(&server.url(), Limits::default());
    let (visit, to) = kit.admit();
    let (path, body) = requests()[5].clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Broken off by the end of the visit.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let asked = HTTP
                .post(format!("http://{to}{path}"))
                .header("x-api-key", TOKEN)
                .body(body.to_string());
            runtime.block_on(async {
                if let Ok(reply) = asked.send().await {
                    reply.text().await.ok();
                }
            });
        });
        while server.count() == 0 {
            std::thread::yield_now();
        }
        let tally = visit.end();
        assert!(tally.spend.money > Money::ZERO && tally.calls == 1, "{tally:?}");
        assert_eq!(kit.purse.spent(&Scope::Study), tally.spend);
        assert_eq!(kit.purse.reserved(&Scope::Study), Spend::default());
    });
}

#[test]
fn calls_that_overlap_are_numbered_in_the_order_in_which_they_are_recorded() {
    let turn = AtomicU64::new(0);
    let server = ModelServer::on(0, false, move |_: &Asked| {
        // Whoever asks first waits longest.
        let before = turn.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(80_u64.saturating_sub(10 * before)));
        Say::Reply(Said::default())
    })
    .unwrap();
    let kit = kit(&server.url(), Limits::default());
    let (visit, to) = kit.admit();
    let (path, body) = requests()[4].clone();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(post(to, path, TOKEN, &body).0, 200));
        }
    });
    assert_eq!(visit.end().calls, 8);
    let kept = kit.tape.0.lock().unwrap();
    assert_eq!(kept.iter().map(|one| one.origin.nth).collect::<Vec<_>>(), Vec::from_iter(0..8));
}

#[test]
fn a_money_cap_holds_at_the_proxy_however_many_agents_ask() {
    for agents in [1, 8, 32] {
        let said =
            Said { text: "an idea".into(), input: Some(100), output: Some(333), ..Said::default() };
        let server = ModelServer::on(0, false, move |_: &Asked| Say::Reply(said.clone())).unwrap();
        let cap = Money::from_usd(0.03);
        let money = Caps { money: Some(cap), ..Caps::default() };
        let kit = kit(&server.url(), Limits { study: money, ..Limits::default() });
        let (path, body) = requests()[4].clone();
        let most = std::thread::scope(|scope| {
            let (kit, body) = (&kit, &body);
            let visits: Vec<_> = (0..agents)
                .map(|_| {
                    scope.spawn(move || {
                        let (visit, to) = kit.admit();
                        while post(to, path, TOKEN, body).0 == 200 {}
                        visit.end()
                    })
                })
                .collect();
            let tallies: Vec<_> = visits.into_iter().map(|visit| visit.join().unwrap()).collect();
            let refused: Vec<_> =
                tallies.iter().map(|tally| tally.refused.clone().unwrap()).collect();
            assert!(
                refused
                    .iter()
                    .all(|refused| (refused.part, &refused.scope) == (Part::Money, &Scope::Study))
            );
            Money(refused.iter().map(|refused| refused.asked).max().unwrap())
        });
        let spent = kit.purse.spent(&Scope::Study);
        println!(
            "{agents:>2} agents: spent {} of {cap} in {} calls, one may take {most}",
            spent.money, spent.calls
        );
        assert!(spent.money <= cap, "{agents} agents: {}", spent.money);
        assert!(
            cap.less(spent.money) <= most,
            "{agents} agents left room for a call: {}",
            spent.money
        );
        assert_eq!(server.count(), spent.calls);
    }
}

#[test]
fn googles_dialect_has_a_route_and_a_dead_provider_costs_nothing() {
    // The model server does not speak it; what it would say is in the unit tests of its counts.
    let routes: BTreeMap<Dialect, String> = BTreeMap::from([(Dialect::Gemini, "chat".to_owned())]);
    let google = "[provider.chat]\ngemini = \"http://127.0.0.1:9/v1beta\"";
    let catalogue = catalogue("http://127.0.0.1:9/v1").with(google, "test").unwrap();
    let options = ProxyOptions {
        keys: BTreeMap::new(),
        catalogue,
        routes,
        purse: Purse::default(),
        tape: None,
        timeouts: Timeouts::default(),
        most_output: 10,
    };
    let proxy = Proxy::new(options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let visit = proxy.admit(listener, origin(1, 0), Secret::new(TOKEN).unwrap()).unwrap();
    let (status, heard) =
        post(to, "/v1beta/models/fake:generateContent", TOKEN, &json!({"contents": []}));
    // Nobody is there: it was released, and says so in Google's own shape.
    assert_eq!((status, heard.contains("cannot be reached")), (502, true), "{heard}");
    assert_eq!(visit.end().calls, 0);
}
