//! How fast a native consumer takes its bytes, and what follows from it: how much of them is sent as
//! one part, and how far behind it may be before it is moved on. Pure.
//!
//! A part that has begun must end before anything newer may go, and what lies ahead of a consumer is
//! old once it arrives. On a link that takes 2 Mbit/s, 64 KiB are a quarter of a second; on a fast one
//! they are nothing, and small parts would only cost. So both are measured in time, not in bytes.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{
    LIVE_PART_BYTES_MAX, LIVE_PART_BYTES_MIN, LIVE_PART_TIME, NEWEST_JUMP_BYTES,
    NEWEST_JUMP_BYTES_MIN, NEWEST_JUMP_TIME, PACE_BYTES, PACE_FIRST, PACE_MAX,
};

/// What a consumer has taken lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes per second.
    rate: u64,
    /// Since when there was always something to send, and how much that was.
    busy: Option<(Instant, u64)>,
}

/// How much goes at a time, and from which distance on a consumer is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Most bytes of a part.
    pub(super) part: u64,
    /// Bytes ahead that are few enough to be sent in order.
    pub(super) jump: u64,
}

impl Reach {
    /// Is a consumer at `edge` so far behind `end` that it is to be moved?
    pub(super) fn is_far(&self, edge: u64, end: u64) -> bool {
        end.saturating_sub(edge) > self.jump
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: PACE_FIRST, busy: None }
    }
}

impl Pace {
    /// A part is about to begin, since what was to be sent before it is on its way.
    pub(super) fn begin(&mut self, bytes: u64, now: Instant) {
        let (since, sent) = *self.busy.get_or_insert((now, 0));
        self.busy = Some((since, sent + bytes));
    }

    /// Everything is on its way: what comes next may be planned.
    pub(super) fn look(&mut self, now: Instant) {
        let Some((since, sent)) = self.busy.filter(|&(_, sent)| sent >= PACE_BYTES) else { return };
        let took = now - since;
        let nanos = took.as_nanos().max(1);
        let rate = u128::from(sent) * Duration::from_secs(1).as_nanos() / nanos;
        self.rate = u64::try_from(rate).unwrap_or(PACE_MAX).min(PACE_MAX);
        // The older half of what was measured counts no more.
        self.busy = Some((since + took / 2, sent / 2));
    }

    /// There is nothing to send: it keeps up.
    pub(super) fn idle(&mut self) {
        *self = Self { rate: PACE_MAX, busy: None };
    }

    /// What its pace allows.
    pub(super) fn reach(&self) -> Reach {
        let within = |time: Duration| {
            let bytes = u128::from(self.rate) * time.as_millis() / 1_000;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        Reach {
            part: within(LIVE_PART_TIME).clamp(LIVE_PART_BYTES_MIN, LIVE_PART_BYTES_MAX),
            jump: within(NEWEST_JUMP_TIME).clamp(NEWEST_JUMP_BYTES_MIN, NEWEST_JUMP_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parts in a row at `rate` bytes per second, for ten seconds.
    fn busy(pace: &mut Pace, rate: u64, begun: Instant) -> Instant {
        let mut now = begun;
        while now - begun < Duration::from_secs(10) {
            let part = pace.reach().part;
            pace.begin(part, now);
            now += Duration::from_nanos(part * 1_000_000_000 / rate);
            pace.look(now);
        }
        now
    }

    proptest! {
        /// Whatever came before, a link is known after some seconds of it.
        #[test]
        fn parts_take_their_time_and_no_more(before in 30_000..100_000_000u64, rate in 30_000..100_000_000u64) {
            let mut pace = Pace::default();
            let now = busy(&mut pace, before, Instant::now());
            busy(&mut pace, rate, now);
            let Reach { part, jump } = pace.reach();
            let near = |bytes: u64, time: Duration, min: u64, max: u64| {
                let ideal = (rate * time.as_millis() as u64 / 1_000).clamp(min, max);
                bytes.abs_diff(ideal) <= ideal / 8
            };
            prop_assert!(near(part, LIVE_PART_TIME, LIVE_PART_BYTES_MIN, LIVE_PART_BYTES_MAX), "{part}");
            prop_assert!(near(jump, NEWEST_JUMP_TIME, NEWEST_JUMP_BYTES_MIN, NEWEST_JUMP_BYTES), "{jump}");
        }
    }

    #[test]
    fn whoever_keeps_up_is_sent_large_parts_in_order() {
        let mut pace = Pace::default();
        assert!(pace.reach().part < LIVE_PART_BYTES_MAX, "nothing is known of it");
        busy(&mut pace, 30_000, Instant::now());
        pace.idle();
        assert_eq!(pace.reach(), Reach { part: LIVE_PART_BYTES_MAX, jump: NEWEST_JUMP_BYTES });
    }

    #[test]
    fn a_few_bytes_that_were_late_tell_nothing() {
        let mut pace = Pace::default();
        pace.idle();
        let now = Instant::now();
        pace.begin(1_000, now);
        pace.look(now + Duration::from_secs(1));
        assert_eq!(pace.reach().part, LIVE_PART_BYTES_MAX);
    }
}
