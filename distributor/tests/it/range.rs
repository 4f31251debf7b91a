//! `Range`: RFC 9110, section 14, and RFC 8673 on what is live.

use crate::{
    node::{Node, bytes, soon},
    peer::Reply,
};

async fn get(node: &Node, name: &str, range: &str) -> Reply {
    node.ask("GET", &format!("/live/{name}"), &[("Range", range)]).await
}

/// A complete stream of 1,000 bytes.
async fn complete(node: &Node) -> Vec<u8> {
    let whole = bytes(1000);
    node.send("PUT", "/live/done", &[("Content-Type", "video/mp4")], &whole).await;
    whole
}

#[tokio::test]
async fn a_complete_stream_answers_each_kind_of_range() {
    let node = Node::start().await;
    let whole = complete(&node).await;
    for (range, first, last) in [
        ("bytes=0-99", 0, 99),
        ("bytes=0-0", 0, 0),
        ("bytes=900-", 900, 999),
        ("bytes=0-", 0, 999),
        ("bytes=-100", 900, 999),
        ("bytes=-5000", 0, 999),
        ("bytes=990-5000", 990, 999),
        ("bytes=990-9007199254740991", 990, 999),
        ("bytes=990-99999999999999999999999999", 990, 999),
        ("BYTES= 0010 - 19", 10, 19),
        ("bytes=0-9,10-19", 0, 19),
        ("bytes=5000-,0-9", 0, 9),
    ] {
        let reply = get(&node, "done", range).await;
        assert_eq!(reply.status, 206, "{range}: {reply:?}");
        let placed = format!("bytes {first}-{last}/1000");
        assert_eq!(reply.field("content-range"), Some(placed.as_str()), "{range}");
        assert_eq!(reply.body, whole[first..=last], "{range}");
        assert_eq!(reply.field("content-type"), Some("video/mp4"));
        let caching = Some("public, max-age=31536000, immutable");
        assert_eq!(reply.field("cache-control"), caching, "{range}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_416_with_the_length_and_what_is_no_range_too() {
    let node = Node::start().await;
    complete(&node).await;
    node.post("live", "bytes 0-99/*", &[1; 100]).await;
    let thousand: Vec<_> = (0..1000).map(|at| format!("{0}-{0}", at * 2)).collect();
    let thousand = format!("bytes={}", thousand.join(","));
    for (name, range, current) in [
        ("done", "bytes=1000-", "bytes */1000"),
        ("done", "bytes=5000-6000", "bytes */1000"),
        ("done", "bytes=-0", "bytes */1000"),
        ("done", "bytes=9-3", "bytes */1000"),
        ("done", "bytes=x", "bytes */1000"),
        ("live", "bytes=100-", "bytes */100"),
        ("live", "bytes=100-200", "bytes */100"),
        ("live", "bytes=101-9007199254740991", "bytes */100"),
        ("done", &thousand, "bytes */1000"),
    ] {
        let reply = get(&node, name, range).await;
        reply.refused(416);
        assert_eq!(reply.field("content-range"), Some(current), "{range:.80}");
    }
    assert_eq!(get(&node, "done", "seconds=0-1").await.status, 200, "another unit is not ours");
    let huge = format!("bytes={}", "0-0,".repeat(10_000));
    assert_eq!(get(&node, "done", &huge).await.status, 431, "a head has bounds");
}

#[tokio::test]
async fn several_ranges_come_as_parts_in_the_order_asked_for() {
    let node = Node::start().await;
    let whole = complete(&node).await;
    let reply = get(&node, "done", "bytes=-10,0-9,5-19,500-500").await;
    assert_eq!(reply.status, 206);
    assert_eq!(reply.field("content-range"), None);
    assert_eq!(reply.field("content-length").unwrap(), reply.body.len().to_string());
    let (parts, ended) = reply.parts();
    assert!(ended);
    let shown: Vec<_> = parts.iter().map(|(head, _)| head.placed.to_string()).collect();
    assert_eq!(shown, ["bytes 990-999/1000", "bytes 0-19/1000", "bytes 500-500/1000"]);
    for (head, bytes) in &parts {
        let range = head.placed.range;
        let (first, last) = (range.start().try_into().unwrap(), range.last().try_into().unwrap());
        let expected: &[u8] = &whole[first..=last];
        assert_eq!(bytes, expected);
        assert_eq!(head.content_type.as_deref(), Some("video/mp4"));
    }
    let sixteen: Vec<_> = (0..16).map(|at| format!("{0}-{0}", at * 2)).collect();
    let reply = get(&node, "done", &format!("bytes={}", sixteen.join(","))).await;
    assert_eq!(reply.parts().0.len(), 16);
    let overlapping = format!("bytes={}", vec!["0-"; 1000].join(","));
    let reply = get(&node, "done", &overlapping).await;
    assert_eq!(reply.body, whole, "never more bytes than the stream has");
}

#[tokio::test]
async fn if_range_decides_whether_the_range_counts() {
    let node = Node::start().await;
    let whole = complete(&node).await;
    let etag = node.ask("HEAD", "/live/done", &[]).await.field("etag").unwrap().to_owned();
    for (validator, status) in
        [(etag.as_str(), 206), ("\"other\"", 200), ("Sat, 29 Oct 1994 19:43:31 GMT", 200)]
    {
        let fields = [("Range", "bytes=0-9"), ("If-Range", validator)];
        let reply = node.ask("GET", "/live/done", &fields).await;
        assert_eq!(reply.status, status, "{validator}");
        let expected = if status == 206 { &whole[..10] } else { &whole[..] };
        assert_eq!(reply.body, expected);
    }
}

#[tokio::test]
async fn what_is_known_already_is_not_sent_again() {
    let node = Node::start().await;
    complete(&node).await;
    let etag = node.ask("HEAD", "/live/done", &[]).await.field("etag").unwrap().to_owned();
    let known = format!("\"x\", W/{etag}");
    for method in ["GET", "HEAD"] {
        let reply = node.ask(method, "/live/done", &[("If-None-Match", &known)]).await;
        assert_eq!(reply.status, 304);
        assert_eq!(reply.field("etag"), Some(etag.as_str()));
        assert!(reply.body.is_empty());
    }
    assert_eq!(node.ask("GET", "/live/done", &[("If-None-Match", "\"x\"")]).await.status, 200);
    node.ask("GET", "/live/done", &[("If-Match", "\"x\"")]).await.refused(412);
    let live = node.post("live", "bytes 0-0/*", b"a").await;
    let fields = [("If-None-Match", live.field("etag").unwrap()), ("Range", "bytes=0-0")];
    assert_eq!(node.ask("GET", "/live/live", &fields).await.status, 206, "what grows has changed");
}

#[tokio::test]
async fn a_live_stream_answers_what_is_there_now() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/*", b"0123456789").await;
    for (range, placed, body, caching) in [
        ("bytes=0-1", "bytes 0-1/*", "01", "public, max-age=31536000, immutable"),
        ("bytes=4-", "bytes 4-9/*", "456789", "no-store, no-transform"),
        ("bytes=4-20", "bytes 4-9/*", "456789", "no-store, no-transform"),
        ("bytes=-3", "bytes 7-9/*", "789", "no-store, no-transform"),
    ] {
        let reply = get(&node, "x", range).await;
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.field("content-range"), Some(placed), "{range}");
        assert_eq!(reply.text(), body, "{range}");
        assert_eq!(reply.field("cache-control"), Some(caching), "{range}");
    }
}

#[tokio::test]
async fn a_hole_ends_a_range_and_nothing_is_served_past_it_in_silence() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    node.post("x", "bytes 8-9/*", b"89").await;
    let reply = get(&node, "x", "bytes=2-9").await;
    assert_eq!((reply.field("content-range"), reply.text()), (Some("bytes 2-4/*"), "234".into()));
    let reply = get(&node, "x", "bytes=6-9").await;
    assert!(reply.refused(416).contains("byte 6 is not held"));
    let reply = get(&node, "x", "bytes=0-0,8-8").await;
    assert_eq!(reply.parts().0.len(), 2);
}

#[tokio::test]
async fn a_range_that_begins_at_the_live_edge_waits_if_asked_to() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let fields = [("Range", "bytes=5-"), ("Prefer", "wait=60")];
    let asked = node.ask("GET", "/live/x", &fields);
    let (reply, posted) = tokio::join!(soon(asked), async {
        crate::node::until(async || node.metric("freshet_consumers").await == 1).await;
        node.post("x", "bytes 5-6/*", b"56").await
    });
    assert_eq!(posted.status, 200);
    assert_eq!((reply.status, reply.text()), (206, "56".into()));
    let fields = [("Range", "bytes=7-"), ("Prefer", "wait=0")];
    node.ask("GET", "/live/x", &fields).await.refused(416);
}

#[tokio::test]
async fn a_huge_last_position_follows_the_stream_and_is_told_back_as_it_came() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    for last in ["9007199254740991", "99999999999999999999999999", "999999999999"] {
        let mut consumer = node.connect().await;
        let range = format!("bytes=3-{last}");
        consumer.request("GET", "/live/x", &[("Range", &range)], b"").await;
        let reply = consumer.head().await;
        assert_eq!(reply.status, 206);
        let placed = format!("bytes 3-{last}/*");
        assert_eq!(reply.field("content-range"), Some(placed.as_str()));
        assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
        assert_eq!(reply.field("connection"), Some("close"));
        assert_eq!(reply.field("cache-control"), Some("no-store, no-transform"));
        assert_eq!(reply.field("incremental"), Some("?1"));
        assert_eq!(reply.field("x-accel-buffering"), Some("no"));
        assert_eq!(consumer.take(2).await, b"34");
    }
    let mut consumer = node.connect().await;
    let fields = [("Range", "bytes=5-9007199254740991")];
    consumer.request("GET", "/live/x", &fields, b"").await;
    let mut reply = consumer.head().await;
    // A hole is waited at, and then filled.
    node.post("x", "bytes 7-8/9", b"78").await;
    node.post("x", "bytes 5-6/*", b"56").await;
    consumer.drain(&mut reply).await;
    assert_eq!((reply.text(), reply.ended), ("5678".into(), true));
}

#[tokio::test]
async fn the_whole_of_a_live_stream_asked_for_as_players_do_is_a_plain_live_reply() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"01234").await;
    let mut player = node.connect().await;
    player.request("GET", "/live/x", &[("Range", "bytes=0-")], b"").await;
    let mut reply = player.head().await;
    assert_eq!((reply.status, reply.field("content-range")), (200, None));
    assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
    assert_eq!(reply.field("stream-join"), Some("5"));
    node.post("x", "bytes 5-6/7", b"56").await;
    player.drain(&mut reply).await;
    assert_eq!((reply.text(), reply.ended), ("56".into(), true));
}

#[tokio::test]
async fn a_head_has_no_range_and_says_what_is_held() {
    let node = Node::start().await;
    complete(&node).await;
    let reply = node.ask("HEAD", "/live/done", &[("Range", "bytes=0-9")]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("content-range"), Some("bytes 0-999/1000"));
    assert_eq!(reply.field("content-length"), Some("1000"));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
}
