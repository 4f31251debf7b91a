//! A paced publisher: the test pattern, each chunk sent when it is due, in whatever way the relay takes it.
//!
//! A thread with blocking sockets, for it sleeps far more exactly than an event loop's timer, which
//! counts in milliseconds. The schedule does not wait for anybody: a chunk that is sent late keeps the
//! time at which it was due.

mod body;
mod feed;

use std::time::Duration;

pub use body::Body;
pub use feed::{Credit, Fed, Feed};

use crate::{chunk::Chunk, clock::Moment};

/// When which chunk is due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first one is.
    pub start: Moment,
    /// Bytes of each chunk.
    pub chunk_bytes: usize,
    /// Bits per second of the stream.
    pub bits_per_second: u64,
}

impl Schedule {
    /// The chunk of that number.
    #[must_use]
    pub fn chunk(&self, number: u64) -> Chunk {
        let bits = u128::from(number) * self.chunk_bytes as u128 * 8;
        let after = bits * 1_000_000_000 / u128::from(self.bits_per_second.max(1));
        let after = Duration::from_nanos(u64::try_from(after).unwrap_or(u64::MAX));
        let due = self.start.after(after);
        Chunk { number, due, length: self.chunk_bytes }
    }

    /// The same for stream `number` of `of`: they take turns.
    #[must_use]
    pub fn of_stream(&self, number: usize, of: usize) -> Self {
        let turn = self.chunk(1).due.since(self.start) / u32::try_from(of.max(1)).unwrap_or(1);
        Self { start: self.start.after(turn * u32::try_from(number).unwrap_or(0)), ..*self }
    }

    /// How many chunks are due from `from` on and before `to`.
    #[must_use]
    pub fn chunks_between(&self, from: Moment, to: Moment) -> u64 {
        self.first_from(to).saturating_sub(self.first_from(from))
    }

    /// The first chunk that is due at `time` or after it.
    fn first_from(&self, time: Moment) -> u64 {
        let nanos = u128::from(time.nanos().saturating_sub(self.start.nanos()));
        let bits = nanos * u128::from(self.bits_per_second.max(1));
        let chunk_bits = self.chunk_bytes.max(1) as u128 * 8 * 1_000_000_000;
        u64::try_from(bits.div_ceil(chunk_bits)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_chunk_from_a_time_on_is_the_first(
            chunk_bytes in 32..70_000usize, bits_per_second in 1_000..100_000_000u64,
            after in 1..50_000_000_000_u64,
        ) {
            let start = Moment::from_nanos(1_000);
            let schedule = Schedule { start, chunk_bytes, bits_per_second };
            let time = start.after(Duration::from_nanos(after));
            let first = schedule.first_from(time);
            prop_assert!(schedule.chunk(first).due >= time);
            prop_assert!(schedule.chunk(first - 1).due < time);
        }
    }

    #[test]
    fn a_megabit_in_small_chunks_is_thirty_a_second() {
        let start = Moment::from_nanos(0);
        let schedule = Schedule { start, chunk_bytes: 4_096, bits_per_second: 1_000_000 };
        assert_eq!(schedule.chunk(1).due, Moment::from_nanos(32_768_000));
        assert_eq!(schedule.chunks_between(start, Moment::from_nanos(10_000_000_000)), 306);
    }
}
