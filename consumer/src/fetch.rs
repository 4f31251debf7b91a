//! What to take, from where, and how: the settings of a [`Follow`](crate::Follow).

use std::time::Duration;

use freshet_protocol::{Backfill, ETag, From, Held};

use crate::{follow::Follow, limits, request::Cut, token::Token, url::StreamUrl};

/// A stream to take, and how to ask for it.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Where it is.
    pub url: StreamUrl,
    /// What lets us read it, where that is needed.
    pub token: Option<Token>,
    /// How long to wait for a stream, or a distributor, that is not there yet.
    pub wait: Duration,
    /// After so long without a word from the distributor, give up; `None` is never.
    pub give_up: Option<Duration>,
    /// How long each step of a request may take.
    pub deadlines: Deadlines,
}

/// How long each step of a request may take; by default as [`limits`] says.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A TCP connection.
    pub connect: Duration,
    /// The head of a reply, on top of what the request asked to wait.
    pub reply_head: Duration,
    /// Silence of a body after which a HEAD asks whether something is missing.
    pub silence: Duration,
    /// What the body gets after the HEAD said so.
    pub silence_grace: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT,
            reply_head: limits::REPLY_HEAD,
            silence: limits::SILENCE,
            silence_grace: limits::SILENCE_GRACE,
        }
    }
}

/// How the bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// One reply that goes on; the newest bytes first, and what was missed as far as `Backfill` says.
    Continuous(Backfill),
    /// One-part replies, each the newest missing run; for networks that buffer replies that go on.
    Poll(Policy),
    /// In order from a place on, without a gap (RFC 8673).
    InOrder(Start),
}

/// Which bytes are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// A complete copy: the newest bytes first, then all that was missed.
    #[default]
    All,
    /// The newest bytes only; what was missed stays a gap.
    Newest,
}

impl Policy {
    /// How far back a continuous reply has to go for it.
    #[must_use]
    pub const fn backfill(self) -> Backfill {
        match self {
            Self::All => Backfill::All,
            Self::Newest => Backfill::None,
        }
    }
}

/// Where bytes in order begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first byte that is kept.
    Beginning,
    /// At the live edge.
    Live,
    /// At this offset.
    Offset(u64),
    /// As a player does: the container's header, then from the join point there, or at or before that
    /// time, on.
    Join(From),
}

/// What an earlier run holds of which incarnation.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The incarnation.
    pub etag: ETag,
    /// The bytes.
    pub held: Held,
}

/// Why a stream cannot be taken, or not on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody posts it, or nobody did in time.
    #[error("there is no such stream")]
    NoStream {
        /// Where it was looked for.
        url: StreamUrl,
    },
    /// The distributor does not let us.
    #[error("the distributor refuses with {status}{}", crate::request::Detail(.detail))]
    Refused {
        /// Its status.
        status: http::StatusCode,
        /// What it says about it.
        detail: String,
    },
    /// The stream that we took is gone, and another one has its name.
    #[error("the stream is another one now: its ETag was {was} and is {now}")]
    Replaced {
        /// The incarnation that we hold bytes of.
        was: ETag,
        /// The one that is there.
        now: ETag,
    },
    /// Whatever answers does not speak this protocol.
    #[error("this is not a distributor's reply: {what}")]
    Foreign {
        /// What is wrong with it.
        what: &'static str,
    },
    /// It contradicts itself.
    #[error(transparent)]
    TotalChanged(#[from] crate::assemble::TotalChanged),
    /// The next byte in order is gone for good.
    #[error("byte {wanted} is gone, the oldest kept is {oldest}")]
    Lost {
        /// The next byte in order.
        wanted: u64,
        /// Where what is kept begins.
        oldest: u64,
    },
    /// It could not be reached for as long as was to be waited.
    #[error("no word from the distributor")]
    Unreachable {
        /// Where it was looked for.
        url: StreamUrl,
        /// What the last attempt met.
        #[source]
        last: Cut,
    },
}

impl Fetch {
    /// Take the stream at `url`, with no token, no wait, and all patience.
    #[must_use]
    pub fn new(url: StreamUrl) -> Self {
        let deadlines = Deadlines::default();
        Self { url, token: None, wait: Duration::ZERO, give_up: None, deadlines }
    }

    /// Find the stream and begin: with `resume`, ask only for what that lacks.
    ///
    /// # Errors
    ///
    /// There is no such stream, it is not ours to read, or it is not the one of `resume`.
    pub async fn open(self, manner: Manner, resume: Option<Resume>) -> Result<Follow, FetchError> {
        Follow::open(self, manner, resume).await
    }
}
