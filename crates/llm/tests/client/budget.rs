//! The cap on money, with many callers at once and a server that answers at once.

use empiric_core::{Money, TrialNo};
use empiric_llm::{Call, Caps, Class, Limits, Models, Origin, Scope, Timeouts};
use empiric_testkit::model::{Fault, ModelServer, Said, Say, Script};

use crate::kit::{catalogue, kit_with, request};

fn limits(money: Money) -> Limits {
    Limits { study: Caps { money: Some(money), ..Caps::default() }, ..Limits::default() }
}

/// Asks from `callers` threads until each is refused; what was spent, and the worst of one call.
fn spend_all(callers: u32, cap: Money) -> (Money, Money) {
    let server = ModelServer::on(0, false, |asked: &empiric_testkit::model::Asked| {
        // From cheap ones to such as cost all that was reserved.
        let output = Some(asked.body.to_string().len() as u64 % 7 * 500 / 6);
        Say::Reply(Said { text: "an idea".into(), input: Some(100), output, ..Said::default() })
    })
    .unwrap();
    let kit = kit_with(&server.url(), limits(cap), Timeouts::default());
    let longest = request("chat", "idea 99999");
    let worst = catalogue(&server.url()).price(&longest.model).unwrap().worst_of(&longest);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let kit = &kit;
            scope.spawn(move || {
                for nth in 0.. {
                    let origin =
                        Origin { arm: "a".into(), role: "r".into(), trial: TrialNo(caller), nth };
                    let request = request("chat", &format!("idea {}", nth * 31 + caller));
                    match kit.client.call(&Call { origin, request }) {
                        Ok(_) => {}
                        Err(error) => {
                            assert!(matches!(error.class, Class::Budget { .. }), "{error}");
                            return;
                        }
                    }
                }
            });
        }
    });
    let spent = kit.purse.spent(&Scope::Study);
    assert_eq!(spent.calls, server.count());
    let recorded: Money =
        kit.tape.0.lock().unwrap().iter().map(|exchange| exchange.spend.money).sum();
    assert_eq!(recorded, spent.money, "the ledger and the purse agree");
    (spent.money, worst)
}

#[test]
fn a_money_cap_is_never_overshot_by_more_than_one_reserved_call() {
    for callers in [1, 8, 32] {
        let cap = Money::from_usd(0.04);
        let (spent, worst) = spend_all(callers, cap);
        println!(
            "{callers:>2} callers: spent {spent} of {cap}, {:.2} % of the cap left, one call may take {worst}",
            100.0 * cap.less(spent).usd() / cap.usd()
        );
        assert!(spent <= cap + worst, "{callers} callers: {spent}");
        assert!(
            spent <= cap,
            "what is reserved is the worst, so the cap is not overshot at all: {spent}"
        );
        assert!(cap.less(spent) <= worst, "{callers} callers left room for a call: {spent}");
    }
}

#[test]
fn a_refusal_is_typed_not_recorded_and_ends_when_more_is_given() {
    let server = ModelServer::start(Script::always([Say::text("yes")])).unwrap();
    let kit = kit_with(&server.url(), limits(Money::from_usd(1e-6)), Timeouts::default());
    let call = crate::kit::call("messages", "go");
    let error = kit.client.call(&call).unwrap_err();
    let Class::Budget { refused } = &error.class else { panic!("{error}") };
    assert_eq!((&refused.scope, refused.spent, refused.reserved), (&Scope::Study, 0, 0));
    assert!(error.to_string().contains("the budget of the study has no room"), "{error}");
    assert_eq!((server.count(), kit.tape.0.lock().unwrap().len()), (0, 0));
    kit.purse.set_limits(limits(Money::from_usd(1.0)));
    assert_eq!(kit.client.call(&call).unwrap().text(), "yes");
}

#[test]
fn a_reply_nobody_heard_the_end_of_is_paid_at_its_worst() {
    let server = ModelServer::start(Script::always([Say::Fault(Fault::Truncated)])).unwrap();
    let kit = kit_with(&server.url(), limits(Money::from_usd(1.0)), Timeouts::default());
    let call = crate::kit::call("chat", "go");
    kit.client.call(&call).unwrap_err();
    let worst =
        catalogue(&server.url()).price(&call.request.model).unwrap().worst_of(&call.request);
    assert_eq!(kit.purse.spent(&Scope::Study).money, worst.times(2), "two tries");
}

#[test]
fn an_estimate_comes_before_the_first_call() {
    let kit = kit_with("http://127.0.0.1:9/v1", Limits::default(), Timeouts::default());
    let model = "chat/fake".parse().unwrap();
    // A million in at the dearest rate of 1.25, and a million out at 2.
    let estimate = kit.client.estimate(&model, 10, 100_000, 100_000).unwrap();
    assert_eq!(estimate, Money::from_usd(3.25));
    let unknown = "chat/unheard-of".parse().unwrap();
    assert_eq!(kit.client.estimate(&unknown, 1, 1, 1).unwrap_err().class, Class::Unpriced);
}
