//! The reading end of a stream: a cursor of somebody's own over what all share.
//!
//! From the ring without a copy and without waiting; what has left the ring comes from the disk,
//! verified. No task and no queue a reader: one that is slow costs what it holds in its hand.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use freshet_protocol::{ByteRange, Stamp};
use tokio::{sync::watch, task::spawn_blocking, time::Instant};

use super::{
    audience::{Standing, Who},
    disk_thread::Op,
    holdings::Look,
    limits::{DISK_READ_BYTES_MAX, GATHER_PIECES_MAX},
    news::Edge,
    place::{DiskReadError, DiskReader, Place},
    ring::Ring,
    stream::Stream,
    timeline::Times,
};
use crate::{outlet::Piece, rope::Rope};

/// Reads one stream. Counts as a consumer until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    stream: Arc<Stream>,
    /// A version counter and not a `Notify`: what changed between our look and our wait is seen.
    changed: watch::Receiver<()>,
    disk: DiskReader,
    /// A consumer is known by this; who only looks on is none.
    standing: Option<(usize, Arc<Standing>)>,
    begun: Instant,
    /// It had all there was, once.
    caught_up: bool,
    /// One past the newest byte that it read.
    edge: u64,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes, at least one.
    Bytes(Bytes),
    /// A hole or the live edge: wait for [`Follower::changed`].
    Missing,
    /// The stream is complete, and this is its end.
    End,
}

/// What a look ahead has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Bytes that are in memory, the first of them since `received`; when that was captured, if it was told.
    Bytes { received: Stamp, captured: Option<Stamp> },
    /// The live edge: the next byte has not come yet.
    Edge,
    /// Something else: the end, a hole, bytes on the disk, or nothing any more.
    Elsewhere,
}

/// Why a reader cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReadError {
    #[error("byte {wanted} is gone, the oldest that is kept is {oldest}")]
    Gone { wanted: u64, oldest: u64 },
    #[error("the stream was deleted")]
    Deleted,
    #[error("no origin has posted for {} s", linger.as_secs_f32())]
    Abandoned { linger: Duration },
    #[error("the bytes from {at} on are damaged on the disk")]
    Damaged { at: u64 },
    #[error("the disk copy cannot be read")]
    Io(#[source] io::Error),
}

impl Follower {
    pub(crate) fn new(stream: &Arc<Stream>, who: Who) -> Self {
        stream.consumers.fetch_add(1, Ordering::Relaxed);
        let mut follower = Self::peek(stream);
        follower.standing = Some(stream.audience.enter(who, stream.shared.now()));
        follower
    }

    /// A follower that does not count as a consumer.
    pub(crate) fn peek(stream: &Arc<Stream>) -> Self {
        let changed = stream.news.subscribe();
        Self {
            stream: Arc::clone(stream),
            changed,
            disk: DiskReader::default(),
            standing: None,
            begun: Instant::now(),
            caught_up: false,
            edge: 0,
        }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Where this consumer stands, for whoever gives it bytes in its place.
    pub(crate) fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.as_ref().map(|(_, standing)| Arc::clone(standing))
    }

    fn advance(&self, end: u64) {
        if let Some((_, standing)) = &self.standing {
            standing.advance(end);
        }
    }

    /// Mark all that has happened as seen, before a look at the stream: what happens after it ends
    /// the wait for [`Self::changed`].
    ///
    /// # Errors
    ///
    /// The stream was deleted.
    pub(crate) fn mark(&mut self) -> Result<(), ReadError> {
        self.changed.borrow_and_update();
        if self.stream.is_deleted() { Err(ReadError::Deleted) } else { Ok(()) }
    }

    /// When the chunk with the byte at `at` was captured, where that is known. Waits for the disk only.
    /// Cancel safe.
    pub(crate) async fn origin_time(&mut self, at: u64) -> Option<Stamp> {
        match self.stream.look(at) {
            Look::Ring(..) => self.stream.with_ring(|ring| ring.piece(at))?.1.captured,
            Look::Disk => {
                // What cannot be read is told when the bytes are.
                self.with_disk(move |disk, place| disk.origin_time(place, at)).await.ok()??
            }
            Look::Missing | Look::End | Look::Gone(_) | Look::Deleted => None,
        }
    }

    /// Bytes from `at` on, at most `max`, as they are now. Waits for the disk only. Cancel safe.
    ///
    /// # Errors
    ///
    /// The byte at `at` will never be had from here, or not now.
    pub(crate) async fn read(&mut self, at: u64, max: usize) -> Result<Read, ReadError> {
        self.changed.borrow_and_update();
        match self.stream.look(at) {
            Look::Ring(mut bytes, times) => {
                bytes.truncate(max);
                let end = at + bytes.len() as u64;
                self.count_age(end, times.received);
                self.advance(end);
                Ok(Read::Bytes(bytes))
            }
            Look::Disk => {
                let read = self.read_disk(at, max.min(DISK_READ_BYTES_MAX)).await?;
                if let Read::Bytes(bytes) = &read {
                    self.advance(at + bytes.len() as u64);
                }
                Ok(read)
            }
            Look::Missing => self.check_origin().map(|()| Read::Missing),
            Look::End => Ok(Read::End),
            Look::Gone(oldest) => Err(ReadError::Gone { wanted: at, oldest }),
            Look::Deleted => Err(ReadError::Deleted),
        }
    }

    /// Is there an origin that may bring what is waited for, or was there one lately? Call it before
    /// [`Self::changed`]; a read that finds nothing has.
    ///
    /// # Errors
    ///
    /// Nobody has posted for as long as consumers linger, and for as long as this one is here.
    pub(crate) fn check_origin(&self) -> Result<(), ReadError> {
        let linger = self.stream.shared.config.linger;
        let alone = self.stream.alone_since().map(|left| left.max(self.begun).elapsed());
        match alone {
            Some(alone) if alone >= linger => Err(ReadError::Abandoned { linger }),
            _ => Ok(()),
        }
    }

    /// Newer bytes than before are about to be sent: how long have they been here? Who has not caught
    /// up yet is late by its own choice, and not counted.
    fn count_age(&mut self, end: u64, received: Stamp) {
        if self.caught_up && self.edge < end {
            self.edge = end;
            self.stream.shared.ingest_to_send.note(self.stream.shared.now().since(received));
        }
    }

    /// Wait until anything changed since the last [`Self::read`]. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        self.caught_up = true;
        self.disk.rest();
        // The sender lives in our stream: it cannot be gone.
        let _ = self.changed.changed().await;
    }

    /// Where in a file the bytes are that were just read from `at` on, if they came from the disk.
    pub(crate) fn stored(&self, at: u64, read: &Bytes) -> Option<Piece> {
        self.disk.stored(at, read)
    }

    /// Nobody needs what was just read: see [`DiskReader::lend`].
    pub(crate) fn lend(&mut self) {
        self.disk.lend();
    }

    async fn read_disk(&mut self, at: u64, max: usize) -> Result<Read, ReadError> {
        let cached = self.stream.files.as_ref();
        let cached = cached.and_then(|files| self.disk.read_cached(&files.place, at, max));
        if let Some(read) = cached {
            return read.map(Read::Bytes).map_err(|error| self.failed(at, error));
        }
        match self.with_disk(move |disk, place| disk.read(place, at, max)).await? {
            None => Ok(Read::Missing),
            Some(Ok(bytes)) => Ok(Read::Bytes(bytes)),
            Some(Err(error)) => Err(self.failed(at, error)),
        }
    }

    /// What `work` comes to, on a thread that may wait for the disk; `None` where there is none.
    async fn with_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut DiskReader, &Place) -> T + Send + 'static,
    ) -> Result<Option<T>, ReadError> {
        let Some(place) = self.stream.files.as_ref().map(|files| Arc::clone(&files.place)) else {
            return Ok(None);
        };
        let mut disk = std::mem::take(&mut self.disk);
        let done = spawn_blocking(move || {
            let done = work(&mut disk, &place);
            (disk, done)
        });
        let (disk, done) = done.await.map_err(|error| ReadError::Io(io::Error::other(error)))?;
        self.disk = disk;
        Ok(Some(done))
    }

    fn failed(&self, at: u64, error: DiskReadError) -> ReadError {
        let oldest = self.stream.retained_from();
        if at < oldest {
            // Retention came between our look and our read.
            return ReadError::Gone { wanted: at, oldest };
        }
        match error {
            DiskReadError::Damaged(range) | DiskReadError::NotThere(range) => {
                set_aside(&self.stream, range);
                ReadError::Damaged { at }
            }
            DiskReadError::Io(error) => {
                self.stream.shared.counters.disk_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(stream = %self.stream.name(), at, %error, "disk copy unreadable");
                ReadError::Io(error)
            }
        }
    }
}

impl Stream {
    /// Has no origin been there for as long as consumers linger?
    pub(crate) fn is_abandoned(&self) -> bool {
        self.alone_since().is_some_and(|left| left.elapsed() >= self.shared.config.linger)
    }

    /// Is `at` where the stream ends for now, and goes on as soon as its origin does?
    pub(crate) fn is_edge(&self, at: u64) -> bool {
        let is_edge = self.with_readable(|readable, total| total.is_none() && readable.end() <= at);
        is_edge && !self.is_deleted() && !self.is_abandoned()
    }

    /// Put what is in memory from `at` on, at most `max` bytes of it, into `into`, which is empty. Waits for
    /// nothing.
    pub(crate) fn ahead(&self, at: u64, max: usize, into: &mut Rope) -> Ahead {
        let found = self.with_ring(|ring| gather(ring, at, max, into));
        if found.is_none() && self.is_edge(at) {
            return Ahead::Edge;
        }
        // It may have come between the two looks.
        let found = found.or_else(|| self.with_ring(|ring| gather(ring, at, max, into)));
        found.map_or(Ahead::Elsewhere, |it| Ahead::Bytes {
            received: it.received,
            captured: it.captured,
        })
    }

    /// Who sits at the live edge from now on, and is served before anybody is woken.
    pub(crate) fn serve_edge_by(&self, edge: Option<Arc<dyn Edge>>) {
        self.news.serve_edge_by(edge);
    }

    /// Bytes that came at `received` were handed to the sockets of so many consumers.
    pub(crate) fn count_ages(&self, received: Stamp, consumers: u64) {
        let age = self.shared.now().since(received);
        (0..consumers).for_each(|_| self.shared.ingest_to_send.note(age));
    }
}

/// Put what `ring` has from `at` on, at most `max` bytes of it, into `into`; since when the first of it is there,
/// if there is any.
fn gather(ring: &Ring, at: u64, max: usize, into: &mut Rope) -> Option<Times> {
    let mut first = None;
    while let Some(left) = max.checked_sub(into.len()).filter(|left| *left > 0)
        && into.iter().len() < GATHER_PIECES_MAX
        && let Some((mut bytes, times)) = ring.look(at + into.len() as u64)
    {
        bytes.truncate(left);
        into.push(bytes);
        first.get_or_insert(times);
    }
    first
}

/// What is damaged is a hole from now on; its origin will be asked for it.
fn set_aside(stream: &Arc<Stream>, range: ByteRange) {
    if !stream.quarantine(range) {
        return;
    }
    let shared = &stream.shared;
    shared.counters.quarantined_bytes.fetch_add(range.len(), Ordering::Relaxed);
    tracing::warn!(stream = %stream.name(), %range, "damaged on the disk, set aside as a hole");
    // A full queue only means that the journal is mended by the next recovery instead.
    let _ = shared.queue.try_send(Op::SetAside { stream: Arc::clone(stream), range });
}

/// SHA-256 of the first `total` bytes on the disk or in the ring; `None` if they cannot all be read.
pub(super) fn read_blocking(
    stream: &Stream,
    place: Option<&Place>,
    total: u64,
    mut take: impl FnMut(&[u8]),
) -> Option<()> {
    let (mut at, mut disk) = (0, DiskReader::default());
    while at < total {
        let bytes = match stream.look(at) {
            Look::Ring(bytes, _) => bytes,
            Look::Disk => disk.read(place?, at, DISK_READ_BYTES_MAX).ok()?,
            Look::Missing | Look::End | Look::Gone(_) | Look::Deleted => return None,
        };
        take(&bytes);
        at += bytes.len() as u64;
    }
    Some(())
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some((key, _)) = self.standing {
            self.stream.audience.leave(key);
            self.stream.consumers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
