//! All streams: who they are, where their bytes are, and what outlives the process.
//!
//! ```text
//!   DATA/lock                 one process at a time
//!   DATA/next-id              numbers are never used again
//!   DATA/streams/7/           one folder a stream, by its number: no name becomes a path
//!        stream.json          its name, incarnation, length (and a second copy of that)
//!        00000000000000000000.seg, .jnl   ...
//! ```
//!
//! The store knows no HTTP. What it gives is a [`Publisher`] to write with and a [`Follower`] to
//! read with.

mod audience;
mod disk;
mod disk_thread;
mod folder;
mod follower;
mod holdings;
mod joins;
mod journal;
mod lease;
mod limits;
mod manifest;
mod news;
mod place;
mod publisher;
mod pulled;
mod recovery;
mod retention;
mod ring;
mod segment;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;
mod writeback;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use freshet_protocol::{Catalogue, ETag, Sha256Digest, StreamName};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::spawn_blocking,
};

use self::{
    disk::{Disk, RealDisk},
    disk_thread::{Desk, Op},
    folder::DataFolder,
    manifest::Manifest,
};
use crate::{config::StoreConfig, metrics::Ages};

pub use self::folder::OpenError;
pub(crate) use self::{
    audience::{Standing, Stood, Who},
    follower::{Ahead, Follower, Read, ReadError},
    holdings::WriteError,
    joins::{Landing, Skip},
    lease::OriginKey,
    news::Edge,
    publisher::Publisher,
    shared::Shared,
    stream::Stream,
    timeline::{OutOfTime, Timeline},
};

/// The streams of one distributor.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    disk: Option<DataFolder>,
    identity: Mutex<Identity>,
}

#[derive(Debug)]
struct Identity {
    next_id: u64,
    random: StdRng,
}

/// Why there is no publisher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CreateError {
    #[error("there are {max} streams already")]
    TooMany { max: usize },
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Lock for a few lines of synchronous code; never held over an await. A panic elsewhere does not
/// make the state unusable: every change below is complete before anything can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Open the store of `config`. Streams that are on the disk are recovered meanwhile: each can be
    /// used as soon as it is ready.
    ///
    /// # Errors
    ///
    /// The data directory cannot be used.
    pub(crate) fn open(config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_on(config, Arc::new(RealDisk))
    }

    fn open_on(config: StoreConfig, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let on_disk = match &config.data {
            Some(data) => Some(DataFolder::open(disk, data)?),
            None if config.durability != crate::config::Durability::Memory => {
                return Err(OpenError::NoData);
            }
            None => None,
        };
        if config.segment_bytes < limits::SEGMENT_BYTES_MIN {
            return Err(OpenError::SegmentBytes { given: config.segment_bytes });
        }
        let found = on_disk.as_ref().map_or_else(|| Ok(Vec::new()), DataFolder::manifests)?;
        let known = found.iter().map(|manifest| manifest.id + 1).max().unwrap_or(1);
        let next_id = on_disk.as_ref().map_or(1, DataFolder::next_id).max(known);
        // The number is in the seed, so that a later life with the same seed draws other tokens.
        let random = config.seed.map_or_else(
            || StdRng::from_rng(&mut rand::rng()),
            |seed| StdRng::seed_from_u64(seed ^ next_id.rotate_left(32)),
        );
        let (queue, ops) = mpsc::channel(limits::DISK_QUEUE_WRITES_MAX);
        let counters: Arc<shared::Counters> = Arc::default();
        let desk = Desk { durability: config.durability, counters: Arc::clone(&counters) };
        // Not joined: it ends with its last sender, and a test that wants to know asks to settle.
        let disk_thread = thread::Builder::new()
            .name("disk".into())
            .spawn(move || disk_thread::run(&desk, ops))
            .map_err(|source| OpenError::Io { path: "disk thread".into(), source })?;
        let shared = Arc::new(Shared {
            config,
            queue,
            disk_thread: disk_thread.thread().clone(),
            room: Arc::new(Semaphore::new(limits::DISK_QUEUE_BYTES_MAX)),
            memory: Arc::default(),
            is_full: AtomicBool::new(false),
            streams: Mutex::default(),
            created: watch::Sender::new(()),
            counters,
            ingest_to_send: Ages::default(),
        });
        let identity = Mutex::new(Identity { next_id, random });
        let store = Self { shared, disk: on_disk, identity };
        store.recover(found);
        Ok(store)
    }

    /// What all streams share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The stream of that name, once it is ready. Cancel safe.
    pub(crate) async fn find(&self, name: &StreamName) -> Option<Arc<Stream>> {
        let stream = lock(&self.shared.streams).get(name).map(Arc::clone)?;
        stream.ready().await;
        Some(stream)
    }

    /// The stream of that number, once it is ready. Cancel safe.
    pub(crate) async fn numbered(&self, id: u64) -> Option<Arc<Stream>> {
        let stream = {
            let streams = lock(&self.shared.streams);
            streams.values().find(|stream| stream.id() == id).map(Arc::clone)?
        };
        stream.ready().await;
        Some(stream)
    }

    /// The stream of that name, made if it is missing; whether it was. One that is pulled has the
    /// incarnation of where it comes from.
    ///
    /// # Errors
    ///
    /// There are too many, or its number cannot be kept.
    pub(crate) fn create(
        &self,
        name: &StreamName,
        content_type: Option<String>,
        pulled: Option<ETag>,
    ) -> Result<(Arc<Stream>, bool), CreateError> {
        // Held throughout: two that create at once get one stream.
        let mut identity = lock(&self.identity);
        {
            let streams = lock(&self.shared.streams);
            if let Some(stream) = streams.get(name) {
                return Ok((Arc::clone(stream), false));
            }
            let max = self.shared.config.streams_max;
            if streams.len() >= max {
                return Err(CreateError::TooMany { max });
            }
        }
        let mut manifest = self.manifest(&mut identity, name, content_type)?;
        if let Some(etag) = pulled {
            (manifest.etag, manifest.pulled) = (etag, true);
        }
        let stream = self.stream(manifest);
        stream.begin();
        lock(&self.shared.streams).insert(name.clone(), Arc::clone(&stream));
        self.shared.created.send_replace(());
        Ok((stream, true))
    }

    fn manifest(
        &self,
        identity: &mut Identity,
        name: &StreamName,
        content_type: Option<String>,
    ) -> io::Result<Manifest> {
        let id = identity.next_id;
        if let Some(disk) = &self.disk {
            disk.keep_next_id(id + 1)?;
        }
        identity.next_id = id + 1;
        let (tag, salt): (u64, u64) = (identity.random.random(), identity.random.random());
        let etag = ETag::new(&format!("{tag:016x}")).map_err(io::Error::other)?;
        let (segment_bytes, now) = (self.shared.config.segment_bytes, self.shared.now());
        let mut manifest = Manifest::new(id, name.clone(), etag, salt, segment_bytes, now);
        manifest.content_type = content_type;
        Ok(manifest)
    }

    fn stream(&self, manifest: Manifest) -> Arc<Stream> {
        let place = self.disk.as_ref().map(|disk| disk.place(&manifest));
        Stream::new(Arc::clone(&self.shared), manifest, place)
    }

    /// Remove the stream: its name is free at once, its files soon after this returns.
    ///
    /// # Errors
    ///
    /// The files cannot be removed; the name is free all the same until the next start.
    pub(crate) async fn delete(&self, name: &StreamName) -> io::Result<bool> {
        let Some(stream) = lock(&self.shared.streams).remove(name) else { return Ok(false) };
        stream.ready().await;
        stream.delete();
        let (done, deleted) = oneshot::channel();
        self.shared.send(Op::Delete { stream, done }).await;
        deleted.await.map_err(io::Error::other)??;
        Ok(true)
    }

    /// All streams, by number.
    pub(crate) fn catalogue(&self) -> Catalogue {
        let mut streams: Vec<_> =
            lock(&self.shared.streams).values().map(|stream| stream.entry()).collect();
        streams.sort_by_key(|entry| entry.id);
        Catalogue { streams }
    }

    /// All streams, by number.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let mut streams: Vec<_> = lock(&self.shared.streams).values().map(Arc::clone).collect();
        streams.sort_by_key(|stream| stream.id());
        streams
    }

    /// Bytes that the disk has free; `None` without one, or where that is not known.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let disk = self.disk.as_ref()?;
        disk.disk.free_bytes(&disk.data).ok()
    }

    /// Ticks when a stream comes or goes.
    pub(crate) fn created(&self) -> watch::Receiver<()> {
        self.shared.created.subscribe()
    }

    /// Recover what was found, on a few threads; a stream is ready when its own recovery is done.
    fn recover(&self, found: Vec<Manifest>) {
        let streams: Vec<_> = found
            .into_iter()
            .map(|manifest| (manifest.retained_from, self.stream(manifest)))
            .collect();
        let mut known = lock(&self.shared.streams);
        known.extend(streams.iter().map(|(_, stream)| (stream.name().clone(), Arc::clone(stream))));
        drop(known);
        let queue = Arc::new(Mutex::new(streams.into_iter()));
        for _ in 0..limits::RECOVERY_THREADS {
            let queue = Arc::clone(&queue);
            // They end by themselves; each stream waits for nothing but its own.
            thread::spawn(move || {
                let next = || lock(&queue).next();
                while let Some((retained_from, stream)) = next() {
                    recover_stream(&stream, retained_from);
                }
            });
        }
    }

    /// Wait until all that was taken in is as durable as configured.
    pub(crate) async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        self.shared.send(Op::Settle(done)).await;
        // An error: the thread has ended, and logged why.
        let _ = settled.await;
    }
}

/// The thread ends when the last sender is gone: the streams hold the store, and the map holds
/// them, so that knot is cut here.
impl Drop for Store {
    fn drop(&mut self) {
        lock(&self.shared.streams).clear();
    }
}

fn recover_stream(stream: &Arc<Stream>, retained_from: u64) {
    let Some(files) = &stream.files else { return };
    match recovery::recover(&files.place, retained_from) {
        Ok(found) => {
            tracing::info!(stream = %stream.name(), held = %found.held.newest_runs(4), "recovered");
            if !found.damaged.is_empty() || found.damaged_records > 0 {
                let bytes = found.damaged.bytes();
                stream.shared.counters.quarantined_bytes.fetch_add(bytes, Relaxed);
                tracing::warn!(
                    stream = %stream.name(), damaged = %found.damaged,
                    damaged_records = found.damaged_records, "damage set aside as holes"
                );
            }
            stream.recover_joins(&files.place, &found.held);
            stream.recovered(found);
        }
        Err(error) => {
            stream.shared.counters.disk_errors.fetch_add(1, Relaxed);
            tracing::error!(stream = %stream.name(), %error, "cannot be recovered: served as empty");
            stream.recovered(recovery::Recovered::default());
        }
    }
}

/// SHA-256 of the whole stream; `None` while it is not whole. Computed once.
pub(crate) async fn digest(stream: &Arc<Stream>) -> Option<Sha256Digest> {
    if !stream.is_whole() {
        return None;
    }
    let compute = || async {
        let stream = Arc::clone(stream);
        spawn_blocking(move || {
            let (total, mut hash) = (stream.total().ok_or(())?, Sha256::new());
            let place = stream.files.as_ref().map(|files| Arc::clone(&files.place));
            follower::read_blocking(&stream, place.as_deref(), total, |bytes| hash.update(bytes))
                .ok_or(())?;
            Ok(Sha256Digest(hash.finalize().into()))
        })
        .await
        .unwrap_or(Err(()))
    };
    stream.digest.get_or_try_init(compute).await.ok().copied()
}
