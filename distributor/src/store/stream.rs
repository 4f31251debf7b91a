//! One stream: a ring over a disk copy, and what is known of each byte.
//!
//! ```text
//!   accept ──▶ readable (ring, at once) ──▶ pending ──▶ written ──▶ acknowledged
//!                 │                                       │
//!                 └── followers are woken                 └── as durable as configured
//! ```
//!
//! The sets only say what is where; bytes are in the ring or on the disk. A std mutex guards them
//! for a few lines at a time, never over an await.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use freshet_protocol::{
    ByteRange, CatalogueEntry, ETag, Held, RangeSet, Sha256Digest, Stamp, StreamName, way,
};
use tokio::{
    sync::{OnceCell, watch},
    time::Instant,
};
use tracing::trace;

use super::{
    Shared,
    audience::Audience,
    holdings::{Holdings, Look, Pieces, WriteError},
    joins::Joins,
    lease::{Grant, Lease, OriginKey},
    limits::RING_COST_MIN,
    lock,
    manifest::Manifest,
    news::News,
    place::Place,
    pulled::Pulled,
    recovery::Recovered,
    ring::Ring,
    segment::Files,
    timeline::Times,
};
use crate::{config::Durability, received::Received};

/// A stream, live or complete.
#[derive(Debug)]
pub(crate) struct Stream {
    id: u64,
    name: StreamName,
    etag: ETag,
    created: Stamp,
    pub(super) pulled: Pulled,
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    pub(super) news: News,
    /// Is what the disk holds known? Nobody sees the stream before.
    ready: watch::Sender<bool>,
    pub(super) files: Option<Files>,
    pub(super) joins: Joins,
    /// Are its folder and its manifest there?
    pub(super) is_on_disk: AtomicBool,
    pub(super) consumers: AtomicU64,
    pub(super) audience: Audience,
    pub(super) digest: OnceCell<Sha256Digest>,
}

#[derive(Debug)]
struct State {
    bytes: Holdings,
    content_type: Option<String>,
    lease: Lease,
    updated: Option<Stamp>,
    deleted: bool,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, manifest: Manifest, place: Option<Place>) -> Arc<Self> {
        let config = &shared.config;
        let ring_bytes = usize::try_from(config.ring_bytes).unwrap_or(usize::MAX);
        let ring = Ring::new(ring_bytes, Arc::clone(&shared.memory));
        let state = State {
            bytes: Holdings::new(ring, manifest.total, manifest.retained_from),
            content_type: manifest.content_type.clone(),
            lease: Lease::new(config.lease, Instant::now()),
            updated: None,
            deleted: false,
        };
        let durable = config.durability == Durability::Disk;
        let memory = Arc::clone(&shared.memory);
        Arc::new(Self {
            id: manifest.id,
            name: manifest.name.clone(),
            etag: manifest.etag.clone(),
            created: manifest.created,
            pulled: Pulled::new(manifest.pulled),
            files: place.map(|place| Files::new(place, manifest.clone(), durable)),
            shared,
            state: Mutex::new(state),
            news: News::new(),
            joins: Joins::new(memory),
            is_on_disk: AtomicBool::new(false),
            ready: watch::Sender::new(false),
            consumers: AtomicU64::new(0),
            audience: Audience::default(),
            digest: OnceCell::new(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &StreamName {
        &self.name
    }

    /// Its number in the catalogue.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Its incarnation.
    pub(crate) fn etag(&self) -> &ETag {
        &self.etag
    }

    /// Its media type, where an origin told it.
    pub(crate) fn content_type(&self) -> Option<String> {
        lock(&self.state).content_type.clone()
    }

    pub(super) fn learn_content_type(&self, told: Option<String>) {
        let mut state = lock(&self.state);
        state.content_type = state.content_type.take().or(told);
    }

    /// What is acknowledged at the configured durability, and the complete length.
    pub(crate) fn held(&self) -> Held {
        let state = lock(&self.state);
        Held { set: state.bytes.acknowledged.clone(), total: state.bytes.total }
    }

    /// All that can be read now.
    pub(crate) fn readable(&self) -> RangeSet {
        lock(&self.state).bytes.readable.clone()
    }

    /// Look at what can be read, without a copy of the set.
    pub(crate) fn with_readable<T>(&self, look: impl FnOnce(&RangeSet, Option<u64>) -> T) -> T {
        let state = lock(&self.state);
        look(&state.bytes.readable, state.bytes.total)
    }

    /// The live edge: one past the newest byte that can be read.
    pub(crate) fn end(&self) -> u64 {
        lock(&self.state).bytes.readable.end()
    }

    /// The complete length, once it is known.
    pub(crate) fn total(&self) -> Option<u64> {
        lock(&self.state).bytes.total
    }

    /// Is it complete, with no byte missing or let go?
    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.state).bytes.is_whole()
    }

    /// First offset that retention keeps.
    pub(crate) fn retained_from(&self) -> u64 {
        lock(&self.state).bytes.retained_from
    }

    /// The oldest byte of the newest run in memory; the live edge where there is none.
    pub(crate) fn ring_start(&self) -> u64 {
        let mut state = lock(&self.state);
        state.bytes.ring.newest_run_start().unwrap_or_else(|| state.bytes.readable.end())
    }

    /// Was it deleted?
    pub(super) fn is_deleted(&self) -> bool {
        lock(&self.state).deleted
    }

    /// Is an origin posting right now?
    pub(crate) fn is_live(&self) -> bool {
        lock(&self.state).lease.is_posting()
    }

    /// Look at what is in memory.
    pub(super) fn with_ring<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&lock(&self.state).bytes.ring)
    }

    /// Since when no origin has been there; `None` while one is.
    pub(super) fn alone_since(&self) -> Option<Instant> {
        lock(&self.state).lease.alone_since()
    }

    /// Its line in the catalogue.
    pub(super) fn entry(&self) -> CatalogueEntry {
        let state = lock(&self.state);
        let held = Held { set: state.bytes.acknowledged.newest_runs(16), total: state.bytes.total };
        CatalogueEntry {
            id: self.id,
            name: self.name.clone(),
            etag: self.etag.clone(),
            content_type: state.content_type.clone(),
            live: state.lease.is_posting(),
            length: state.bytes.total,
            held: held.to_string(),
            bytes: state.bytes.acknowledged.bytes(),
            received: state.bytes.received,
            consumers: self.consumers.load(Ordering::Relaxed),
            created: self.created,
            updated: state.updated,
        }
    }

    pub(super) fn look(&self, at: u64) -> Look {
        let state = lock(&self.state);
        if state.deleted {
            return Look::Deleted;
        }
        state.bytes.look(at)
    }

    pub(super) fn claim(&self, key: &OriginKey, now: Instant) -> Result<Grant, WriteError> {
        let mut state = lock(&self.state);
        if state.deleted {
            return Err(WriteError::Deleted);
        }
        state.lease.claim(key, now).map_err(|left| WriteError::Leased { left })
    }

    pub(super) fn release(&self, grant: &Grant) {
        lock(&self.state).lease.release(grant, Instant::now());
    }

    /// May `range` be written, by all that can be known before its bytes are here?
    pub(super) fn admit(&self, range: ByteRange, total: Option<u64>) -> Result<(), WriteError> {
        let state = lock(&self.state);
        state.bytes.admit(range, self.gap_bytes_max(), &self.shared.config)?;
        match total {
            Some(total) => state.bytes.admit_total(total.max(range.end()), total),
            None => Ok(()),
        }
    }

    /// What of `range` is held already, and must be equal.
    pub(super) fn overlap(&self, range: ByteRange) -> RangeSet {
        lock(&self.state).bytes.readable.within(range)
    }

    /// Take in what of `received` is missing; the pieces that are to go to the disk.
    pub(super) fn accept(
        &self,
        grant: &Grant,
        at: u64,
        received: &Received,
        captured: Option<Stamp>,
        now: (Instant, Stamp),
    ) -> Result<Pieces, WriteError> {
        let came = received.bytes.len();
        let Some(range) = ByteRange::at(at, came as u64) else { return Ok(Pieces::new()) };
        let pieces = {
            let mut state = lock(&self.state);
            if state.deleted {
                return Err(WriteError::Deleted);
            }
            if !state.lease.touch(grant, now.0) {
                return Err(WriteError::Superseded);
            }
            state.bytes.admit(range, self.gap_bytes_max(), &self.shared.config)?;
            state.updated = Some(now.1);
            let acknowledge = self.shared.config.durability == Durability::Memory;
            let times = Times { captured, received: now.1 };
            state.bytes.take_in(range, received, times, self.files.is_some(), acknowledge)
        };
        if !pieces.is_empty() {
            trace!(target: way::TARGET, step = way::RING, end = range.end());
            self.news.tell();
            self.tidy(came);
        }
        Ok(pieces)
    }

    /// What has time until those at the edge have the newest bytes: let go of the oldest, make room for as many.
    fn tidy(&self, came: usize) {
        let State { bytes, .. } = &mut *lock(&self.state);
        let pressed = |full| if full { RING_COST_MIN } else { usize::MAX };
        while let Some(range) = bytes.ring.evict(pressed(self.shared.memory_is_full())) {
            bytes.evicted(range, self.files.is_some());
        }
        bytes.ring.make_room(came);
    }

    /// The stream ends at `total`. True where that was not known before.
    pub(super) fn end_at(&self, grant: &Grant, total: u64) -> Result<bool, WriteError> {
        {
            let mut state = lock(&self.state);
            if state.deleted {
                return Err(WriteError::Deleted);
            }
            state.bytes.admit_total(total, total)?;
            if state.bytes.total.is_some() {
                return Ok(false);
            }
            if !state.lease.touch(grant, Instant::now()) {
                return Err(WriteError::Superseded);
            }
            state.bytes.total = Some(total);
        }
        self.news.tell();
        Ok(true)
    }

    /// `range` is on the disk, as durable as configured.
    pub(super) fn wrote(&self, range: ByteRange) {
        let mut state = lock(&self.state);
        let wake = state.bytes.wrote(range);
        drop(state);
        // Followers know of what is in the ring; only who waits for the disk must hear of it.
        if wake {
            self.news.tell();
        }
    }

    /// `range` could not be written: it was never taken in. In `memory` durability it stays for as
    /// long as the ring keeps it.
    pub(super) fn not_written(&self, range: ByteRange) {
        let mut state = lock(&self.state);
        let keep = self.shared.config.durability == Durability::Memory;
        state.bytes.not_written(range, keep);
    }

    /// `range` turned out to be damaged on the disk: it is a hole from now on, and the origin will
    /// be asked for it. True the first time.
    pub(super) fn quarantine(&self, range: ByteRange) -> bool {
        let mut state = lock(&self.state);
        if !state.bytes.quarantine(range) {
            return false;
        }
        drop(state);
        self.news.tell();
        true
    }

    /// Let go of everything below `from`; true where that is more than before.
    pub(crate) fn retain_from(&self, from: u64) -> bool {
        let mut state = lock(&self.state);
        if from <= state.bytes.retained_from {
            return false;
        }
        state.bytes.forget_below(from);
        drop(state);
        self.news.tell();
        true
    }

    /// What recovery found; from now on the stream can be used.
    pub(super) fn recovered(&self, found: Recovered) {
        self.is_on_disk.store(true, Ordering::Relaxed);
        {
            let mut state = lock(&self.state);
            state.bytes.recovered(found.held);
            state.updated = found.updated;
        }
        self.ready.send_replace(true);
    }

    /// A new stream: there is nothing to recover.
    pub(super) fn begin(&self) {
        self.ready.send_replace(true);
    }

    /// Wait until recovery is done with it. Cancel safe.
    pub(crate) async fn ready(&self) {
        // The sender lives in self: it cannot be gone.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Nothing was ever taken in, nor a length told?
    pub(super) fn is_untouched(&self) -> bool {
        let state = lock(&self.state);
        state.updated.is_none() && state.bytes.total.is_none()
    }

    /// The stream is gone: its origin is cut off, its followers are told.
    pub(super) fn delete(&self) {
        let mut state = lock(&self.state);
        state.deleted = true;
        state.lease.revoke();
        state.bytes.ring.clear();
        drop(state);
        self.news.tell();
    }
}
