//! The closing comparison and the summary.

use empiric_core::{Goal, Outcome, Provenance, Purpose, Split, TrialNo, Verdict, study::Rules};

use super::lab::{Gaussian, Lab, Machine, value, values};
use crate::{
    Basis, ChampionSummary, Closing, NoiseModel, Summary, Wanted, closing, stats::Estimate, summary,
};

const T0: TrialNo = TrialNo::BASELINE;
const T1: TrialNo = TrialNo(1);

#[test]
fn without_a_champion_there_is_nothing_to_close() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    lab.settle(T0, &mut |wanted: Wanted, _| value(f64::from(wanted.index)));
    assert_eq!(closing(&lab.study), Closing::Done);
    let found = summary(&lab.study);
    assert_eq!(found.champion, None);
    assert!((found.noise.sd.unwrap() - 2.5_f64.sqrt()).abs() < 1e-12);
    let baseline = found.baseline.unwrap();
    assert_eq!((baseline.mean, baseline.n), (2.0, 5));
    // 2 ± t(0.975, 4) sqrt(2.5 / 5)
    let [low, high] = baseline.interval.unwrap();
    assert!((low - (2.0 - 1.9632431614775)).abs() < 1e-9 && (high + low - 4.0).abs() < 1e-9);
}

#[test]
fn before_the_report_a_gain_rests_on_confirmation_and_after_it_on_the_report() {
    let mut lab = Lab::new(Goal::Minimize, Rules::default());
    let mut machine = Gaussian::new(21, 0.5);
    machine.effects.insert(T1, 8.0);
    lab.settle(T0, &mut machine);
    lab.propose(1);
    assert!(matches!(lab.settle(T1, &mut machine), Outcome::Valid { verdict: Verdict::Keep, .. }));
    let before = summary(&lab.study).champion.unwrap();
    assert_eq!((before.trial, before.basis), (T1, Basis::Confirm));
    let [low, high] = before.gain_interval.unwrap();
    assert!(low > 0.0 && low < 8.0 && high > 8.0, "{before:?}");

    let mut report = |wanted: Wanted, seed| {
        let loss = machine.run(wanted, seed).measurements[0].value;
        let split = if wanted.purpose == Purpose::Report { Split::Report } else { Split::Search };
        values(&[("loss", Split::Search, 1e6), ("loss", split, loss)])
    };
    lab.close(&mut report);
    assert_eq!(lab.count(T0, |purpose| purpose == Purpose::Report), 8);
    assert_eq!(closing(&lab.study), Closing::Done);
    let after = summary(&lab.study);
    let champion = after.champion.unwrap();
    let baseline = after.baseline.unwrap();
    assert_eq!((champion.basis, baseline.n), (Basis::Report, 8));
    assert!((baseline.mean - champion.mean - champion.gain).abs() < 1e-9, "{champion:?}");
    let [low, high] = champion.gain_interval.unwrap();
    assert!(low > 6.0 && high < 10.0, "{champion:?}");
}

#[test]
fn a_deterministic_gain_has_an_interval_of_no_width() {
    let mut lab = Lab::new(Goal::Maximize, Rules::default());
    let mut machine = |wanted: Wanted, _| value(if wanted.trial == T1 { 3.0 } else { 2.0 });
    lab.settle(T0, &mut machine);
    lab.propose(1);
    lab.settle(T1, &mut machine);
    let expected = Summary {
        baseline: Some(Estimate { mean: 2.0, interval: Some([2.0, 2.0]), n: 7 }),
        noise: NoiseModel {
            sd: Some(0.0),
            df: 8.0,
            deterministic: true,
            drifts: false,
            uneven: false,
        },
        champion: Some(ChampionSummary {
            trial: T1,
            mean: 3.0,
            gain: 1.0,
            gain_interval: Some([1.0, 1.0]),
            provenance: Provenance::Recipe,
            basis: Basis::Confirm,
        }),
    };
    assert_eq!(summary(&lab.study), expected);
}
