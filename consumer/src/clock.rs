//! How far the distributor's clock is from ours: each reply tells its time, as NTP's do.

use std::{collections::VecDeque, fmt, time::Duration};

use freshet_protocol::RoundTrip;

use crate::limits::ROUND_TRIPS_KEPT;

/// An estimate of the distributor's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// How far it is ahead of ours, in nanoseconds.
    pub nanos: i64,
    /// The estimate is wrong by no more than this.
    pub uncertainty: Duration,
}

/// The newest round trips.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    trips: VecDeque<RoundTrip>,
}

impl Clock {
    /// A reply that may have told its time.
    pub(crate) fn extend(&mut self, trip: Option<RoundTrip>) {
        self.trips.extend(trip);
        if self.trips.len() > ROUND_TRIPS_KEPT {
            self.trips.pop_front();
        }
    }

    /// By the quickest of them: half of its time is what it can be wrong by. `None` before the first.
    pub(crate) fn offset(&self) -> Option<ClockOffset> {
        let quickest = self.trips.iter().min_by_key(|trip| trip.delay())?;
        let (nanos, uncertainty) = (quickest.offset_nanos(), quickest.delay() / 2);
        Some(ClockOffset { nanos, uncertainty })
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.nanos as f64 / 1e6;
        write!(f, "{millis:+.2} ms, give or take {:.2} ms", self.uncertainty.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::Stamp;

    use super::*;

    fn trip(sent: u64, theirs: u64, received: u64) -> RoundTrip {
        let millis = |ms| Stamp::from_nanos(ms * 1_000_000);
        RoundTrip { sent: millis(sent), theirs: millis(theirs), received: millis(received) }
    }

    #[test]
    fn the_quickest_round_trip_is_believed_and_old_ones_are_forgotten() {
        let mut clock = Clock::default();
        assert_eq!(clock.offset(), None);
        clock.extend(Some(trip(1000, 1505, 1010)));
        // This one was made to wait for a byte.
        clock.extend(Some(trip(2000, 2500, 9000)));
        let offset = clock.offset().unwrap();
        assert_eq!((offset.nanos, offset.uncertainty), (500_000_000, Duration::from_millis(5)));
        assert_eq!(offset.to_string(), "+500.00 ms, give or take 5.00 ms");
        for _ in 0..ROUND_TRIPS_KEPT {
            clock.extend(Some(trip(10_000, 9_500, 11_000)));
        }
        assert_eq!(clock.offset().unwrap().nanos, -1_000_000_000);
    }
}
