//! What all streams of a store share: settings, the way to the disk, memory, and what has happened.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::Thread,
    time::SystemTime,
};

use freshet_protocol::{Stamp, StreamName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{disk_thread::Op, holdings::WriteError, limits, lock, stream::Stream};
use crate::{config::StoreConfig, metrics::Ages};

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(super) queue: mpsc::Sender<Op>,
    /// The disk's thread, which may be gathering.
    pub(super) disk_thread: Thread,
    /// Room on the way to the disk, in bytes.
    pub(super) room: Arc<Semaphore>,
    /// What all rings cost, in bytes.
    pub(super) memory: Arc<AtomicUsize>,
    /// The disk has less free space than is to be kept.
    pub(super) is_full: AtomicBool,
    pub(super) streams: Mutex<BTreeMap<StreamName, Arc<Stream>>>,
    /// Ticks when a stream comes or goes.
    pub(super) created: watch::Sender<()>,
    pub(crate) counters: Arc<Counters>,
    /// How long bytes were here when they were sent to whom they were new.
    pub(crate) ingest_to_send: Ages,
}

/// What has happened so far; read by `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes found damaged on the disk, and set aside as holes.
    pub(crate) quarantined_bytes: AtomicU64,
    /// Reads and writes that the disk failed.
    pub(crate) disk_errors: AtomicU64,
    /// Times that a sync failed and a stream was reopened.
    pub(crate) poisoned: AtomicU64,
    /// Bytes that retention let go.
    pub(crate) retained_away_bytes: AtomicU64,
}

impl Shared {
    /// The time that bytes are stamped with.
    pub(super) fn now(&self) -> Stamp {
        SystemTime::now().into()
    }

    pub(super) fn memory_is_full(&self) -> bool {
        self.memory.load(Relaxed) as u64 > self.config.memory_bytes
    }

    /// What all rings cost now, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.load(Relaxed)
    }

    pub(super) fn check_space(&self) -> Result<(), WriteError> {
        if self.is_full.load(Relaxed) { Err(WriteError::Full) } else { Ok(()) }
    }

    /// A place in the queue, and room for `bytes` on the way to the disk. `None` without a disk.
    /// Cancel safe.
    pub(super) async fn way_to_disk(
        &self,
        bytes: usize,
    ) -> Option<(mpsc::OwnedPermit<Op>, OwnedSemaphorePermit)> {
        self.config.data.as_ref()?;
        let bytes = u32::try_from(bytes.min(limits::DISK_QUEUE_BYTES_MAX)).unwrap_or(u32::MAX);
        if let Some(way) = self.free_way_to_disk(bytes) {
            return Some(way);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()?;
        let slot = self.queue.clone().reserve_owned().await.ok()?;
        Some((slot, room))
    }

    /// The same where nobody has to wait for it, which is shorter.
    fn free_way_to_disk(
        &self,
        bytes: u32,
    ) -> Option<(mpsc::OwnedPermit<Op>, OwnedSemaphorePermit)> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok()?;
        let slot = self.queue.clone().try_reserve_owned().ok()?;
        Some((slot, room))
    }

    pub(super) async fn send(&self, op: Op) {
        // The disk's thread outlives all senders; if it has died, whoever waits hears of it.
        let _ = self.queue.send(op).await;
        self.disk_thread.unpark();
    }

    /// Bytes were given to the disk's thread: they may gather, if they are few.
    pub(super) fn hurry(&self) {
        let used = limits::DISK_QUEUE_BYTES_MAX.saturating_sub(self.room.available_permits());
        let is_crowded = self.queue.capacity() < limits::DISK_QUEUE_WRITES_MAX / 2;
        if used >= limits::DISK_GATHER_BYTES_MAX || is_crowded {
            self.disk_thread.unpark();
        }
    }

    /// A stream that never got a byte is no stream.
    pub(super) fn forget(&self, stream: &Arc<Stream>) {
        let mut streams = lock(&self.streams);
        if streams.get(stream.name()).is_some_and(|known| Arc::ptr_eq(known, stream)) {
            streams.remove(stream.name());
        }
    }
}
