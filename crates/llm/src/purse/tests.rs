use std::sync::Barrier;

use proptest::prelude::*;

use super::*;

fn origin(arm: &str, role: &str, trial: u32) -> Origin {
    Origin { arm: arm.to_owned(), role: role.to_owned(), trial: TrialNo(trial), nth: 0 }
}

fn money(dollars: u64) -> Spend {
    Spend { calls: 1, tokens: 10, money: Money(dollars) }
}

#[test]
fn a_refusal_names_the_cap_and_reserves_nothing() {
    let limits = Limits {
        study: Caps { money: Some(Money(100)), ..Caps::default() },
        roles: BTreeMap::from([("data".to_owned(), Caps { calls: Some(1), ..Caps::default() })]),
        ..Limits::default()
    };
    let purse = Purse::new(limits);
    let held = purse.reserve(&origin("a", "data", 1), money(60)).unwrap();
    let refused = purse.reserve(&origin("a", "model", 2), money(60)).unwrap_err();
    let expected = Refused {
        scope: Scope::Study,
        part: Part::Money,
        cap: 100,
        spent: 0,
        reserved: 60,
        asked: 60,
    };
    assert_eq!(refused, expected);
    assert!(refused.may_pass());
    let refused = purse.reserve(&origin("a", "data", 2), money(1)).unwrap_err();
    assert_eq!((refused.scope.to_string(), refused.part), ("role data".to_owned(), Part::Calls));
    held.settle(money(10));
    assert_eq!(purse.reserved(&Scope::Study), Spend::default());
    assert_eq!(purse.spent(&Scope::Role("data".into())), money(10));
    purse.reserve(&origin("a", "model", 2), money(90)).unwrap().release();
    assert_eq!(purse.spent(&Scope::Study), money(10));
}

#[test]
fn what_was_dropped_is_paid_in_full_and_what_was_spent_before_counts() {
    let limits = Limits {
        each_trial: Caps { money: Some(Money(50)), ..Caps::default() },
        ..Limits::default()
    };
    let purse = Purse::new(limits);
    purse.restore(&origin("a", "r", 1), money(20));
    drop(purse.reserve(&origin("a", "r", 1), money(30)).unwrap());
    assert_eq!(purse.spent(&Scope::Trial(TrialNo(1))).money, Money(50));
    assert!(!purse.reserve(&origin("a", "r", 1), money(1)).unwrap_err().may_pass());
    assert!(purse.reserve(&origin("a", "r", 2), money(50)).is_ok(), "another trial has its own");
    purse.set_limits(Limits::default());
    assert!(purse.reserve(&origin("a", "r", 1), money(1_000)).is_ok(), "more was given");
}

/// What the oracle does with one reservation.
#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve { arm: u8, role: u8, trial: u8, worst: Spend },
    Settle { which: usize, share: u8 },
    Drop { which: usize },
}

fn spend() -> impl Strategy<Value = Spend> {
    (0u64..3, 0u64..50, 0u64..50).prop_map(|(calls, tokens, money)| Spend {
        calls,
        tokens,
        money: Money(money),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..3, 0u8..3, 0u8..4, spend())
            .prop_map(|(arm, role, trial, worst)| Step::Reserve { arm, role, trial, worst }),
        2 => (any::<usize>(), 0u8..=100).prop_map(|(which, share)| Step::Settle { which, share }),
        1 => any::<usize>().prop_map(|which| Step::Drop { which }),
    ]
}

fn caps() -> impl Strategy<Value = Caps> {
    let cap = |most: u64| proptest::option::of(0..most);
    (cap(12), cap(200), cap(200)).prop_map(|(calls, tokens, money)| Caps {
        calls,
        tokens,
        money: money.map(Money),
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    (caps(), caps(), caps(), caps()).prop_map(|(study, arm, role, each_trial)| Limits {
        study,
        arms: BTreeMap::from([("0".to_owned(), arm)]),
        roles: BTreeMap::from([("1".to_owned(), role)]),
        each_trial,
    })
}

fn holds(caps: Caps, total: Spend) -> bool {
    caps.calls.is_none_or(|cap| total.calls <= cap)
        && caps.tokens.is_none_or(|cap| total.tokens <= cap)
        && caps.money.is_none_or(|cap| total.money <= cap)
}

proptest! {
    /// The oracle keeps every reservation ever made in one list and adds up from scratch.
    #[test]
    fn no_cap_is_ever_passed_and_no_refusal_is_without_need(
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let purse = Purse::new(limits.clone());
        let mut open: Vec<(Origin, Reservation)> = Vec::new();
        let mut closed: Vec<(Origin, Spend)> = Vec::new();
        for step in steps {
            match step {
                Step::Reserve { arm, role, trial, worst } => {
                    let who = origin(&arm.to_string(), &role.to_string(), trial.into());
                    let fits = Scope::of(&who).iter().all(|scope| {
                        let of = |who: &Origin| Scope::of(who).contains(scope);
                        let held: Spend = open.iter().filter(|(who, _)| of(who)).map(|(_, r)| r.worst()).sum();
                        let paid: Spend = closed.iter().filter(|(who, _)| of(who)).map(|(_, s)| *s).sum();
                        holds(limits.caps(scope), held + paid + worst)
                    });
                    let granted = purse.reserve(&who, worst);
                    prop_assert_eq!(granted.is_ok(), fits);
                    open.extend(granted.ok().map(|granted| (who, granted)));
                }
                Step::Settle { which, share } if !open.is_empty() => {
                    let (who, held) = open.swap_remove(which % open.len());
                    let part = |n: u64| n * u64::from(share) / 100;
                    let worst = held.worst();
                    let actual = Spend {
                        calls: worst.calls,
                        tokens: part(worst.tokens),
                        money: Money(part(worst.money.0)),
                    };
                    // The worst of a call holds its calls.
                    held.settle(actual);
                    closed.push((who, actual));
                }
                Step::Drop { which } if !open.is_empty() => {
                    let (who, held) = open.swap_remove(which % open.len());
                    closed.push((who, held.worst()));
                    drop(held);
                }
                Step::Settle { .. } | Step::Drop { .. } => {}
            }
            let paid: Spend = closed.iter().map(|(_, spend)| *spend).sum();
            let held: Spend = open.iter().map(|(_, held)| held.worst()).sum();
            prop_assert_eq!(purse.spent(&Scope::Study), paid);
            prop_assert_eq!(purse.reserved(&Scope::Study), held);
            prop_assert!(holds(limits.study, paid + held));
        }
    }
}

/// Spends until refused, from `callers` threads at once.
fn race(callers: u64, cap: Money) -> Money {
    let limits =
        Limits { study: Caps { money: Some(cap), ..Caps::default() }, ..Limits::default() };
    let (purse, start) = (Purse::new(limits), Barrier::new(callers as usize));
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let (purse, start) = (&purse, &start);
            scope.spawn(move || {
                start.wait();
                let who = origin("a", "r", caller as u32);
                for n in 0.. {
                    let worst = money(7 + (caller * 31 + n * 17) % 90);
                    let Ok(held) = purse.reserve(&who, worst) else { return };
                    std::thread::yield_now();
                    held.settle(money((worst.money.0 * 2).div_ceil(3)));
                }
            });
        }
    });
    assert_eq!(purse.reserved(&Scope::Study), Spend::default());
    purse.spent(&Scope::Study).money
}

#[test]
fn many_callers_at_once_stay_below_the_cap() {
    for callers in [1, 8, 32] {
        let cap = Money(20_000);
        let spent = race(callers, cap);
        println!("{callers} callers: spent {} of {} picodollars", spent.0, cap.0);
        assert!(spent <= cap, "{callers} callers spent {}", spent.0);
        // The last refused call asked for less than 97, and each other caller may have held as much.
        assert!(spent.0 + 97 * callers > cap.0, "{callers} callers left much unused: {}", spent.0);
    }
}
