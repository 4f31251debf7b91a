//! What goes wrong around a distributor, and what its peers see of it.

use freshet_distributor::Durability;

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

#[tokio::test]
async fn without_a_disk_copy_what_left_the_memory_is_gone_and_nobody_is_fooled() {
    let node = Node::with(|config| {
        config.store.data = None;
        config.store.durability = Durability::Memory;
        config.store.ring_bytes = 200_000;
    })
    .await;
    let whole = bytes(1 << 20);
    node.post("x", "bytes 0-99/*", &whole[..100]).await;
    let reply = node.post("x", "bytes 100-1048575/*", &whole[100..]).await;
    assert_eq!(reply.status, 200);
    let from: usize = reply.field("retained-from").unwrap().parse().unwrap();
    assert!((800_000..1_000_000).contains(&from), "{from}");
    assert_eq!(reply.field("content-range"), Some(format!("bytes {from}-1048575/*").as_str()));

    let range = node.ask("GET", "/live/x", &[("Range", "bytes=0-1048575")]).await;
    let placed = format!("bytes {from}-1048575/*");
    assert_eq!(
        (range.field("content-range"), &range.body[..]),
        (Some(placed.as_str()), &whole[from..])
    );
    node.ask("GET", "/live/x", &[("Range", "bytes=0-99")]).await.refused(416);
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=50", &[], b"").await;
    let mut reply = consumer.head().await;
    assert_eq!(reply.field("stream-join"), Some(from.to_string().as_str()));
    assert_eq!(node.post("x", "bytes 0-99/1048576", &[7; 100]).await.status, 200, "dropped");
    consumer.drain(&mut reply).await;
    assert!(reply.ended && reply.body == whole[from..]);
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_still_gives() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"hello").await;
    let node = Node::on(node.stop().await, |config| config.store.min_free_bytes = 1 << 60).await;
    let post = async || {
        let end = node.end("x").await;
        node.post("x", &format!("bytes {end}-{end}/*"), b"!").await
    };
    // It looks at the free space a moment after it began.
    until(async || post().await.status == 507).await;
    let before = node.held("x").await;
    let reply = post().await;
    assert!(reply.refused(507).contains("full"));
    assert_eq!(reply.field("content-range"), Some(before.as_str()));
    assert_eq!(node.held("x").await, before);
    let held = node.ask("GET", "/live/x", &[("Range", "bytes=0-4")]).await;
    assert_eq!(held.text(), "hello");
    node.post("new", "bytes 0-4/*", b"hello").await.refused(507);
    assert_eq!(node.ask("HEAD", "/live/new", &[]).await.status, 404);
}
