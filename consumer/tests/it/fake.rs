//! A distributor of one stream that speaks the protocol over real sockets, and does on demand what
//! a good one never does: cuts replies, falls silent, changes its mind.

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

const PART_BYTES: u64 = 1000;

/// How long a poll is kept waiting for a byte, whatever it asks for.
const POLL_WAIT: Duration = Duration::from_millis(100);

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
        serving.spawn(accept(listener, model.clone(), changed.clone()));
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

async fn accept(listener: TcpListener, model: Arc<Mutex<Model>>, changed: watch::Sender<()>) {
    let mut sessions = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let session = Session { socket, model: model.clone(), changed: changed.clone() };
        sessions.spawn(async move {
            // A cut, by us or by the consumer.
            let _ = session.run().await;
        });
    }
}

struct Session {
    socket: TcpStream,
    model: Arc<Mutex<Model>>,
    changed: watch::Sender<()>,
}

/// Writes a chunked body, and breaks off where it is told to.
struct Pen<'a> {
    socket: &'a mut TcpStream,
    left: Option<usize>,
}

impl Pen<'_> {
    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.raw(&framed).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let most = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        self.socket.write_all(&bytes[..most]).await?;
        if let Some(left) = &mut self.left {
            *left -= most;
            if *left == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(())
    }
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let head = self.read_head().await?;
            self.model.lock().unwrap().requests.push(head.clone());
            self.changed.send_replace(());
            self.wait_for_stream(&head).await;
            if !self.model.lock().unwrap().exists {
                self.say("404 Not Found", "content-length: 0\r\n").await?;
                continue;
            }
            if head.starts_with("head") {
                let fields = self.held_fields(&head);
                self.say("200 OK", &fields).await?;
            } else {
                self.get(&head).await?;
            }
        }
    }

    async fn read_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.socket.read_u8().await?);
        }
        Ok(String::from_utf8(head).unwrap().to_lowercase())
    }

    async fn wait_for_stream(&self, head: &str) {
        let mut changed = self.changed.subscribe();
        if field(head, "prefer").is_none() {
            return;
        }
        let there = async {
            while !self.model.lock().unwrap().exists {
                changed.changed().await.unwrap();
            }
        };
        let _ = timeout(Duration::from_secs(1), there).await;
    }

    async fn say(&mut self, status: &str, fields: &str) -> io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        self.socket.write_all(head.as_bytes()).await
    }

    fn etag_fields(&self) -> String {
        let model = self.model.lock().unwrap();
        let now = Stamp::from(SystemTime::now()).shifted(model.ahead);
        let mut fields = format!("ETag: {}\r\nStream-Time: {now}\r\n", model.etag);
        if model.retained_from > 0 {
            fields += &format!("Retained-From: {}\r\n", model.retained_from);
        }
        fields
    }

    fn held_fields(&self, head: &str) -> String {
        let mut fields = self.etag_fields();
        let model = self.model.lock().unwrap();
        let held = Held { set: model.held.clone(), total: model.total };
        fields += &format!("Content-Range: {held}\r\n");
        if field(head, "want-repr-digest").is_some_and(|want| want.starts_with("sha-256")) {
            let digest = Sha256Digest(Sha256::digest(&model.bytes).into());
            fields += &format!("Repr-Digest: {}\r\n", model.digest.unwrap_or(digest));
        }
        fields
    }

    async fn get(&mut self, head: &str) -> io::Result<()> {
        let (cut, mute) = {
            let mut model = self.model.lock().unwrap();
            let mute = model.mute > 0;
            model.mute = model.mute.saturating_sub(1);
            (model.cuts.pop_front(), mute)
        };
        if let Some(range) = field(head, "range") {
            return self.in_order(range, cut).await;
        }
        let Some(claim) = field(head, "content-range") else {
            return self.plain(cut).await;
        };
        let claim: Held = claim.parse().unwrap();
        if field(head, "accept") == Some("multipart/byteranges") {
            self.continuous(claim.set, head.contains("backfill=none"), cut, mute).await
        } else {
            self.one_part(claim.set, field(head, "prefer").is_some(), cut).await
        }
    }

    async fn continuous(
        &mut self,
        mut claim: RangeSet,
        newest_only: bool,
        cut: Option<usize>,
        mute: bool,
    ) -> io::Result<()> {
        let boundary = boundary_of("multipart/byteranges; boundary=B").unwrap();
        let mut fields = self.etag_fields();
        fields += "Content-Type: multipart/byteranges; boundary=B\r\n";
        self.say("206 Partial Content", &(fields + "Transfer-Encoding: chunked\r\n")).await?;
        let mut changed = self.changed.subscribe();
        let edge = self.model.lock().unwrap().held.end();
        if let Some(old) = ByteRange::new(0, edge).filter(|_| newest_only) {
            claim.insert(old);
        }
        let short = {
            let mut model = self.model.lock().unwrap();
            let short = model.short;
            model.short = short.saturating_sub(1);
            short
        };
        let mut pen = Pen { socket: &mut self.socket, left: cut };
        if mute {
            std::future::pending::<()>().await;
        }
        loop {
            let next = {
                let model = self.model.lock().unwrap();
                let next = model.held.newest_missing(&claim, PART_BYTES);
                next.map(|range| (range, model.slice(range), model.total))
                    .ok_or_else(|| model.is_over(&claim))
            };
            match next {
                Ok((range, bytes, total)) => {
                    let placed = Placed { range, total };
                    let now =
                        Stamp::from(SystemTime::now()).shifted(self.model.lock().unwrap().ahead);
                    let origin_time = Some(now.shifted(-1_500_000_000));
                    let part = PartHead { placed, content_type: None, origin_time };
                    pen.chunk(&part.encode(boundary)).await?;
                    pen.chunk(&bytes).await?;
                    claim.insert(range);
                    if short > 0 {
                        break;
                    }
                }
                Err(true) => break,
                Err(false) => changed.changed().await.unwrap(),
            }
        }
        if short != 1 {
            pen.chunk(&PartHead::closing(boundary)).await?;
        }
        pen.raw(b"0\r\n\r\n").await
    }

    async fn one_part(
        &mut self,
        claim: RangeSet,
        waits: bool,
        cut: Option<usize>,
    ) -> io::Result<()> {
        let mut changed = self.changed.subscribe();
        loop {
            let (next, total, over) = {
                let model = self.model.lock().unwrap();
                let next = model.held.newest_missing(&claim, PART_BYTES);
                let next = next.map(|range| (range, model.slice(range)));
                (next, model.total, model.is_over(&claim))
            };
            let Some((range, bytes)) = next else {
                let wait = timeout(POLL_WAIT, changed.changed());
                if waits && !over && wait.await.is_ok() {
                    continue;
                }
                let fields = self.held_fields("");
                return self.say("204 No Content", &fields).await;
            };
            let placed = Placed { range, total };
            let length = format!("Content-Length: {}\r\n", bytes.len());
            let fields = self.etag_fields() + &format!("Content-Range: {placed}\r\n") + &length;
            self.say("206 Partial Content", &fields).await?;
            return Pen { socket: &mut self.socket, left: cut }.raw(&bytes).await;
        }
    }

    async fn in_order(&mut self, range: &str, cut: Option<usize>) -> io::Result<()> {
        let first = range.strip_prefix("bytes=").unwrap();
        let first = first.strip_suffix("-9007199254740991").unwrap();
        let next: u64 = first.parse().unwrap();
        if self.model.lock().unwrap().total == Some(next) {
            let fields = self.held_fields("") + "Content-Length: 0\r\n";
            return self.say("416 Range Not Satisfiable", &fields).await;
        }
        let fields = self.etag_fields()
            + &format!("Content-Range: bytes {next}-9007199254740991/*\r\n")
            + "Transfer-Encoding: chunked\r\n";
        self.say("206 Partial Content", &fields).await?;
        self.pour(&[], next, cut).await
    }

    /// As for a player: the header, and then the stream from a join point on.
    async fn plain(&mut self, cut: Option<usize>) -> io::Result<()> {
        let (header, next) = self.model.lock().unwrap().join.clone();
        let place = format!("Stream-Join: {next}\r\nStream-Header: {}\r\n", header.len());
        let fields = self.etag_fields() + &place + "Transfer-Encoding: chunked\r\n";
        self.say("200 OK", &fields).await?;
        self.pour(&header, next, cut).await
    }

    /// The rest of a stream, after `header`.
    async fn pour(&mut self, header: &[u8], mut next: u64, cut: Option<usize>) -> io::Result<()> {
        let model = self.model.clone();
        let mut changed = self.changed.subscribe();
        let mut pen = Pen { socket: &mut self.socket, left: cut };
        if !header.is_empty() {
            pen.chunk(header).await?;
        }
        loop {
            let (run, total) = {
                let model = model.lock().unwrap();
                let run = model.held.run_at(next).and_then(|run| ByteRange::new(next, run.end()));
                let run = run.map(|run| run.oldest(PART_BYTES));
                (run.map(|run| (run.end(), model.slice(run))), model.total)
            };
            match run {
                Some((end, bytes)) => {
                    pen.chunk(&bytes).await?;
                    next = end;
                }
                None if total == Some(next) => return pen.raw(b"0\r\n\r\n").await,
                None => changed.changed().await.unwrap(),
            }
        }
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
