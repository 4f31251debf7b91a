//! One connection to the distributor that is none: its requests, and replies that are cut where they should be.

use super::*;

const PART_BYTES: u64 = 1000;

/// How long a poll is kept waiting for a byte, whatever it asks for.
const POLL_WAIT: Duration = Duration::from_millis(100);

pub(super) async fn accept(
    listener: TcpListener,
    model: Arc<Mutex<Model>>,
    changed: watch::Sender<()>,
) {
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
