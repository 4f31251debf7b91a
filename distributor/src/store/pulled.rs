//! What is different about a stream that another distributor gives us: who may write it, what of it is
//! still to come, and what of that is wanted first.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use freshet_protocol::{ByteRange, RangeSet};

use super::stream::Stream;

/// No byte is waited for.
const NONE: u64 = u64::MAX;

/// Whether a stream is pulled, and what of it somebody waits for.
#[derive(Debug)]
pub(super) struct Pulled {
    is: bool,
    wanted: AtomicU64,
}

impl Pulled {
    pub(super) fn new(is: bool) -> Self {
        Self { is, wanted: AtomicU64::new(NONE) }
    }
}

impl Stream {
    /// Does it come from another distributor, so that nobody may publish to it here?
    pub(crate) fn is_pulled(&self) -> bool {
        self.pulled.is
    }

    /// Is every byte kept, for as long as there is room?
    pub(crate) fn keeps_everything(&self) -> bool {
        self.shared.config.keeps_everything()
    }

    /// Are its holes being filled from upstream now?
    pub(crate) fn is_being_filled(&self) -> bool {
        self.is_pulled() && self.keeps_everything() && self.is_live()
    }

    /// The first byte that is kept, or will be.
    pub(crate) fn first(&self) -> u64 {
        let retained_from = self.retained_from();
        if self.is_pulled() && self.keeps_everything() {
            return retained_from;
        }
        let oldest = |readable: &RangeSet| readable.iter().next().map(ByteRange::start);
        self.with_readable(|readable, _| oldest(readable)).unwrap_or(retained_from)
    }

    /// Is it complete, with no byte missing but those that were let go?
    pub(crate) fn is_done(&self) -> bool {
        let retained_from = self.retained_from();
        self.with_readable(|readable, total| {
            let kept = total.map(|total| ByteRange::new(retained_from, total));
            kept.is_some_and(|kept| kept.is_none_or(|kept| readable.covers(kept)))
        })
    }

    /// How many follow it now.
    pub(crate) fn consumers(&self) -> u64 {
        self.consumers.load(Relaxed)
    }

    /// Somebody waits for the byte at `at`, which is not here.
    pub(crate) fn want(&self, at: u64) {
        self.pulled.wanted.store(at, Relaxed);
    }

    /// A byte that somebody has begun to wait for since the last call.
    pub(crate) fn take_wanted(&self) -> Option<u64> {
        let at = self.pulled.wanted.swap(NONE, Relaxed);
        (at != NONE).then_some(at)
    }

    /// How far ahead bytes may be. Where a pulled stream's are was checked where it was published.
    pub(super) fn gap_bytes_max(&self) -> u64 {
        if self.is_pulled() { u64::MAX } else { self.shared.config.gap_bytes_max }
    }
}
