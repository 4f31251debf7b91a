//! The only door to the store: publish, follow, catalogue. HTTP, and whatever is spoken beside it,
//! come through here.
//!
//! ```text
//!   http ──▶ hub ──┬───────────────▶ store
//!                  └──▶ upstream ──▶
//! ```

use std::{io, sync::Arc, time::Duration};

use freshet_protocol::{Catalogue, ETagList, Sha256Digest, StreamName};
use tokio::{
    task::spawn_blocking,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{StoreConfig, UpstreamConfig},
    limits::{TEND_EVERY, TEND_EVERY_MIN},
    metrics::Metrics,
    store::{self, CreateError, Shared, Store},
    upstream::Upstreams,
};

pub use crate::store::OpenError;
pub(crate) use crate::store::{
    Ahead, Edge, Follower, Landing, OriginKey, OutOfTime, Publisher, Read, ReadError, Skip,
    Standing, Stood, Stream, Timeline, Who, WriteError,
};
pub(crate) use crate::upstream::{Asker, Hops, Unavailable};

/// The streams of this distributor. A handle: clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    store: Arc<Store>,
    upstreams: Option<Upstreams>,
}

/// What a request says of itself before it may publish.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Who writes.
    pub(crate) origin: OriginKey,
    /// The media type, if the request tells it.
    pub(crate) content_type: Option<String>,
    /// `If-Match`.
    pub(crate) if_match: Option<ETagList>,
    /// `If-None-Match`.
    pub(crate) if_none_match: Option<ETagList>,
}

/// Why a request may not publish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PublishError {
    #[error("If-Match or If-None-Match is not fulfilled")]
    Precondition,
    #[error("there are {max} streams already; delete one, or allow more with --streams-max")]
    TooManyStreams { max: usize },
    #[error("the stream is pulled from another distributor: publish it where it comes from")]
    Pulled,
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the data directory cannot be written")]
    Store(#[source] io::Error),
}

impl Hub {
    /// Open the streams of `config`; see [`Store::open`].
    ///
    /// # Errors
    ///
    /// The data directory cannot be used.
    pub(crate) fn open(config: StoreConfig) -> Result<Self, OpenError> {
        Ok(Self { store: Arc::new(Store::open(config)?), upstreams: None })
    }

    /// The same, with upstreams to pull from; `token` is what reading there needs.
    pub(crate) fn with_upstreams(
        self,
        config: UpstreamConfig,
        token: Option<&str>,
        metrics: &Metrics,
    ) -> Self {
        let upstreams = Upstreams::new(config, token, Arc::clone(&self.store), metrics.clone());
        Self { upstreams, ..self }
    }

    /// The stream of that name, if it is here, once it is recovered. Cancel safe.
    pub(crate) async fn find(&self, name: &StreamName) -> Option<Arc<Stream>> {
        self.store.find(name).await
    }

    /// The stream of that number in the catalogue, once it is recovered. One that comes from upstream
    /// is asked for there, as by a request without a word about waiting. Cancel safe.
    pub(crate) async fn numbered(&self, id: u64) -> Option<Arc<Stream>> {
        let stream = self.store.numbered(id).await?;
        let Some(upstreams) = self.upstreams.as_ref().filter(|_| stream.is_pulled()) else {
            return Some(stream);
        };
        // While nobody upstream can be asked, what is here is served.
        let obtained = upstreams.obtain(stream.name(), &Asker::default()).await.unwrap_or(stream);
        Some(obtained).filter(|stream| stream.id() == id)
    }

    /// The stream of that name, here or upstream, as soon as there is one within the time that
    /// `asker` waits. Cancel safe.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) async fn obtain(
        &self,
        name: &StreamName,
        asker: &Asker,
    ) -> Result<Arc<Stream>, Unavailable> {
        if let Some(upstreams) = &self.upstreams {
            return upstreams.obtain(name, asker).await;
        }
        // One that is being recovered is here, however long that takes.
        if let Some(stream) = self.find(name).await {
            return Ok(stream);
        }
        self.wait_for(name, asker.wait).await.ok_or(Unavailable::Missing)
    }

    /// The way of the stream's bytes to here, for another distributor that takes them.
    pub(crate) fn via(&self, name: &StreamName) -> Option<Hops> {
        self.upstreams.as_ref().map(|upstreams| upstreams.via(name))
    }

    async fn wait_for(&self, name: &StreamName, wait: Duration) -> Option<Arc<Stream>> {
        let found = async {
            let mut created = self.store.created();
            loop {
                created.borrow_and_update();
                if let Some(stream) = self.find(name).await {
                    return Some(stream);
                }
                // The sender lives in the store: it cannot be gone.
                created.changed().await.ok()?;
            }
        };
        timeout(wait, found).await.ok().flatten()
    }

    /// Publish to the stream of that name, which is made if it is missing.
    ///
    /// A stream that another origin holds the lease of can still be published to with bytes that
    /// are held: they are compared.
    ///
    /// # Errors
    ///
    /// A condition is not fulfilled, or there is no room.
    pub(crate) async fn publish(
        &self,
        name: &StreamName,
        claim: Claim,
    ) -> Result<Publisher, PublishError> {
        let found = self.find(name).await;
        let etag = found.as_deref().map(Stream::etag);
        let matches = |list: &ETagList| etag.is_some_and(|etag| list.matches_strong(etag));
        if claim.if_match.as_ref().is_some_and(|list| !matches(list))
            || claim.if_none_match.as_ref().is_some_and(matches)
        {
            return Err(PublishError::Precondition);
        }
        let store = Arc::clone(&self.store);
        let (name, content_type) = (name.clone(), claim.content_type.clone());
        let (stream, created) = match found {
            Some(stream) => (stream, false),
            // A new number is written to the disk.
            None => spawn_blocking(move || store.create(&name, content_type, None))
                .await
                .map_err(|error| PublishError::Store(io::Error::other(error)))??,
        };
        if stream.is_pulled() {
            return Err(PublishError::Pulled);
        }
        stream.ready().await;
        let publisher = Publisher::new(stream, claim.origin, created)?;
        publisher.tell(claim.content_type);
        Ok(publisher)
    }

    /// Follow a stream; counts as a consumer until dropped.
    pub(crate) fn follow(&self, stream: &Arc<Stream>, who: Who) -> Follower {
        Follower::new(stream, who)
    }

    /// All streams that are at hand, for whoever looks after them.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.store.streams()
    }

    /// Bytes that the disk has free; `None` without one, or where that is not known.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.store.free_bytes()
    }

    /// Which of the stream's bytes came when.
    pub(crate) fn timeline(&self, stream: &Arc<Stream>) -> Timeline {
        Timeline::new(stream)
    }

    /// SHA-256 of the whole stream; `None` while it is not complete or has holes.
    pub(crate) async fn digest(&self, stream: &Arc<Stream>) -> Option<Sha256Digest> {
        store::digest(stream).await
    }

    /// Remove a stream; false where there is none. Its name is free at once.
    ///
    /// # Errors
    ///
    /// Its files could not be removed.
    pub(crate) async fn delete(&self, name: &StreamName) -> io::Result<bool> {
        self.store.delete(name).await
    }

    /// All streams, by number.
    pub(crate) fn catalogue(&self) -> Catalogue {
        self.store.catalogue()
    }

    /// Counters and settings of the store.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.store.shared()
    }

    /// Keep the store in order until `shutdown`: retention and free space, every few seconds.
    pub(crate) async fn tend(&self, shutdown: CancellationToken) {
        // Whoever lingers is looked after in time as well.
        let linger = self.shared().config.linger.max(TEND_EVERY_MIN);
        let mut ticks = interval(TEND_EVERY.min(linger));
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let store = Arc::clone(&self.store);
            if let Err(error) = spawn_blocking(move || store.tend()).await {
                tracing::error!(%error, "tending the store failed");
            }
        }
    }

    /// End all pulls once `shutdown` says so; returns when none is left.
    pub(crate) async fn pull(&self, shutdown: CancellationToken) {
        if let Some(upstreams) = &self.upstreams {
            upstreams.tend(shutdown).await;
        }
    }

    /// Wait until all that was taken in is on the disk. Call it when no request is left.
    pub(crate) async fn settle(&self) {
        self.store.settle().await;
    }
}

impl From<CreateError> for PublishError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::TooMany { max } => Self::TooManyStreams { max },
            CreateError::Disk(error) => Self::Store(error),
        }
    }
}
