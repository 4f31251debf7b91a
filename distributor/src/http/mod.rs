//! HTTP/1.1: one session for each socket, one handler for each route.
//!
//! ```text
//!   socket ─ Shared ─ Stalling ─ Wire ─ hyper ─▶ answer: hygiene ─▶ token ─▶ route ─┬▶ ingest
//!            counts   deadline   what hyper                                         ├▶ native, range, plain
//!                                hides                                              └▶ index, catalogue, groups, web, metrics
//! ```

mod body;
mod catalogue;
mod delivery;
mod fields;
mod groups;
mod handle;
mod headers;
mod hygiene;
mod index;
mod ingest;
mod intake;
mod native;
mod plain;
mod range;
mod relay;
mod reply;
mod session;
mod status;
mod web;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use freshet_protocol::Stamp;
use http::request::Parts;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{body::Body, web::Feed, wire::Line};
use crate::{
    auth::Guard,
    config::BoundsConfig,
    fanout::Fanout,
    groups::Groups,
    hub::{Hub, Who},
    limits,
    metrics::Metrics,
};

pub(crate) use session::session;

type Response = http::Response<Body>;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Site {
    hub: Hub,
    guard: Guard,
    metrics: Metrics,
    fanout: Arc<Fanout>,
    bounds: BoundsConfig,
    /// Room for chunks that are checked before they are kept, in KiB.
    checked: Arc<Semaphore>,
    /// What the pages are told of the catalogue, and places for those who listen.
    feed: Feed,
    watchers: Arc<Semaphore>,
    /// Groups that watch together, where the door of groups is open.
    groups: Option<Arc<Groups>>,
    shutdown: CancellationToken,
    requests: AtomicU64,
    /// When it began to serve.
    began: Stamp,
}

impl Site {
    /// To be called in the runtime that serves.
    pub(crate) fn new(
        hub: Hub,
        guard: Guard,
        metrics: Metrics,
        bounds: BoundsConfig,
        shutdown: CancellationToken,
    ) -> Self {
        let checked = Arc::new(Semaphore::new(kib(bounds.checked_bytes_max)));
        let (feed, requests) = (Feed::new(Instant::now()), AtomicU64::new(0));
        let watchers = Arc::new(Semaphore::new(limits::WATCHERS_MAX));
        let fanout = Arc::new(Fanout::new(&delivery::boundary(), metrics.clone()));
        let (groups, began) = (None, Stamp::from(SystemTime::now()));
        Self {
            hub,
            guard,
            metrics,
            fanout,
            bounds,
            checked,
            feed,
            watchers,
            groups,
            shutdown,
            requests,
            began,
        }
    }

    /// With these groups.
    pub(crate) fn with_groups(mut self, groups: Option<Arc<Groups>>) -> Self {
        self.groups = groups;
        self
    }

    /// A number that no other request has.
    fn request_number(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed)
    }

    /// What a chunk of `bytes` takes of the room for checked ones: never more than there is.
    fn checked_permits(&self, bytes: u64) -> u32 {
        let permits = kib(bytes).min(kib(self.bounds.checked_bytes_max));
        u32::try_from(permits).unwrap_or(u32::MAX)
    }
}

fn kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// One request, and what belongs to it.
#[derive(Debug)]
struct Asked {
    site: Arc<Site>,
    line: Arc<Line>,
    head: Parts,
}

impl Asked {
    /// Who asks, and in which way he is to be given a stream.
    fn who(&self, way: &'static str) -> Who {
        Who { peer: self.line.peer(), way }
    }

    /// How long it is willing to wait.
    fn wait(&self) -> Option<Duration> {
        fields::wait(&self.head.headers)
    }
}
