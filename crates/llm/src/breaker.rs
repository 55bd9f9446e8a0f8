//! The circuit breaker of one provider: after failures in a row that are the provider's, all callers pause, and then one
//! goes first. Pure; the time is told.

use std::time::Duration;

/// Failures in a row after which callers pause.
const TRIP: u32 = 5;
/// The first pause, in first waits of a call; each one that follows without an answer between is twice as long.
const FIRST: u32 = 15;
/// The longest.
const LONGEST: u32 = 300;
/// Pauses in a row after which nobody waits for another: with first waits of a second, some two minutes.
const DOWN: u32 = 3;

/// Whether a provider is asked at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    failures: u32,
    trips: u32,
    /// When the pause under way ends.
    until: Option<Duration>,
    /// Whether the one that goes first after a pause is under way.
    probing: bool,
    /// Whether anybody was ever answered.
    met: bool,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Ask.
    Go,
    /// Wait so long, and come again.
    Wait(Duration),
}

impl Breaker {
    /// Admits a caller at `now`.
    pub(crate) fn admit(&mut self, now: Duration) -> Admission {
        let Some(until) = self.until else { return Admission::Go };
        if now < until {
            return Admission::Wait(until - now);
        }
        if self.probing {
            return Admission::Wait(Duration::from_secs(1));
        }
        self.probing = true;
        Admission::Go
    }

    /// Somebody was answered, be it with a refusal: the provider is there.
    pub(crate) fn answered(&mut self) {
        *self = Self { met: true, ..Self::default() };
    }

    /// Whether anybody was ever answered.
    pub(crate) fn met(&self) -> bool {
        self.met
    }

    /// Whether so many pauses have ended in nothing that nobody should wait for the next one to end.
    pub(crate) fn down(&self) -> bool {
        self.trips > DOWN
    }

    /// Somebody was not; `first` is the first wait of a call. A caller that was admitted before a pause and fails in it does
    /// not make it longer.
    pub(crate) fn failed(&mut self, now: Duration, first: Duration) {
        self.failures += 1;
        let paused = self.until.is_some_and(|until| now < until);
        if paused || (self.failures < TRIP && !self.probing) {
            return;
        }
        self.probing = false;
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.trips)).min(LONGEST);
        let pause = first.saturating_mul(pause);
        self.trips += 1;
        self.until = Some(now + pause);
    }

    /// Whoever was admitted will not say how it went.
    pub(crate) fn abandoned(&mut self) {
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(breaker: &mut Breaker, now: u64) {
        breaker.failed(at(now), at(1));
    }

    #[test]
    fn it_pauses_after_failures_in_a_row_and_lets_one_go_first() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert_eq!(breaker.admit(at(0)), Admission::Go);
            fail(&mut breaker, 0);
        }
        breaker.answered();
        for _ in 0..5 {
            assert_eq!(breaker.admit(at(1)), Admission::Go);
            fail(&mut breaker, 1);
        }
        assert_eq!(breaker.admit(at(6)), Admission::Wait(at(10)));
        fail(&mut breaker, 6);
        assert_eq!(breaker.admit(at(16)), Admission::Go, "one goes first");
        assert_eq!(breaker.admit(at(16)), Admission::Wait(at(1)), "the others do not");
        fail(&mut breaker, 17);
        assert_eq!(breaker.admit(at(17)), Admission::Wait(at(30)), "and the next pause is longer");
        assert_eq!(breaker.admit(at(47)), Admission::Go);
        breaker.answered();
        assert_eq!((breaker.admit(at(47)), breaker.admit(at(47))), (Admission::Go, Admission::Go));
    }

    #[test]
    fn after_some_pauses_it_is_down_for_everybody_until_somebody_is_answered() {
        let mut breaker = Breaker::default();
        let mut now = 0;
        (0..5).for_each(|_| fail(&mut breaker, now));
        for pause in [15, 30, 60] {
            assert!(!breaker.down(), "{pause}");
            now += pause;
            assert_eq!(breaker.admit(at(now)), Admission::Go);
            fail(&mut breaker, now);
        }
        assert!(breaker.down() && !breaker.met());
        assert_eq!(breaker.admit(at(now)), Admission::Wait(at(120)));
        breaker.answered();
        assert!(!breaker.down() && breaker.met());
    }

    #[test]
    fn one_that_went_first_and_was_never_heard_of_does_not_lock_the_others_out() {
        let mut breaker = Breaker::default();
        (0..5).for_each(|_| fail(&mut breaker, 0));
        assert_eq!(breaker.admit(at(15)), Admission::Go);
        breaker.abandoned();
        assert_eq!(breaker.admit(at(15)), Admission::Go);
    }
}
