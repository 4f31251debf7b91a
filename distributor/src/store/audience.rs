//! Who follows a stream, and how far each of them is: for those who look after the distributor.
//!
//! A place is one number that its consumer alone moves, and whoever wants to know reads: a delivery waits for nobody.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use freshet_protocol::Stamp;
use slab::Slab;

use super::{holdings::Look, stream::Stream};

/// A consumer, as he is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// Where from; unknown where he is gone already, or many at once.
    pub(crate) peer: Option<SocketAddr>,
    /// In which way he is given the stream.
    pub(crate) way: &'static str,
}

#[cfg(test)]
impl Who {
    /// Whom nobody asks after.
    pub(crate) const SOMEBODY: Self = Self { peer: None, way: "plain" };
}

/// Where a consumer stands in a stream.
#[derive(Debug)]
pub(crate) struct Standing {
    who: Who,
    since: Stamp,
    /// One past the newest byte that he was given; 0 before the first.
    at: AtomicU64,
}

/// All who follow one stream.
#[derive(Debug, Default)]
pub(super) struct Audience(Mutex<Slab<Arc<Standing>>>);

/// A consumer as he stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stood {
    pub(crate) who: Who,
    /// When he came.
    pub(crate) since: Stamp,
    /// Unknown before his first byte.
    pub(crate) place: Option<Place>,
}

/// Where a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// One past the newest byte that he was given.
    pub(crate) at: u64,
    /// Newer bytes that are here.
    pub(crate) behind_bytes: u64,
    /// How long the first of these has been here; unknown where it is not in memory any more.
    pub(crate) behind: Option<Duration>,
}

impl Standing {
    /// He was given everything before `end`, or something older.
    pub(crate) fn advance(&self, end: u64) {
        // Nobody else moves it.
        if self.at.load(Relaxed) < end {
            self.at.store(end, Relaxed);
        }
    }
}

impl Audience {
    fn all(&self) -> MutexGuard<'_, Slab<Arc<Standing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, who: Who, since: Stamp) -> (usize, Arc<Standing>) {
        let standing = Arc::new(Standing { who, since, at: AtomicU64::new(0) });
        (self.all().insert(Arc::clone(&standing)), standing)
    }

    pub(super) fn leave(&self, key: usize) {
        self.all().try_remove(key);
    }
}

impl Stream {
    /// Who follows it now.
    pub(crate) fn audience(&self) -> Vec<Stood> {
        let all: Vec<_> = self.audience.all().iter().map(|(_, it)| Arc::clone(it)).collect();
        let (end, now) = (self.end(), self.shared.now());
        all.iter().map(|standing| self.stood(standing, end, now)).collect()
    }

    fn stood(&self, standing: &Standing, end: u64, now: Stamp) -> Stood {
        let at = Some(standing.at.load(Relaxed)).filter(|&at| at > 0);
        let place = at.map(|at| self.place(at, end, now));
        Stood { who: standing.who, since: standing.since, place }
    }

    fn place(&self, at: u64, end: u64, now: Stamp) -> Place {
        let behind_bytes = end.saturating_sub(at);
        let behind = match behind_bytes {
            0 => Some(Duration::ZERO),
            _ => match self.look(at) {
                Look::Ring(_, times) => Some(now.since(times.received)),
                _ => None,
            },
        };
        Place { at, behind_bytes, behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_a_hole_moves_nobody_back_and_who_leaves_is_not_told_of() {
        let audience = Audience::default();
        let (key, standing) = audience.enter(Who::SOMEBODY, Stamp::from_nanos(1));
        standing.advance(10);
        standing.advance(5);
        assert_eq!(standing.at.load(Relaxed), 10);
        assert_eq!(audience.all().len(), 1);
        audience.leave(key);
        assert!(audience.all().is_empty());
    }
}
