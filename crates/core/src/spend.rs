//! What model calls cost: tokens by kind, and money in exact arithmetic.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of money in picodollars (1e-12 US dollars), saturating: a price of one dollar per million tokens is a million
/// of them a token, so that no bill is ever rounded.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Money(pub u64);

/// Picodollars in a dollar.
const DOLLAR: f64 = 1e12;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From US dollars; what is negative or not a number is nothing.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, as money does"
    )]
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * DOLLAR).round() as u64)
    }

    /// In US dollars.
    #[must_use]
    pub fn usd(self) -> f64 {
        self.0 as f64 / DOLLAR
    }

    /// So many times this amount.
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// What is left after `other` is taken away; nothing where that is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// `$0.0213`: cents, and of small amounts four digits more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usd = self.usd();
        let digits = if self.0 == 0 || usd >= 1.0 { 2 } else { 6 };
        f.pad(&format!("${usd:.digits$}"))
    }
}

/// Tokens of one or more model calls, by what they are billed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Read, and neither from nor into a cache.
    pub input: u64,
    /// Read from a cache.
    pub cached: u64,
    /// Read and written into a cache.
    pub written: u64,
    /// Produced, thinking included.
    pub output: u64,
}

impl Usage {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.input, self.cached, self.written, self.output]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            written: self.written.saturating_add(other.written),
            output: self.output.saturating_add(other.output),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What model calls used up of what can be capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spend {
    /// Requests that reached a provider.
    pub calls: u64,
    /// Tokens of every kind.
    pub tokens: u64,
    /// Money.
    pub money: Money,
}

impl Add for Spend {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            money: self.money + other.money,
        }
    }
}

impl AddAssign for Spend {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Spend {
    fn sum<I: Iterator<Item = Self>>(spends: I) -> Self {
        spends.fold(Self::default(), Add::add)
    }
}

impl Spend {
    /// What is left after `other` is taken away, part by part; nothing where that is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            money: self.money.less(other.money),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_saturates_and_reads_well() {
        let price = Money::from_usd(0.075e-6);
        assert_eq!(price, Money(75_000));
        assert_eq!(price.times(1_000_000), Money::from_usd(0.075));
        assert_eq!(Money(u64::MAX) + Money(1), Money(u64::MAX));
        assert_eq!((Money::from_usd(-1.0), Money::from_usd(f64::NAN)), (Money::ZERO, Money::ZERO));
        let shown = [0.0, 0.000_213, 0.5, 12.345].map(|usd| Money::from_usd(usd).to_string());
        assert_eq!(shown, ["$0.00", "$0.000213", "$0.500000", "$12.35"]);
    }

    #[test]
    fn spends_add_and_subtract_part_by_part() {
        let one = Spend { calls: 1, tokens: 10, money: Money(5) };
        assert_eq!(one + one, Spend { calls: 2, tokens: 20, money: Money(10) });
        assert_eq!((one + one).less(one), one);
        assert_eq!(one.less(one + one), Spend::default());
    }
}
