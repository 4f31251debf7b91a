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
mod http;
mod hub;
mod join;
mod metrics;
mod serve;
mod stall;
mod store;
mod upstream;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

pub use auth::AccessError;
pub use config::{
    AccessConfig, BoundsConfig, Config, ConfigError, Durability, Secret, StoreConfig,
    UpstreamConfig, UpstreamUrl, UpstreamUrlError,
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
        let upstream = config.upstream;
        let (given, path) = (&upstream.upstream_token, &upstream.upstream_token_file);
        let token = auth::secret("upstream", given.as_ref(), path.as_deref())?;
        let listen = |source| BindError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let metrics = metrics::Metrics::new();
        let hub = hub::Hub::open(config.store)?;
        let hub = hub.with_upstreams(upstream, token.as_deref(), &metrics);
        Ok(Self { listener, address, hub, guard, bounds: config.bounds, metrics })
    }

    /// Where it listens; the port is a real one even when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serve until `shutdown`. Then requests at hand may end, live ones are cut so that their
    /// consumers can tell, and what was acknowledged is on the disk when this returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, hub, guard, bounds, metrics, .. } = self;
        let slots = Arc::new(Semaphore::new(serve::connections_max(bounds.connections)));
        let drain = bounds.drain;
        let site = http::Site::new(hub.clone(), guard, metrics.clone(), bounds, shutdown.clone());
        let site = Arc::new(site);
        let session = |socket| http::session(socket, Arc::clone(&site));
        let serve = serve::serve(listener, &slots, &metrics, &shutdown, drain, session);
        tokio::join!(serve, hub.tend(shutdown.clone()), hub.pull(shutdown.clone()));
        hub.settle().await;
    }
}
