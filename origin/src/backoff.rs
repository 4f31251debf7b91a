//! How long to wait after a failure: twice as long each time, with jitter. Pure and seeded.
//!
//! A thousand origins that lose one distributor must not come back in the same millisecond.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// Pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: SmallRng,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), failures: 0 }
    }

    /// Something worked: the next failure is a first one.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: how long to wait. `asked` is what the peer asked for (`Retry-After`); it
    /// lengthens the pause up to the longest one, and never beyond.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let whole = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let jittered = whole.mul_f64(self.random.random_range(0.5..1.0));
        jittered.max(asked.unwrap_or_default()).clamp(BACKOFF_MIN / 2, BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_stay_bounded_and_depend_on_the_seed_alone(seed: u64) {
            let (mut one, mut other) = (Backoff::new(seed), Backoff::new(seed));
            let pauses: Vec<_> = (0..100).map(|_| one.next(None)).collect();
            prop_assert!(pauses.iter().all(|pause| (BACKOFF_MIN / 2..=BACKOFF_MAX).contains(pause)));
            prop_assert!(pauses[0] < BACKOFF_MIN && pauses[99] >= BACKOFF_MAX / 2);
            prop_assert_eq!(&pauses, &(0..100).map(|_| other.next(None)).collect::<Vec<_>>());
            one.reset();
            prop_assert!(one.next(None) < BACKOFF_MIN);
        }
    }

    #[test]
    fn what_the_peer_asks_for_counts_up_to_the_longest_pause() {
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.next(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(backoff.next(Some(Duration::from_secs(3600))), BACKOFF_MAX);
    }
}
