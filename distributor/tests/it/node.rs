//! A distributor of one's own for each test.

use std::{net::SocketAddr, panic::Location, time::Duration};

use freshet_distributor::{BindError, Config, Distributor, DoorName, OpenError};
use freshet_protocol::Held;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::peer::{Peer, Reply};

/// Listens on a free port, keeps its data in a folder of its own; told to stop when dropped.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// The doors that its settings name.
    pub(crate) doors: Vec<(DoorName, SocketAddr)>,
    running: JoinHandle<()>,
    shutdown: DropGuard,
    data: TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One whose settings `change` has seen.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::on(data, change).await
    }

    /// One that has the data of another.
    pub(crate) async fn on(data: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = Config { listen, ..Config::default() };
        config.store.data = Some(data.path().into());
        config.bounds.drain = Duration::from_secs(1);
        change(&mut config);
        let bound = soon(bind(config)).await;
        let (address, doors) = (bound.address(), bound.doors().collect());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(bound.run(shutdown.clone()));
        Self { address, doors, running, shutdown: shutdown.drop_guard(), data }
    }

    /// Connect, and say nothing yet.
    #[track_caller]
    pub(crate) fn connect(&self) -> impl Future<Output = Peer> {
        Peer::connect(self.address)
    }

    /// One request without a body, on a connection of its own, and the whole reply.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(method, path, fields, b"").await
    }

    /// One request with a body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut peer = self.connect().await;
        peer.request(method, path, fields, body).await;
        peer.reply(method).await
    }

    /// Bytes with a place.
    pub(crate) async fn post(&self, name: &str, range: &str, bytes: &[u8]) -> Reply {
        self.send("POST", &format!("/live/{name}"), &[("Content-Range", range)], bytes).await
    }

    /// What the distributor says that it holds.
    pub(crate) async fn held(&self, name: &str) -> String {
        let reply = self.ask("HEAD", &format!("/live/{name}"), &[]).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.field("content-range").unwrap().into()
    }

    /// Where the stream ends now.
    pub(crate) async fn end(&self, name: &str) -> u64 {
        self.held(name).await.parse::<Held>().unwrap().set.end()
    }

    /// A value of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.ask("GET", "/metrics", &[]).await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// Shut down; the data stays.
    pub(crate) async fn stop(self) -> TempDir {
        drop(self.shutdown);
        soon(self.running).await.unwrap();
        self.data
    }
}

/// Bind as soon as the folder is free: a program that another test is just starting has our
/// descriptors, and so the folder's lock, until it runs.
async fn bind(config: Config) -> Distributor {
    loop {
        match Distributor::bind(config.clone()).await {
            Err(BindError::Store(OpenError::InUse { .. })) => tokio::task::yield_now().await,
            bound => return bound.unwrap(),
        }
    }
}

/// Every wait in a test has a deadline: a hang is a failure with a line number.
#[track_caller]
pub(crate) fn soon<F: Future>(wait: F) -> impl Future<Output = F::Output> {
    let asked = Location::caller();
    async move {
        let Ok(output) = timeout(Duration::from_secs(10), wait).await else {
            panic!("still waiting at {asked}");
        };
        output
    }
}

/// Ask again and again until it is so.
#[track_caller]
pub(crate) fn until<F>(mut is_so: impl FnMut() -> F) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    soon(async move {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    })
}

/// Bytes that differ everywhere.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
