//! One writer at a time: who may add bytes to a stream, and when somebody else may.
//!
//! ```text
//!   claim ──▶ posting ──▶ (last byte) ──▶ kept for the lease time ──▶ free
//!     ▲          │ same origin claims again: the older request is cut off at once
//!     └──────────┘ another origin claims: refused until the lease has run out
//! ```
//!
//! Plain data; the time is an argument.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Who writes: an origin that has a name, or a single request of one that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OriginKey {
    /// `Origin-Id`: the same origin over all its connections.
    Named(String),
    /// A number that no other request has. Its lease ends with the request: nobody could ever come
    /// back as the same origin.
    Request(u64),
    /// A distributor that the stream is pulled from. Nobody else ever publishes to such a stream.
    Upstream,
}

/// Proof of a claim: which one it was, and the token that tells when a newer one took over.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    epoch: u64,
    superseded: CancellationToken,
}

impl Grant {
    /// Fires when a newer claim has taken over.
    pub(crate) fn superseded(&self) -> &CancellationToken {
        &self.superseded
    }
}

/// The lease of one stream.
#[derive(Debug)]
pub(crate) struct Lease {
    time: Duration,
    holder: Option<Holder>,
    epoch: u64,
    /// When an origin was there last, where none is now.
    left: Instant,
}

#[derive(Debug)]
struct Holder {
    key: OriginKey,
    grant: Grant,
    posting: bool,
    last_byte: Instant,
}

impl Lease {
    /// A free lease that is kept for `time` after the last byte.
    pub(crate) fn new(time: Duration, now: Instant) -> Self {
        Self { time, holder: None, epoch: 0, left: now }
    }

    /// Take the lease for `key`, or say for how long another keeps it.
    ///
    /// The same named origin always gets it: its older request is told that it is over.
    pub(crate) fn claim(&mut self, key: &OriginKey, now: Instant) -> Result<Grant, Duration> {
        if let Some(holder) = &self.holder {
            let left = holder.left(self.time, now);
            if holder.key != *key && !left.is_zero() {
                return Err(left);
            }
            holder.grant.superseded.cancel();
        }
        self.epoch += 1;
        let grant = Grant { epoch: self.epoch, superseded: CancellationToken::new() };
        let key = key.clone();
        self.holder = Some(Holder { key, grant: grant.clone(), posting: true, last_byte: now });
        Ok(grant)
    }

    /// Bytes came in under `grant`: may they be added? Keeps the lease alive.
    pub(crate) fn touch(&mut self, grant: &Grant, now: Instant) -> bool {
        match &mut self.holder {
            Some(holder) if holder.grant.epoch == grant.epoch => {
                (holder.last_byte, self.left) = (now, now);
                true
            }
            _ => false,
        }
    }

    /// The request under `grant` is over.
    pub(crate) fn release(&mut self, grant: &Grant, now: Instant) {
        let Some(holder) = &mut self.holder else { return };
        if holder.grant.epoch != grant.epoch {
            return;
        }
        // That a stream is pulled says nothing of its origin, and neither does the end of that.
        if holder.key != OriginKey::Upstream {
            self.left = now;
        }
        match holder.key {
            OriginKey::Named(_) => holder.posting = false,
            OriginKey::Request(_) | OriginKey::Upstream => self.holder = None,
        }
    }

    /// Cut the holder off: the stream is gone.
    pub(crate) fn revoke(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.grant.superseded.cancel();
        }
    }

    /// Since when no origin has been there; `None` while one is.
    pub(crate) fn alone_since(&self) -> Option<Instant> {
        let is_origin = |holder: &Holder| holder.posting && holder.key != OriginKey::Upstream;
        let has_origin = self.holder.as_ref().is_some_and(is_origin);
        (!has_origin).then_some(self.left)
    }

    /// Is a request posting right now?
    pub(crate) fn is_posting(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.posting)
    }
}

impl Holder {
    /// For how long the lease is kept yet. One that posts keeps it for the whole time.
    fn left(&self, time: Duration, now: Instant) -> Duration {
        if self.posting {
            return time;
        }
        time.saturating_sub(now.saturating_duration_since(self.last_byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    fn named(id: &str) -> OriginKey {
        OriginKey::Named(id.into())
    }

    #[test]
    fn a_newer_request_of_the_same_origin_ends_the_older_one() {
        let (mut lease, now) = (Lease::new(TIME, Instant::now()), Instant::now());
        let old = lease.claim(&named("a"), now).unwrap();
        let new = lease.claim(&named("a"), now).unwrap();

        assert!(old.superseded().is_cancelled());
        assert!(!lease.touch(&old, now), "a zombie adds nothing");
        assert!(lease.touch(&new, now));
        lease.release(&old, now);
        assert!(lease.is_posting(), "the older request's end is not the newer one's");
    }

    #[test]
    fn another_origin_waits_until_the_lease_has_run_out() {
        let (mut lease, now) = (Lease::new(TIME, Instant::now()), Instant::now());
        let grant = lease.claim(&named("a"), now).unwrap();
        assert_eq!(lease.claim(&named("b"), now).unwrap_err(), TIME);

        let last_byte = now + Duration::from_secs(3);
        lease.touch(&grant, last_byte);
        lease.release(&grant, now);
        assert_eq!(
            lease.claim(&named("b"), last_byte + Duration::from_secs(4)).unwrap_err(),
            Duration::from_secs(6)
        );
        assert!(lease.claim(&named("b"), last_byte + TIME).is_ok());
    }

    #[test]
    fn a_nameless_request_keeps_nothing_after_its_end() {
        let now = Instant::now();
        let mut lease = Lease::new(TIME, now);
        let grant = lease.claim(&OriginKey::Request(1), now).unwrap();
        assert!(lease.claim(&OriginKey::Request(2), now).is_err());
        lease.release(&grant, now);
        assert!(lease.claim(&OriginKey::Request(2), now).is_ok());
    }

    #[test]
    fn an_origin_is_there_while_it_posts_and_one_that_is_pulled_from_while_it_brings_bytes() {
        let (now, later) = (Instant::now(), Instant::now() + TIME);
        let mut lease = Lease::new(TIME, now);
        assert_eq!(lease.alone_since(), Some(now));
        let grant = lease.claim(&named("a"), now).unwrap();
        assert_eq!(lease.alone_since(), None, "silent, and there");
        lease.release(&grant, later);
        assert_eq!(lease.alone_since(), Some(later));
        let pulled = lease.claim(&OriginKey::Upstream, later + TIME).unwrap();
        assert_eq!(lease.alone_since(), Some(later), "it is not known who is upstream");
        lease.touch(&pulled, later + TIME);
        lease.release(&pulled, later + 2 * TIME);
        assert_eq!(lease.alone_since(), Some(later + TIME));
    }
}
