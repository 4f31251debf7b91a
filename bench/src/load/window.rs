//! Which chunks count, and when the work is over: the same for the publisher and all consumers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::{clock::Moment, limits::LATE};

/// The measured time: chunks due in it count. It is nowhere until it is opened.
#[derive(Clone, Debug)]
pub struct Window(Arc<State>);

#[derive(Debug)]
struct State {
    from: AtomicU64,
    to: AtomicU64,
    closed: AtomicBool,
}

impl Default for Window {
    fn default() -> Self {
        let (from, to) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        Self(Arc::new(State { from, to, closed: AtomicBool::new(false) }))
    }
}

impl Window {
    /// Let those count that are due from `from` on and before `to`.
    pub fn open(&self, from: Moment, to: Moment) {
        self.0.to.store(to.nanos(), Relaxed);
        self.0.from.store(from.nanos(), Relaxed);
    }

    /// Whoever works for it may stop at once.
    pub fn close(&self) {
        self.0.closed.store(true, Relaxed);
    }

    /// Is it over for good?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Relaxed)
    }

    /// Does a chunk count that is due then?
    #[must_use]
    pub fn has(&self, due: Moment) -> bool {
        (self.0.from.load(Relaxed)..self.0.to.load(Relaxed)).contains(&due.nanos())
    }

    /// When it begins.
    #[must_use]
    pub fn from(&self) -> Moment {
        Moment::from_nanos(self.0.from.load(Relaxed))
    }

    /// Is a chunk that is due then behind it, so that none that counts is still to come?
    #[must_use]
    pub fn is_behind(&self, due: Moment) -> bool {
        due.nanos() >= self.0.to.load(Relaxed)
    }

    /// Is it so long over that what has not come will not be waited for?
    #[must_use]
    pub fn is_late(&self, now: Moment) -> bool {
        now.since(Moment::from_nanos(self.0.to.load(Relaxed))) > LATE
    }
}
