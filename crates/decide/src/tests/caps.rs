//! Caps that hold, with everything that follows once they are near.

use empiric_core::{Budget, Cost, Event, Goal, TrialNo, study::Rules, trial::Measured};

use super::lab::{Gaussian, Lab, Machine};
use crate::{
    Wanted,
    reserve::{exceeded, reserved},
};

#[test]
fn a_cap_is_nearly_spent_and_hardly_overrun() {
    let rules = Rules { confirm_replicates: 12, ..Rules::default() };
    let mut spent = Vec::new();
    for cap in (40..200_u32).step_by(8) {
        let mut lab = Lab::new(Goal::Minimize, rules);
        lab.push(Event::BudgetSet {
            by: "somebody".to_owned(),
            budget: Budget { cpu_s: Some(f64::from(cap)), ..Budget::default() },
        });
        let mut machine = Gaussian::new(cap.into(), 0.0);
        let mut costly = |wanted: Wanted, seed| {
            // Every third trial is better than those before it.
            machine.effects.insert(wanted.trial, 1.5 * f64::from(wanted.trial.0 / 3));
            let cost = Cost { cpu_s: 1.0, ..Cost::default() };
            Measured { cost, ..machine.run(wanted, seed) }
        };
        lab.settle(TrialNo::BASELINE, &mut costly);
        while exceeded(&lab.study, reserved(&lab.study, None) + 1.0).is_none() {
            let trial = lab.propose(lab.study.next_trial().0);
            lab.settle(trial, &mut costly);
        }
        lab.close(&mut costly);
        spent.push(lab.study.cost().cpu_s / f64::from(cap));
    }
    let worst = spent.iter().copied().fold(0.0, f64::max);
    let mean = spent.iter().sum::<f64>() / spent.len() as f64;
    // What a doubted keep costs comes on top the first time.
    assert!(worst <= 1.6 && mean > 0.85 && mean < 1.1, "{spent:?}");
    assert!(spent.iter().filter(|share| **share > 1.0).count() <= spent.len() / 4, "{spent:?}");
}
