//! The stream that a pull feeds: an ordinary one, with an ordinary publisher.

use std::{future, sync::Arc, time::SystemTime};

use freshet_protocol::{ByteRange, Stamp, StreamName};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::task::spawn_blocking;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::request::{Arrival, Cut, Piece};
use crate::{
    metrics::Metrics,
    store::{OriginKey, Publisher, Store, Stream, WriteError},
};

/// Why the feeding of a stream has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Cut(#[from] Cut),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the stream is complete upstream, and not here")]
    Unfinished,
    #[error("a stream of that name was published here meanwhile")]
    Local,
    #[error("there is no room here: {0}")]
    Room(String),
}

/// The stream that is fed. It counts as posted to for as long as this lives.
#[derive(Debug)]
pub(super) struct Feed {
    publisher: Publisher,
    /// One past the bytes that came last of the older ones.
    pub(super) older: u64,
}

impl Feed {
    /// Feed `stream` with what `arrival` brings.
    pub(super) fn new(
        stream: Arc<Stream>,
        created: bool,
        arrival: &Arrival,
    ) -> Result<Self, WriteError> {
        // What upstream has let go will not come. What is here of it, up to there, stays.
        if let Some(last) = arrival.retained_from.checked_sub(1) {
            let run = stream.with_readable(|readable, _| readable.run_at(last));
            stream.retain_from(run.map_or(arrival.retained_from, ByteRange::start));
        }
        let publisher = Publisher::new(stream, OriginKey::Upstream, created)?;
        Ok(Self { publisher, older: 0 })
    }

    /// Make the stream here, with the incarnation that it has there, and feed it.
    pub(super) async fn create(
        store: &Arc<Store>,
        name: &StreamName,
        content_type: Option<String>,
        arrival: &Arrival,
    ) -> Result<Self, Stop> {
        let (store, name, etag) = (Arc::clone(store), name.clone(), arrival.etag.clone());
        // A new number is written to the disk.
        let create = spawn_blocking(move || store.create(&name, content_type, Some(etag)));
        let room = |error: &dyn std::error::Error| Stop::Room(error.to_string());
        let created = create.await.map_err(|error| room(&error))?;
        let (stream, created) = created.map_err(|error| room(&error))?;
        if !stream.is_pulled() || *stream.etag() != arrival.etag {
            return Err(Stop::Local);
        }
        Ok(Self::new(stream, created, arrival)?)
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        self.publisher.stream()
    }

    /// Is enough of what `arrival` brings here for those who wait: its newest bytes, and the header
    /// that goes before them, where it can still come?
    pub(super) fn is_under_way(&self, arrival: &Arrival, came: bool) -> bool {
        let (stream, held) = (self.stream(), &arrival.held.set);
        let is_newest = came || held.end() <= stream.end();
        is_newest
            && (stream.can_be_joined()
                || stream.retained_from() > 0
                || stream.with_readable(|readable, _| held.difference(readable).is_empty()))
    }

    /// Take in what came, and count it: how old it was as well, but what was missed meanwhile says nothing of
    /// that.
    pub(super) async fn take(&mut self, piece: Piece, metrics: &Metrics) -> Result<(), WriteError> {
        self.learn_total(piece.total).await?;
        let (at, edge, length) = (piece.at, self.stream().end(), piece.bytes.len() as u64);
        let age = piece.captured.map(|captured| Stamp::from(SystemTime::now()).since(captured));
        if at < edge {
            self.older = at + length;
        }
        let taken = self.publisher.write(at, piece.bytes, piece.captured).await;
        metrics.pulled.inc_by(length);
        if let Some(age) = age.filter(|_| at >= edge) {
            metrics.came_in(age);
        }
        taken
    }

    /// The stream is complete at `total`, where upstream knows that.
    pub(super) async fn learn_total(&mut self, total: Option<u64>) -> Result<(), WriteError> {
        match total {
            Some(total) => self.publisher.complete(total).await,
            None => Ok(()),
        }
    }

    /// Upstream has no more: it is complete at `total`. True where it is so here as well.
    pub(super) async fn finish(&mut self, total: u64) -> Result<bool, WriteError> {
        self.learn_total(Some(total)).await?;
        self.publisher.settle().await?;
        let stream = self.stream();
        // One that keeps only the newest bytes was never sent the older ones.
        if !stream.keeps_everything() {
            let newest = stream.with_readable(|readable, _| readable.run_at(total.max(1) - 1));
            if let Some(run) = newest {
                stream.retain_from(run.start());
            }
        }
        Ok(stream.is_done())
    }
}

/// Tells when the stream that is fed was deleted. It looks when that happens, and not at each piece.
#[derive(Debug, Default)]
pub(super) struct Deletion(FuturesUnordered<WaitForCancellationFutureOwned>);

impl Deletion {
    /// Resolves when the stream of `feed` was deleted, if there is one. Cancel safe.
    pub(super) async fn of(&mut self, feed: Option<&Feed>) {
        let Self(deleted) = self;
        if let (true, Some(feed)) = (deleted.is_empty(), feed) {
            let token = feed.publisher.superseding().cloned();
            deleted.extend(token.map(CancellationToken::cancelled_owned));
        }
        if deleted.next().await.is_none() {
            future::pending().await
        }
    }
}
