//! A body of chunks whose beginning is relayed is read on past hyper: whatever can happen to one from then on.

use crate::{
    node::{Node, bytes, soon, until},
    peer::Peer,
};

async fn until_end(node: &Node, end: u64) {
    let held = format!("bytes 0-{}/*", end - 1);
    until(async || {
        let head = node.ask("HEAD", "/live/x", &[]).await;
        head.field("content-range") == Some(held.as_str())
    })
    .await;
}

/// A POST whose first five bytes are relayed, and which goes on.
async fn going_on(node: &Node, fields: &str) -> Peer {
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", fields).await;
    origin.chunk(b"hello").await;
    until_end(node, 5).await;
    origin
}

async fn range(node: &Node, end: usize) -> Vec<u8> {
    let range = format!("bytes=0-{}", end - 1);
    node.ask("GET", "/live/x", &[("Range", &range)]).await.body
}

#[tokio::test]
async fn bytes_are_relayed_however_chunks_are_cut_on_their_way() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    let more = bytes(30_000);
    let mut body = Vec::new();
    for part in more.chunks(997) {
        body.extend(format!("{:x};of=no\"use\"\r\n", part.len()).into_bytes());
        body.extend(part);
        body.extend(b"\r\n");
    }
    // No piece ends where a chunk does, for long.
    let (slowly, at_once) = body.split_at(3_500);
    for piece in slowly.chunks(501) {
        origin.say(piece).await;
        tokio::task::yield_now().await;
    }
    until(async || node.end("x").await > 3_000).await;
    origin.say(at_once).await;
    until_end(&node, 30_005).await;

    assert_eq!(range(&node, 30_005).await, [b"hello", more.as_slice()].concat());
}

#[tokio::test]
async fn half_a_chunk_is_relayed_before_its_other_half_is_there() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    for (piece, end) in [("a\r\nwor", 8), ("ld", 10), ("12345\r", 15), ("\n1\r\n!\r\n", 16)] {
        origin.say(piece).await;
        until_end(&node, end).await;
    }
    assert_eq!(range(&node, 16).await, b"helloworld12345!");
}

#[tokio::test]
async fn hyper_goes_on_with_trailers_and_with_the_next_request() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    origin.chunk(b"world").await;
    until_end(&node, 10).await;

    let next = "POST /live/x HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    origin.say(format!("3\r\n, a\r\n0\r\nTrailer: of no use\r\n\r\n{next}")).await;
    let first = origin.reply("POST").await;
    assert_eq!((first.status, first.field("content-range")), (201, Some("bytes 0-12/*")));

    // Twice over one connection.
    for (chunk, end) in [(b"nd m", 17), (b"ore.", 21)] {
        origin.chunk(chunk).await;
        until_end(&node, end).await;
    }
    origin.chunk(b"").await;
    assert_eq!(origin.reply("POST").await.status, 200);
    origin.request("HEAD", "/live/x", &[], b"").await;
    assert_eq!(origin.reply("HEAD").await.field("content-range"), Some("bytes 0-20/*"));
    assert_eq!(range(&node, 21).await, b"helloworld, and more.");
}

#[tokio::test]
async fn a_chunk_without_a_form_is_refused_and_what_came_stays() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    origin.say("5\r\nworldand more\r\n").await;

    let reply = origin.reply("POST").await;

    let detail = reply.refused(400);
    assert!(detail.contains("cut after 10 bytes"), "{detail}");
    assert!(origin.is_closed().await);
    assert_eq!(node.held("x").await, "bytes 0-9/*");
}

#[tokio::test]
async fn more_than_was_announced_is_refused() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "Content-Range: bytes 0-9/*\r\n").await;
    origin.chunk(b"wor").await;
    until_end(&node, 8).await;
    origin.chunk(b"ld!").await;

    let reply = origin.reply("POST").await;

    assert!(reply.refused(400).contains("10 bytes"));
    assert!(origin.is_closed().await);
}

#[tokio::test]
async fn an_origin_that_is_gone_in_the_middle_of_a_chunk_leaves_what_came() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "Origin-Id: a\r\n").await;
    origin.say("5\r\nwor").await;
    drop(origin);
    until(async || node.held("x").await == "bytes 0-7/*").await;

    let fields = [("Origin-Id", "a"), ("Content-Range", "bytes 8-9/*")];
    assert_eq!(node.send("POST", "/live/x", &fields, b"ld").await.status, 200);
    assert_eq!(range(&node, 10).await, b"helloworld");
}

#[tokio::test]
async fn an_origin_that_only_half_closes_is_told() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    let std = origin.socket.into_std().unwrap();
    std.shutdown(std::net::Shutdown::Write).unwrap();
    origin = Peer::over(tokio::net::TcpStream::from_std(std).unwrap());

    let reply = origin.reply("POST").await;

    assert!(reply.refused(400).contains("cut after 5 bytes"));
    assert_eq!(node.held("x").await, "bytes 0-4/*");
}

#[tokio::test]
async fn the_distributor_can_stop() {
    let node = Node::start().await;
    let mut origin = going_on(&node, "").await;
    let stopping = soon(node.stop());
    let (_data, reply) = tokio::join!(stopping, origin.reply("POST"));
    assert!(reply.refused(503).contains("stopping"));
}
