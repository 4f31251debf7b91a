//! A piece: bytes of the stream that were not there before; and what it took to get them.

use std::time::Duration;

use bytes::Bytes;
use freshet_protocol::{ByteRange, RangeSet, Stamp};

use crate::request::Run;

/// Bytes of the stream that were not held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they belong.
    pub offset: u64,
    /// The bytes; never empty.
    pub bytes: Bytes,
    /// When the first byte of their part was captured, by the origin's clock.
    pub origin_time: Option<Stamp>,
    /// When they came, by our clock.
    pub received: Stamp,
    /// How far the distributor's clock was ahead of ours, in nanoseconds, as far as that is known.
    pub clock_ahead_nanos: i64,
}

impl Piece {
    /// How old the part was when these bytes of it came, by the distributor's clock: right as far as
    /// that and the origin's agree.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let received = self.received.shifted(self.clock_ahead_nanos);
        self.origin_time.map(|captured| received.since(captured))
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The pieces of `run` that are `fresh`.
    pub(crate) fn of(
        run: &Run,
        fresh: &RangeSet,
        received: Stamp,
        clock_ahead_nanos: i64,
    ) -> impl Iterator<Item = Self> {
        fresh.iter().filter_map(move |range| {
            let (offset, bytes) = (range.start(), slice(run, range)?);
            let origin_time = run.origin_time;
            Some(Self { offset, bytes, origin_time, received, clock_ahead_nanos })
        })
    }
}

fn slice(run: &Run, range: ByteRange) -> Option<Bytes> {
    let start = usize::try_from(range.start().checked_sub(run.offset)?).ok()?;
    let end = usize::try_from(range.end().checked_sub(run.offset)?).ok()?;
    (end <= run.bytes.len()).then(|| run.bytes.slice(start..end))
}

/// What it took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// GET requests sent.
    pub requests: u64,
    /// Replies that broke, stalled or did not come.
    pub cuts: u64,
    /// Bytes received, those that were held already included.
    pub received_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_overlaps_gives_only_what_is_new() {
        let bytes = Bytes::from_static(b"0123456789");
        let (origin_time, total, is_header) = (Some(Stamp::from_nanos(400)), None, false);
        let run = Run { offset: 100, bytes, origin_time, total, is_header };
        let fresh = [ByteRange::at(101, 2), ByteRange::at(107, 3)].into_iter().flatten().collect();
        let pieces: Vec<_> = Piece::of(&run, &fresh, Stamp::from_nanos(1000), -250).collect();
        let shown: Vec<_> = pieces.iter().map(|piece| (piece.offset, &piece.bytes[..])).collect();
        assert_eq!(shown, [(101, &b"12"[..]), (107, &b"789"[..])]);
        assert_eq!(pieces[0].age(), Some(Duration::from_nanos(350)), "by the distributor's clock");
    }
}
