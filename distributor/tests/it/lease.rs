//! One writer at a time.

use std::time::Duration;

use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

/// A POST of an origin that goes on.
async fn posting(node: &Node, fields: &str, first: &[u8]) -> Peer {
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", fields).await;
    origin.chunk(first).await;
    let wanted = format!("bytes 0-{}/*", first.len() - 1);
    until(async || {
        let head = node.ask("HEAD", "/live/x", &[]).await;
        head.field("content-range") == Some(wanted.as_str())
    })
    .await;
    origin
}

async fn post_as(node: &Node, id: &str, range: &str, bytes: &[u8]) -> Reply {
    node.send("POST", "/live/x", &[("Origin-Id", id), ("Content-Range", range)], bytes).await
}

#[tokio::test]
async fn another_origin_may_only_send_what_is_held() {
    let node = Node::start().await;
    let _first = posting(&node, "Origin-Id: a\r\n", b"hello").await;

    let other = post_as(&node, "b", "bytes 5-9/*", b"world").await;
    other.refused(409);
    assert_eq!(other.field("retry-after"), Some("10"));
    assert_eq!(other.field("content-range"), Some("bytes 0-4/*"));
    assert_eq!(post_as(&node, "b", "bytes 1-3/*", b"ell").await.status, 200, "a hot standby");
    post_as(&node, "b", "bytes 1-3/*", b"ELL").await.refused(409);
    post_as(&node, "b", "bytes 3-5/*", b"lo!").await.refused(409);
    assert_eq!(node.held("x").await, "bytes 0-4/*");
}

#[tokio::test]
async fn another_origin_takes_over_when_the_lease_has_run_out() {
    let node = Node::with(|config| config.store.lease = Duration::from_millis(300)).await;
    post_as(&node, "a", "bytes 0-4/*", b"hello").await;
    assert_eq!(post_as(&node, "b", "bytes 5-9/*", b"world").await.status, 409);
    until(async || post_as(&node, "b", "bytes 5-9/*", b"world").await.status == 200).await;
    post_as(&node, "a", "bytes 10-10/*", b"!").await.refused(409);
}

#[tokio::test]
async fn the_same_origin_is_never_locked_out_and_its_zombie_adds_nothing() {
    let node = Node::start().await;
    let mut zombie = posting(&node, "Origin-Id: a\r\n", b"hello").await;

    let newer = post_as(&node, "a", "bytes 5-9/*", b"world").await;
    assert_eq!(newer.status, 200);

    // Told at once, though it sends nothing.
    let told = zombie.reply("POST").await;
    assert!(told.refused(409).contains("newer request"), "{told:?}");
    assert_eq!(told.field("connection"), Some("close"));
    let _ = tokio::io::AsyncWriteExt::write_all(&mut zombie.socket, b"5\r\nWORLD\r\n").await;
    assert!(zombie.is_closed().await);
    assert_eq!(node.held("x").await, "bytes 0-9/*");
    let reply = node.ask("GET", "/live/x", &[("Range", "bytes=0-9")]).await;
    assert_eq!(reply.text(), "helloworld");
}

#[tokio::test]
async fn a_nameless_request_keeps_the_stream_only_while_it_runs() {
    let node = Node::start().await;
    let mut first = posting(&node, "", b"hello").await;
    node.send("POST", "/live/x", &[], b"world").await.refused(409);
    first.chunk(b"").await;
    assert_eq!(first.reply("POST").await.status, 201);
    assert_eq!(node.send("POST", "/live/x", &[], b"world").await.status, 200);
    assert_eq!(node.held("x").await, "bytes 0-9/*");
}

#[tokio::test]
async fn deleting_a_stream_ends_its_origin_and_its_consumers() {
    let node = Node::start().await;
    let mut origin = posting(&node, "", b"hello").await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[], b"").await;
    let mut reply = consumer.head().await;
    assert_eq!(consumer.take(5).await, b"hello");

    assert_eq!(node.ask("DELETE", "/live/x", &[]).await.status, 204);

    consumer.drain(&mut reply).await;
    assert!(!reply.ended, "cut, not ended");
    origin.reply("POST").await.refused(409);
}

#[tokio::test]
async fn of_two_origins_that_race_for_a_byte_one_wins_and_the_other_is_told() {
    let node = Node::with(|config| config.store.lease = Duration::ZERO).await;
    let (ours, theirs) = (bytes(1000), vec![0xff; 1000]);
    let (mut won, mut lost) = (0, 0);
    for at in 0..1000_u64 {
        let index = usize::try_from(at).unwrap();
        let range = format!("bytes {at}-{at}/*");
        let (one, other) = tokio::join!(
            post_as(&node, "a", &range, &ours[index..=index]),
            post_as(&node, "b", &range, &theirs[index..=index]),
        );
        for status in [one.status, other.status] {
            match status {
                200 | 201 => won += 1,
                409 => lost += 1,
                other => panic!("{other}"),
            }
        }
        let held = node.ask("GET", "/live/x", &[("Range", &format!("bytes={at}-{at}"))]).await.body;
        let expected = if one.status == 409 { &theirs } else { &ours };
        assert_eq!(held, expected[index..=index], "{at}: {one:?} {other:?}");
    }
    assert!(won >= 1000 && won + lost == 2000, "{won} won, {lost} lost");
}

#[tokio::test]
async fn a_silent_consumer_stays_through_a_change_of_origin() {
    let node = Node::start().await;
    let mut first = posting(&node, "", b"hello").await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[], b"").await;
    consumer.head().await;
    consumer.take(5).await;
    soon(tokio::io::AsyncWriteExt::shutdown(&mut first.socket)).await.unwrap();
    drop(first);
    until(async || node.send("POST", "/live/x", &[], b"world").await.status == 200).await;
    assert_eq!(consumer.take(5).await, b"world");
}
