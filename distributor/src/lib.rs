//! Takes live streams in, keeps them, and answers each consumer with the newest bytes that it lacks.
//!
//! ```text
//!   origin ──POST──▶ http::ingest ──▶ hub ──▶ store: ring over disk ──▶ hub ──▶ http ──GET──▶ consumers
//! ```
//!
//! [`Distributor::bind`] makes everything, [`Distributor::run`] serves until told to stop. What an
//! operator may choose is in [`Config`], every other bound in [`mod@limits`].

pub mod limits;

mod auth;
mod config;
mod deadline;
mod doors;
mod fanout;
mod groups;
mod http;
mod hub;
mod inlet;
mod join;
mod metrics;
mod outlet;
mod received;
mod rope;
mod serve;
mod stall;
mod store;
mod upstream;

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::{OptionFuture, join_all};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};

use doors::groups::GroupDoor;

pub use auth::AccessError;
pub use config::{
    AccessConfig, BoundsConfig, Config, ConfigError, DoorAddress, DoorError, DoorName, DoorsConfig,
    Durability, PortRange, Secret, StoreConfig, UpstreamConfig, UpstreamUrl, UpstreamUrlError,
};
pub use hub::OpenError;

/// A distributor, bound and ready to serve.
#[derive(Debug)]
pub struct Distributor {
    listener: TcpListener,
    address: SocketAddr,
    hub: hub::Hub,
    guard: auth::Guard,
    bounds: BoundsConfig,
    metrics: metrics::Metrics,
    doors: Vec<(DoorName, TcpListener)>,
    /// The door of groups.
    desk: Option<UdpSocket>,
    doors_config: DoorsConfig,
}

/// Why a distributor cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The tokens, or their absence.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Distributor {
    /// Check the tokens, open the streams and bind the listener. Nothing is accepted before
    /// [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// One of these cannot be done.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let guard = auth::Guard::new(&config.access, config.listen)?;
        guard.admit_doors(&config.doors)?;
        let upstream = config.upstream;
        let (given, path) = (&upstream.upstream_token, &upstream.upstream_token_file);
        let token = auth::secret("upstream", given.as_ref(), path.as_deref())?;
        let listener = listen(config.listen).await?;
        let at = |source| BindError::Listen { address: config.listen, source };
        let address = listener.local_addr().map_err(at)?;
        let (mut doors, mut desk) = (Vec::new(), None);
        for door in &config.doors.door {
            match door.name {
                DoorName::Groups => desk = Some(receive(door.address).await?),
                name => doors.push((name, listen(door.address).await?)),
            }
        }
        let hub = hub::Hub::open(config.store)?;
        let metrics = metrics::Metrics::new(&hub.shared().ingest_to_send);
        let hub = hub.with_upstreams(upstream, token.as_deref(), &metrics);
        let (bounds, doors_config) = (config.bounds, config.doors);
        Ok(Self { listener, address, hub, guard, bounds, metrics, doors, desk, doors_config })
    }

    /// Where it listens; the port is a real one even when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The doors that were opened and where they listen, in the order given.
    pub fn doors(&self) -> impl Iterator<Item = (DoorName, SocketAddr)> {
        let address = |door: &(DoorName, TcpListener)| Some((door.0, door.1.local_addr().ok()?));
        let desk = self.desk.iter().filter_map(|desk| desk.local_addr().ok());
        let desk = desk.map(|address| (DoorName::Groups, address));
        self.doors.iter().filter_map(address).chain(desk)
    }

    /// Serve until `shutdown`. Then requests at hand may end, live ones are cut so that their
    /// consumers can tell, and what was acknowledged is on the disk when this returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, hub, guard, bounds, metrics, doors, desk, doors_config, .. } = self;
        let (drain, room) = (bounds.drain, Room::new(&bounds, &doors, &doors_config));
        let doors = doors.into_iter().map(|(name, listener)| {
            let config = (&doors_config, &bounds);
            let door =
                doors::Door::new(name, hub.clone(), metrics.clone(), config, shutdown.clone());
            let (door, slots) = (Arc::new(door), room.slots(doors_config.door_connections));
            let (metrics, shutdown) = (&metrics, &shutdown);
            async move {
                let span = || debug_span!("door", %name);
                let session = |socket| doors::session(socket, Arc::clone(&door)).instrument(span());
                serve::serve(listener, &slots, metrics, shutdown, drain, session).await;
            }
        });
        let doors = join_all(doors);
        let (groups, desk) = match desk {
            Some(socket) => {
                let (groups, opened) = groups::Groups::of(&doors_config, &socket);
                let groups = Arc::new(groups);
                let (hub, metrics) = (hub.clone(), metrics.clone());
                let door = GroupDoor::new(hub, metrics, Arc::clone(&groups), shutdown.clone());
                (Some(groups), Some(doors::groups::serve(socket, Arc::new(door), opened)))
            }
            None => (None, None),
        };
        let desk = OptionFuture::from(desk);
        let slots = room.slots(bounds.connections);
        let site = http::Site::new(hub.clone(), guard, metrics.clone(), bounds, shutdown.clone());
        let site = Arc::new(site.with_groups(groups));
        let session = |socket| {
            let (counted, session) =
                (metrics.connection(), http::session(socket, Arc::clone(&site)));
            async move {
                session.await;
                drop(counted);
            }
        };
        let serve = serve::serve(listener, &slots, &metrics, &shutdown, drain, session);
        tokio::join!(serve, doors, desk, hub.tend(shutdown.clone()), hub.pull(shutdown.clone()));
        hub.settle().await;
    }
}

/// How many descriptors all listeners together would have, and how many there are for them.
struct Room {
    wanted: usize,
    allowed: usize,
}

impl Room {
    fn new(bounds: &BoundsConfig, doors: &[(DoorName, TcpListener)], config: &DoorsConfig) -> Self {
        let each = doors.iter().map(|(name, _)| name.descriptors());
        let at_doors = config.door_connections.saturating_mul(each.sum());
        let wanted = bounds.connections.saturating_add(at_doors);
        Self { wanted, allowed: serve::connections_max(wanted) }
    }

    /// Slots for that many sessions, or for fewer where all have to do with fewer.
    fn slots(&self, sessions: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(serve::part(sessions, self.wanted, self.allowed)))
    }
}

async fn receive(address: SocketAddr) -> Result<UdpSocket, BindError> {
    UdpSocket::bind(address).await.map_err(|source| BindError::Listen { address, source })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError::Listen { address, source })
}
