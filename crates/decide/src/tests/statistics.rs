//! Constants come from SciPy 1.17.1; the call stands beside each.

use empiric_core::{Verdict, study::Rules};

use crate::{
    compare::{Confirm, HOPE, Ruling, Search},
    smallest_effect,
    stats::{Contrast, Noise, Sample, normal_point, normal_tail, quantile, tail},
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
fn smallest_effect_is_near_the_noncentral_t() {
    // ncp with scipy.stats.nct.sf(t.isf(0.05, n - 1), n - 1, ncp) = 0.8, times sqrt(2 / n)
    for (n, exact) in [(3, 3.2488371324), (5, 1.9225073143), (8, 1.3833216023), (10, 1.2060943764)]
    {
        let ours = smallest_effect(1.0, &Rules { confirm_replicates: n, ..Rules::default() });
        assert!((ours / exact - 1.0).abs() < 0.012, "{n} replicates: {ours} against {exact}");
    }
}

#[test]
fn nothing_is_said_where_the_numbers_say_nothing() {
    assert_eq!(Contrast::paired(&[1.0], 0.0), None);
    assert_eq!(Sample::of(&[]).estimate(0.95).interval, None);
    let overflowed = Contrast::paired(&[f64::MAX, -f64::MAX], 0.0).unwrap();
    assert_eq!((overflowed.p(), overflowed.interval(0.9)), (0.5, None));
    assert_eq!(Contrast { gain: f64::NAN, se: 1.0, df: 3.0 }.p(), 1.0);
}

#[test]
fn rounded_differences_that_agree_by_chance_prove_nothing() {
    let pairs = [(1.0, 0.99); 5];
    let noise = Noise { ss: 4.0, df: 4.0 };
    let ruled = Confirm { pairs: &pairs, noise, alpha: 0.05, last: true }.rule().unwrap();
    assert_eq!(ruled.ruling, Ruling::End(Verdict::Inconclusive));
}

#[test]
fn the_first_look_lets_a_fifth_of_neutral_trials_on() {
    let noise = Noise { ss: 1e9, df: 1e9 };
    let champion = [0.0; 5];
    let at = |gain: f64| {
        let evidence =
            Search { own: &[gain], pairs: &[(gain, 0.0)], champion: &champion, noise, last: 5 };
        evidence.rule()
    };
    // the middle of both references has variance 1 + 1/4 + 3/(4 * 5)
    let limit = normal_point(HOPE) * 1.4_f64.sqrt();
    assert_eq!(at(limit + 0.01).ruling, Ruling::More);
    assert_eq!(at(limit - 0.01).ruling, Ruling::End(Verdict::Discard));
    assert_eq!(at(5.0).ruling, Ruling::Pass);
}
