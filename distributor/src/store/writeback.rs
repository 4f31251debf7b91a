//! When bytes that were written leave the system's memory: it begins to write them early, and forgets what a
//! stream that comes faster than any live one has written a while ago.
//!
//! ```text
//!   written ──▶ Fresh: 1 MiB of it is sent to the disk ──▶ sealed ──▶ Sealed: 64 MiB later, if it comes that fast,
//!                                                                     its memory is had again by what comes next
//! ```
//!
//! Left to itself the system begins after seconds, and whoever seals a segment waits for all of it. And a stream
//! that is copied here as fast as it goes would take the memory of what viewers look at, page after page; on a
//! virtual machine whose host has yet to find those pages that costs more than all the rest of storing them. Such a
//! stream has room on the disk for a whole segment at once, too.

use std::collections::VecDeque;

use freshet_protocol::{ByteRange, RangeSet};
use tokio::time::Instant;

use super::limits::{FORGET_BEHIND_BYTES, FORGET_TIME, WRITE_BACK_BYTES};

/// What of one segment the system was not asked yet to write.
#[derive(Debug, Default)]
pub(super) struct Fresh(RangeSet);

impl Fresh {
    /// `range` was written: what the system is to begin with now, nothing most of the time.
    pub(super) fn wrote(&mut self, range: ByteRange) -> RangeSet {
        self.0.insert(range);
        if self.0.bytes() < WRITE_BACK_BYTES {
            return RangeSet::new();
        }
        std::mem::take(&mut self.0)
    }
}

/// The segments of a stream that were sealed last, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    last: VecDeque<(u64, Instant)>,
    is_in_haste: bool,
}

impl Sealed {
    /// The segment at `start` was sealed: the one whose memory may go.
    pub(super) fn sealed(&mut self, start: u64, segment_bytes: u64, now: Instant) -> Option<u64> {
        self.last.push_back((start, now));
        if (self.last.len() as u64 - 1) * segment_bytes < FORGET_BEHIND_BYTES {
            return None;
        }
        let (oldest, when) = self.last.pop_front()?;
        self.is_in_haste = now.duration_since(when) < FORGET_TIME;
        self.is_in_haste.then_some(oldest)
    }

    /// Did the last of them come faster than any live stream does?
    pub(super) fn is_in_haste(&self) -> bool {
        self.is_in_haste
    }
}

const _: () = assert!(WRITE_BACK_BYTES < FORGET_BEHIND_BYTES);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SEGMENT: u64 = FORGET_BEHIND_BYTES / 4;

    /// What is let go of when eight segments are sealed, one every `step`; what it is then said to be.
    fn let_go(step: Duration) -> (Vec<Option<u64>>, bool) {
        let (mut sealed, begin) = (Sealed::default(), Instant::now());
        let mut seal = |n| sealed.sealed(u64::from(n) * SEGMENT, SEGMENT, begin + step * n);
        let gone = (0..8).map(&mut seal).collect();
        (gone, sealed.is_in_haste())
    }

    #[test]
    fn what_comes_as_fast_as_it_goes_is_forgotten_some_segments_later() {
        let gone = let_go(FORGET_TIME / 100);
        let expected = (0..8).map(|n: u64| n.checked_sub(4).map(|n| n * SEGMENT));
        assert_eq!(gone, (expected.collect(), true));
    }

    #[test]
    fn what_comes_as_a_live_stream_does_is_left_to_the_system() {
        assert_eq!(let_go(FORGET_TIME / 4), (vec![None; 8], false));
    }

    #[test]
    fn written_bytes_are_sent_to_the_disk_once_and_many_at_a_time() {
        let (mut fresh, mut begun, piece) = (Fresh::default(), RangeSet::new(), 60_000);
        let mut calls = 0;
        // Two places at a time, as with a backfill beside the live edge.
        for at in (0..100).flat_map(|n| [n * piece, (n + 100) * piece]) {
            let now = fresh.wrote(ByteRange::at(at, piece).unwrap());
            assert!(now.is_empty() || now.bytes() >= WRITE_BACK_BYTES);
            assert!(now.iter().all(|range| !begun.overlaps(range)));
            calls += usize::from(!now.is_empty());
            begun.extend(&now);
        }
        assert_eq!((calls, begun.bytes()), (11, 11 * 18 * piece));
    }
}
