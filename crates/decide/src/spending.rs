//! Error control over a study: how much evidence each contest needs, so that all of them together keep the level.

use empiric_core::study::{ErrorControl, Rules};

/// How fast what a contest may spend falls with its place.
const DECAY: f64 = 1.3;

/// The sum of `k^-1.3` over all k from 1: Riemann's zeta function at [`DECAY`].
const ALL: f64 = 3.931_949_211_809_5;

/// The share of a study's error that the contest at `place` (from 1) may spend: `place^-1.3 / zeta(1.3)`. All shares sum to
/// 1 however many contests there will be; the exponent is a compromise between a study's first contests and its hundredth.
#[must_use]
pub fn share(place: u32) -> f64 {
    f64::from(place.max(1)).powf(-DECAY) / ALL
}

/// The level at which a contest is decided that holds the error of the places in `shares`, its own the last, after
/// `keeps` keeps in its row, one of `rows`: it needs evidence of `1 / level`.
///
/// A row is one sequence of contests, those of one arm. Each keeps `L / rows`, with `L` the level of the study, and so the
/// study keeps L: the probability that any row errs is at most the sum of theirs, and the false keeps of all rows among all
/// keeps are at most the sum of what they are among the keeps of each. What one arm does never costs another evidence.
///
/// - `fwer`: `L / rows` times the sum of its shares. A contest that ends in a keep passes what it held on to the next, one that
///   does not has used it up. No more than L / rows of all studies keep anything falsely, however the contests depend on one another
///   and on how the search chose them (online fallback; Tian, Ramdas, Online control of the familywise error rate, Statistical
///   Methods in Medical Research 30, 2021).
/// - `fdr`: `L / rows share(place) (keeps + 1)`, the rule e-LOND (Xu, Ramdas, Online multiple testing with e-values, AISTATS 2024):
///   the expected share of false keeps among all keeps is at most L / rows, under any dependence. A contest may be decided with
///   the keeps of the moment it ends, since those are part of the final number that its error is divided by.
#[must_use]
pub fn level(rules: &Rules, rows: usize, shares: &[u32], keeps: u32) -> f64 {
    let held: f64 = match rules.error {
        ErrorControl::Fwer => shares.iter().map(|place| share(*place)).sum(),
        ErrorControl::Fdr => shares.last().map_or(0.0, |own| share(*own) * f64::from(keeps + 1)),
    };
    (rules.level / rows.max(1) as f64 * held).min(1.0)
}
