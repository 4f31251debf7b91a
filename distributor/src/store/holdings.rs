//! Which bytes of a stream are where: in the ring, on the way to the disk, on the disk, acknowledged.
//!
//! ```text
//!   take_in ──▶ readable, pending ──▶ wrote ──▶ written, acknowledged
//!                      │                 └ not_written ──▶ never taken in
//!                      └ evicted from the ring: what is neither written nor pending is gone
//! ```
//!
//! Plain data: no lock, no task, no clock, no file. [`Stream`](super::Stream) adds those.

use std::time::Duration;

use bytes::Bytes;
use freshet_protocol::{ByteRange, RangeSet};
use smallvec::SmallVec;

use super::{ring::Ring, timeline::Times};
use crate::{config::StoreConfig, received::Received};

/// Why bytes cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WriteError {
    #[error("the byte at {at} differs from the one that is held")]
    Conflict { at: u64 },
    #[error("byte {at} is past the complete length {total}")]
    PastEnd { total: u64, at: u64 },
    #[error("the complete length is {held}, not {given}")]
    Length { held: u64, given: u64 },
    #[error("a complete length of {total} is below byte {last}, which is held")]
    BelowHeld { total: u64, last: u64 },
    #[error("byte {at} is more than {max} bytes ahead of {end}, where the stream ends now")]
    Gap { at: u64, end: u64, max: u64 },
    #[error("the stream is in {max} pieces already; fill its holes first")]
    Fragmented { max: usize },
    #[error("a newer request of the same origin took over")]
    Superseded,
    #[error("another origin holds the lease for {} s more", left.as_secs_f32().ceil())]
    Leased { left: Duration },
    #[error("the stream was deleted")]
    Deleted,
    #[error("the disk is full")]
    Full,
    #[error("the disk failed: {reason}")]
    Disk { reason: String },
}

/// What is at an offset.
#[derive(Debug)]
pub(super) enum Look {
    /// In memory.
    Ring(Bytes, Times),
    /// On the disk.
    Disk,
    /// A hole, or the live edge.
    Missing,
    /// The stream is complete, and this is its end.
    End,
    /// Retention let it go; the oldest that is kept.
    Gone(u64),
    Deleted,
}

/// Bytes at their offsets: most of the time one piece, which then is in no memory of its own.
pub(super) type Pieces = SmallVec<[(u64, Bytes); 1]>;

/// A stream's bytes. The ring has no byte that is not readable.
#[derive(Debug)]
pub(super) struct Holdings {
    pub(super) ring: Ring,
    /// In the ring, or on the disk, or on its way there.
    pub(super) readable: RangeSet,
    /// On its way to the disk.
    pending: RangeSet,
    /// On the disk, as the journal says.
    written: RangeSet,
    pub(super) acknowledged: RangeSet,
    /// The complete length, once it is known.
    pub(super) total: Option<u64>,
    /// Retention has let go of everything below.
    pub(super) retained_from: u64,
    /// Bytes taken in since the process began.
    pub(super) received: u64,
}

impl Holdings {
    /// Nothing, with what is known of the stream's ends.
    pub(super) fn new(ring: Ring, total: Option<u64>, retained_from: u64) -> Self {
        let (readable, pending) = (RangeSet::new(), RangeSet::new());
        let (written, acknowledged) = (RangeSet::new(), RangeSet::new());
        let received = 0;
        Self { ring, readable, pending, written, acknowledged, total, retained_from, received }
    }

    /// What recovery found on the disk.
    pub(super) fn recovered(&mut self, held: RangeSet) {
        self.readable = held.clone();
        self.written = held.clone();
        self.acknowledged = held;
    }

    /// Is it complete, with no byte missing or let go?
    pub(super) fn is_whole(&self) -> bool {
        match self.total {
            Some(0) => true,
            Some(total) => ByteRange::new(0, total).is_some_and(|all| self.readable.covers(all)),
            None => false,
        }
    }

    /// What is at `at`.
    pub(super) fn look(&self, at: u64) -> Look {
        if let Some((bytes, times)) = self.ring.look(at) {
            return Look::Ring(bytes, times);
        }
        if at < self.retained_from {
            return Look::Gone(self.retained_from);
        }
        if self.total.is_some_and(|total| total <= at) {
            return Look::End;
        }
        if self.written.contains(at) { Look::Disk } else { Look::Missing }
    }

    pub(super) fn admit(
        &self,
        range: ByteRange,
        gap_bytes_max: u64,
        config: &StoreConfig,
    ) -> Result<(), WriteError> {
        if let Some(total) = self.total.filter(|&total| total < range.end()) {
            return Err(WriteError::PastEnd { total, at: range.start().max(total) });
        }
        let (end, max) = (self.readable.end(), gap_bytes_max);
        if range.start() == end && self.readable.runs() > 0 {
            // Most of what comes.
            return Ok(());
        }
        if range.start() > end.saturating_add(max) {
            return Err(WriteError::Gap { at: range.start(), end, max });
        }
        let joins = |at: u64| self.readable.contains(at);
        let alone = !joins(range.end()) && !range.start().checked_sub(1).is_some_and(joins);
        let max = config.runs_max;
        if alone && self.readable.runs() >= max && !self.readable.overlaps(range) {
            return Err(WriteError::Fragmented { max });
        }
        Ok(())
    }

    pub(super) fn admit_total(&self, end: u64, total: u64) -> Result<(), WriteError> {
        match self.total {
            Some(held) if held != total => return Err(WriteError::Length { held, given: total }),
            _ => {}
        }
        let end = end.max(self.readable.end());
        if total < end {
            return Err(WriteError::BelowHeld { total, last: end - 1 });
        }
        Ok(())
    }

    /// Put what is missing of `range` into the ring and the sets.
    pub(super) fn take_in(
        &mut self,
        range: ByteRange,
        received: &Received,
        times: Times,
        to_disk: bool,
        acknowledge: bool,
    ) -> Pieces {
        let mut pieces = Pieces::new();
        let Some(kept) = ByteRange::new(range.start().max(self.retained_from), range.end()) else {
            return pieces;
        };
        // Most of what comes is new as a whole: then the set need not be asked.
        let whole = (kept.start() >= self.readable.end()).then_some(kept);
        let parts = whole.map_or_else(|| self.readable.missing(kept), |_| RangeSet::new());
        for missing in whole.into_iter().chain(parts.iter()) {
            let from = usize::try_from(missing.start() - range.start()).unwrap_or(usize::MAX);
            let len = usize::try_from(missing.len()).unwrap_or(usize::MAX);
            let Some(piece) = received.slice(from, len) else { continue };
            pieces.push((missing.start(), self.ring.insert(missing.start(), &piece, times)));
            self.readable.insert(missing);
            self.received += missing.len();
            if to_disk {
                self.pending.insert(missing);
            }
            if acknowledge || !to_disk {
                self.acknowledged.insert(missing);
            }
        }
        pieces
    }

    /// `range` is on the disk. True if it has left the ring already: then whoever waits for it must
    /// hear of it.
    pub(super) fn wrote(&mut self, range: ByteRange) -> bool {
        self.pending.remove(range);
        self.written.insert(range);
        self.acknowledged.insert(range);
        // Retention may have moved on while the write was under way.
        self.forget_below(self.retained_from);
        self.ring.read(range.start()).is_none()
    }

    /// `range` could not be written: it was never taken in, unless memory is to `keep` it for as long
    /// as it can.
    pub(super) fn not_written(&mut self, range: ByteRange, keep: bool) {
        self.pending.remove(range);
        self.written.remove(range);
        if !keep {
            self.remove(range);
        }
    }

    /// `range` is damaged on the disk: a hole from now on. False if it is known already.
    pub(super) fn quarantine(&mut self, range: ByteRange) -> bool {
        let known = !self.written.overlaps(range);
        if !known {
            self.remove(range);
        }
        !known
    }

    fn remove(&mut self, range: ByteRange) {
        self.ring.remove(range);
        self.readable.remove(range);
        self.written.remove(range);
        self.acknowledged.remove(range);
    }

    /// The ring has let go of `range`: what is not on the disk, nor on its way there, is gone.
    pub(super) fn evicted(&mut self, range: ByteRange, to_disk: bool) {
        if !to_disk {
            return self.forget_below(range.end().max(self.retained_from));
        }
        let mut safe = self.written.within(range);
        safe.extend(&self.pending.within(range));
        for gone in safe.missing(range).iter() {
            self.readable.remove(gone);
            self.acknowledged.remove(gone);
        }
    }

    pub(super) fn forget_below(&mut self, from: u64) {
        self.retained_from = from;
        let Some(below) = ByteRange::new(0, from) else { return };
        self.remove(below);
    }
}
