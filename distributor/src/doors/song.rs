//! The bytes of one stream in order, as all doors play it: a live one from its newest join point, with the
//! container's header before it, a complete one from its first byte.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use crate::{
    hub::{Follower, Read, ReadError},
    join::Join,
};

/// One session's way through a stream.
#[derive(Debug)]
pub(super) struct Song {
    follower: Follower,
    /// What goes before the stream's bytes, and was not given yet.
    header: Bytes,
    at: u64,
    gap_wait: Duration,
    /// Until when the hole at `at` is waited for.
    hole: Option<Instant>,
    /// Bytes of the next piece that are here.
    piece: BytesMut,
}

/// Why a song breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the bytes from {at} on are missing")]
    Hole { at: u64 },
    #[error("the distributor stops")]
    Stopping,
}

impl Song {
    /// Begin where whoever comes now begins.
    pub(super) fn begin(follower: Follower, gap_wait: Duration) -> Self {
        let stream = follower.stream();
        let Join { header, at } = match stream.total() {
            None => stream.join(),
            Some(_) => Join { header: Bytes::new(), at: stream.first() },
        };
        Self { follower, header, at, gap_wait, hole: None, piece: BytesMut::new() }
    }

    /// Is its end known, so that it may be waited for?
    pub(super) fn has_end(&self) -> bool {
        self.follower.stream().total().is_some()
    }

    /// The next bytes, at most `max`; `None` where the stream has ended. Cancel safe.
    ///
    /// # Errors
    ///
    /// The next byte cannot be had any more.
    pub(super) async fn next(&mut self, max: usize) -> Result<Option<Bytes>, Cut> {
        if !self.header.is_empty() {
            return Ok(Some(self.header.split_to(self.header.len().min(max))));
        }
        loop {
            match self.follower.read(self.at, max).await {
                Ok(Read::Bytes(bytes)) => {
                    self.at += bytes.len() as u64;
                    self.hole = None;
                    return Ok(Some(bytes));
                }
                Ok(Read::End) => return Ok(None),
                // What is damaged has just become a hole.
                Ok(Read::Missing) | Err(ReadError::Damaged { .. }) => self.wait().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next `len` bytes; fewer only where the stream has ended. Cancel safe: what has come is kept.
    ///
    /// # Errors
    ///
    /// A byte of them cannot be had any more.
    pub(super) async fn piece(&mut self, len: usize) -> Result<Bytes, Cut> {
        while self.piece.len() < len {
            let Some(bytes) = self.next(len - self.piece.len()).await? else { break };
            if self.piece.is_empty() && bytes.len() == len {
                return Ok(bytes);
            }
            self.piece.extend_from_slice(&bytes);
        }
        Ok(self.piece.split().freeze())
    }

    /// Wait at the live edge for a byte, or at a hole for it to be filled, for a while.
    async fn wait(&mut self) -> Result<(), Cut> {
        let (at, stream) = (self.at, self.follower.stream());
        if at >= stream.end() && stream.total().is_none() {
            self.hole = None;
            self.follower.changed().await;
            return Ok(());
        }
        stream.want(at);
        let until = *self.hole.get_or_insert_with(|| Instant::now() + self.gap_wait);
        let changed = timeout_at(until, self.follower.changed()).await;
        changed.map_err(|_| Cut::Hole { at })
    }
}
