//! Sources that come and go: who stays, who is cut, and who goes on.

use std::time::Duration;

use crate::{
    node::{Node, bytes, until},
    peer::{Peer, Reply},
};

/// Consumers of every kind that goes on: plain, native, RFC 8673, and the timeline's.
const KINDS: [(&str, &[(&str, &str)]); 4] = [
    ("/live/x?from=start", &[]),
    ("/live/x?backfill=all", &[("Have", "bytes */*"), ("Accept", "multipart/byteranges")]),
    ("/live/x", &[("Range", "bytes=0-9007199254740991")]),
    ("/index/x?follow=1", &[]),
];

async fn join(node: &Node, (path, fields): (&str, &[(&str, &str)])) -> (Peer, Reply) {
    let mut consumer = node.connect().await;
    consumer.request("GET", path, fields, b"").await;
    let reply = consumer.head().await;
    assert!(reply.status < 300, "{path}: {reply:?}");
    (consumer, reply)
}

/// What a reply has brought of the stream.
fn taken(path: &str, reply: &Reply) -> Vec<u8> {
    if path.contains("backfill") {
        let (mut parts, _) = reply.parts();
        parts.sort_by_key(|(head, _)| head.placed.range.start());
        return parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    }
    reply.body.clone()
}

async fn post(node: &Node, origin: &str, range: &str, bytes: &[u8]) -> Reply {
    let fields = [("Content-Range", range), ("Origin-Id", origin)];
    node.send("POST", "/live/x", &fields, bytes).await
}

#[tokio::test]
async fn a_new_origin_takes_over_from_a_silent_one_and_consumers_go_on_byte_for_byte() {
    let node = Node::with(|config| config.store.lease = Duration::from_millis(50)).await;
    let media = bytes(100_000);
    let mut first = node.connect().await;
    first.begin_post("/live/x", "Content-Range: bytes 0-99999/100000\r\nOrigin-Id: a\r\n").await;
    first.chunk(&media[..40_000]).await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;
    until(async || node.end("x").await == 40_000).await;
    let mut consumers = Vec::new();
    for kind in KINDS {
        consumers.push((kind.0, join(&node, kind).await));
    }

    drop(first);
    let rest = &media[40_000..];
    until(async || post(&node, "b", "bytes 40000-99999/100000", rest).await.status == 200).await;

    for (path, (mut consumer, mut reply)) in consumers {
        consumer.drain(&mut reply).await;
        assert!(reply.ended, "{path}");
        if path.starts_with("/live/") {
            assert!(taken(path, &reply) == media, "{path}: {} bytes", reply.body.len());
        }
    }
}

#[tokio::test]
async fn without_an_origin_consumers_are_cut_when_they_have_lingered_and_the_stream_stays() {
    let node = Node::with(|config| config.store.linger = Duration::from_millis(200)).await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    // Twice: who comes again waits as long once more, and no longer.
    for _ in 0..2 {
        for kind in KINDS {
            let (mut consumer, mut reply) = join(&node, kind).await;
            consumer.drain(&mut reply).await;
            assert!(!reply.ended, "{}: a cut is no end", kind.0);
            if kind.0.starts_with("/live/") {
                assert_eq!(taken(kind.0, &reply), b"01234", "{}", kind.0);
            }
        }
    }
    assert_eq!(node.held("x").await, "bytes 0-4/*");
    node.post("x", "bytes 5-6/7", b"56").await;
    assert_eq!(node.ask("GET", "/live/x", &[]).await.text(), "0123456");
}

#[tokio::test]
async fn an_origin_that_is_connected_and_silent_keeps_its_consumers() {
    let node = Node::with(|config| config.store.linger = Duration::from_millis(100)).await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", "").await;
    origin.chunk(b"01234").await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;
    let (mut consumer, mut reply) = join(&node, KINDS[0]).await;
    assert_eq!(consumer.take(5).await, b"01234");
    // Others linger for their time, one after the other.
    node.post("y", "bytes 0-0/*", b"y").await;
    for _ in 0..3 {
        assert!(!node.ask("GET", "/live/y?from=start", &[]).await.ended);
    }

    origin.chunk(b"56789").await;

    assert_eq!(consumer.take(5).await, b"56789");
    drop(origin);
    consumer.drain(&mut reply).await;
    assert!(!reply.ended);
}

#[tokio::test]
async fn another_incarnation_is_told_by_its_etag_and_ends_the_replies_of_the_old_one() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let etag = node.ask("HEAD", "/live/x", &[]).await.field("etag").unwrap().to_owned();
    let mut consumers = Vec::new();
    for kind in KINDS {
        consumers.push((kind.0, join(&node, kind).await));
    }

    assert_eq!(node.ask("DELETE", "/live/x", &[]).await.status, 204);
    node.post("x", "bytes 0-4/5", b"other").await;

    for (path, (mut consumer, mut reply)) in consumers {
        consumer.drain(&mut reply).await;
        assert!(!reply.ended, "{path}");
        assert_eq!(reply.field("etag"), Some(etag.as_str()), "{path}");
        assert!(!reply.text().contains("other"), "{path}");
    }
    let now = node.ask("GET", "/live/x", &[]).await;
    assert_ne!(now.field("etag"), Some(etag.as_str()));
    assert_eq!(now.text(), "other");
    let fields = [("If-Match", etag.as_str()), ("Have", "bytes 0-4/*")];
    node.ask("GET", "/live/x", &fields).await.refused(412);
}
