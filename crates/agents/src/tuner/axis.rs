//! Axes: the coordinate along which a knob is moved, so that one step means about the same for every knob.

use super::knob::Value;

/// Names of numbers between 0 and 1 that are shares rather than magnitudes.
const SHARES: [&str; 14] = [
    "prob",
    "dropout",
    "momentum",
    "beta",
    "ratio",
    "frac",
    "share",
    "smooth",
    "warmup",
    "from",
    "percent",
    "decay_rate",
    "keep",
    "average",
];
/// Farthest a magnitude is moved from its baseline, in doublings.
const FARTHEST: f64 = 6.0;

/// Whole numbers below this are small.
const SMALL: f64 = 10.0;

/// How positions relate to values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// Doublings of the magnitude; the sign stays.
    Log,
    /// Doublings of the odds: like [`Self::Log`] near 0, and of one minus the value near 1.
    Odds,
    /// From zero upwards, doublings of one plus the value in this unit.
    FromZero(f64),
}

/// The coordinate of one numeric knob; its baseline lies at 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    base: f64,
    whole: bool,
    scale: Scale,
}

impl Axis {
    /// The axis of a knob, none when its value is not a number.
    pub(crate) fn of(name: &str, value: &Value) -> Option<Self> {
        let base = value.number()?;
        let whole = matches!(value, Value::Int(_));
        let name = name.to_ascii_lowercase();
        let share = SHARES.iter().any(|part| name.contains(part));
        let scale = if base == 0.0 {
            Scale::FromZero(if whole {
                1.0
            } else if name.contains("decay") || name.contains("l2") || name.contains("eps") {
                1e-3
            } else {
                0.02
            })
        } else if !whole && base > 0.0 && base < 1.0 && (share || base >= 0.8) {
            Scale::Odds
        } else {
            Scale::Log
        };
        Some(Self { base, whole, scale })
    }

    /// How long a step from `value` is beside one of most knobs: of a small whole number, half as long. Doubling four
    /// layers is bolder than doubling a rate.
    pub(crate) fn stride(&self, value: f64) -> f64 {
        if self.whole && value.abs() < SMALL { 0.5 } else { 1.0 }
    }

    /// Where `value` lies.
    pub(crate) fn position(&self, value: f64) -> f64 {
        let position = match self.scale {
            Scale::Log if value * self.base > 0.0 => (value / self.base).log2(),
            Scale::Log => -FARTHEST,
            Scale::Odds => odds(value).log2() - odds(self.base).log2(),
            Scale::FromZero(unit) => (1.0 + value.max(0.0) / unit).log2(),
        };
        position.clamp(-2.0 * FARTHEST, 2.0 * FARTHEST)
    }

    /// The value `step` away from `from`, rounded to something a person would write; none when that is where it was or
    /// out of bounds. Whole numbers move by at least 1, sizes by multiples of a power of two.
    pub(crate) fn step(&self, from: f64, step: f64) -> Option<Value> {
        let target = self.position(from) + step;
        let floor = if matches!(self.scale, Scale::FromZero(_)) { 0.0 } else { -FARTHEST };
        if !(floor..=FARTHEST).contains(&target) && target.abs() > self.position(from).abs() {
            return None;
        }
        let raw = match self.scale {
            Scale::Log => self.base * target.exp2(),
            Scale::Odds => {
                let odds = odds(self.base) * target.exp2();
                odds / (1.0 + odds)
            }
            Scale::FromZero(unit) => unit * (target.max(0.0).exp2() - 1.0),
        };
        if self.whole {
            return self.whole(from, raw);
        }
        let value: f64 = if self.scale == Scale::Odds && raw > 0.5 {
            // As many digits as tell its distance from 1.
            let digits = (1.0 - (1.0 - raw).log10()).ceil().clamp(2.0, 9.0) as usize;
            format!("{raw:.digits$}").parse().ok()?
        } else {
            format!("{raw:.1e}").parse().ok()?
        };
        let bounded = self.scale != Scale::Odds || (value > 0.0 && value < 1.0);
        (bounded && value != from && value.is_finite()).then_some(Value::Float(value))
    }

    fn whole(&self, from: f64, raw: f64) -> Option<Value> {
        let up = raw > from;
        let magnitude = raw.abs();
        let grain = grain(self.base.abs()).min(power_below(magnitude / 4.0)).max(1.0);
        let mut value = (magnitude / grain).round() * grain * raw.signum();
        if (value > from) != up || value == from {
            value = if up { from + 1.0 } else { from - 1.0 };
        }
        let floor = if self.base > 0.0 { 1.0 } else { 0.0 };
        if self.base >= 0.0 && value < floor || value.abs() > 1e15 {
            return None;
        }
        Some(Value::Int(value as i64)).filter(|_| value != from)
    }
}

fn odds(value: f64) -> f64 {
    let value = value.clamp(1e-9, 1.0 - 1e-9);
    value / (1.0 - value)
}

/// The largest power of two that divides a whole number, at most 64.
fn grain(value: f64) -> f64 {
    let bits = (value as u64).trailing_zeros().min(6);
    f64::from(1_u32 << bits)
}

/// The largest power of two at or below `value`; at least 1.
fn power_below(value: f64) -> f64 {
    value.max(1.0).log2().floor().exp2()
}
