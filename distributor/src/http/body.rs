//! A reply's body: nothing, a text, or bytes of a stream as they come.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

use super::wire::Exchange;
use crate::hub::ReadError;

/// Why a body stopped before it was whole.
///
/// Given to hyper as the body's error, which closes the connection without the last chunk, or short
/// of the length it announced: the consumer can tell a cut from an end, and knows to come back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the bytes from {at} on are no longer held")]
    Lost { at: u64 },
    #[error("nobody filled the hole at {at} for {} s", waited.as_secs())]
    Hole { at: u64, waited: Duration },
    #[error(
        "the consumer at {at} is slower than the stream, which is at {end}, and asked to be cut"
    )]
    Behind { at: u64, end: u64 },
    #[error("the distributor is stopping")]
    Stopping,
}

/// Frames of a stream, boxed once for each reply.
pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// A reply's body.
pub(crate) struct Body {
    source: Source,
    /// Bytes still to come, where that is known.
    left: Option<u64>,
    /// The request is being served until this body is gone.
    exchange: Option<Exchange>,
}

enum Source {
    Whole(Bytes),
    Frames(Frames),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(super) fn whole(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let left = Some(text.len() as u64);
        Self { source: Source::Whole(text), left, exchange: None }
    }

    /// Exactly `length` bytes.
    pub(super) fn counted(frames: Frames, length: u64) -> Self {
        Self { source: Source::Frames(frames), left: Some(length), exchange: None }
    }

    /// As many bytes as there will be; cut when the distributor stops.
    pub(super) fn open(frames: Frames) -> Self {
        Self { source: Source::Frames(frames), left: None, exchange: None }
    }

    /// Mark the request as served until this body is gone.
    pub(super) fn during(mut self, exchange: Exchange) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// An open-ended body does not outlive the distributor's will. The session's task is woken for
    /// it, so that no body has to wait for two things.
    fn must_stop(&self) -> bool {
        self.left.is_none() && self.exchange.as_ref().is_some_and(Exchange::must_stop)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.must_stop() {
            return Poll::Ready(Some(Err(Cut::Stopping)));
        }
        let bytes = match &mut this.source {
            Source::Whole(text) if text.is_empty() => None,
            Source::Whole(text) => Some(Ok(std::mem::take(text))),
            Source::Frames(frames) => ready!(frames.as_mut().poll_next(cx)),
        };
        if let (Some(Ok(bytes)), Some(left)) = (&bytes, &mut this.left) {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).finish_non_exhaustive()
    }
}
