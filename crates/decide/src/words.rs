//! The sentences of verdicts.

use empiric_core::{
    Metric,
    figures::{digits, signed_digits},
};

use crate::{compare::Weighed, stats::Contrast};

/// Coverage of every two-sided interval that is said.
pub(crate) const COVERAGE: f64 = 0.95;

/// A number to four significant digits.
pub(crate) fn plain(value: f64) -> String {
    digits(value, 4)
}

/// A count and its noun.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A p value to two digits.
pub(crate) fn p_value(p: f64) -> String {
    if p < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {}", digits(p, 2)) }
}

/// A value with the metric's unit.
pub(crate) fn with_unit(value: String, metric: &Metric) -> String {
    if metric.unit.is_empty() { value } else { format!("{value} {}", metric.unit) }
}

/// `+0.0310 bpb (+1.5 %)`: a gain and its size relative to `reference`.
pub(crate) fn gain(gain: f64, reference: f64, metric: &Metric) -> String {
    let text = with_unit(signed_digits(gain, 3), metric);
    let percent = 100.0 * gain / reference.abs();
    if percent.is_finite() { format!("{text} ({} %)", signed_digits(percent, 2)) } else { text }
}

/// `, 95 % interval [+0.0120, +0.0500]`, or nothing where there is none.
pub(crate) fn interval(contrast: &Contrast) -> String {
    contrast.interval(COVERAGE).map_or_else(String::new, |[low, high]| {
        format!(
            ", {} % interval [{}, {}]",
            100.0 * COVERAGE,
            signed_digits(low, 3),
            signed_digits(high, 3)
        )
    })
}

/// `evidence 812 to 1 of 79 needed`.
pub(crate) fn evidence(weighed: &Weighed) -> String {
    let odds = |value: f64| {
        if value < 10.0 {
            digits(value, 2)
        } else if value < 1e6 {
            format!("{value:.0}")
        } else {
            format!("{value:.0e}")
        }
    };
    format!("evidence {} to 1 of {} needed", odds(weighed.evidence), odds(weighed.needed))
}
