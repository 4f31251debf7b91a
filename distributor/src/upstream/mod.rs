//! Streams that are not here: pulled from other distributors for as long as somebody follows them.
//!
//! ```text
//!   GET, HEAD ──▶ hub ──▶ obtain ──▶ here, and published here or complete ──▶ serve
//!                           │
//!                           ▼  one Pull a stream, whatever the number of those who ask
//!                    pull: choose ──▶ request ──▶ Publisher ──▶ ring, disk ──▶ followers
//!                            ▲           │ Content-Range: what is held here
//!                            └── cut ◀───┘ If-Match, Via
//! ```
//!
//! A pulled stream has the incarnation, the type and the times of where it comes from; its offsets are
//! the same everywhere. So whatever was cut goes on exactly, from any upstream of the same ETag, and a
//! pull keeps no state but the stream itself.

mod choose;
mod feed;
mod header;
mod hops;
mod pull;
mod request;
mod silence;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use freshet_protocol::StreamName;
use http::HeaderValue;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{hops::NodeName, pull::Puller};
use crate::{
    config::UpstreamConfig,
    limits,
    metrics::Metrics,
    store::{Store, Stream},
};

pub(crate) use self::hops::Hops;

/// The way to other distributors. A handle: clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams(Arc<Node>);

/// What all pulls share.
#[derive(Debug)]
struct Node {
    config: UpstreamConfig,
    authorization: Option<HeaderValue>,
    name: NodeName,
    store: Arc<Store>,
    metrics: Metrics,
    pulls: Mutex<BTreeMap<StreamName, Arc<Pull>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One stream that is asked for upstream. It is in the map for as long as its task runs, and so is
/// what the task found out last, that there is no such stream included.
#[derive(Debug)]
struct Pull {
    supply: watch::Sender<Supply>,
    demand: watch::Sender<Demand>,
    /// The way of the request that it began with.
    hops: Hops,
}

/// What upstream has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Supply {
    /// Nobody has answered yet.
    Asking,
    /// It comes, through these nodes, and the live edge is here.
    Flowing(Hops),
    /// Nobody has such a stream.
    Missing,
    /// Nobody has it, and at least one could not tell.
    Away,
    /// The pull has ended.
    Over,
}

/// Who wants it.
#[derive(Clone, Copy, Debug)]
struct Demand {
    /// When somebody asked last, or was seen to follow.
    asked: Instant,
    /// How many wait for an answer.
    waiting: usize,
    /// How many of these said that they would wait for the stream to begin.
    patient: usize,
}

/// What a request for a stream says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The distributors that it has come through.
    pub(crate) hops: Hops,
    /// Is it another distributor's own?
    pub(crate) is_node: bool,
    /// How long it waits for the stream to begin.
    pub(crate) wait: Duration,
}

/// Why there is no stream to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unavailable {
    #[error("there is no such stream")]
    Missing,
    #[error(
        "the request has come through this distributor already, which does not have the stream"
    )]
    Loop,
    #[error("the stream is not here, and upstream cannot be asked")]
    Away,
    #[error("{max} streams are being pulled already")]
    TooMany { max: usize },
}

/// Lock for a few lines of synchronous code; never held over an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstreams {
    /// The upstreams of `config`; `None` where it names none. `token` is what reading there needs.
    pub(crate) fn new(
        config: UpstreamConfig,
        token: Option<&str>,
        store: Arc<Store>,
        metrics: Metrics,
    ) -> Option<Self> {
        if config.upstream.is_empty() {
            return None;
        }
        let authorization = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Some(Self(Arc::new(Node {
            config,
            authorization,
            name: NodeName::draw(),
            store,
            metrics,
            pulls: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// End all pulls once `shutdown` says so; returns when none is left.
    pub(crate) async fn tend(&self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The way that bytes of the stream take to here and from here on, for those who ask whether it
    /// is their own.
    pub(crate) fn via(&self, name: &StreamName) -> Hops {
        let pull = lock(&self.0.pulls).get(name).map(Arc::clone);
        let supply = pull.map(|pull| pull.supply.borrow().clone());
        match supply {
            Some(Supply::Flowing(hops)) => hops.and(&self.0.name),
            _ => Hops::default().and(&self.0.name),
        }
    }

    /// The stream of that name: what is here if it was published here or is complete, else what is
    /// here once upstream was asked. Cancel safe.
    ///
    /// # Errors
    ///
    /// There is none, here or upstream, within the time that `asker` waits.
    pub(crate) async fn obtain(
        &self,
        name: &StreamName,
        asker: &Asker,
    ) -> Result<Arc<Stream>, Unavailable> {
        let (begun, mut created) = (Instant::now(), self.0.store.created());
        loop {
            created.borrow_and_update();
            let found = self.0.store.find(name).await;
            if let Some(stream) = found.as_ref().filter(|it| !it.is_pulled() || it.is_done()) {
                return Ok(Arc::clone(stream));
            }
            if asker.hops.contains(&self.0.name) || asker.hops.are_too_many() {
                return Err(Unavailable::Loop);
            }
            let pull = match self.join(name, asker) {
                Ok(pull) => pull,
                Err(error) => return found.ok_or(error),
            };
            let mut supply = pull.supply.subscribe();
            let now = supply.borrow_and_update().clone();
            let until = begun + asker.patience(&now);
            match (&now, &found) {
                (Supply::Flowing(hops), _) if hops.meet(&asker.hops) => {
                    return Err(Unavailable::Loop);
                }
                (Supply::Flowing(_) | Supply::Missing | Supply::Away, Some(stream)) => {
                    return Ok(Arc::clone(stream));
                }
                (Supply::Missing, None) if until <= Instant::now() => {
                    return Err(Unavailable::Missing);
                }
                (_, _) if until <= Instant::now() => return found.ok_or(Unavailable::Away),
                (Supply::Over, _) => continue,
                _ => {}
            }
            let _waiting = Waiting::new(&pull, !asker.wait.is_zero());
            let changed = async {
                tokio::select! {
                    // The senders live in the pull and in the store: they cannot be gone.
                    _ = supply.changed() => {}
                    _ = created.changed() => {}
                }
            };
            // Whether it was in time shows the next look.
            let _ = timeout_at(until, changed).await;
        }
    }

    /// The pull of that stream, begun if there is none.
    fn join(&self, name: &StreamName, asker: &Asker) -> Result<Arc<Pull>, Unavailable> {
        let node = &self.0;
        let mut pulls = lock(&node.pulls);
        let max = node.store.shared().config.streams_max;
        let room = pulls.len() < max;
        match pulls.entry(name.clone()) {
            Entry::Occupied(known) => {
                known.get().touch();
                Ok(Arc::clone(known.get()))
            }
            Entry::Vacant(_) if !room || node.stop.is_cancelled() => {
                Err(Unavailable::TooMany { max })
            }
            Entry::Vacant(place) => {
                let pull = Arc::new(Pull::new(asker.hops.clone()));
                place.insert(Arc::clone(&pull));
                let puller = Puller::new(Arc::clone(node), name.clone(), Arc::clone(&pull));
                node.tasks.spawn(puller.run());
                Ok(pull)
            }
        }
    }
}

impl Node {
    /// How long a pull of a stream that is here goes on without viewers.
    fn linger(&self) -> Duration {
        self.config.upstream_linger.max(limits::LINGER_MIN)
    }

    /// Take the pull out of the map unless somebody wants it after all. `here`: is the stream here?
    fn retire(&self, name: &StreamName, pull: &Pull, here: bool) -> bool {
        let mut pulls = lock(&self.pulls);
        let demand = *pull.demand.borrow();
        let is_wanted = demand.waiting > 0 || (here && demand.asked.elapsed() < self.linger());
        if !is_wanted {
            pulls.remove(name);
        }
        !is_wanted
    }

    /// Take the pull out of the map, whoever wants it.
    fn remove(&self, name: &StreamName, pull: &Arc<Pull>) {
        let mut pulls = lock(&self.pulls);
        if pulls.get(name).is_some_and(|known| Arc::ptr_eq(known, pull)) {
            pulls.remove(name);
        }
    }
}

impl Pull {
    fn new(hops: Hops) -> Self {
        let demand = Demand { asked: Instant::now(), waiting: 0, patient: 0 };
        let (supply, demand) = (watch::Sender::new(Supply::Asking), watch::Sender::new(demand));
        Self { supply, demand, hops }
    }

    /// Somebody wants it now.
    fn touch(&self) {
        self.demand.send_if_modified(|demand| {
            demand.asked = Instant::now();
            false
        });
    }

    fn say(&self, supply: Supply) {
        self.supply.send_if_modified(|now| {
            let differs = *now != supply;
            *now = supply;
            differs
        });
    }
}

impl Supply {
    /// Was everybody asked at least once?
    fn is_decided(&self) -> bool {
        matches!(self, Self::Missing | Self::Away)
    }
}

impl Asker {
    /// How long it waits while the supply is like this.
    fn patience(&self, supply: &Supply) -> Duration {
        let first =
            if self.is_node { limits::SUPPLY_WAIT_OF_NODE } else { limits::SUPPLY_WAIT_MAX };
        if supply.is_decided() { self.wait } else { self.wait.max(first) }
    }
}

/// Counts as one who waits until dropped.
struct Waiting<'a> {
    pull: &'a Pull,
    patient: usize,
}

impl<'a> Waiting<'a> {
    fn new(pull: &'a Pull, is_patient: bool) -> Self {
        let patient = usize::from(is_patient);
        pull.demand.send_modify(|demand| {
            demand.waiting += 1;
            demand.patient += patient;
        });
        Self { pull, patient }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pull.demand.send_modify(|demand| {
            demand.waiting -= 1;
            demand.patient -= self.patient;
        });
    }
}
