//! What tokens cost.

use empiric_core::{Money, Usage};
use serde::Deserialize;

use crate::Request;

/// Prices of one model, per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// As long as a request is not longer than `long` says.
    pub usual: Rates,
    /// Beyond so many input tokens, these apply to the whole request.
    pub long: Option<(u64, Rates)>,
}

/// Prices of the four kinds of tokens, per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Read.
    pub input: Money,
    /// Read from a cache.
    pub cached: Money,
    /// Read and written into a cache.
    pub written: Money,
    /// Produced.
    pub output: Money,
}

/// As written in a models file: US dollars per million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    input: f64,
    output: f64,
    /// As input where it is not given.
    cached: Option<f64>,
    /// As input where it is not given.
    written: Option<f64>,
    long: Option<Long>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    above: u64,
    input: f64,
    output: f64,
    cached: Option<f64>,
    written: Option<f64>,
}

impl Listed {
    /// The price, if all numbers make sense.
    pub(crate) fn price(&self) -> Option<Price> {
        let usual = Rates::listed(self.input, self.output, self.cached, self.written)?;
        let long = match &self.long {
            Some(long) => Some((
                long.above,
                Rates::listed(long.input, long.output, long.cached, long.written)?,
            )),
            None => None,
        };
        Some(Price { usual, long })
    }
}

impl Rates {
    fn listed(input: f64, output: f64, cached: Option<f64>, written: Option<f64>) -> Option<Self> {
        let per_token =
            |usd: f64| (usd.is_finite() && usd >= 0.0).then(|| Money::from_usd(usd / 1e6));
        Some(Self {
            input: per_token(input)?,
            cached: per_token(cached.unwrap_or(input))?,
            written: per_token(written.unwrap_or(input))?,
            output: per_token(output)?,
        })
    }

    fn cost(&self, usage: &Usage) -> Money {
        self.input.times(usage.input)
            + self.cached.times(usage.cached)
            + self.written.times(usage.written)
            + self.output.times(usage.output)
    }

    /// The dearest that a token of input can be.
    fn dearest_input(&self) -> Money {
        self.input.max(self.cached).max(self.written)
    }
}

impl Price {
    /// What is asked for nothing.
    pub const FREE: Self = Self {
        usual: Rates {
            input: Money::ZERO,
            cached: Money::ZERO,
            written: Money::ZERO,
            output: Money::ZERO,
        },
        long: None,
    };

    /// What one call with this usage costs.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let read = usage.input.saturating_add(usage.cached).saturating_add(usage.written);
        match &self.long {
            Some((above, rates)) if read > *above => rates.cost(usage),
            Some(_) | None => self.usual.cost(usage),
        }
    }

    /// The most that a call can cost: `input` tokens read at the dearest rate, `output` produced.
    #[must_use]
    pub fn worst(&self, input: u64, output: u64) -> Money {
        let at = |rates: &Rates| rates.dearest_input().times(input) + rates.output.times(output);
        match &self.long {
            Some((above, rates)) if input > *above => at(rates).max(at(&self.usual)),
            Some(_) | None => at(&self.usual),
        }
    }

    /// The most that this request can cost.
    #[must_use]
    pub fn worst_of(&self, request: &Request) -> Money {
        self.worst(request.input_bound(), request.max_output.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price() -> Price {
        let listed = "input = 5\noutput = 30\ncached = 0.5\nwritten = 6.25\n\
                      long = { above = 1000, input = 10, output = 45, cached = 1 }";
        toml::from_str::<Listed>(listed).unwrap().price().unwrap()
    }

    #[test]
    fn a_bill_is_exact() {
        let usage = Usage { input: 100, cached: 500, written: 200, output: 10 };
        assert_eq!(
            price().cost(&usage),
            Money(100 * 5_000_000 + 500 * 500_000 + 200 * 6_250_000 + 10 * 30_000_000)
        );
        let long = Usage { input: 1_001, ..usage };
        assert_eq!(
            price().cost(&long),
            Money(1_001 * 10_000_000 + 500 * 1_000_000 + 200 * 10_000_000 + 10 * 45_000_000)
        );
    }

    #[test]
    fn a_price_that_is_no_number_is_none() {
        for listed in
            ["input = -1\noutput = 1", "input = 1\noutput = inf", "input = nan\noutput = 1"]
        {
            assert_eq!(toml::from_str::<Listed>(listed).unwrap().price(), None, "{listed}");
        }
    }

    proptest! {
        #[test]
        fn no_bill_is_above_the_worst(
            input in 0u64..3_000, cached in 0u64..3_000, written in 0u64..3_000, output in 0u64..3_000, spare in 0u64..100,
        ) {
            let usage = Usage { input, cached, written, output };
            let worst = price().worst(input + cached + written + spare, output + spare);
            prop_assert!(price().cost(&usage) <= worst);
        }
    }
}
