//! A distributor for tests: the rules of the protocol in a page, and faults on demand.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    panic::Location,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use freshet_origin::Target;
use freshet_protocol::{ByteRange, ChunkRange, Held, Placed, RangeSet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// What goes wrong with one POST.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// So many bytes of the body arrive, then the connection is cut.
    CutAfter(usize),
    /// Everything arrives, and the reply is lost.
    LoseReply,
    /// Nothing is kept, and this is said: status and further header lines.
    Say(u16, &'static str),
    /// It goes well, and these bytes are found damaged then.
    Forget(u64, u64),
    /// The stream was deleted; this POST is the first to notice.
    Delete,
    /// Nothing goes wrong.
    None,
}

/// One POST, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) place: String,
    pub(crate) head: String,
}

impl Post {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// All that the distributor knows of its one stream, and how it treats its origin.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) exists: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) held: RangeSet,
    pub(crate) total: Option<u64>,
    pub(crate) incarnation: u32,
    pub(crate) retained_from: u64,
    pub(crate) chunk_max: Option<usize>,
    pub(crate) gap_max: Option<u64>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) posts: Vec<Post>,
    pub(crate) handshakes: usize,
}

impl Stream {
    pub(crate) fn hold(&mut self, start: u64, bytes: &[u8]) {
        let Some(range) = ByteRange::at(start, bytes.len() as u64) else { return };
        self.exists = true;
        self.bytes.resize(self.bytes.len().max(usize::try_from(range.end()).unwrap()), 0);
        self.bytes[usize::try_from(start).unwrap()..][..bytes.len()].copy_from_slice(bytes);
        self.held.insert(range);
    }

    pub(crate) fn delete(&mut self) {
        (self.exists, self.total) = (false, None);
        (self.bytes, self.held) = (Vec::new(), RangeSet::new());
        self.incarnation += 1;
    }

    /// The stream, where all of it is here.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        let total = self.total?;
        let whole = ByteRange::new(0, total).is_none_or(|range| self.held.covers(range));
        whole.then(|| &self.bytes[..usize::try_from(total).unwrap()])
    }

    fn differs(&self, range: ByteRange, body: &[u8]) -> bool {
        self.held.within(range).iter().any(|common| {
            let here = &self.bytes[usize::try_from(common.start()).unwrap()..];
            let there = &body[usize::try_from(common.start() - range.start()).unwrap()..];
            let len = usize::try_from(common.len()).unwrap();
            here[..len] != there[..len]
        })
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.incarnation)
    }

    /// What the rules say to a POST without faults: status and further header lines.
    fn post(&mut self, head: &str, body: &[u8]) -> (u16, &'static str) {
        let etag = self.etag();
        let stale = field(head, "if-match").is_some_and(|tag| !self.exists || tag != etag);
        if stale {
            return (412, "");
        }
        if self.chunk_max.is_some_and(|max| body.len() > max) {
            return (413, "");
        }
        let created = !self.exists;
        let total = match ChunkRange::from_str(field(head, "content-range").unwrap()) {
            Err(_) => return (400, ""),
            Ok(ChunkRange::Complete { total }) => Some(total),
            Ok(ChunkRange::Bytes(Placed { range, total })) => {
                let past = self.total.is_some_and(|total| range.end() > total);
                if past || self.differs(range, body) {
                    return (409, "");
                }
                let gap = range.start().saturating_sub(self.held.end().max(self.retained_from));
                if self.gap_max.is_some_and(|max| gap > max) {
                    return (416, "");
                }
                self.hold(range.start(), body);
                total
            }
        };
        self.exists = true;
        self.total = self.total.or(total);
        (if created { 201 } else { 200 }, "")
    }
}

/// It listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    stream: Arc<Mutex<Stream>>,
    changed: watch::Receiver<u64>,
    port: u16,
    _sessions: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = Arc::<Mutex<Stream>>::default();
        let (sender, changed) = watch::channel(0);
        let mut sessions = JoinSet::new();
        let served = Arc::clone(&stream);
        sessions.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                sessions.spawn(serve(socket, Arc::clone(&served), sender.clone()));
            }
        });
        Self { stream, changed, port, _sessions: sessions }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/live/t.bin", self.port)
    }

    pub(crate) fn target(&self) -> Target {
        self.url().parse().unwrap()
    }

    pub(crate) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap()
    }

    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.stream().faults.extend(faults);
    }

    pub(crate) fn posts(&self) -> Vec<String> {
        self.stream().posts.iter().map(|post| post.place.clone()).collect()
    }

    /// Wait until the stream is as asked.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Stream) -> bool) -> impl Future<Output = ()> {
        let mut changed = self.changed.clone();
        soon(async move { drop(changed.wait_for(|_| wanted(&self.stream())).await.unwrap()) })
    }
}

async fn serve(socket: TcpStream, stream: Arc<Mutex<Stream>>, changed: watch::Sender<u64>) {
    let mut socket = BufReader::new(socket);
    while let Some((head, body)) = request(&mut socket).await {
        let reply = answer(&mut stream.lock().unwrap(), &head, &body);
        changed.send_modify(|count| *count += 1);
        let Some(reply) = reply else { return };
        if socket.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The reply; `None` cuts the connection.
fn answer(stream: &mut Stream, head: &str, body: &[u8]) -> Option<String> {
    if head.starts_with("OPTIONS") {
        stream.handshakes += 1;
        return Some(reply(stream, if stream.exists { 204 } else { 404 }, ""));
    }
    let place = field(head, "content-range").unwrap().to_owned();
    stream.posts.push(Post { place, head: head.into() });
    match stream.faults.pop_front().unwrap_or(Fault::None) {
        Fault::CutAfter(bytes) => {
            if let Ok(ChunkRange::Bytes(placed)) = field(head, "content-range")?.parse() {
                stream.hold(placed.range.start(), &body[..bytes.min(body.len())]);
            }
            return None;
        }
        Fault::LoseReply => {
            stream.post(head, body);
            return None;
        }
        Fault::Say(status, more) => return Some(reply(stream, status, more)),
        Fault::Delete => stream.delete(),
        Fault::Forget(start, end) => {
            let (status, more) = stream.post(head, body);
            stream.held.remove(ByteRange::new(start, end).unwrap());
            return Some(reply(stream, status, more));
        }
        Fault::None => {}
    }
    let (status, more) = stream.post(head, body);
    Some(reply(stream, status, more))
}

fn reply(stream: &Stream, status: u16, more: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} x\r\n{more}");
    if stream.exists {
        let held = Held { set: stream.held.clone(), total: stream.total };
        text += &format!("content-range: {held}\r\netag: {}\r\n", stream.etag());
    }
    if stream.retained_from > 0 {
        text += &format!("retained-from: {}\r\n", stream.retained_from);
    }
    if let Some(max) = stream.chunk_max {
        text += &format!("upload-limit: max-append-size={max}\r\n");
    }
    match status {
        204 => text + "\r\n",
        _ => {
            let body = format!(r#"{{"title":"x","status":{status},"detail":"said {status}"}}"#);
            format!("{text}content-length: {}\r\n\r\n{body}", body.len())
        }
    }
}

async fn request(socket: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
}

/// Every wait in a test has a deadline: a hang is a failure with a line number.
#[track_caller]
pub(crate) fn soon<F: Future>(wait: F) -> impl Future<Output = F::Output> {
    let asked = Location::caller();
    async move {
        let Ok(output) = timeout(Duration::from_secs(20), wait).await else {
            panic!("still waiting at {asked}");
        };
        output
    }
}

/// Bytes that tell where they stand.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
