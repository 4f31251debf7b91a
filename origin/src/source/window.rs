//! A capture that is kept in memory: only what is not acknowledged, and no more than its room.
//!
//! ```text
//!   floor        start                 end
//!     ├─ acknowledged ┼── pieces ───────┤  ◀── the reader waits while the room is used up
//! ```

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use freshet_protocol::{ByteRange, RangeSet};
use tokio::sync::Semaphore;

use crate::limits::WINDOW_BYTES_MAX;

#[derive(Debug)]
pub(super) struct Window {
    room: Semaphore,
    pieces: Mutex<Pieces>,
}

/// `floor` is where the stream stood when this capture began; bytes below are not its own.
#[derive(Debug, Default)]
struct Pieces {
    floor: Option<u64>,
    start: u64,
    pieces: VecDeque<Bytes>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { room: Semaphore::new(WINDOW_BYTES_MAX), pieces: Mutex::default() }
    }

    /// Add a piece at the end, when there is room. Cancel safe: it is added or it is not.
    pub(super) async fn push(&self, piece: Bytes) {
        // The semaphore is never closed.
        if let Ok(permit) = self.room.acquire_many(cost(&piece)).await {
            permit.forget();
            self.lock().pieces.push_back(piece);
        }
    }

    /// The stream is at `end` already: this capture goes on after it. Once only.
    pub(super) fn begin_at(&self, end: u64) {
        let mut pieces = self.lock();
        if pieces.floor.is_none() {
            (pieces.floor, pieces.start) = (Some(end), end);
        }
    }

    /// Give back what is held, or no longer wanted, without a hole.
    pub(super) fn release(&self, held: &RangeSet, retained_from: u64) {
        let mut pieces = self.lock();
        let kept_from = held.first_missing(pieces.start.max(retained_from));
        while let Some(piece) = pieces.pieces.front() {
            let (bytes, cost) = (piece.len() as u64, cost(piece));
            if pieces.start + bytes > kept_from {
                break;
            }
            pieces.pieces.pop_front();
            pieces.start += bytes;
            self.room.add_permits(cost as usize);
        }
    }

    /// The floor, and the first byte in memory.
    pub(super) fn extent(&self) -> (u64, u64) {
        let pieces = self.lock();
        (pieces.floor.unwrap_or(0), pieces.start)
    }

    /// The bytes of `range`; `None` where not all of them are in memory.
    pub(super) fn read(&self, range: ByteRange) -> Option<Bytes> {
        let pieces = self.lock();
        let mut skip = usize::try_from(range.start().checked_sub(pieces.start)?).ok()?;
        let mut left = usize::try_from(range.len()).ok()?;
        let mut bytes = BytesMut::with_capacity(left);
        for piece in &pieces.pieces {
            let from = skip.min(piece.len());
            let part = piece.get(from..piece.len().min(from.saturating_add(left)))?;
            bytes.extend_from_slice(part);
            (skip, left) = (skip - from, left - part.len());
        }
        (left == 0).then(|| bytes.freeze())
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a piece takes of the room: its bytes and what it costs to keep, so that a source of single
/// bytes cannot fill the memory with their wrapping.
fn cost(piece: &Bytes) -> u32 {
    u32::try_from((piece.len() + 64).min(WINDOW_BYTES_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[tokio::test]
    async fn what_is_acknowledged_makes_room_and_the_rest_can_be_read() {
        let window = Window::new();
        window.begin_at(100);
        window.begin_at(0);
        for piece in ["abc", "defg", "h"] {
            window.push(piece.into()).await;
        }
        assert_eq!(window.read(range(101, 108)).unwrap(), "bcdefgh");

        window.release(&[range(0, 104)].into_iter().collect(), 0);

        assert_eq!(window.extent(), (100, 103));
        assert_eq!(window.read(range(103, 105)).unwrap(), "de");
        assert_eq!(window.read(range(102, 105)), None);
        assert_eq!(window.read(range(107, 109)), None);

        window.release(&RangeSet::new(), 107);

        assert_eq!(window.extent(), (100, 107), "retention wants no older ones");
    }

    #[tokio::test]
    async fn a_full_window_makes_the_reader_wait() {
        let window = Window::new();
        window.push(Bytes::from(vec![0; WINDOW_BYTES_MAX])).await;
        assert!(window.push("x".into()).now_or_never().is_none());

        window.release(&[range(0, WINDOW_BYTES_MAX as u64)].into_iter().collect(), 0);

        assert!(window.push("x".into()).now_or_never().is_some());
    }
}
