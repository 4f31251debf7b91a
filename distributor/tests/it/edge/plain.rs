//! Plain consumers at the live edge: everything that begins or ends that they are written to past hyper.

use std::time::Duration;

use tokio::{io::AsyncReadExt, net::TcpSocket};

use super::AT_THE_EDGE;
use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

/// One who follows a stream.
struct Consumer {
    peer: Peer,
    reply: Reply,
}

impl Consumer {
    async fn over(mut peer: Peer, path: &str) -> Self {
        peer.request("GET", path, &[], b"").await;
        let reply = peer.head().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Self { peer, reply }
    }

    async fn new(node: &Node, path: &str) -> Self {
        Self::over(node.connect().await, path).await
    }

    /// With a receive buffer that is soon full.
    async fn small(node: &Node, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let socket = soon(socket.connect(node.address)).await.unwrap();
        Self::over(Peer::over(socket), path).await
    }

    /// Read until it has `length` bytes.
    async fn read_to(&mut self, length: usize) {
        while self.reply.body.len() < length {
            self.reply.body.extend(self.peer.next().await.unwrap().unwrap());
        }
    }
}

/// An origin that appends to the stream `x`.
struct Source<'a> {
    node: &'a Node,
    sent: Vec<u8>,
}

impl<'a> Source<'a> {
    /// Begin with one byte.
    async fn new(node: &'a Node) -> Self {
        let mut source = Self { node, sent: Vec::new() };
        source.append(b"!").await;
        source
    }

    async fn append(&mut self, more: &[u8]) {
        let from = self.sent.len();
        self.sent.extend_from_slice(more);
        let range = format!("bytes {from}-{}/*", self.sent.len() - 1);
        let status = self.node.post("x", &range, more).await.status;
        assert!(matches!(status, 200 | 201), "{status}");
    }

    async fn complete(&self) {
        let length = format!("bytes */{}", self.sent.len());
        let fields = [("Content-Range", &length[..])];
        assert_eq!(self.node.send("POST", "/live/x", &fields, b"").await.status, 200);
    }

    /// Append little by little until so many are at the live edge, who read along.
    async fn until_at_the_edge(&mut self, count: u64, consumers: &mut [Consumer]) {
        for step in 0..1000 {
            self.append(&bytes(1 + step)).await;
            for consumer in &mut *consumers {
                consumer.read_to(self.sent.len()).await;
            }
            if self.node.metric(AT_THE_EDGE).await == count {
                return;
            }
        }
        panic!("not at the edge after 1000 chunks");
    }
}

/// 40 consumers, all of them at the edge.
async fn crowd(node: &Node, source: &mut Source<'_>) -> Vec<Consumer> {
    let mut consumers = Vec::new();
    for _ in 0..40 {
        consumers.push(Consumer::new(node, "/live/x?from=start").await);
    }
    source.until_at_the_edge(40, &mut consumers).await;
    consumers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_the_same_bytes_then_the_end_and_then_another_reply() {
    let node = Node::start().await;
    let mut source = Source::new(&node).await;
    let consumers = crowd(&node, &mut source).await;
    for size in [1, 100, 70_000, 4096, 200_000] {
        source.append(&bytes(size)).await;
    }
    source.complete().await;
    for mut consumer in consumers {
        consumer.peer.drain(&mut consumer.reply).await;
        assert!(consumer.reply.ended);
        assert!(consumer.reply.body == source.sent, "byte for byte");
        consumer.peer.request("GET", "/healthz", &[], b"").await;
        assert_eq!(consumer.peer.reply("GET").await.text(), "ok\n");
    }
    assert_eq!(node.metric(AT_THE_EDGE).await, 0);
    assert_eq!(node.metric("freshet_cut_deliveries_total").await, 0);
}

/// The end may come while the last bytes are being sent: whether it does is up to two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_comes_with_the_last_bytes_reaches_everybody() {
    const ROUNDS: usize = 30;
    for _ in 0..ROUNDS {
        let node = Node::start().await;
        let mut source = Source::new(&node).await;
        let consumers = crowd(&node, &mut source).await;

        let (from, last) = (source.sent.len(), bytes(150_000));
        let end = from + last.len();
        let range = format!("bytes {from}-{}/{end}", end - 1);
        let posted = tokio::spawn({
            let mut origin = node.connect().await;
            async move {
                let fields = [("Content-Range", range.as_str())];
                origin.request("POST", "/live/x", &fields, &last).await;
                origin.reply("POST").await.status
            }
        });

        for Consumer { mut peer, mut reply } in consumers {
            soon(peer.drain(&mut reply)).await;
            assert!(reply.ended && reply.body.len() == end);
        }
        assert_eq!(posted.await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_pauses_gets_every_byte_and_holds_up_nobody() {
    let node = Node::start().await;
    let mut source = Source::new(&node).await;
    let path = "/live/x?from=start";
    let mut consumers = vec![
        Consumer::small(&node, path).await,
        Consumer::small(&node, path).await,
        Consumer::new(&node, path).await,
    ];
    source.until_at_the_edge(3, &mut consumers).await;

    // More than the sockets of those hold who do not read, in chunks that do not end where a socket
    // is full.
    let chunk = bytes(50_001);
    let mut reads = consumers.pop().unwrap();
    for _ in 0..100 {
        source.append(&chunk).await;
        reads.read_to(source.sent.len()).await;
    }
    assert!(node.metric(AT_THE_EDGE).await <= 1, "they are back with their sessions");

    for paused in &mut consumers {
        paused.read_to(source.sent.len()).await;
        assert!(paused.reply.body == source.sent, "byte for byte");
    }
    consumers.push(reads);
    source.until_at_the_edge(3, &mut consumers).await;
    source.complete().await;
    for mut consumer in consumers {
        consumer.peer.drain(&mut consumer.reply).await;
        assert!(consumer.reply.ended && consumer.reply.body == source.sent);
    }
}

#[tokio::test]
async fn a_consumer_that_stops_is_cut_at_the_write_deadline() {
    let node = Node::with(|config| config.bounds.write_deadline = Duration::from_millis(500)).await;
    let mut source = Source::new(&node).await;
    let mut consumers = vec![Consumer::small(&node, "/live/x?from=start").await];
    source.until_at_the_edge(1, &mut consumers).await;
    let chunk = bytes(100_000);
    soon(async {
        while node.metric("freshet_stalled_writes_total").await == 0 {
            source.append(&chunk).await;
        }
    })
    .await;
    until(async || node.metric("freshet_consumers").await == 0).await;
    assert_eq!(node.metric(AT_THE_EDGE).await, 0);
}

#[tokio::test]
async fn deletion_and_shutdown_cut_so_that_the_consumer_can_tell() {
    let node = Node::with(|config| config.bounds.drain = Duration::from_secs(3600)).await;
    let mut source = Source::new(&node).await;
    let mut consumers = vec![Consumer::new(&node, "/live/x?from=start").await];
    source.until_at_the_edge(1, &mut consumers).await;
    node.ask("DELETE", "/live/x", &[]).await;
    let mut deleted = consumers.pop().unwrap();
    deleted.peer.drain(&mut deleted.reply).await;
    assert!(!deleted.reply.ended, "cut");
    assert!(deleted.peer.is_closed().await);

    let mut source = Source::new(&node).await;
    let mut consumers = vec![Consumer::new(&node, "/live/x?from=start").await];
    source.until_at_the_edge(1, &mut consumers).await;
    node.stop().await;
    let mut stopped = consumers.pop().unwrap();
    stopped.peer.drain(&mut stopped.reply).await;
    assert!(!stopped.reply.ended, "cut");
}

#[tokio::test]
async fn http_1_0_gets_plain_bytes_and_can_tell_a_cut_from_an_end() {
    let node = Node::start().await;
    for cut in [false, true] {
        let mut source = Source::new(&node).await;
        let mut consumer = node.connect().await;
        consumer.say("GET /live/x?from=start HTTP/1.0\r\n\r\n").await;
        assert_eq!(consumer.head().await.status, 200);
        assert_eq!(consumer.exactly(1).await.unwrap(), b"!");
        until(async || node.metric(AT_THE_EDGE).await == 1).await;
        source.append(&bytes(3000)).await;
        assert!(consumer.exactly(3000).await.unwrap() == bytes(3000));
        let ended = if cut {
            node.ask("DELETE", "/live/x", &[]).await;
            soon(consumer.socket.read(&mut [0; 5])).await.map_err(|error| error.kind())
        } else {
            source.complete().await;
            soon(consumer.socket.read(&mut [0; 5])).await.map_err(|error| error.kind())
        };
        assert_eq!(ended, if cut { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(0) });
        node.ask("DELETE", "/live/x", &[]).await;
    }
}

#[tokio::test]
async fn a_hole_is_waited_for_at_the_session() {
    let node = Node::start().await;
    let mut source = Source::new(&node).await;
    let mut consumers = vec![Consumer::new(&node, "/live/x?from=start").await];
    source.until_at_the_edge(1, &mut consumers).await;
    let at = source.sent.len();
    node.post("x", &format!("bytes {}-{}/*", at + 4, at + 7), b"late").await;
    until(async || node.metric(AT_THE_EDGE).await == 0).await;
    node.post("x", &format!("bytes {at}-{}/*", at + 3), b"soon").await;
    source.sent.extend_from_slice(b"soonlate");
    let [consumer] = &mut consumers[..] else { panic!("one") };
    consumer.read_to(source.sent.len()).await;
    assert!(consumer.reply.body == source.sent, "{:?}", &consumer.reply.body[at..]);
    source.until_at_the_edge(1, &mut consumers).await;
}

#[tokio::test]
async fn bytes_that_have_left_memory_come_from_the_disk() {
    let node = Node::with(|config| config.store.ring_bytes = 200_000).await;
    let mut source = Source::new(&node).await;
    let mut consumers = vec![Consumer::small(&node, "/live/x?from=start").await];
    source.until_at_the_edge(1, &mut consumers).await;
    source.append(&bytes(5 << 20)).await;
    source.complete().await;
    let mut consumer = consumers.pop().unwrap();
    consumer.peer.drain(&mut consumer.reply).await;
    assert!(consumer.reply.ended && consumer.reply.body == source.sent, "byte for byte");
}

#[tokio::test]
async fn a_consumer_that_falls_out_of_memory_is_moved_or_cut_as_asked() {
    let node = Node::with(|config| config.store.ring_bytes = 300_000).await;
    let mut source = Source::new(&node).await;
    let mut consumers = Vec::new();
    for behind in ["close", "skip"] {
        let path = format!("/live/x?from=start&behind={behind}");
        consumers.push(Consumer::small(&node, &path).await);
    }
    source.until_at_the_edge(2, &mut consumers).await;
    let before = source.sent.len();
    for _ in 0..16 {
        source.append(&bytes(1 << 20)).await;
    }
    let mut skips = consumers.pop().unwrap();
    let mut closes = consumers.pop().unwrap();
    closes.peer.drain(&mut closes.reply).await;
    assert!(!closes.reply.ended, "cut");
    assert!(source.sent.starts_with(&closes.reply.body));

    // Not complete yet: behind a stream that has ended nobody falls any more. The edge moves on, for
    // whoever skips goes to where it is.
    let (whole, mark) = (source.sent.clone(), b"here is the edge");
    let go_on = async {
        loop {
            source.append(mark).await;
        }
    };
    let seen = async {
        while !skips.reply.body.ends_with(mark) {
            skips.reply.body.extend(skips.peer.next().await.unwrap().unwrap());
        }
    };
    soon(async {
        tokio::select! { () = seen => {}, () = go_on => {} }
    })
    .await;
    assert!(skips.reply.body.starts_with(&whole[..before]));
    assert!(skips.reply.body.len() < whole.len(), "skipped");
}

/// Whoever comes and goes, and whenever: each has an unbroken run of the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_come_and_go_while_the_stream_goes_on() {
    const CHUNK: usize = 64;
    let node = Node::start().await;
    let pattern = bytes(CHUNK);
    let mut source = node.connect().await;
    source.begin_post("/live/x", "").await;
    source.chunk(&pattern).await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;

    let mut stay = Vec::new();
    for number in 0..60 {
        let consumer = Consumer::new(&node, "/live/x").await;
        for _ in 0..10 {
            source.chunk(&pattern).await;
        }
        if number % 3 == 0 {
            stay.push(consumer);
        }
    }
    soon(async {
        while node.metric(AT_THE_EDGE).await < 20 {
            source.chunk(&pattern).await;
        }
    })
    .await;
    source.say("0\r\n\r\n").await;
    assert_eq!(source.reply("POST").await.status, 201);
    let length = format!("bytes */{}", node.end("x").await);
    let reply = node.send("POST", "/live/x", &[("Content-Range", &length)], b"").await;
    assert_eq!(reply.status, 200);
    for mut consumer in stay {
        let join: usize = consumer.reply.field("stream-join").unwrap().parse().unwrap();
        consumer.peer.drain(&mut consumer.reply).await;
        assert!(consumer.reply.ended);
        let is_right = |(index, byte): (usize, &u8)| *byte == pattern[(join + index) % CHUNK];
        assert!(consumer.reply.body.iter().enumerate().all(is_right));
    }
    until(async || node.metric("freshet_consumers").await == 0).await;
    assert_eq!(node.metric(AT_THE_EDGE).await, 0);
}
