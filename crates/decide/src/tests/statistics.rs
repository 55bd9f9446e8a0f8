//! Constants come from SciPy 1.17.1; the call stands beside each.

use empiric_core::{
    Verdict,
    study::{ErrorControl, Rules},
};

use crate::{
    compare::{Confirm, HOPE, Ruling, Search},
    evidence, noise, smallest_effect, spending,
    stats::{Contrast, Estimate, Noise, Sample, normal_point, normal_tail, quantile, tail},
};

fn close(ours: f64, scipy: f64) {
    assert!((ours - scipy).abs() <= 1e-9 * scipy.abs(), "{ours} is not SciPy's {scipy}");
}

#[test]
fn t_quantiles_agree_with_scipy() {
    // scipy.stats.t.ppf(p, df)
    for (p, df, expected) in [
        (0.975, 1.0, 12.706204736174694),
        (0.95, 4.0, 2.1318467863266495),
        (0.975, 4.0, 2.7764451051977934),
        (0.995, 4.0, 4.604094871349992),
        (0.95, 8.0, 1.8595480375308973),
        (0.8, 4.0, 0.9409645772351816),
        (0.9999, 9.0, 6.010132129081531),
        (0.95, 120.0, 1.6576508993552352),
        (0.975, 3.7, 2.8675207071911895),
    ] {
        close(quantile(p, df), expected);
    }
}

#[test]
fn t_tails_agree_with_scipy() {
    // scipy.stats.t.sf(t, df)
    for (t, df, expected) in [
        (0.5, 4.0, 0.32166498159093165),
        (2.1318467863266495, 4.0, 0.050000000000000044),
        (12.0, 4.0, 0.0001382142742514865),
        (-1.3, 9.0, 0.8870468136634754),
        (40.0, 8.0, 8.392859439572896e-11),
        (3.2, 120.0, 0.0008792849619446538),
    ] {
        close(tail(t, df), expected);
    }
}

#[test]
fn normal_points_agree_with_scipy() {
    // z = scipy.stats.norm.isf(0.05); scipy.stats.norm.sf(z * sqrt(5 / n)) for n = 1, 2, 3
    let z = normal_point(0.05);
    close(z, 1.6448536269514729);
    close(normal_tail(z * 5.0_f64.sqrt()), 0.0001175328962926849);
    close(normal_tail(z * 2.5_f64.sqrt()), 0.004651119998846574);
    close(normal_tail(z * (5.0_f64 / 3.0).sqrt()), 0.016856117438699112);
}

#[test]
fn the_paired_test_agrees_with_scipy() {
    // r = scipy.stats.ttest_1samp(d, 0, alternative="greater"), its two-sided confidence_interval(0.9)
    let contrast = Contrast::paired(&[0.031, 0.012, 0.044, -0.006, 0.025], 0.0).unwrap();
    close(contrast.gain / contrast.se, 2.4857028632206344);
    close(contrast.p(), 0.03389780609751648);
    let [low, high] = contrast.interval(0.9).unwrap();
    close(low, 0.0030179587999640094);
    close(high, 0.039382041200035973);
}

#[test]
fn welch_agrees_with_scipy() {
    // r = scipy.stats.ttest_ind(a, b, equal_var=False), confidence_interval(0.95)
    let a = Sample::of(&[2.10, 2.13, 2.08, 2.11, 2.12, 2.09]);
    let b = Sample::of(&[2.02, 2.05, 2.01, 2.09]);
    let contrast = Contrast::welch(&a, &b).unwrap();
    close(contrast.gain / contrast.se, 3.200921998322401);
    close(contrast.df, 4.101463948333156);
    close(2.0 * contrast.p(), 0.03172507314894348);
    let [low, high] = contrast.interval(0.95).unwrap();
    close(low, 0.00881301234649761);
    close(high, 0.11618698765350238);
}

#[test]
fn the_t_process_agrees_with_scipy() {
    // e(g) = scipy.integrate.quad(lambda d: nct.pdf(t, n - 1, d * n**.5) * 2 * norm.pdf(d, 0, g**.5), 0, inf)[0]
    //        / scipy.stats.t.pdf(t, n - 1); log(mean(e(1), e(4), e(16)))
    for (values, expected) in [
        (&[0.031, 0.012, 0.044, -0.006, 0.025][..], 1.2444998372508247),
        (&[1.9, 2.2, 2.0, 2.4], 5.273208990367464),
        (&[-0.3, 0.1, -0.2, 0.05, 0.4, -0.6], -1.9058521607483216),
    ] {
        let ours = evidence::student(&Sample::of(values));
        assert!((ours - expected).abs() < 1e-7, "{ours} is not SciPy's {expected}");
    }
}

#[test]
fn the_sign_process_agrees_with_numpy() {
    // log(mean over g of prod(1 + tanh(g * d[i] / sqrt((4 s**2 + sum(d[:i]**2)) / (4 + i)))))
    close(evidence::signs(&[0.031, 0.012, 0.044, -0.006, 0.025], 0.03), 1.6369240853275842);
    close(evidence::signs(&[1.9, 2.2, 2.0, 2.4], 1.0), 2.5418105149681187);
}

#[test]
fn one_difference_is_expected_to_leave_the_evidence_as_it_is() {
    for size in [1e-9, 0.3, 1.0, 40.0] {
        for process in [|d| evidence::signs(&[d], 1.0), |d| evidence::student(&Sample::of(&[d]))] {
            let mean = (process(size).exp() + process(-size).exp()) / 2.0;
            assert!((mean - 1.0).abs() < 1e-12, "{size}: {mean}");
        }
    }
}

#[test]
fn evidence_is_the_mean_of_both_processes_at_its_largest() {
    let rising = [1.9, 2.2, 2.0, 2.4];
    let both =
        (evidence::signs(&rising, 0.1).exp() + evidence::student(&Sample::of(&rising)).exp()) / 2.0;
    close(evidence::log_evidence(&rising, 0.1), both.ln());
    let spoilt = [1.9, 2.2, 2.0, 2.4, -9.0];
    close(evidence::log_evidence(&spoilt, 0.1), both.ln());
}

#[test]
fn all_shares_sum_to_one() {
    // scipy.special.zeta(1.3); the tail of the sum from 10^6 on is about 10^(6 * -0.3) / 0.3
    close(1.0 / spending::share(1), 3.9319492118095445);
    let sum: f64 = (1..=1_000_000).map(spending::share).sum();
    let rest = 1e6_f64.powf(-0.3) / 0.3 / 3.9319492118095445;
    assert!((sum + rest - 1.0).abs() < 1e-6, "{sum}");
}

#[test]
fn shares_are_passed_on_under_fwer_and_grow_with_keeps_under_fdr() {
    let rules = |error| Rules { error, level: 0.05, ..Rules::default() };
    let fwer = spending::level(&rules(ErrorControl::Fwer), 1, &[1, 3], 7);
    close(fwer, 0.05 * (spending::share(1) + spending::share(3)));
    let fdr = spending::level(&rules(ErrorControl::Fdr), 1, &[1, 3], 7);
    close(fdr, 0.05 * 8.0 * spending::share(3));
}

#[test]
fn drift_and_uneven_spreads_agree_with_scipy() {
    // RVN = sum(diff(x)**2) / sum((x - mean)**2); norm.sf((2 - RVN) / sqrt(4 (n - 2) / (n**2 - 1)))
    let slow: Vec<f64> = (0..20).map(|i| f64::from(i) / 10.0 + f64::from(i % 3)).collect();
    close(noise::trend(&slow), 0.3548551197439524);
    assert_eq!(noise::trend(&[1.0, 2.0, 3.0]), 1.0);
    assert_eq!(noise::trend(&[1.0; 12]), 1.0);
    // scipy.stats.bartlett(a, b, c).pvalue
    let samples = [
        &[2.10, 2.13, 2.08, 2.11, 2.12, 2.09][..],
        &[2.02, 2.05, 2.01, 2.09],
        &[1.0, 1.5, 2.5, 3.0, 1.2],
    ];
    close(noise::bartlett(samples.into_iter().map(Sample::of)), 2.4149541993549347e-09);
}

#[test]
fn smallest_effect_is_what_the_narrower_door_needs() {
    // (norm.isf(0.2) + norm.isf(0.1)) * sqrt(1.4)
    close(smallest_effect(1.0, &Rules::default(), 1, 200), 2.51217193457723);
    // (sqrt((1 + 1/6) * (log(7) - 2 log(0.05 * 5**-1.3 / zeta(1.3)))) + norm.ppf(0.8)) * sqrt(2 / 6)
    let short = Rules { confirm_replicates: 6, ..Rules::default() };
    close(smallest_effect(1.0, &short, 1, 200), 2.8898570800463417);
}

#[test]
fn nothing_is_said_where_the_numbers_say_nothing() {
    assert_eq!(Contrast::paired(&[1.0], 0.0), None);
    assert_eq!(Estimate::of(&Sample::of(&[]), 0.95).interval, None);
    let overflowed = Contrast::paired(&[f64::MAX, -f64::MAX], 0.0).unwrap();
    assert_eq!((overflowed.p(), overflowed.interval(0.9)), (0.5, None));
    assert_eq!(Contrast { gain: f64::NAN, se: 1.0, df: 3.0 }.p(), 1.0);
}

#[test]
fn rounded_differences_that_agree_by_chance_prove_little() {
    let confirm = |differences: &[f64]| {
        let noise = Noise { ss: 4.0, df: 4.0 };
        Confirm { differences, noise, level: 0.01, most: 24 }.rule().unwrap()
    };
    // no spread at all, but no more than the noise explains: one doubling of evidence each, at most
    let five = confirm(&[0.7; 5]);
    assert!(five.evidence < 32.0, "{five:?}");
    assert_eq!(five.ruling, Ruling::More);
}

#[test]
fn a_confirmation_without_prospect_stops_and_one_with_goes_on() {
    let rule = |differences: &[f64]| {
        let noise = Noise { ss: 8.0, df: 8.0 };
        let found = Confirm { differences, noise, level: 0.01, most: 24 }.rule().unwrap();
        found.ruling
    };
    assert_eq!(rule(&[-1.0, 0.5, -0.7]), Ruling::End(Verdict::Discard));
    assert_eq!(rule(&[1.5, 0.5, 2.7]), Ruling::More);
    assert_eq!(rule(&[9.0, 8.0, 9.5, 10.0, 9.0]), Ruling::Pass);
    let steady = [1.4, -0.8].repeat(12);
    assert_eq!(rule(&steady), Ruling::End(Verdict::Inconclusive));
}

#[test]
fn the_first_look_lets_a_fifth_of_neutral_trials_on() {
    let noise = Noise { ss: 1e9, df: 1e9 };
    let level = Sample::of(&[0.0; 5]);
    let at = |gain: f64| {
        let (own, pairs) = ([gain], [(gain, 0.0)]);
        Search { own: &own, pairs: &pairs, level, searched: level, noise, last: 5 }.rule()
    };
    // the champion's level, moved by half of one value less its mean, has variance 1/5 + (1 - 1/5) / 4
    let limit = normal_point(HOPE) * 1.4_f64.sqrt();
    assert_eq!(at(limit + 0.01).ruling, Ruling::More);
    assert_eq!(at(limit - 0.01).ruling, Ruling::End(Verdict::Discard));
    assert_eq!(at(5.0).ruling, Ruling::Pass);
}

#[test]
fn a_lucky_draw_is_not_held_against_challengers() {
    // the champion's one search score was 3 above its level; a challenger two above that level passes the first look
    let noise = Noise { ss: 1e9, df: 1e9 };
    let (level, searched) = (Sample::of(&[0.1, -0.1, 0.0, 0.2, -0.2]), Sample::of(&[3.0]));
    let (own, pairs) = ([2.0], [(2.0, 3.0)]);
    let found = Search { own: &own, pairs: &pairs, level, searched, noise, last: 5 }.rule();
    assert!((found.contrast.gain - 2.0).abs() < 1e-12, "{found:?}");
    assert_eq!(found.ruling, Ruling::More);
}
