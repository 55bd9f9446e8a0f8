//! How often what fails is tried again, by what kind of failure it is. Pure.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::Class;

/// Tries and waits of one call. What is not named here fails the same way again and is not tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Further tries after "too many requests".
    pub rate_limited: u32,
    /// Further tries after the provider's own trouble.
    pub overloaded: u32,
    /// Further tries after a broken or refused connection.
    pub network: u32,
    /// Further tries after a silence.
    pub stalled: u32,
    /// Further tries after a reply that cannot be understood.
    pub malformed: u32,
    /// The first wait; each further one of the same kind is twice as long.
    pub first: Duration,
    /// The longest wait, unless the provider asks for a longer one.
    pub longest: Duration,
    /// All waits of a call together. One that would not fit is not begun.
    pub total: Duration,
    /// Tries after which a server that never answered anybody, and cannot be connected to, is taken for none.
    pub unmet: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            rate_limited: 10,
            overloaded: 8,
            network: 6,
            stalled: 2,
            malformed: 2,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            total: Duration::from_mins(20),
            unmet: 3,
        }
    }
}

/// What a call has used up of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strain {
    rate_limited: u32,
    overloaded: u32,
    network: u32,
    stalled: u32,
    malformed: u32,
    waited: Duration,
}

impl Strain {
    /// How long to wait before the next try; none when there is to be none.
    pub(crate) fn wait(
        &mut self,
        patience: &Patience,
        class: &Class,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        let (failures, most) = match class {
            Class::RateLimited { .. } => (&mut self.rate_limited, patience.rate_limited),
            Class::Overloaded { .. } => (&mut self.overloaded, patience.overloaded),
            Class::Network => (&mut self.network, patience.network),
            Class::Stalled => (&mut self.stalled, patience.stalled),
            Class::Malformed => (&mut self.malformed, patience.malformed),
            Class::ContextOverflow
            | Class::Declined
            | Class::Down
            | Class::Auth
            | Class::Unknown
            | Class::Rejected
            | Class::Unpriced
            | Class::Budget { .. }
            | Class::NotRecorded
            | Class::Tape
            | Class::Cancelled => return None,
        };
        if *failures >= most {
            return None;
        }
        let doubled =
            patience.first.saturating_mul(2_u32.saturating_pow(*failures)).min(patience.longest);
        *failures += 1;
        // Callers that failed together do not come back together.
        let wait =
            doubled.mul_f64(rng.random_range(0.5..=1.0)).max(class.after().unwrap_or_default());
        self.pause(patience, wait)
    }

    /// Counts a wait that is nobody's failure; none when there is no patience left for it.
    pub(crate) fn pause(&mut self, patience: &Patience, wait: Duration) -> Option<Duration> {
        let waited = self.waited.saturating_add(wait);
        (waited <= patience.total).then(|| {
            self.waited = waited;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn waits(class: &Class, patience: &Patience) -> Vec<Duration> {
        let (mut strain, mut rng) = (Strain::default(), ChaCha8Rng::seed_from_u64(1));
        std::iter::from_fn(|| strain.wait(patience, class, &mut rng)).collect()
    }

    #[test]
    fn waits_double_with_jitter_up_to_the_longest() {
        let patience = Patience::default();
        let waits = waits(&Class::Overloaded { after_ms: None }, &patience);
        assert_eq!(waits.len(), 8);
        for (n, wait) in waits.iter().enumerate() {
            let full = Duration::from_secs(1 << n).min(patience.longest);
            assert!(*wait <= full && *wait >= full / 2, "{n}: {wait:?}");
        }
    }

    #[test]
    fn the_provider_may_ask_for_more_but_not_for_more_than_there_is() {
        let class = Class::RateLimited { after_ms: Some(500_000) };
        let waits = waits(&class, &Patience::default());
        assert_eq!(waits, [Duration::from_secs(500); 2], "twenty minutes hold two of them");
    }

    #[test]
    fn what_cannot_change_is_not_tried_again() {
        for class in
            [Class::Auth, Class::ContextOverflow, Class::Declined, Class::Rejected, Class::Unknown]
        {
            assert_eq!(waits(&class, &Patience::default()), [] as [Duration; 0], "{class}");
        }
    }

    #[test]
    fn each_kind_of_failure_has_a_budget_of_its_own() {
        let (patience, mut rng) = (Patience::default(), ChaCha8Rng::seed_from_u64(2));
        let mut strain = Strain::default();
        let classes = [Class::Stalled, Class::Malformed, Class::Stalled, Class::Malformed];
        assert!(classes.iter().all(|class| strain.wait(&patience, class, &mut rng).is_some()));
        assert_eq!(strain.wait(&patience, &Class::Stalled, &mut rng), None);
        assert!(strain.wait(&patience, &Class::Network, &mut rng).is_some());
    }
}
