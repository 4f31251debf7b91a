//! Consumers that stop reading: cut at their deadline, at nobody else's expense.

use std::time::Duration;

use freshet_protocol::{PartReader, PartStep, boundary_of};
use tokio::{net::TcpSocket, time::Instant};

use crate::{
    node::{Node, bytes, soon, until},
    peer::Peer,
};

const DEADLINE: Duration = Duration::from_millis(1500);

/// Connects with a small receive buffer, so that little is in flight.
async fn stopped(node: &Node, path: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = soon(socket.connect(node.address)).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    soon(tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes())).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_that_stop_are_cut_and_the_others_go_on() {
    let node = Node::with(|config| config.bounds.write_deadline = DEADLINE).await;
    node.post("x", "bytes 0-0/*", b"!").await;
    let mut stopped_ones = Vec::new();
    for _ in 0..1000 {
        stopped_ones.push(stopped(&node, "/live/x").await);
    }
    until(async || node.metric("freshet_consumers").await == 1000).await;
    let mut reader = node.connect().await;
    reader.request("GET", "/live/x", &[], b"").await;
    let mut reply = reader.head().await;

    // More than the sockets hold, at a pace that the one reader keeps.
    let whole = bytes(8 << 20);
    let mut at = 1;
    for chunk in whole.chunks(256 << 10) {
        let end = at + chunk.len();
        let begun = Instant::now();
        assert_eq!(node.post("x", &format!("bytes {at}-{}/*", end - 1), chunk).await.status, 200);
        reply.body.extend(reader.take(chunk.len()).await);
        assert!(begun.elapsed() < Duration::from_secs(5), "the others go on");
        at = end;
    }
    assert_eq!(reply.body, whole);

    until(async || node.metric("freshet_consumers").await == 1).await;
    assert_eq!(node.metric("freshet_stalled_writes_total").await, 1000);
    until(async || node.metric("freshet_connections").await == 2).await;
}

#[tokio::test]
async fn a_reader_that_is_slow_but_reads_is_not_cut() {
    let node = Node::with(|config| config.bounds.write_deadline = DEADLINE).await;
    let whole = bytes(2 << 20);
    node.send("PUT", "/live/x", &[], &whole).await;
    let mut socket = stopped(&node, "/live/x").await;
    let begun = Instant::now();
    let (mut got, mut buffer) = (0, vec![0; 64 << 10]);
    // A little at a time, for longer than the deadline; then the rest at once.
    let mut pauses = tokio::time::interval(DEADLINE / 10);
    while got < whole.len() {
        if begun.elapsed() < DEADLINE * 2 {
            soon(pauses.tick()).await;
            buffer.truncate(4096);
        } else {
            buffer.resize(64 << 10, 0);
        }
        let read = soon(tokio::io::AsyncReadExt::read(&mut socket, &mut buffer)).await.unwrap();
        assert!(read > 0, "cut after {got} bytes");
        got += read;
    }
    assert!(begun.elapsed() > DEADLINE * 2, "read it all too soon to show anything");
    assert_eq!(node.metric("freshet_stalled_writes_total").await, 0);
}

/// A native consumer takes its first part and stops. Meanwhile the stream goes on; then it reads what
/// was on the way to it, and counts that until the newest bytes come.
#[tokio::test]
async fn little_of_a_live_stream_waits_for_a_consumer_that_has_stopped() {
    const COMMITTED_BYTES_MAX: usize = 256 << 10;
    let node = Node::start().await;
    node.post("x", "bytes 0-0/*", b"!").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let socket = soon(socket.connect(node.address)).await.unwrap();
    let mut consumer = Peer::over(socket);
    let fields = [("Content-Range", "bytes */*"), ("Accept", "multipart/byteranges")];
    consumer.request("GET", "/live/x", &fields, b"").await;
    let mut reply = consumer.head().await;
    reply.body = consumer.take(1).await;

    let whole = bytes(8 << 20);
    for (index, chunk) in whole.chunks(16 << 10).enumerate() {
        let at = 1 + index * (16 << 10);
        node.post("x", &format!("bytes {at}-{}/*", at + chunk.len() - 1), chunk).await;
    }
    let end = 1 + whole.len() as u64;
    let mut parts = PartReader::new(boundary_of(reply.field("content-type").unwrap()).unwrap());
    parts.push(reply.body.into());
    let (mut old, mut is_old) = (0, true);
    while is_old {
        match parts.step().unwrap() {
            PartStep::Head(head) => is_old = head.placed.range.end() < end,
            PartStep::Bytes(bytes) => old += bytes.len(),
            PartStep::More => parts.push(consumer.next().await.unwrap().unwrap().into()),
            PartStep::End => panic!("a live stream has no end"),
        }
    }
    assert!(old > 0, "something is always on the way");
    assert!(old < COMMITTED_BYTES_MAX, "{old} bytes waited that had become old");
}
