//! The few parts that charts are made of.

use std::fmt;

use super::text::{Decimals, put};

/// A coordinate: a tenth of a pixel is enough, and never anything but a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = if self.0.is_finite() { (self.0 * 10.0).round() } else { 0.0 };
        if tenths % 10.0 == 0.0 {
            write!(f, "{:.0}", tenths / 10.0)
        } else {
            write!(f, "{:.1}", tenths / 10.0)
        }
    }
}

/// A linear scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    values: [f64; 2],
    pixels: [f64; 2],
}

impl Scale {
    /// From `low..high` to pixels; equal or unusable ends are moved apart.
    pub(super) fn new(low: f64, high: f64, pixels: [f64; 2]) -> Self {
        let span = high - low;
        let values = if !span.is_finite() || !low.is_finite() {
            [0.0, 1.0]
        } else if span > low.abs().max(high.abs()) * 1e-12 {
            [low, high]
        } else {
            let reach = if low == 0.0 { 1.0 } else { low.abs() * 0.01 };
            [low - reach, low + reach]
        };
        Self { values, pixels }
    }

    /// Where `value` is drawn; beyond the ends at the end.
    pub(super) fn at(&self, value: f64) -> Px {
        let [low, high] = self.values;
        let way = ((value - low) / (high - low)).clamp(0.0, 1.0);
        let way = if way.is_nan() { 0.5 } else { way };
        Px(self.pixels[0] + way * (self.pixels[1] - self.pixels[0]))
    }

    /// Whether `value` lies between the ends.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.values[0]..=self.values[1]).contains(&value)
    }

    /// Round values along the scale, about `about` of them and at least `least` apart, with their labels.
    pub(super) fn ticks(&self, about: usize, least: f64) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let raw = (high - low) / about.max(1) as f64;
        let magnitude = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|digit| digit * magnitude)
            .into_iter()
            .find(|step| *step >= raw * (1.0 - 1e-9))
            .unwrap_or(raw)
            .max(least);
        let decimals = Decimals::of(step, 1);
        let first = (low / step - 1e-9).ceil();
        (0..3 * about.max(1))
            .map(|n| (first + n as f64) * step)
            .take_while(|value| *value <= high + 1e-9 * step)
            .map(|value| (value, decimals.show(value)))
            .collect()
    }
}

/// Opens a picture of this size. `class` may be empty; `label` is HTML already.
pub(super) fn open(out: &mut String, class: &str, [width, height]: [f64; 2], label: &str) {
    put!(
        out,
        "<svg class=\"{class}\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"{label}\">\n",
        Px(width),
        Px(height),
    );
}

/// Words at a place; `class` may name several.
pub(super) fn words(out: &mut String, class: &str, [x, y]: [f64; 2], text: &str) {
    put!(out, "<text class=\"{class}\" x=\"{}\" y=\"{}\">{text}</text>\n", Px(x), Px(y));
}

/// A straight line.
pub(super) fn stroke(out: &mut String, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
    let (a, b, c, d) = (Px(x1), Px(y1), Px(x2), Px(y2));
    put!(out, "<path class=\"{class}\" d=\"M{a} {b}L{c} {d}\"/>\n");
}
