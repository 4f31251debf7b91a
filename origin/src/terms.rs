//! What goes into a push and what comes out: options, figures while it runs, and how it ended.

use std::time::Duration;

use freshet_protocol::ETag;
use http::StatusCode;

use crate::{
    limits::CHUNK_BYTES_DEFAULT,
    push::LinkError,
    resume::{Late, MismatchError},
    source::SourceError,
};

/// How a stream is posted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Largest chunk; cut to what the distributor takes.
    pub chunk: u64,
    /// What goes first when the uplink is slower than the source.
    pub late: Late,
    /// Bearer token.
    pub token: Option<String>,
    /// Names this origin across its connections and restarts; without it the source's own.
    pub origin_id: Option<String>,
    /// Media type of the stream.
    pub content_type: String,
    /// Give up after so long without any progress; without it, never.
    pub give_up: Option<Duration>,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: CHUNK_BYTES_DEFAULT,
            late: Late::All,
            token: None,
            origin_id: None,
            content_type: "application/octet-stream".into(),
            give_up: None,
            seed: rand::random(),
        }
    }
}

/// What a push is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Asking what is held.
    #[default]
    Asking,
    /// Posting.
    Posting,
    /// Everything is delivered; waiting for the source.
    Waiting,
    /// It failed, and is tried again.
    Retrying {
        /// Why.
        why: String,
    },
    /// The stream is complete there.
    Done,
}

/// How far a push is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the stream that the distributor has acknowledged, those of earlier runs included.
    pub acknowledged: u64,
    /// One past the newest byte that the source has given.
    pub available: u64,
    /// The complete length, once it is known.
    pub total: Option<u64>,
    /// Bytes posted and acknowledged by this run.
    pub posted: u64,
    /// Handshakes made.
    pub handshakes: u64,
    /// What it is doing.
    pub state: State,
}

impl Stats {
    /// Bytes given by the source and not acknowledged yet.
    #[must_use]
    pub const fn behind(&self) -> u64 {
        self.available.saturating_sub(self.acknowledged)
    }
}

/// How a push ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The stream's complete length.
    pub total: u64,
    /// Bytes posted by this run; fewer where some were there already.
    pub posted: u64,
    /// The incarnation.
    pub etag: Option<ETag>,
}

/// Why a push ended before its stream did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// It was told to stop.
    #[error("interrupted, {acknowledged} bytes are acknowledged")]
    Interrupted {
        /// Bytes acknowledged.
        acknowledged: u64,
    },
    /// Too long without progress.
    #[error("given up after {} s without progress: {last}", after.as_secs())]
    GaveUp {
        /// How long.
        after: Duration,
        /// The last failure.
        last: String,
    },
    /// The distributor refuses, and trying again will not help.
    #[error("the distributor refuses ({status}): {detail}")]
    Refused {
        /// The status of its reply.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// Other bytes are there.
    #[error("the stream has other bytes already: {detail}")]
    Conflict {
        /// What the distributor said.
        detail: String,
    },
    /// What is there does not fit what is here.
    #[error(transparent)]
    Mismatch(#[from] MismatchError),
    /// Something else answers there.
    #[error("the reply makes no sense: {detail}")]
    Strange {
        /// What is wrong with it.
        detail: String,
    },
    /// The source fails.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The link cannot be set up.
    #[error(transparent)]
    Link(#[from] LinkError),
}
