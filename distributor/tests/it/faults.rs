//! What goes wrong around a distributor, and what its peers see of it.

use crate::node::{Node, bytes, soon, until};

#[tokio::test]
async fn a_restarted_distributor_has_every_stream_where_it_was() {
    let node = Node::start().await;
    let whole = bytes(700_000);
    let etag = node.send("PUT", "/live/a/b", &[("Content-Type", "x/y")], &whole).await;
    node.post("live", "bytes 0-4/*", b"hello").await;
    node.post("live", "bytes 10-14/*", b"world").await;

    let node = Node::on(node.stop().await, |_| {}).await;

    let reply = node.ask("GET", "/live/a/b", &[]).await;
    assert_eq!(reply.body, whole);
    assert_eq!(reply.field("etag"), etag.field("etag"));
    assert_eq!(reply.field("content-type"), Some("x/y"));
    assert_eq!(node.held("live").await, "bytes 0-4,10-14/*");
    assert_eq!(node.post("live", "bytes 5-9/15", b", my ").await.status, 200);
    assert_eq!(node.ask("GET", "/live/live", &[]).await.text(), "hello, my world");
}

#[tokio::test]
async fn what_was_acknowledged_while_it_stopped_is_there_afterwards() {
    let node = Node::start().await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", "").await;
    origin.chunk(&bytes(100_000)).await;
    until(async || {
        node.ask("HEAD", "/live/x", &[]).await.field("content-range") == Some("bytes 0-99999/*")
    })
    .await;

    let (data, reply) = tokio::join!(node.stop(), soon(origin.reply("POST")));

    reply.refused(503);
    assert_eq!(reply.field("content-range"), Some("bytes 0-99999/*"));
    assert!(reply.field("retry-after").is_some());
    let node = Node::on(data, |_| {}).await;
    assert_eq!(node.held("x").await, "bytes 0-99999/*");
}

#[tokio::test]
async fn a_finite_reply_ends_though_the_distributor_stops() {
    let node = Node::start().await;
    let whole = bytes(6 << 20);
    node.send("PUT", "/live/x", &[], &whole).await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x", &[], b"").await;
    let head = consumer.head().await;
    assert_eq!(head.field("content-length"), Some("6291456"));

    let (_, body) = tokio::join!(node.stop(), consumer.exactly(whole.len()));

    assert!(body.unwrap() == whole);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_without_harm() {
    let node = Node::start().await;
    let mut lost = node.connect().await;
    let fields = [("Content-Range", "bytes 0-4/*"), ("Origin-Id", "a")];
    lost.request("POST", "/live/x", &fields, b"hello").await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;
    drop(lost);
    let again = node.send("POST", "/live/x", &fields, b"hello").await;
    assert!(matches!(again.status, 200 | 201), "{again:?}");
    assert_eq!(node.held("x").await, "bytes 0-4/*");
}

#[tokio::test]
async fn an_origin_that_falls_silent_is_given_up_and_another_goes_on() {
    let node = Node::with(|config| {
        config.bounds.body_grace = std::time::Duration::from_millis(300);
        config.store.lease = std::time::Duration::from_millis(100);
    })
    .await;
    let mut silent = node.connect().await;
    silent.begin_post("/live/x", "Origin-Id: a\r\n").await;
    silent.chunk(b"hello").await;
    until(async || {
        node.ask("HEAD", "/live/x", &[]).await.field("content-range") == Some("bytes 0-4/*")
    })
    .await;
    until(async || {
        let fields = [("Origin-Id", "b"), ("Content-Range", "bytes 5-9/*")];
        node.send("POST", "/live/x", &fields, b"world").await.status == 200
    })
    .await;
    let reply = silent.reply("POST").await;
    assert!(matches!(reply.status, 408 | 409), "{reply:?}");
    assert_eq!(node.held("x").await, "bytes 0-9/*");
}
