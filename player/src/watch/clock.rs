//! When a picture is to be shown. Pure: told the time, never asks for it.
//!
//! ```text
//!   arrived - stream's time = transit      floor: the least transit of the last seconds
//!   due = stream's time + floor + wait     wait: what 19 of 20 pictures arrive within, beyond the floor
//! ```
//!
//! The two clocks, the source's and ours, drift apart; the floor moves with them, so nothing is measured of
//! the drift and nothing grows with it. A picture that comes too late is due at once.

use std::{collections::VecDeque, fmt, str::FromStr, time::Duration};

use crate::limits::{AUTO_WAIT_MAX, FLOOR_WINDOW, JITTER_PICTURES};

/// How long pictures wait beyond the fastest of them, so that slower ones are in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// As long as the measured jitter makes it necessary.
    #[default]
    Auto,
    /// So long.
    Fixed(Duration),
}

/// Why a text is no latency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a latency: expected auto, or milliseconds up to 60000")]
pub struct LatencyError(String);

impl FromStr for Latency {
    type Err = LatencyError;

    fn from_str(text: &str) -> Result<Self, LatencyError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let millis = text.parse().ok().filter(|&millis: &u64| millis <= 60_000);
        let millis = millis.ok_or_else(|| LatencyError(text.to_owned()))?;
        Ok(Self::Fixed(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(wait) => write!(f, "{}", wait.as_millis()),
        }
    }
}

/// When the pictures of a live stream are due, or of a recording.
#[derive(Debug)]
pub(super) enum Playout {
    Live(Live),
    Recorded(Recorded),
}

impl Playout {
    pub(super) fn live(latency: Latency) -> Self {
        Self::Live(Live { latency, floor: None, earlier: None, since: 0, excess: VecDeque::new() })
    }

    pub(super) const fn recorded() -> Self {
        Self::Recorded(Recorded { base: None })
    }

    /// When a picture of this time in the stream is due, that arrived `now`; all in nanoseconds.
    pub(super) fn due(&mut self, time: u64, now: u64) -> u64 {
        match self {
            Self::Live(live) => live.due(time, now),
            Self::Recorded(recorded) => recorded.due(time, now),
        }
    }

    /// Bytes were left out, since pictures came too late: that is no jitter, and waiting does not help.
    pub(super) fn gap(&mut self) {
        if let Self::Live(live) = self {
            live.excess.clear();
        }
    }

    /// How long pictures wait at present, in nanoseconds.
    pub(super) fn wait(&self) -> u64 {
        match self {
            Self::Live(live) => live.wait(),
            Self::Recorded(_) => 0,
        }
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

fn at(nanos: i128) -> u64 {
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

#[derive(Debug)]
pub(super) struct Live {
    latency: Latency,
    /// The least transit of this window, and of the one before.
    floor: Option<i128>,
    earlier: Option<i128>,
    /// When this window began.
    since: u64,
    /// How far beyond the floor the last ones arrived.
    excess: VecDeque<u64>,
}

impl Live {
    fn due(&mut self, time: u64, now: u64) -> u64 {
        let transit = i128::from(now) - i128::from(time);
        if now.saturating_sub(self.since) >= nanos(FLOOR_WINDOW) {
            (self.earlier, self.floor, self.since) = (self.floor, None, now);
        }
        self.floor = Some(self.floor.map_or(transit, |floor| floor.min(transit)));
        let floor = self.earlier.map_or(transit, |earlier| earlier.min(transit));
        let floor = self.floor.map_or(floor, |now| now.min(floor));
        if self.excess.len() == JITTER_PICTURES {
            self.excess.pop_front();
        }
        self.excess.push_back(at(transit - floor));
        at(i128::from(time) + floor + i128::from(self.wait())).max(now)
    }

    fn wait(&self) -> u64 {
        match self.latency {
            Latency::Fixed(wait) => nanos(wait),
            Latency::Auto => {
                let mut sorted: Vec<_> = self.excess.iter().copied().collect();
                sorted.sort_unstable();
                let within = sorted.get(sorted.len() * 19 / 20).copied().unwrap_or_default();
                within.min(nanos(AUTO_WAIT_MAX))
            }
        }
    }
}

/// What comes faster than it is shown: each picture when the one before it has had its time.
#[derive(Debug)]
pub(super) struct Recorded {
    base: Option<i128>,
}

impl Recorded {
    fn due(&mut self, time: u64, now: u64) -> u64 {
        let transit = i128::from(now) - i128::from(time);
        // One that comes too late moves all that follow.
        let base = self.base.map_or(transit, |base| base.max(transit));
        self.base = Some(base);
        at(i128::from(time) + base)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const FRAME: u64 = 33 * MS;
    const SLOW_FRAME: u64 = 200 * MS;

    #[test]
    fn what_comes_evenly_does_not_wait() {
        let mut clock = Playout::live(Latency::Auto);
        for frame in 0..100 {
            let now = 5_000 * MS + frame * FRAME;
            assert_eq!(clock.due(frame * FRAME, now), now);
        }
    }

    #[test]
    fn jitter_is_waited_for_and_forgotten() {
        let mut clock = Playout::live(Latency::Auto);
        let late = |frame: u64| if frame.is_multiple_of(4) { 20 * MS } else { 0 };
        for frame in 0..300 {
            clock.due(frame * FRAME, 5_000 * MS + frame * FRAME + late(frame));
        }
        assert_eq!(clock.wait(), 20 * MS);
        for frame in 300..360 {
            clock.due(frame * FRAME, 5_000 * MS + frame * FRAME);
        }
        assert_eq!(clock.wait(), 0, "two seconds later");
        clock.due(360 * FRAME, 5_300 * MS + 360 * FRAME);
        clock.gap();
        assert_eq!(clock.wait(), 0);
    }

    #[test]
    fn a_day_of_drift_neither_stalls_nor_grows_the_buffer() {
        for ppm in [-100_i128, 100] {
            let mut clock = Playout::live(Latency::Auto);
            let mut last = 0;
            for frame in 0..24 * 3600 * 5_u64 {
                let time = frame * SLOW_FRAME;
                let now = at(i128::from(5_000 * MS + time) + i128::from(time) * ppm / 1_000_000);
                let due = clock.due(time, now);
                assert!(due - now <= 2 * MS, "it waits {} ms", (due - now) / MS);
                assert!(due >= last, "in order");
                assert!(
                    due - last <= 203 * MS || frame == 0,
                    "a stall of {} ms",
                    (due - last) / MS
                );
                last = due;
            }
        }
    }

    #[test]
    fn a_recording_is_shown_at_its_own_pace_and_moves_on_after_a_stall() {
        let mut clock = Playout::recorded();
        assert_eq!(clock.due(0, 100 * MS), 100 * MS);
        assert_eq!(clock.due(FRAME, 101 * MS), 133 * MS);
        assert_eq!(clock.due(2 * FRAME, 500 * MS), 500 * MS);
        assert_eq!(clock.due(3 * FRAME, 500 * MS), 533 * MS);
    }

    proptest! {
        #[test]
        fn nothing_is_due_before_it_is_there_or_much_later(
            late in prop::collection::vec(0..300_u64, 1..400), fixed in prop::option::of(0..500_u64),
        ) {
            let latency = fixed.map_or(Latency::Auto, |ms| Latency::Fixed(Duration::from_millis(ms)));
            let mut clock = Playout::live(latency);
            let wait_max = fixed.unwrap_or(500) * MS;
            for (frame, late) in late.into_iter().enumerate() {
                let time = frame as u64 * FRAME;
                let now = 5_000 * MS + time + late * MS;
                let due = clock.due(time, now);
                prop_assert!(due >= now && due - now <= wait_max);
            }
        }
    }

    #[test]
    fn a_latency_is_read_as_it_is_printed() {
        for text in ["auto", "0", "250"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
        assert!("60001".parse::<Latency>().is_err() && "soon".parse::<Latency>().is_err());
    }
}
