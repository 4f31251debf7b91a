//! `GET` and nothing else.

use std::time::Duration;

use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

async fn follow(node: &Node, path: &str) -> (Peer, Reply) {
    let mut consumer = node.connect().await;
    consumer.request("GET", &format!("/live/{path}"), &[], b"").await;
    let reply = consumer.head().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    (consumer, reply)
}

#[tokio::test]
async fn a_complete_stream_comes_with_its_length() {
    let node = Node::start().await;
    let whole = bytes(200_000);
    node.send("PUT", "/live/x", &[], &whole).await;
    let reply = node.ask("GET", "/live/x", &[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("content-length"), Some("200000"));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(reply.body, whole);
    let rest = node.ask("GET", "/live/x?from=199990", &[]).await;
    assert_eq!((rest.field("stream-join"), &rest.body[..]), (Some("199990"), &whole[199_990..]));
    assert_eq!(node.ask("GET", "/live/x?from=200000", &[]).await.body, b"");
    let beyond = node.ask("GET", "/live/x?from=200001", &[]).await;
    beyond.refused(416);
}

#[tokio::test]
async fn a_live_stream_comes_from_where_it_was_asked_for_and_ends_when_it_is_complete() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let mut consumers = Vec::new();
    for (path, join, first) in
        [("x", "5", ""), ("x?from=start", "0", "01234"), ("x?from=3", "3", "34")]
    {
        let (mut consumer, reply) = follow(&node, path).await;
        assert_eq!(reply.field("transfer-encoding"), Some("chunked"), "{path}");
        assert_eq!(reply.field("stream-join"), Some(join), "{path}");
        assert_eq!(reply.field("cache-control"), Some("no-store, no-transform"));
        assert_eq!(consumer.take(first.len()).await, first.as_bytes(), "{path}");
        consumers.push((consumer, reply));
    }
    node.ask("GET", "/live/x?from=6", &[]).await.refused(416);
    assert_eq!(node.metric("freshet_consumers").await, 3);
    node.post("x", "bytes 5-6/7", b"56").await;
    for (mut consumer, mut reply) in consumers {
        consumer.drain(&mut reply).await;
        assert_eq!((reply.text(), reply.ended), ("56".into(), true));
    }
    assert_eq!(node.metric("freshet_cut_deliveries_total").await, 0);
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_404_or_waited_for() {
    let node = Node::start().await;
    let detail = node.ask("GET", "/live/x", &[]).await.refused(404);
    assert!(detail.contains("Prefer: wait=S"), "{detail}");
    node.ask("GET", "/live/x", &[("Prefer", "wait=0")]).await.refused(404);
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[("Prefer", "wait=60")], b"").await;
    node.post("x", "bytes 0-4/5", b"hello").await;
    assert_eq!(consumer.reply("GET").await.text(), "hello");
}

#[tokio::test]
async fn a_hole_is_waited_for_until_it_is_filled() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    node.post("x", "bytes 7-8/9", b"78").await;
    let (mut consumer, mut reply) = follow(&node, "x?from=start").await;
    assert_eq!(consumer.take(5).await, b"01234");
    node.post("x", "bytes 5-6/*", b"56").await;
    consumer.drain(&mut reply).await;
    assert_eq!((reply.text(), reply.ended), ("5678".into(), true));
}

#[tokio::test]
async fn a_hole_that_nobody_fills_cuts_or_is_skipped_as_asked() {
    let node = Node::with(|config| config.bounds.gap_wait = Duration::from_millis(200)).await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    node.post("x", "bytes 7-8/9", b"78").await;
    for (path, text, ended) in [
        ("x?from=start", "01234", false),
        ("x?from=start&behind=close", "01234", false),
        ("x?from=start&behind=skip", "0123478", true),
    ] {
        let (mut consumer, mut reply) = follow(&node, path).await;
        consumer.drain(&mut reply).await;
        assert_eq!((reply.text().as_str(), reply.ended), (text, ended), "{path}");
    }
    assert_eq!(node.metric("freshet_cut_deliveries_total").await, 2);
}

#[tokio::test]
async fn a_hole_is_not_waited_for_longer_because_the_stream_goes_on_behind_it() {
    let node = Node::with(|config| config.bounds.gap_wait = Duration::from_millis(300)).await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let (mut consumer, mut reply) = follow(&node, "x?from=start").await;
    let go_on = async {
        for at in 7.. {
            node.post("x", &format!("bytes {at}-{at}/*"), b"!").await;
        }
    };
    soon(async {
        tokio::select! { () = consumer.drain(&mut reply) => {}, () = go_on => {} }
    })
    .await;
    assert_eq!((reply.text(), reply.ended), ("01234".into(), false));
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_can_tell_a_cut_from_an_end() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let old = async |cut: bool| {
        let mut consumer = node.connect().await;
        consumer.say("GET /live/x?from=start HTTP/1.0\r\n\r\n").await;
        let reply = consumer.head().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("transfer-encoding"), None);
        assert_eq!(reply.field("content-length"), None);
        assert_eq!(consumer.exactly(5).await.unwrap(), b"01234");
        if cut {
            node.ask("DELETE", "/live/x", &[]).await;
        } else {
            node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"").await;
        }
        soon(tokio::io::AsyncReadExt::read(&mut consumer.socket, &mut [0; 5])).await
    };
    assert_eq!(old(false).await.unwrap(), 0, "an end");
    node.ask("DELETE", "/live/x", &[]).await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let cut = old(true).await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn shutdown_cuts_a_live_stream_so_that_the_consumer_can_tell() {
    // At once, not when the time for what is finite is over.
    let node = Node::with(|config| config.bounds.drain = Duration::from_secs(3600)).await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let (mut plain, mut plain_reply) = follow(&node, "x?from=start").await;
    let mut native = node.connect().await;
    let fields = [("Have", "bytes */*"), ("Accept", "multipart/byteranges")];
    native.request("GET", "/live/x", &fields, b"").await;
    let mut native_reply = native.head().await;
    assert_eq!(plain.take(5).await, b"01234");

    node.stop().await;

    plain.drain(&mut plain_reply).await;
    native.drain(&mut native_reply).await;
    assert!(!plain_reply.ended && !native_reply.ended, "no last chunk: cut, not ended");
    assert!(!native_reply.parts().1, "no closing boundary either");
}

#[tokio::test]
async fn a_late_consumer_is_served_from_the_disk_byte_for_byte() {
    let node = Node::with(|config| config.store.ring_bytes = 200_000).await;
    let whole = bytes(5 << 20);
    node.post("x", "bytes 0-5242879/*", &whole).await;
    let (mut consumer, mut reply) = follow(&node, "x?from=start").await;
    node.send("POST", "/live/x", &[("Content-Range", "bytes */5242880")], b"").await;
    consumer.drain(&mut reply).await;
    assert!(reply.ended);
    assert_eq!(reply.body, whole);
}

#[tokio::test]
async fn a_consumer_that_falls_out_of_memory_lags_skips_or_is_cut_as_asked() {
    let node = Node::with(|config| config.store.ring_bytes = 300_000).await;
    let whole = bytes(24 << 20);
    node.post("x", "bytes 0-9/*", &whole[..10]).await;
    let mut consumers = Vec::new();
    for behind in ["lag", "skip", "close"] {
        let (mut consumer, reply) = follow(&node, &format!("x?from=start&behind={behind}")).await;
        assert_eq!(consumer.take(10).await, &whole[..10]);
        consumers.push((behind, consumer, reply));
    }
    // They read nothing while more passes than the sockets can hold.
    for start in (0..whole.len()).step_by(1 << 20) {
        let (from, to) = (start.max(10), start + (1 << 20));
        let range = format!("bytes {from}-{}/*", to - 1);
        assert_eq!(node.post("x", &range, &whole[from..to]).await.status, 200);
    }
    let mut end = 24 << 20;
    let (_, skip, _) = &mut consumers[1];
    let mark = b"here is the edge";
    let seen = async {
        let mut seen = 10;
        loop {
            let bytes = skip.next().await.unwrap().unwrap();
            seen += bytes.len();
            if bytes.ends_with(mark) {
                return seen;
            }
        }
    };
    let go_on = async {
        loop {
            node.post("x", &format!("bytes {end}-{}/*", end + 15), mark).await;
            end += 16;
        }
    };
    let seen = soon(async {
        tokio::select! { seen = seen => seen, () = go_on => 0 }
    })
    .await;
    assert!((10..20 << 20).contains(&seen), "{seen} bytes, and it was to skip most of them");

    let (_, close, reply) = &mut consumers[2];
    close.drain(reply).await;
    assert!(!reply.ended, "cut");
    // The last of those posts was given up, and may still be under way.
    until(async || {
        let complete = format!("bytes */{}", node.end("x").await);
        let reply = node.send("POST", "/live/x", &[("Content-Range", &complete)], b"").await;
        reply.status == 200
    })
    .await;
    let (_, lag, reply) = &mut consumers[0];
    lag.drain(reply).await;
    assert!(reply.ended);
    let (body, marks) = reply.body.split_at(whole.len() - 10);
    assert!(body == &whole[10..] && marks.ends_with(mark), "byte for byte");
}

#[tokio::test]
async fn a_digest_proves_a_copy_once_the_stream_is_complete() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"hello").await;
    let want = [("Want-Repr-Digest", "sha-256=1")];
    assert_eq!(node.ask("HEAD", "/live/x", &want).await.field("repr-digest"), None);
    node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"").await;
    for method in ["HEAD", "GET"] {
        let reply = node.ask(method, "/live/x", &want).await;
        assert_eq!(
            reply.field("repr-digest"),
            Some("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"),
            "{method}"
        );
    }
    let other = [("Want-Repr-Digest", "sha-512=3, sha-256=0")];
    assert_eq!(node.ask("HEAD", "/live/x", &other).await.field("repr-digest"), None);
}
