//! A body that is relayed as it comes: each frame is on its way to consumers before the next one is waited for.
//!
//! ```text
//!   hyper ──frame──▶ put            until all that hyper has read is out, and a body of chunks goes on
//!   socket ──bytes──▶ put           from then on, in a task of its own, past hyper
//! ```
//!
//! The task is for what comes slowly. Between two chunks of a live stream everything has left the processor's
//! caches, so that what is on the way of a chunk counts by how much of it there is, not by how often it is
//! done: the session, hyper's dispatcher and the request's own way down to here are not on it any more.

use std::{future, panic, sync::Arc, time::SystemTime};

use bytes::Bytes;
use freshet_protocol::Stamp;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{
    Site,
    ingest::{Chunk, refuse_shortage, refuse_surplus},
    intake::{Direct, Intake},
    reply::Refusal,
};
use crate::{
    hub::{Publisher, WriteError},
    limits,
    received::Received,
};

/// One body on its way into a stream.
#[derive(Debug)]
pub(super) struct Relay {
    site: Arc<Site>,
    publisher: Publisher,
    chunk: Chunk,
    /// Where its first byte belongs.
    at: u64,
    got: u64,
    first_came: Option<Instant>,
}

impl Relay {
    pub(super) fn new(site: &Arc<Site>, publisher: Publisher, chunk: Chunk, at: u64) -> Self {
        Self { site: Arc::clone(site), publisher, chunk, at, got: 0, first_came: None }
    }

    /// Relay each frame as it comes; where the last one ended.
    pub(super) async fn run(mut self, intake: &mut Intake) -> (Publisher, Result<u64, Refusal>) {
        let ended = loop {
            match self.frame(intake).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
            let Some(direct) = self.publisher.superseding().and_then(|it| intake.direct(it)) else {
                continue;
            };
            let (relay, direct, ended) = alone(self.run_direct(direct)).await;
            self = relay;
            intake.resume(direct);
            if ended.is_err() {
                break ended;
            }
        };
        let (chunk, got, end) = (self.chunk, self.got, self.at + self.got);
        (self.publisher, ended.and_then(|()| refuse_shortage(&chunk, got)).map(|()| end))
    }

    /// Relay what hyper hands out next; false at the end.
    async fn frame(&mut self, intake: &mut Intake) -> Result<bool, Refusal> {
        let Some(bytes) = next(&self.publisher, intake).await? else { return Ok(false) };
        let begun = Instant::now();
        self.put(bytes.into(), begun).await?;
        intake.waited(begun);
        Ok(true)
    }

    /// Relay what comes past hyper, to the body's end.
    async fn run_direct(mut self, mut direct: Direct) -> (Self, Direct, Result<(), Refusal>) {
        let ended = loop {
            let received = match direct.next().await {
                Ok(Some(received)) => received,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let begun = Instant::now();
            if let Err(refusal) = self.put(received, begun).await {
                break Err(refusal);
            }
            direct.waited(begun);
        };
        (self, direct, ended)
    }

    async fn put(&mut self, received: Received, now: Instant) -> Result<(), Refusal> {
        refuse_surplus(&self.chunk, self.got + received.bytes.len() as u64)?;
        let later = now - *self.first_came.get_or_insert(now);
        let captured = self.chunk.captured_later(later);
        if let Some(captured) = captured.filter(|_| self.got == 0) {
            self.site.metrics.came_in(Stamp::from(SystemTime::now()).since(captured));
        }
        self.got += put(&mut self.publisher, self.at + self.got, &received, captured).await?;
        Ok(())
    }
}

/// Do it in a task of its own, which ends with this.
async fn alone<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut task = JoinSet::new();
    task.spawn(work);
    match task.join_next().await.map(|done| done.map_err(JoinError::try_into_panic)) {
        Some(Ok(done)) => done,
        // As if it were ours.
        Some(Err(Ok(panic))) => panic::resume_unwind(panic),
        // The runtime ends, and we with it.
        Some(Err(Err(_))) | None => future::pending().await,
    }
}

/// The next bytes, unless a newer request of the same origin took over meanwhile. Cancel safe.
pub(super) async fn next(
    publisher: &Publisher,
    intake: &mut Intake,
) -> Result<Option<Bytes>, Refusal> {
    tokio::select! {
        biased;
        () = publisher.superseded() => Err(WriteError::Superseded.into()),
        bytes = intake.next() => Ok(bytes?),
    }
}

/// Write what was `received` in frames of a bounded size; how many bytes there were.
pub(super) async fn put(
    publisher: &mut Publisher,
    at: u64,
    received: &Received,
    captured: Option<Stamp>,
) -> Result<u64, WriteError> {
    let mut written = 0;
    while let Some(left) = received.bytes.len().checked_sub(written).filter(|left| *left > 0)
        && let Some(frame) = received.slice(written, left.min(limits::FRAME_BYTES_MAX))
    {
        let length = frame.bytes.len();
        publisher.write(at + written as u64, frame, captured).await?;
        written += length;
    }
    Ok(written as u64)
}
