//! Champions taken apart, in memory.

use std::{cell::RefCell, collections::BTreeMap};

use empiric_core::{
    Event, Goal, Hunk, Operator, Outcome, Seed, TrialNo, Verdict, ablation::ABLATE, study::Rules,
    trial::Measured,
};

use super::lab::{Lab, normal, value};
use crate::{
    Wanted,
    ablate::{Ablated, Ablating, Standing, ablated, ablating},
};

const T0: TrialNo = TrialNo(0);
const T1: TrialNo = TrialNo(1);

/// A recipe whose loss is 100 less what its hunks are worth.
struct Bench<'a> {
    worth: &'a dyn Fn(&[usize]) -> f64,
    hunks: usize,
    noise: f64,
    stream: u64,
    without: RefCell<BTreeMap<TrialNo, Vec<usize>>>,
}

impl Bench<'_> {
    fn run(&self, wanted: Wanted, seed: Seed) -> Measured {
        let gain = match wanted.trial {
            T0 => 0.0,
            no => {
                let without = self.without.borrow();
                let without = without.get(&no).cloned().unwrap_or_default();
                let present: Vec<usize> =
                    (0..self.hunks).filter(|hunk| !without.contains(hunk)).collect();
                (self.worth)(&present)
            }
        };
        let key = [self.stream, u64::from(seed.0), 1 + u64::from(wanted.trial.0)];
        value(100.0 - gain + self.noise * normal(&key))
    }
}

/// Keeps t1 with these hunks and takes it apart.
fn taken_apart(bench: &Bench<'_>, margin: f64) -> (Lab, Ablated) {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut |wanted, seed| bench.run(wanted, seed));
    lab.propose(1);
    let kept = lab.settle(T1, &mut |wanted, seed| bench.run(wanted, seed));
    assert!(matches!(kept, Outcome::Valid { verdict: Verdict::Keep, .. }), "{kept:?}");
    for _ in 0..200 {
        match ablating(&lab.study) {
            Ablating::Open => {
                let hunk = |n| Hunk { path: "a.py".to_owned(), before: [n, 1], after: [n, 1] };
                let hunks = (1..=bench.hunks as u32).map(hunk).collect();
                lab.push(Event::AblationOpened { champion: T1, margin, hunks });
            }
            Ablating::Try(asks) => {
                let ask = asks.into_iter().next().unwrap();
                let trial = lab.ask(ABLATE, ask.clone());
                let without = lab.study.ablation().unwrap().without(trial, &ask);
                bench.without.borrow_mut().insert(trial, without);
            }
            Ablating::Wait => {
                let open: Vec<TrialNo> = lab.study.open_trials().iter().copied().collect();
                for trial in open {
                    lab.settle(trial, &mut |wanted, seed| bench.run(wanted, seed));
                }
            }
            Ablating::Done => {
                let found = ablated(&lab.study).unwrap();
                return (lab, found);
            }
        }
    }
    panic!("it does not end");
}

fn bench(worth: &dyn Fn(&[usize]) -> f64, hunks: usize, stream: u64) -> Bench<'_> {
    Bench { worth, hunks, noise: 0.1, stream, without: RefCell::default() }
}

#[test]
fn what_does_not_earn_its_place_goes() {
    let worth = |present: &[usize]| present.iter().map(|hunk| [3.0, 0.0, 1.0, 0.0][*hunk]).sum();
    let (lab, found) = taken_apart(&bench(&worth, 4, 1), 0.3);
    use Standing::{Earns, Goes};
    let standing: Vec<Standing> = found.hunks.iter().map(|hunk| hunk.standing).collect();
    assert_eq!(standing, [Earns, Goes, Earns, Goes], "{found:#?}");
    assert_eq!(
        found.hunks.iter().map(|hunk| hunk.gone).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    let worth = found.hunks[2].worth.unwrap();
    let [low, high] = found.hunks[2].interval.unwrap();
    assert!((worth - 1.0).abs() < 0.3 && low < 1.0 && high > 1.0, "{worth} {low} {high}");
    // The simplified champion is the study's, was measured on seeds of its own, and gives up next to nothing.
    let simplified = found.simplified.unwrap();
    assert_eq!(lab.study.champion(), simplified);
    assert!(found.done && ablating(&lab.study) == Ablating::Done);
    let trial = lab.study.trial(simplified).unwrap();
    assert_eq!(trial.ask.operator, Operator::Merge);
    let Some(Outcome::Valid { gain: Some(gain), .. }) = trial.outcome else { panic!("{trial:?}") };
    assert!(gain.abs() < 0.3, "{gain}");
    let summary = crate::summary(&lab.study).champion.unwrap();
    assert!((summary.gain - 4.0).abs() < 0.3, "{summary:?}");
}

#[test]
fn a_champion_whose_hunks_all_count_stays_as_it_is() {
    let worth = |present: &[usize]| present.len() as f64;
    let (lab, found) = taken_apart(&bench(&worth, 3, 2), 0.2);
    assert_eq!((found.simplified, found.done), (None, true));
    assert_eq!(lab.study.champion(), T1);
    assert!(found.hunks.iter().all(|hunk| hunk.standing == Standing::Earns && !hunk.gone));
}

#[test]
fn of_two_hunks_that_replace_one_another_one_stays() {
    let worth = |present: &[usize]| {
        let either = present.contains(&0) || present.contains(&1);
        2.0 * f64::from(u8::from(either)) + f64::from(u8::from(present.contains(&2)))
    };
    let (lab, found) = taken_apart(&bench(&worth, 3, 3), 0.3);
    let gone = found.hunks.iter().filter(|hunk| hunk.gone).count();
    assert_eq!((gone, found.hunks[2].standing), (1, Standing::Earns), "{found:#?}");
    assert_eq!(lab.study.ablation().unwrap().joint.len(), 2);
}

#[test]
fn a_margin_that_is_just_given_up_is_not_taken_for_less() {
    // One hunk, worth exactly the margin: that it can go would be wrong.
    let worth = |present: &[usize]| 3.0 + 0.3 * f64::from(u8::from(present.contains(&0)));
    let wrong = (0..60)
        .filter(|stream| {
            let (_, found) = taken_apart(&bench(&worth, 1, 100 + stream), 0.3);
            found.hunks[0].standing == Standing::Goes
        })
        .count();
    // The level is at most 5 %, and less at this place.
    assert!(wrong <= 3, "{wrong} of 60");
}
