//! A request's body as it comes in: counted, not slower than it may be, and never left half-read
//! without a thought for the sender.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use freshet_protocol::Sha256Digest;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::reply::Refusal;
use crate::{
    config::BoundsConfig,
    deadline::Deadline,
    hub::WriteError,
    inlet::{Inlet, Straight},
    limits,
    received::Received,
};

/// Why a body is not taken, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeError {
    #[error("a body of {announced} bytes is announced for a range of {range}")]
    Length { announced: u64, range: u64 },
    #[error("the body ended after {got} of {expected} bytes")]
    Short { got: u64, expected: u64 },
    #[error("the body goes on after the {expected} bytes that it should have")]
    Long { expected: u64 },
    #[error("a complete length alone has no body")]
    Unwanted,
    #[error("the body's digest is {found}, Content-Digest says {given}")]
    Digest { given: Sha256Digest, found: Sha256Digest },
    #[error("the body was cut after {got} bytes: {why}")]
    Broken { got: u64, why: String },
    #[error("a chunk of {bytes} bytes is too large, at most {max} are taken at once")]
    TooLarge { bytes: u64, max: u64 },
    #[error("the body brought less than {rate} bytes a second for {} s", grace.as_secs())]
    Slow { rate: u64, grace: Duration },
    #[error("too many chunks are being checked at the moment")]
    NoRoom,
    #[error("the distributor is stopping")]
    Stopping,
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Intake {
    body: Incoming,
    inlet: Arc<Inlet>,
    floor: Floor,
    stop: CancellationToken,
    got: u64,
    /// The peer waits to be asked for the body, and has not been.
    unasked: bool,
    /// It was read to its end: of a body of chunks hyper does not say so afterwards.
    ended: bool,
    /// It broke off: there is nothing more to come.
    broken: bool,
}

impl Intake {
    pub(super) fn new(
        body: Incoming,
        inlet: Arc<Inlet>,
        asks_first: bool,
        bounds: &BoundsConfig,
        stop: CancellationToken,
    ) -> Self {
        let floor = Floor::new(bounds.body_rate_min, bounds.body_grace);
        Self { body, inlet, floor, stop, got: 0, unasked: asks_first, ended: false, broken: false }
    }

    /// How many bytes it will have, where it says so.
    pub(super) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next bytes; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, IntakeError> {
        self.unasked = false;
        loop {
            let frame = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(IntakeError::Stopping),
                frame = self.body.frame() => frame,
                () = self.floor.passed() => return Err(self.floor.error()),
            };
            match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(frame)) => {
                    // Trailers say nothing that we ask for.
                    let Some(bytes) = frame.into_data().ok().filter(|it| !it.is_empty()) else {
                        continue;
                    };
                    self.got += bytes.len() as u64;
                    self.floor.credit(bytes.len() as u64);
                    return Ok(Some(bytes));
                }
                Some(Err(error)) => {
                    self.broken = true;
                    return Err(IntakeError::Broken { got: self.got, why: error.to_string() });
                }
            }
        }
    }

    /// Read on past hyper, until `superseded`, if it is a body of chunks, all that hyper has read of it is handed
    /// out, and a chunk begins with what comes next.
    pub(super) fn direct(&mut self, superseded: &CancellationToken) -> Option<Direct> {
        if self.announced().is_some() {
            return None;
        }
        let straight = self.inlet.take(self.got)?;
        let (stop, superseded) = (self.stop.clone(), superseded.clone());
        let events = FuturesUnordered::from_iter([
            Box::pin(stop.cancelled_owned().map(|()| Event::Stopping))
                as Pin<Box<dyn Future<Output = Event> + Send>>,
            Box::pin(superseded.cancelled_owned().map(|()| Event::Superseded)),
        ]);
        let Floor { rate, grace, due } = &self.floor;
        let floor = Floor { rate: *rate, grace: *grace, due: Deadline::new(due.at()) };
        Some(Direct { straight, floor, events, got: self.got, is_flowing: true, broken: false })
    }

    /// Go on where `direct` has ended.
    pub(super) fn resume(&mut self, direct: Direct) {
        let Direct { floor, got, broken, .. } = direct;
        (self.floor, self.got, self.broken) = (floor, got, broken);
    }

    /// We made the peer wait since `since`: that time is not held against it.
    pub(super) fn waited(&mut self, since: Instant) {
        self.floor.forgive(since.elapsed());
    }

    /// Is there nothing left that the peer might be sending?
    pub(super) fn is_done(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    /// Did the connection end in the middle of it?
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The request is answered, or about to be: read and drop what is left, if that is little, so
    /// that the connection can be used again. False where something may still come.
    pub(super) async fn leave(&mut self) -> bool {
        let little = self.announced().is_some_and(|left| left <= limits::DRAIN_BYTES_MAX);
        if self.is_done() || self.broken {
            return self.is_done();
        }
        if self.unasked || !little {
            return false;
        }
        let rest = async { while let Some(Ok(_)) = self.body.frame().await {} };
        timeout(limits::DRAIN_TIME_MAX, rest).await.is_ok() && self.is_done()
    }
}

/// Why a body is given up before its end.
#[derive(Clone, Copy, Debug)]
enum Event {
    Stopping,
    Superseded,
}

/// What is left of a body of chunks, read past hyper.
pub(super) struct Direct {
    straight: Straight,
    floor: Floor,
    /// Polled when one of them is woken, and not at each byte.
    events: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    /// Bytes of the whole body so far.
    got: u64,
    /// The last look for bytes found some.
    is_flowing: bool,
    broken: bool,
}

impl Direct {
    /// The next bytes; `None` where hyper is to go on. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Received>, Refusal> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Refusal>> {
        if mem::take(&mut self.is_flowing) {
            // Where there are always bytes, nothing else would have its turn.
            self.look_up(cx)?;
        }
        let Poll::Ready(came) = self.straight.poll_next(cx) else {
            self.look_up(cx)?;
            return self.floor.poll_passed(cx).map(|()| Err(self.floor.error().into()));
        };
        let received = came.map_err(|error| {
            self.broken = true;
            IntakeError::Broken { got: self.got, why: error.to_string() }
        })?;
        let came = received.as_ref().map_or(0, |received| received.bytes.len() as u64);
        self.is_flowing = true;
        self.got += came;
        self.floor.credit(came);
        Poll::Ready(Ok(received))
    }

    /// Has something happened that ends it?
    fn look_up(&mut self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        match self.events.poll_next_unpin(cx) {
            Poll::Ready(Some(Event::Stopping)) => Err(IntakeError::Stopping.into()),
            Poll::Ready(Some(Event::Superseded)) => Err(WriteError::Superseded.into()),
            Poll::Ready(None) | Poll::Pending => Ok(()),
        }
    }

    /// We made the peer wait since `since`: that time is not held against it.
    pub(super) fn waited(&mut self, since: Instant) {
        self.floor.forgive(since.elapsed());
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("got", &self.got).finish_non_exhaustive()
    }
}

/// The rate below which a body is given up: each byte buys time, never more than the grace.
#[derive(Debug)]
struct Floor {
    rate: u64,
    grace: Duration,
    due: Deadline,
}

impl Floor {
    fn new(rate: u64, grace: Duration) -> Self {
        Self { rate, grace, due: Deadline::new(Instant::now() + grace) }
    }

    fn credit(&mut self, bytes: u64) {
        let nanos = bytes.saturating_mul(1_000_000_000).checked_div(self.rate);
        self.forgive(Duration::from_nanos(nanos.unwrap_or(0)));
    }

    fn forgive(&mut self, time: Duration) {
        self.due.put((self.due.at() + time).min(Instant::now() + self.grace));
    }

    /// Resolves when the body is too slow. Cancel safe.
    async fn passed(&mut self) {
        poll_fn(|cx| self.poll_passed(cx)).await;
    }

    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rate == 0 { Poll::Pending } else { self.due.poll_passed(cx) }
    }

    /// What is said of a body that is too slow.
    fn error(&self) -> IntakeError {
        let Self { rate, grace, .. } = *self;
        IntakeError::Slow { rate, grace }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn silence_is_given_up_after_the_grace_whatever_came_before() {
        let mut floor = Floor::new(500, GRACE);
        floor.credit(1 << 40);
        let begun = Instant::now();
        floor.passed().await;
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_above_the_rate_goes_on_and_one_below_it_does_not() {
        for (rate, holds) in [(501, true), (450, false)] {
            let mut floor = Floor::new(500, GRACE);
            let mut too_slow = false;
            for _ in 0..300 {
                tokio::select! {
                    () = floor.passed() => { too_slow = true; break }
                    () = sleep(Duration::from_secs(1)) => floor.credit(rate),
                }
            }
            assert_eq!(too_slow, !holds, "{rate} bytes a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_we_made_it_wait_is_forgiven() {
        let mut floor = Floor::new(500, GRACE);
        sleep(GRACE * 3).await;
        floor.forgive(GRACE * 3);
        let begun = Instant::now();
        floor.passed().await;
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    }
}
