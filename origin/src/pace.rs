//! How fast a file is let go: as a live source would give it, at a rate, or as fast as it goes.
//!
//! ```text
//!   released bytes ─┐      ┌─ now, in whole steps of 40 ms
//!   anchor ●────────●──────●┄┄┄┄┄┄┄┄ rate
//! ```
//!
//! Pure: the clock is an argument. A paced file is a live source: while the link is down the clock goes
//! on, and what it released meanwhile is late, exactly as with a camera.

use std::{fmt, str::FromStr, time::Duration};

use tokio::time::Instant;

use crate::limits::{PACE_STEP, RATE_MAX};

/// How fast a file is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rate {
    /// As fast as the media in it plays.
    Real,
    /// So many bytes per second.
    Bytes(u64),
    /// As fast as it goes.
    #[default]
    Max,
}

/// A text that is no rate.
#[derive(Debug, thiserror::Error)]
#[error("{given:?} is not a rate; expected real, max, or bytes per second (1 to {RATE_MAX})")]
pub struct RateError {
    given: String,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        match text {
            "real" => Ok(Self::Real),
            "max" => Ok(Self::Max),
            number => match number.parse() {
                Ok(rate) if (1..=RATE_MAX).contains(&rate) => Ok(Self::Bytes(rate)),
                _ => Err(RateError { given: text.into() }),
            },
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Bytes(rate) => rate.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

/// A clock for bytes: how many are released, and how long until more are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes per second; `None` holds nothing back.
    rate: Option<u64>,
    at: u64,
    since: Instant,
}

impl Pace {
    /// All bytes below `at` are released; more follow at `rate` from `now` on.
    pub(crate) const fn new(rate: Option<u64>, at: u64, now: Instant) -> Self {
        Self { rate, at, since: now }
    }

    /// One past the last byte released at `now`, in whole steps.
    pub(crate) fn released(&self, now: Instant) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        let elapsed = now.saturating_duration_since(self.since);
        let steps = elapsed.as_nanos() / PACE_STEP.as_nanos();
        let bytes = steps * PACE_STEP.as_nanos() * u128::from(rate) / 1_000_000_000;
        self.at.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// How long from `now` until the byte before `end` is released.
    pub(crate) fn wait(&self, now: Instant, end: u64) -> Duration {
        if self.released(now) >= end {
            return Duration::ZERO;
        }
        self.due(end).saturating_duration_since(now)
    }

    /// When the byte before `end` is released.
    fn due(&self, end: u64) -> Instant {
        let Some(rate) = self.rate else { return self.since };
        let nanos = (u128::from(end.saturating_sub(self.at)) * 1_000_000_000).div_ceil(rate.into());
        let steps = nanos.div_ceil(PACE_STEP.as_nanos());
        let nanos = u64::try_from(steps * PACE_STEP.as_nanos()).unwrap_or(u64::MAX);
        // A century is as good as never, and does not overflow the clock.
        self.since + Duration::from_nanos(nanos).min(Duration::from_secs(100 * 365 * 86_400))
    }

    /// How long before `now` a live source would have given the byte at `offset`.
    pub(crate) fn age(&self, now: Instant, offset: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let nanos = u128::from(offset.saturating_sub(self.at)) * 1_000_000_000 / u128::from(rate);
        let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        now.saturating_duration_since(self.since).saturating_sub(nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn after_the_wait_the_bytes_are_released_and_not_much_before(
            rate in 1..1_000_000_000u64, at in 0..1_000_000u64, more in 1..1_000_000_000u64,
        ) {
            let start = Instant::now();
            let pace = Pace::new(Some(rate), at, start);
            let wait = pace.wait(start, at + more);
            prop_assert!(pace.released(start + wait) >= at + more);
            let early = wait.saturating_sub(PACE_STEP);
            prop_assert!(early == wait || pace.released(start + early) < at + more);
            prop_assert_eq!(pace.wait(start + wait, at + more), Duration::ZERO);
        }

        #[test]
        fn the_mean_rate_is_the_rate(rate in 1..1_000_000_000u64, seconds in 1..10_000u64) {
            let start = Instant::now();
            let released = Pace::new(Some(rate), 0, start).released(start + Duration::from_secs(seconds));
            prop_assert_eq!(released, rate * seconds);
        }
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let now = Instant::now();
        let pace = Pace::new(None, 7, now);
        assert_eq!(pace.wait(now, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn an_absurd_wait_does_not_overflow_the_clock() {
        let now = Instant::now();
        assert!(Pace::new(Some(1), 0, now).wait(now, u64::MAX) > Duration::from_secs(86_400));
    }

    #[test]
    fn a_rate_is_real_max_or_a_number() {
        for text in ["real", "max", "125000"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert!("0".parse::<Rate>().is_err());
        assert!("1M".parse::<Rate>().unwrap_err().to_string().contains("bytes per second"));
    }
}
