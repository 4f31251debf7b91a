//! The movie of a group, piece by piece, from its first byte. What is missing is left out: each member
//! asks for it over HTTP.

use bytes::Bytes;
use freshet_protocol::limits::DATAGRAM_DATA_BYTES_MAX;

use crate::hub::{Follower, Read, ReadError};

/// A group's way through a stream.
#[derive(Debug)]
pub(super) struct Film {
    follower: Follower,
    at: u64,
    is_over: bool,
}

impl Film {
    pub(super) fn new(follower: Follower) -> Self {
        let at = follower.stream().first();
        Self { follower, at, is_over: false }
    }

    /// The next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Is there nothing more to come?
    pub(super) fn is_over(&self) -> bool {
        self.is_over || self.follower.stream().total().is_some_and(|total| self.at >= total)
    }

    /// The next bytes below `due`, and where they are; `Some(None)` where they are still to come, `None`
    /// at the end. Waits for the disk only.
    pub(super) async fn next(&mut self, due: u64) -> Option<Option<(u64, Bytes)>> {
        let left = usize::try_from(due.saturating_sub(self.at)).unwrap_or(usize::MAX);
        match self.follower.read(self.at, left.min(DATAGRAM_DATA_BYTES_MAX)).await {
            Ok(Read::Bytes(bytes)) => {
                let offset = self.at;
                self.at += bytes.len() as u64;
                Some(Some((offset, bytes)))
            }
            Ok(Read::Missing) | Err(ReadError::Damaged { .. }) => {
                self.skip();
                Some(None)
            }
            Ok(Read::End) => {
                self.is_over = true;
                None
            }
            Err(_) => {
                self.is_over = true;
                None
            }
        }
    }

    /// Go on behind a hole, if this is one and not the edge of what is here.
    fn skip(&mut self) {
        let (at, stream) = (self.at, self.follower.stream());
        stream.want(at);
        if let Some(next) = stream.with_readable(|readable, _| {
            readable.iter().map(|range| range.start()).find(|start| *start > at)
        }) {
            self.at = next;
        }
    }
}
