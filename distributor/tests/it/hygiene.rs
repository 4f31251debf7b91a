//! What hyper leaves to us, each line over a raw socket.

use std::{io::ErrorKind, time::Duration};

use tokio::io::AsyncWriteExt;

use crate::{
    node::{Node, soon, until},
    peer::Peer,
};

/// One raw request on a connection of its own; its refusal's detail.
async fn refused(node: &Node, head: &str, status: u16) -> String {
    let mut peer = node.connect().await;
    peer.say(head).await;
    let reply = peer.reply("GET").await;
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "{reply:?}");
    reply.refused(status)
}

#[tokio::test]
async fn a_host_is_missing_doubled_or_none_at_all() {
    let node = Node::start().await;
    for fields in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: u@h\r\n", "Host:\r\n"] {
        let detail = refused(&node, &format!("GET /healthz HTTP/1.1\r\n{fields}\r\n"), 400).await;
        assert!(detail.contains("Host"), "{detail}");
    }
    let mut old = node.connect().await;
    old.say("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.reply("GET").await.status, 200, "HTTP/1.0 needs no Host");
}

#[tokio::test]
async fn a_body_has_one_framing_and_it_is_a_plain_one() {
    let node = Node::start().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    for fields in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        &format!("{chunked}Content-Length: 5\r\n"),
        &format!("Content-Length: 5\r\n{chunked}"),
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
    ] {
        let head = format!("POST /live/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n0\r\n\r\n");
        let mut peer = node.connect().await;
        peer.say(head).await;
        let reply = peer.reply("POST").await;
        reply.refused(400);
        assert_eq!(reply.field("connection"), Some("close"), "{fields}");
        assert!(peer.is_closed().await, "{fields}");
    }
    assert_eq!(node.ask("HEAD", "/live/x", &[]).await.status, 404, "nothing was kept");
}

#[tokio::test]
async fn two_framings_are_seen_on_a_connection_that_was_used_before() {
    let node = Node::start().await;
    let mut peer = node.connect().await;
    for _ in 0..2 {
        peer.request("GET", "/healthz", &[], b"").await;
        assert_eq!(peer.reply("GET").await.status, 200);
    }
    peer.say("POST /live/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n").await;
    peer.say("Content-Length: 5\r\n\r\n0\r\n\r\n").await;
    peer.reply("POST").await.refused(400);
}

#[tokio::test]
async fn an_encoded_body_is_not_taken() {
    let node = Node::start().await;
    let fields = [("Content-Encoding", "gzip")];
    let reply = node.send("POST", "/live/x", &fields, b"abc").await;
    reply.refused(415);
    assert_eq!(reply.field("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_head_has_bounds() {
    let node = Node::start().await;
    let head = |fields: &str| format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    refused(&node, &head(&"A: b\r\n".repeat(64)), 431).await;
    refused(&node, &head(&format!("A: {}\r\n", "b".repeat(17 << 10))), 431).await;
    refused(&node, &head(&format!("A: {}\r\n", "b".repeat(1 << 20))), 431).await;
    let target = format!("GET /healthz?{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(5 << 10));
    refused(&node, &target, 414).await;
    let mut peer = node.connect().await;
    peer.say(head(&"A: b\r\n".repeat(63))).await;
    assert_eq!(peer.reply("GET").await.status, 200, "64 fields are few enough");
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let node = Node::start().await;
    for head in ["\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: h\r\n\r\n"] {
        refused(&node, head, 400).await;
    }
    let mut peer = node.connect().await;
    peer.request("GET", "/healthz", &[], b"").await;
    assert_eq!(peer.reply("GET").await.status, 200);
    peer.say("BAD \0 LINE\r\n\r\n").await;
    peer.reply("GET").await.refused(400);
}

#[tokio::test]
async fn a_role_that_contradicts_the_method_is_refused() {
    let node = Node::start().await;
    for (method, role) in [("POST", "consumer"), ("GET", "origin"), ("GET", "king")] {
        let reply = node.ask(method, "/live/x", &[("Connection-Type", role)]).await;
        assert!(reply.refused(400).contains(role));
    }
    let reply = node.ask("OPTIONS", "/live/x", &[("Connection-Type", "origin")]).await;
    reply.refused(404);
    let twice = [("Connection-Type", "origin"), ("Connection-Type", "origin")];
    node.ask("POST", "/live/x", &twice).await.refused(400);
}

#[tokio::test]
async fn a_head_that_does_not_end_and_a_connection_that_says_nothing_are_closed() {
    let node = Node::with(|config| config.bounds.idle = Duration::from_millis(200)).await;
    let (mut silent, mut slow, mut idle) =
        (node.connect().await, node.connect().await, node.connect().await);
    slow.say("GET /healthz HTTP/1.1\r\nHost: h\r\nA:").await;
    idle.request("GET", "/healthz", &[], b"").await;
    assert_eq!(idle.reply("GET").await.status, 200);

    assert!(silent.is_closed().await);
    assert!(slow.is_closed().await);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn a_body_slower_than_the_floor_is_given_up_and_what_came_stays() {
    let node = Node::with(|config| config.bounds.body_grace = Duration::from_millis(300)).await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", "").await;
    origin.chunk(b"hello").await;

    let reply = origin.reply("POST").await;

    let detail = reply.refused(408);
    assert!(detail.contains("500 bytes a second"), "{detail}");
    assert!(origin.is_closed().await);
    assert_eq!(node.held("x").await, "bytes 0-4/*");
}

#[tokio::test]
async fn an_early_refusal_is_read_by_a_sender_that_sends_all_the_same() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/10", &[7; 10]).await;
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let mut origin = node.connect().await;
        origin
            .say(format!(
                "POST /live/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\
                 Content-Range: bytes 10-100000009/*\r\n\r\nffffff\r\n"
            ))
            .await;
        soon(origin.socket.readable()).await.unwrap();
        // The reply is there, and not looked at yet: a reset would make one of these fail.
        for _ in 0..9 {
            origin.say(vec![0; 100_000]).await;
        }
        let reply = origin.reply("POST").await;
        assert!(reply.refused(409).contains("past the complete length"));
        assert_eq!(reply.field("connection"), Some("close"));
    }
}

/// Send, as curl does, for as long as the kernel takes it, and look for a reply only when it does not.
async fn push_blindly(peer: &Peer) {
    let bytes = vec![0; 64 << 10];
    loop {
        match peer.socket.try_write(&bytes) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::select! {
                biased;
                reply = soon(peer.socket.readable()) => return reply.unwrap(),
                more = peer.socket.writable() => more.unwrap(),
            },
            Err(error) => panic!("the reply is lost: {error}"),
        }
    }
}

#[tokio::test]
async fn an_early_refusal_is_read_by_a_sender_that_looks_up_only_when_it_has_to_wait() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/10", &[7; 10]).await;
    let mut origin = node.connect().await;
    let head = "POST /live/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000000\r\n\r\n";
    origin.say(head).await;
    push_blindly(&origin).await;
    let reply = origin.reply("POST").await;
    assert!(reply.refused(409).contains("past the complete length"), "{reply:?}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_so_that_its_sender_can_read_it() {
    let node = Node::start().await;
    let mut peer = node.connect().await;
    peer.say(format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "b".repeat(20_000))).await;
    soon(peer.socket.readable()).await.unwrap();
    for _ in 0..9 {
        peer.say(vec![b'b'; 100_000]).await;
    }
    peer.reply("GET").await.refused(431);
}

#[tokio::test]
async fn a_small_refused_body_does_not_cost_the_connection() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/10", &[7; 10]).await;
    let mut origin = node.connect().await;
    for _ in 0..3 {
        origin
            .request("POST", "/live/x", &[("Content-Range", "bytes 0-99999/*")], &[8; 100_000])
            .await;
        let reply = origin.reply("POST").await;
        reply.refused(409);
        assert_eq!(reply.field("connection"), None, "{reply:?}");
    }
}

#[tokio::test]
async fn a_peer_that_half_closes_still_gets_its_answer() {
    let node = Node::start().await;
    let mut peer = node.connect().await;
    peer.request("POST", "/live/x", &[], b"hello").await;
    soon(peer.socket.shutdown()).await.unwrap();
    assert_eq!(peer.reply("POST").await.status, 201);

    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[], b"").await;
    soon(consumer.socket.shutdown()).await.unwrap();
    assert_eq!(consumer.head().await.status, 200);
    assert_eq!(consumer.take(5).await, b"hello");
    node.post("x", "bytes 5-5/6", b"!").await;
    assert_eq!(consumer.next().await, Ok(Some(b"!".to_vec())));
    assert_eq!(consumer.next().await, Ok(None));
}

#[tokio::test]
async fn a_consumer_whose_system_reset_the_connection_is_let_go_though_nothing_is_sent() {
    let node = Node::start().await;
    node.post("x", "bytes 0-0/*", b"a").await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[], b"").await;
    consumer.head().await;
    consumer.take(1).await;
    assert_eq!(node.metric("freshet_consumers").await, 1);

    socket2::SockRef::from(&consumer.socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(consumer);

    until(async || node.metric("freshet_consumers").await == 0).await;
}

#[tokio::test]
async fn a_connection_says_how_long_it_is_kept_and_ends_when_asked_to() {
    let node = Node::with(|config| config.bounds.requests_max = 2).await;
    let mut peer = node.connect().await;
    peer.request("GET", "/healthz", &[], b"").await;
    let first = peer.reply("GET").await;
    assert_eq!(first.field("keep-alive"), Some("timeout=30, max=1"));
    peer.request("GET", "/healthz", &[], b"").await;
    let last = peer.reply("GET").await;
    assert_eq!(last.field("connection"), Some("close"));
    assert!(peer.is_closed().await);

    let mut peer = node.connect().await;
    peer.request("GET", "/healthz", &[("Connection", "close")], b"").await;
    assert_eq!(peer.reply("GET").await.field("connection"), Some("close"));
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on_or_refused_at_once() {
    let node = Node::start().await;
    let mut origin = node.connect().await;
    let head = |range: &str| {
        format!(
            "POST /live/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\
             Content-Range: {range}\r\n\r\n"
        )
    };
    origin.say(head("bytes 0-4/5")).await;
    let mut go_on = [0; 25];
    soon(tokio::io::AsyncReadExt::read_exact(&mut origin.socket, &mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    origin.say("hello").await;
    assert_eq!(origin.reply("POST").await.status, 201);

    origin.say(head("bytes 5-9/10")).await;
    let mut first = [0; 12];
    soon(tokio::io::AsyncReadExt::read_exact(&mut origin.socket, &mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 409");
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/5", b"hello").await;
    let mut peer = node.connect().await;
    let get = "GET /live/x HTTP/1.1\r\nHost: h\r\n\r\n";
    let post = "POST /live/y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    peer.say([get, post, get].concat()).await;
    assert_eq!(peer.reply("GET").await.body, b"hello");
    assert_eq!(peer.reply("POST").await.status, 201);
    assert_eq!(peer.reply("GET").await.body, b"hello");
}
