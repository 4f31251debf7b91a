//! A distributor of one stream that speaks the protocol over real sockets, and does on demand what
//! a good one never does: cuts replies, falls silent, changes its mind.

mod session;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use freshet_consumer::{Fetch, Policy, StreamUrl};
use freshet_protocol::{
    ByteRange, Held, PartHead, Placed, RangeSet, Sha256Digest, Stamp, boundary_of,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};

/// What the distributor has, and how it is to behave.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) exists: bool,
    pub(crate) etag: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) held: RangeSet,
    pub(crate) total: Option<u64>,
    pub(crate) retained_from: u64,
    /// A plain reply begins with this header, and then at this offset.
    pub(crate) join: (Vec<u8>, u64),
    /// How far its clock is ahead, in nanoseconds.
    pub(crate) ahead: i64,
    /// The bodies of the next GETs are cut after so many bytes.
    pub(crate) cuts: VecDeque<usize>,
    /// The bodies of so many next GETs say nothing.
    pub(crate) mute: usize,
    /// The bodies of so many next GETs end properly, and too early, after one part; the last of them
    /// without its closing boundary.
    pub(crate) short: usize,
    pub(crate) digest: Option<Sha256Digest>,
    /// Heads of all requests so far, in lower case.
    pub(crate) requests: Vec<String>,
}

/// Listens on a free port; gone when dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    address: SocketAddr,
    model: Arc<Mutex<Model>>,
    changed: watch::Sender<()>,
    _serving: JoinSet<()>,
}

impl Fake {
    /// With a stream that has no byte yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let model = Model { exists: true, etag: "\"one\"".into(), ..Model::default() };
        let (model, changed) = (Arc::new(Mutex::new(model)), watch::channel(()).0);
        let mut serving = JoinSet::new();
        serving.spawn(session::accept(listener, model.clone(), changed.clone()));
        Self { address, model, changed, _serving: serving }
    }

    /// With the whole of `bytes`, complete.
    pub(crate) async fn with(bytes: &[u8]) -> Self {
        let fake = Self::start().await;
        fake.put(0, bytes);
        fake.complete(bytes.len() as u64);
        fake
    }

    pub(crate) fn url(&self) -> StreamUrl {
        format!("http://{}/live/radio", self.address).parse().unwrap()
    }

    pub(crate) fn fetch(&self) -> Fetch {
        Fetch::new(self.url())
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// An origin posts.
    pub(crate) fn put(&self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        {
            let mut model = self.model();
            let length = model.bytes.len().max(end);
            model.bytes.resize(length, 0);
            model.bytes[offset..end].copy_from_slice(bytes);
            model.held.extend(&ByteRange::new(offset as u64, end as u64).into_iter().collect());
        }
        self.changed.send_replace(());
    }

    pub(crate) fn complete(&self, total: u64) {
        self.model().total = Some(total);
        self.changed.send_replace(());
    }

    /// Change anything, and wake whoever waits.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.model());
        self.changed.send_replace(());
    }

    /// Requests so far that begin with `method`.
    pub(crate) fn asked(&self, method: &str) -> Vec<String> {
        let model = self.model();
        model.requests.iter().filter(|head| head.starts_with(method)).cloned().collect()
    }

    /// Wait until there were `count` GETs.
    pub(crate) async fn until_asked(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        soon(async {
            while self.asked("get").len() < count {
                changed.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Model {
    /// Does the claim have all that is kept of a complete stream?
    fn is_over(&self, claim: &RangeSet) -> bool {
        let kept = |total| ByteRange::new(self.retained_from, total);
        self.total.is_some_and(|total| kept(total).is_none_or(|kept| claim.covers(kept)))
    }

    fn slice(&self, range: ByteRange) -> Vec<u8> {
        let at = |offset: u64| usize::try_from(offset).unwrap();
        self.bytes[at(range.start())..at(range.end())].to_vec()
    }
}

/// The value of a field in a head in lower case.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Bytes that differ from each other wherever one looks.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The manner in which the command takes a complete copy.
pub(crate) fn continuous(policy: Policy) -> freshet_consumer::Manner {
    freshet_consumer::Manner::Continuous(policy.backfill())
}

/// Every wait in a test has a deadline: a hang is a failure with a line number.
#[track_caller]
pub(crate) fn soon<F: Future>(wait: F) -> impl Future<Output = F::Output> {
    let asked = std::panic::Location::caller();
    async move {
        let Ok(output) = timeout(Duration::from_secs(20), wait).await else {
            panic!("still waiting at {asked}");
        };
        output
    }
}

/// Until `condition` holds, looked at often: a file or another process has no event to wait for.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    soon(async move {
        let mut look = interval(Duration::from_millis(2));
        while !condition() {
            look.tick().await;
        }
    })
}
