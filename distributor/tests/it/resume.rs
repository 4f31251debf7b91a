//! `resume=1`: a live stream in the shape of a file, which players go on with after a cut.

use crate::{
    node::{Node, bytes},
    peer::{Peer, Reply},
};

const VIRTUAL: &str = "9007199254740990/9007199254740991";

async fn begin(node: &Node, query: &str, fields: &[(&str, &str)]) -> (Peer, Reply) {
    let mut player = node.connect().await;
    player.request("GET", &format!("/live/x?{query}"), fields, b"").await;
    let reply = player.head().await;
    (player, reply)
}

#[tokio::test]
async fn a_live_stream_has_a_length_that_it_never_reaches_and_is_the_streams_own_bytes() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let mut players = Vec::new();
    for (query, range, from) in [
        ("resume=1", None, 0),
        ("resume=1", Some("bytes=0-"), 0),
        ("resume=1&from=live", Some("bytes=0-"), 0),
        ("resume=1&from=start", None, 0),
        ("resume=1&from=2", None, 2),
        ("from=2&resume=1", Some("bytes=4-"), 4),
        ("resume=1", Some("bytes=5-"), 5),
    ] {
        let fields = range.map(|range| ("Range", range));
        let (mut player, reply) = begin(&node, query, fields.as_slice()).await;
        assert_eq!(reply.status, 206, "{query} {range:?}: {reply:?}");
        let placed = format!("bytes {from}-{VIRTUAL}");
        assert_eq!(reply.field("content-range"), Some(placed.as_str()), "{query} {range:?}");
        assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
        assert_eq!(reply.field("accept-ranges"), Some("bytes"));
        assert_eq!(reply.field("cache-control"), Some("no-store, no-transform"));
        assert_eq!(reply.field("x-accel-buffering"), Some("no"));
        assert_eq!(player.take(5 - from).await, &b"01234"[from..]);
        players.push((player, reply));
    }
    node.post("x", "bytes 5-6/7", b"56").await;
    for (mut player, mut reply) in players {
        player.drain(&mut reply).await;
        assert_eq!((reply.text(), reply.ended), ("56".into(), true));
    }
}

#[tokio::test]
async fn where_players_look_for_the_end_of_a_file_is_416_at_once_on_the_same_connection() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let mut player = node.connect().await;
    for range in ["bytes=9007199254740803-", "bytes=9007199254000000-", "bytes=-188", "bytes=-1"] {
        let fields = [("Range", range), ("Prefer", "wait=60")];
        player.request("GET", "/live/x?resume=1", &fields, b"").await;
        let reply = player.reply("GET").await;
        reply.refused(416);
        assert_eq!(reply.field("content-range"), Some("bytes */5"), "{range}");
        assert_eq!(reply.field("connection"), None);
    }
}

#[tokio::test]
async fn a_player_that_is_ahead_after_a_kill_waits_for_the_bytes_to_come_again() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let (mut player, mut reply) = begin(&node, "resume=1", &[("Range", "bytes=7-")]).await;
    let placed = format!("bytes 7-{VIRTUAL}");
    assert_eq!((reply.status, reply.field("content-range")), (206, Some(placed.as_str())));

    node.post("x", "bytes 5-8/9", b"5678").await;

    player.drain(&mut reply).await;
    assert_eq!((reply.text(), reply.ended), ("78".into(), true));
}

#[tokio::test]
async fn once_the_stream_is_complete_its_true_length_is_told() {
    let node = Node::start().await;
    let whole = bytes(1000);
    node.send("PUT", "/live/x", &[], &whole).await;
    let asked = async |range: Option<&str>| {
        let fields = range.map(|range| ("Range", range));
        node.ask("GET", "/live/x?resume=1", fields.as_slice()).await
    };
    let reply = asked(None).await;
    assert_eq!((reply.status, reply.field("content-length")), (200, Some("1000")));
    let reply = asked(Some("bytes=600-")).await;
    assert_eq!((reply.status, reply.field("content-range")), (206, Some("bytes 600-999/1000")));
    assert_eq!(reply.body, whole[600..]);
    let reply = asked(Some("bytes=1000-")).await;
    reply.refused(416);
    assert_eq!(reply.field("content-range"), Some("bytes */1000"));
}

#[tokio::test]
async fn what_is_no_open_range_means_what_it_always_means() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    for (range, placed, text) in
        [("bytes=0-1", "bytes 0-1/*", "01"), ("bytes=3-100", "bytes 3-4/*", "34")]
    {
        let reply = node.ask("GET", "/live/x?resume=1", &[("Range", range)]).await;
        assert_eq!((reply.status, reply.text()), (206, text.into()), "{range}");
        assert_eq!(reply.field("content-range"), Some(placed), "{range}");
    }
    let last = [("Range", "bytes=1-9007199254740990")];
    let (mut player, reply) = begin(&node, "resume=1", &last).await;
    assert_eq!(reply.field("content-range"), Some("bytes 1-9007199254740990/*"));
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(player.take(4).await, b"1234");
    for bad in ["resume=yes", "resume=1&behind=skip", "resume=1&behind=close"] {
        node.ask("GET", &format!("/live/x?{bad}"), &[]).await.refused(400);
    }
}

#[tokio::test]
async fn another_incarnation_is_told_apart() {
    let node = Node::start().await;
    let posted = node.post("x", "bytes 0-4/*", b"01234").await;
    let etag = posted.field("etag").unwrap();
    let fields = [("Range", "bytes=2-"), ("If-Range", etag)];
    let (mut player, reply) = begin(&node, "resume=1", &fields).await;
    assert_eq!(reply.field("etag"), Some(etag));
    assert_eq!(player.take(3).await, b"234");
    let fields = [("Range", "bytes=2-"), ("If-Range", "\"another\"")];
    let (mut player, reply) = begin(&node, "resume=1", &fields).await;
    let placed = format!("bytes 0-{VIRTUAL}");
    assert_eq!(reply.field("content-range"), Some(placed.as_str()), "from its beginning");
    assert_eq!(player.take(5).await, b"01234");
    let fields = [("Range", "bytes=2-"), ("If-Match", "\"another\"")];
    node.ask("GET", "/live/x?resume=1", &fields).await.refused(412);
}

#[tokio::test]
async fn what_was_let_go_is_not_passed_over_in_silence() {
    let node = Node::with(|config| {
        config.store.ring_bytes = 200_000;
        config.store.segment_bytes = 1 << 20;
        config.store.retain_bytes = Some(2 << 20);
    })
    .await;
    let whole = bytes(8 << 20);
    node.post("x", "bytes 0-8388607/*", &whole).await;
    let retained = async || {
        let reply = node.ask("HEAD", "/live/x", &[]).await;
        reply.field("retained-from").and_then(|from| from.parse::<usize>().ok())
    };
    crate::node::until(async || retained().await.is_some()).await;
    let from = retained().await.unwrap();

    let (mut player, reply) = begin(&node, "resume=1", &[("Range", "bytes=0-")]).await;
    let placed = format!("bytes {from}-{VIRTUAL}");
    assert_eq!(reply.field("content-range"), Some(placed.as_str()), "a file begins where it can");
    assert_eq!(player.take(1000).await[..1000], whole[from..from + 1000]);
    let lost = [("Range", "bytes=5000-")];
    node.ask("GET", "/live/x?resume=1", &lost).await.refused(416);
}

#[tokio::test]
async fn http_1_0_has_no_chunks_and_gets_the_plain_stream() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let mut player = node.connect().await;
    player.say("GET /live/x?resume=1&from=start HTTP/1.0\r\nRange: bytes=0-\r\n\r\n").await;
    let reply = player.head().await;
    assert_eq!((reply.status, reply.field("content-range")), (200, None));
    assert_eq!(player.exactly(5).await.unwrap(), b"01234");
}
