//! The writing end of a stream: one request of an origin.
//!
//! ```text
//!   write ──▶ compare what is held ──▶ room on the way to the disk ──▶ ring, followers ──▶ disk
//!                                      └ waits: the origin is held back, not our memory
//!   settle ──▶ all of it is as durable as configured
//! ```

use std::{
    future,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use freshet_protocol::{ByteRange, Held, RangeSet, Stamp};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    disk_thread::{Op, Write},
    follower::{Follower, Read, ReadError},
    holdings::{Pieces, WriteError},
    lease::{Grant, OriginKey},
    limits::DISK_READ_BYTES_MAX,
    lock,
    stream::Stream,
};
use crate::received::Received;

/// One request that adds bytes to a stream. Dropping it ends the request's hold on the lease.
#[derive(Debug)]
pub(crate) struct Publisher {
    stream: Arc<Stream>,
    key: OriginKey,
    /// None while another origin holds the lease: then only what is held may be sent, and is
    /// compared.
    grant: Option<Grant>,
    ticket: Arc<Ticket>,
    created: bool,
}

/// What became of the writes of one request; the disk's thread leaves an error here.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    error: Mutex<Option<WriteError>>,
}

impl Ticket {
    pub(super) fn fail(&self, error: WriteError) {
        lock(&self.error).get_or_insert(error);
    }

    fn check(&self) -> Result<(), WriteError> {
        lock(&self.error).clone().map_or(Ok(()), Err)
    }
}

impl Publisher {
    pub(crate) fn new(
        stream: Arc<Stream>,
        key: OriginKey,
        created: bool,
    ) -> Result<Self, WriteError> {
        let grant = match stream.claim(&key, Instant::now()) {
            Ok(grant) => Some(grant),
            Err(WriteError::Leased { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { stream, key, grant, ticket: Arc::default(), created })
    }

    /// The request tells the media type; the first one told is kept. Who only compares tells nothing.
    pub(crate) fn tell(&self, content_type: Option<String>) {
        if self.grant.is_some() {
            self.stream.learn_content_type(content_type);
        }
    }

    /// Is the stream new with this request?
    pub(crate) fn created(&self) -> bool {
        self.created
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Resolves when a newer request of the same origin took over, or the stream was deleted.
    /// Cancel safe.
    pub(crate) async fn superseded(&self) {
        match &self.grant {
            Some(grant) => grant.superseded().cancelled().await,
            None => future::pending().await,
        }
    }

    /// Cancelled when a newer request of the same origin took over, or the stream was deleted; `None` while
    /// another origin may write.
    pub(crate) fn superseding(&self) -> Option<&CancellationToken> {
        self.grant.as_ref().map(Grant::superseded)
    }

    /// May `range` be written, by all that can be known before its bytes are here?
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn admit(&mut self, range: ByteRange, total: Option<u64>) -> Result<(), WriteError> {
        self.stream.admit(range, total)?;
        if self.stream.overlap(range).covers(range) {
            return Ok(());
        }
        self.grant().map(drop)
    }

    /// The lease, taken now if it has become free.
    fn grant(&mut self) -> Result<&Grant, WriteError> {
        if self.grant.is_none() {
            self.grant = Some(self.stream.claim(&self.key, Instant::now())?);
        }
        self.grant.as_ref().ok_or(WriteError::Superseded)
    }

    /// Put what was `received` at `at`: what is held already is compared, the rest is relayed at once and
    /// queued for the disk. Waits for room there.
    ///
    /// Cancel safe: either all of it is taken in, or nothing.
    ///
    /// # Errors
    ///
    /// Nothing of it was taken in; or an earlier write of this request has failed.
    pub(crate) async fn write(
        &mut self,
        at: u64,
        received: impl Into<Received>,
        captured: Option<Stamp>,
    ) -> Result<(), WriteError> {
        let received = received.into();
        let bytes = &received.bytes;
        let Some(range) = ByteRange::at(at, bytes.len() as u64) else { return Ok(()) };
        self.ticket.check()?;
        // Most of what comes is new as a whole.
        let is_new = self.stream.with_readable(|readable, _| readable.end() <= at);
        if !is_new && self.compare(at, bytes).await?.covers(range) {
            return Ok(());
        }
        self.shared().check_space()?;
        self.stream.news.pace().await;
        let way = self.shared().way_to_disk(bytes.len()).await;
        let stream = Arc::clone(&self.stream);
        let now = (Instant::now(), stream.shared.now());
        let pieces = stream.accept(self.grant()?, at, &received, captured, now)?;
        if pieces.is_empty() {
            return Ok(());
        }
        let seen = if stream.joins.is_sought() { pieces.clone() } else { Pieces::new() };
        if let Some((slot, room)) = way {
            let (stream, ticket) = (Arc::clone(&stream), Arc::clone(&self.ticket));
            let received = now.1;
            slot.send(Op::Write(Write { stream, pieces, captured, received, ticket, room }));
            self.shared().hurry();
        }
        stream.scan(&seen);
        Ok(())
    }

    /// Compare what is held of `bytes` at `at`; what that is.
    ///
    /// # Errors
    ///
    /// A byte differs.
    pub(crate) async fn compare(&self, at: u64, bytes: &Bytes) -> Result<RangeSet, WriteError> {
        let Some(range) = ByteRange::at(at, bytes.len() as u64) else {
            return Ok(RangeSet::new());
        };
        let mut equal = RangeSet::new();
        for held in self.stream.overlap(range).iter() {
            let mut follower = Follower::peek(&self.stream);
            let mut next = held.start();
            while next < held.end() {
                let max = usize::try_from(held.end() - next).unwrap_or(usize::MAX);
                let Some(theirs) = read_held(&mut follower, next, max).await? else { break };
                let from = usize::try_from(next - at).unwrap_or(usize::MAX);
                let ours = bytes.get(from..from + theirs.len()).unwrap_or_default();
                if let Some(differs) = ours.iter().zip(&theirs).position(|(a, b)| a != b) {
                    return Err(WriteError::Conflict { at: next + differs as u64 });
                }
                next += theirs.len() as u64;
            }
            ByteRange::new(held.start(), next).into_iter().for_each(|run| equal.insert(run));
        }
        Ok(equal)
    }

    /// The stream is complete at `total`.
    ///
    /// Not cancel safe: the length may be known and not yet on the disk; asking again is safe.
    ///
    /// # Errors
    ///
    /// Another length is known, more bytes are held, or the disk failed.
    pub(crate) async fn complete(&mut self, total: u64) -> Result<(), WriteError> {
        let stream = Arc::clone(&self.stream);
        if stream.total() == Some(total) {
            return Ok(());
        }
        stream.end_at(self.grant()?, total)?;
        let ticket = Arc::clone(&self.ticket);
        self.shared().send(Op::Complete { stream, total, ticket }).await;
        Ok(())
    }

    /// Wait until all that was written is as durable as configured; then what is held. Cancel safe.
    ///
    /// # Errors
    ///
    /// A write of this request failed.
    pub(crate) async fn settle(&mut self) -> Result<Held, WriteError> {
        let (done, settled) = oneshot::channel();
        if self.stream.files.is_some() {
            self.shared().send(Op::Settle(done)).await;
            let lost = |_| WriteError::Disk { reason: "the disk's thread has ended".into() };
            settled.await.map_err(lost)?;
        }
        self.ticket.check()?;
        Ok(self.stream.held())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.stream.shared
    }
}

/// What is held at `at`; `None` where it is gone by now, and so cannot differ.
async fn read_held(
    follower: &mut Follower,
    at: u64,
    max: usize,
) -> Result<Option<Bytes>, WriteError> {
    match follower.read(at, max.min(DISK_READ_BYTES_MAX)).await {
        Ok(Read::Bytes(bytes)) => Ok(Some(bytes)),
        Ok(Read::Missing | Read::End)
        | Err(ReadError::Gone { .. } | ReadError::Damaged { .. } | ReadError::Abandoned { .. }) => {
            Ok(None)
        }
        Err(ReadError::Deleted) => Err(WriteError::Deleted),
        Err(ReadError::Io(error)) => Err(WriteError::Disk { reason: error.to_string() }),
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(grant) = &self.grant {
            self.stream.release(grant);
        }
        if self.created && self.stream.is_untouched() {
            self.shared().forget(&self.stream);
        }
    }
}
