//! The distributor's clock, as a member knows it: from the shortest of the last round trips.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::limits::{GROUP_TRIPS, GROUP_TRIPS_SURE};

/// What the round trips of the last keepalives have told.
#[derive(Debug)]
pub(super) struct GroupClock {
    began: Instant,
    trips: VecDeque<Trip>,
}

#[derive(Clone, Copy, Debug)]
struct Trip {
    took: u64,
    /// Their clock less ours.
    offset: i64,
}

impl GroupClock {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, trips: VecDeque::new() }
    }

    /// Our own clock, in microseconds.
    pub(super) fn ours(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.began))
    }

    /// A question left at `sent`; the answer came at `now` and said that it was `theirs`.
    pub(super) fn trip(&mut self, sent: u64, now: Instant, theirs: u64) {
        let took = self.ours(now).saturating_sub(sent);
        let offset = theirs.cast_signed() - (sent + took / 2).cast_signed();
        if self.trips.len() >= GROUP_TRIPS {
            self.trips.pop_front();
        }
        self.trips.push_back(Trip { took, offset });
    }

    fn offset(&self) -> Option<i64> {
        self.trips.iter().min_by_key(|trip| trip.took).map(|trip| trip.offset)
    }

    /// Is it known by so many trips that one of them is likely to have been quick both ways?
    pub(super) fn is_sure(&self) -> bool {
        self.trips.len() >= GROUP_TRIPS_SURE
    }

    /// What time it is there.
    pub(super) fn theirs(&self, now: Instant) -> Option<u64> {
        Some(self.ours(now).saturating_add_signed(self.offset()?))
    }

    /// When it will be that time there.
    pub(super) fn when(&self, theirs: u64) -> Option<Instant> {
        let ours = theirs.saturating_add_signed(self.offset()?.saturating_neg());
        self.began.checked_add(Duration::from_micros(ours))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_trip_tells_the_time() {
        let began = Instant::now();
        let mut clock = GroupClock::new(began);
        assert!(!clock.is_sure() && clock.theirs(began).is_none());
        let at = |millis| began + Duration::from_millis(millis);
        // 4 ms there and 196 ms back; then 2 ms each way, with 1,000,000 between the clocks.
        clock.trip(0, at(200), 1_004_000);
        clock.trip(300_000, at(304), 1_302_000);
        assert_eq!(clock.theirs(at(400)), Some(1_400_000));
        assert_eq!(clock.when(1_400_000), Some(at(400)));
    }

    #[test]
    fn old_trips_are_forgotten() {
        let began = Instant::now();
        let mut clock = GroupClock::new(began);
        clock.trip(0, began, 5);
        for step in 1..=GROUP_TRIPS as u64 {
            let sent = step * 1000;
            clock.trip(sent, began + Duration::from_micros(sent + 10), sent + 105);
        }
        assert_eq!(clock.theirs(began), Some(100));
        assert!(clock.is_sure());
    }
}
