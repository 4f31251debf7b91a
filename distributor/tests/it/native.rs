//! The native GET: newest missing bytes first.

use freshet_protocol::{ByteRange, RangeSet};

use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

async fn get(node: &Node, path: &str, have: &str) -> Reply {
    node.ask("GET", &format!("/live/{path}"), &[("Content-Range", have)]).await
}

/// A continuous reply to somebody who holds `have`.
async fn follow(node: &Node, path: &str, have: &str) -> (Peer, Reply) {
    let mut consumer = node.connect().await;
    let fields = [("Content-Range", have), ("Accept", "multipart/byteranges")];
    consumer.request("GET", &format!("/live/{path}"), &fields, b"").await;
    let reply = consumer.head().await;
    assert_eq!(reply.status, 206, "{reply:?}");
    assert_eq!(reply.field("cache-control"), Some("no-store, no-transform"));
    assert_eq!(reply.field("vary"), Some("Content-Range, Have, Range, Accept"));
    assert_eq!(reply.field("content-range"), None);
    (consumer, reply)
}

/// Read on until `bytes` of parts are here.
async fn parts_of(consumer: &mut Peer, reply: &mut Reply, bytes: usize) {
    let here = |reply: &Reply| reply.parts().0.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    while here(reply) < bytes {
        reply.body.extend(consumer.next().await.unwrap().unwrap());
    }
    assert_eq!(here(reply), bytes);
}

fn ranges(reply: &Reply) -> Vec<String> {
    reply.parts().0.iter().map(|(head, _)| head.placed.range.to_string()).collect()
}

#[tokio::test]
async fn one_part_is_the_newest_missing_run() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/*", b"0123456789").await;
    node.post("x", "bytes 20-29/*", b"abcdefghij").await;
    for (path, have, placed, body) in [
        ("x", "bytes */*", "bytes 20-29/*", "abcdefghij"),
        ("x", "bytes 25-29/*", "bytes 20-24/*", "abcde"),
        ("x", "bytes 20-29/*", "bytes 0-9/*", "0123456789"),
        ("x", "bytes 0-3,20-29/*", "bytes 4-9/*", "456789"),
        ("x?limit=3", "bytes */*", "bytes 27-29/*", "hij"),
    ] {
        let reply = get(&node, path, have).await;
        assert_eq!(reply.status, 206, "{have}: {reply:?}");
        assert_eq!(reply.field("content-range"), Some(placed), "{have}");
        assert_eq!(reply.text(), body, "{have}");
        assert_eq!(reply.field("vary"), Some("Content-Range, Have, Range, Accept"));
    }
    let alternative = node.ask("GET", "/live/x", &[("Have", "bytes 20-29/*")]).await;
    assert_eq!(alternative.field("content-range"), Some("bytes 0-9/*"));
}

#[tokio::test]
async fn nothing_missing_is_204_with_what_is_held_at_once_or_after_a_wait() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/*", b"0123456789").await;
    let reply = get(&node, "x", "bytes 0-9/*").await;
    assert_eq!((reply.status, reply.field("content-range")), (204, Some("bytes 0-9/*")));
    let ahead = get(&node, "x", "bytes 0-50/*").await;
    assert_eq!((ahead.status, ahead.field("content-range")), (204, Some("bytes 0-9/*")));

    let fields = [("Content-Range", "bytes 0-9/*"), ("Prefer", "wait=60")];
    let asked = node.ask("GET", "/live/x", &fields);
    let (reply, _) = tokio::join!(soon(asked), async {
        until(async || node.metric("freshet_consumers").await == 1).await;
        node.post("x", "bytes 10-11/12", b"ab").await
    });
    assert_eq!((reply.status, reply.text()), (206, "ab".into()));
    assert!(reply.field("content-range").unwrap().starts_with("bytes 10-11/"));

    let complete =
        node.ask("GET", "/live/x", &[("Content-Range", "bytes 0-11/*"), fields[1]]).await;
    assert_eq!((complete.status, complete.field("content-range")), (204, Some("bytes 0-11/12")));
    let reply =
        node.ask("GET", "/live/x", &[("Content-Range", "bytes 0-11/*"), ("Prefer", "wait=0")]);
    assert_eq!(reply.await.status, 204);
}

#[tokio::test]
async fn who_holds_more_than_there_will_ever_be_is_told() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/10", b"0123456789").await;
    for have in ["bytes 0-10/*", "bytes 0-3/12"] {
        let reply = get(&node, "x", have).await;
        reply.refused(416);
        assert_eq!(reply.field("content-range"), Some("bytes */10"));
    }
}

#[tokio::test]
async fn the_capture_time_travels_with_the_bytes() {
    let node = Node::start().await;
    let fields = [("Content-Range", "bytes 0-2/3"), ("Origin-Time", "1700000000.5")];
    node.send("POST", "/live/x", &fields, b"abc").await;
    // That was in 2023: beyond the last bucket, and counted once.
    assert_eq!(node.metric("freshet_capture_to_ingest_seconds_count").await, 1);
    node.send("POST", "/live/y", &[], b"abc").await;
    assert_eq!(node.metric("freshet_capture_to_ingest_seconds_count").await, 1);
    let reply = get(&node, "x", "bytes */*").await;
    assert_eq!(reply.field("origin-time"), Some("1700000000.500000000"));
    let (mut consumer, mut reply) = follow(&node, "x", "bytes */*").await;
    consumer.drain(&mut reply).await;
    let time = reply.parts().0[0].0.origin_time.unwrap();
    assert_eq!(time.to_string(), "1700000000.500000000");
}

/// Memory is gone with the process: what is read then comes from the disk.
#[tokio::test]
async fn the_capture_time_outlives_the_memory() {
    let node = Node::start().await;
    let fields = [("Content-Range", "bytes 0-2/*"), ("Origin-Time", "1700000000.5")];
    node.send("POST", "/live/x", &fields, b"abc").await;
    let fields = [("Content-Range", "bytes 3-5/*"), ("Origin-Time", "1700000001.25")];
    node.send("POST", "/live/x", &fields, b"def").await;
    let node = Node::on(node.stop().await, |_| {}).await;

    let cases =
        [("bytes */*", 6, "1700000000.500000000"), ("bytes 0-2/*", 3, "1700000001.250000000")];
    for (have, bytes, time) in cases {
        let reply = get(&node, "x", have).await;
        assert_eq!(reply.field("origin-time"), Some(time));
        let (mut consumer, mut reply) = follow(&node, "x?backfill=all", have).await;
        parts_of(&mut consumer, &mut reply, bytes).await;
        assert_eq!(reply.parts().0[0].0.origin_time.unwrap().to_string(), time);
    }
}

#[tokio::test]
async fn a_continuous_reply_goes_on_and_ends_when_nothing_is_missing() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/*", b"0123456789").await;
    let (mut consumer, mut reply) = follow(&node, "x", "bytes 0-3/*").await;
    parts_of(&mut consumer, &mut reply, 6).await;
    node.post("x", "bytes 10-11/*", b"ab").await;
    parts_of(&mut consumer, &mut reply, 8).await;
    // The newest first; the hole is filled when its bytes are there.
    node.post("x", "bytes 14-15/*", b"ef").await;
    parts_of(&mut consumer, &mut reply, 10).await;
    node.post("x", "bytes 12-13/*", b"cd").await;
    parts_of(&mut consumer, &mut reply, 12).await;
    node.send("POST", "/live/x", &[("Content-Range", "bytes */16")], b"").await;
    consumer.drain(&mut reply).await;
    assert!(reply.ended);
    let (parts, closed) = reply.parts();
    assert!(closed, "the closing boundary");
    assert_eq!(ranges(&reply), ["4-9", "10-11", "14-15", "12-13"]);
    let all: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(all, b"456789abefcd");
}

#[tokio::test]
async fn whoever_comes_late_gets_the_newest_first_and_everything_in_the_end() {
    let node = Node::start().await;
    let whole = bytes(1_500_000);
    node.send("PUT", "/live/x", &[], &whole).await;
    for (path, has) in
        [("x", None), ("x?backfill=all", None), ("x?backfill=all", Some((700_000, 799_999)))]
    {
        let have = has
            .map_or_else(|| "bytes */*".into(), |(first, last)| format!("bytes {first}-{last}/*"));
        let (mut consumer, mut reply) = follow(&node, path, &have).await;
        consumer.drain(&mut reply).await;
        let (parts, closed) = reply.parts();
        assert!(reply.ended && closed, "{have}");
        let mut got = RangeSet::new();
        if let Some((first, last)) = has {
            got.insert(ByteRange::closed(first, last).unwrap());
        }
        assert_eq!(parts[0].0.placed.range.end(), 1_500_000, "the newest first");
        let mut below = u64::MAX;
        for (head, bytes) in &parts {
            let range = head.placed.range;
            assert!(range.len() <= 256 << 10, "{range}");
            assert!(range.end() <= below, "{range} after {below}: newest to oldest");
            assert!(!got.overlaps(range), "{range} comes twice");
            let (start, end) = (range.start().try_into().unwrap(), range.end().try_into().unwrap());
            let expected: &[u8] = &whole[start..end];
            assert_eq!(bytes, expected, "{range}");
            got.insert(range);
            below = range.start();
        }
        assert_eq!(got.to_string(), "0-1499999");
    }
}

#[tokio::test]
async fn backfill_goes_as_far_back_as_asked() {
    let node = Node::with(|config| config.store.ring_bytes = 300_000).await;
    let whole = bytes(1_000_000);
    node.post("x", "bytes 0-999999/*", &whole).await;
    let (mut none, mut reply) = follow(&node, "x?backfill=none", "bytes */*").await;
    node.post("x", "bytes 1000000-1000002/1000003", b"abc").await;
    none.drain(&mut reply).await;
    assert_eq!(ranges(&reply), ["1000000-1000002"]);
    assert!(reply.ended && reply.parts().1);

    let bytes_of = async |path: &str| {
        let (mut consumer, mut reply) = follow(&node, path, "bytes */*").await;
        consumer.drain(&mut reply).await;
        assert!(reply.ended && reply.parts().1, "{path}");
        reply.parts().0.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    let ring = bytes_of("x").await;
    assert!((200_000..=300_000).contains(&ring), "{ring}");
    assert_eq!(bytes_of("x?backfill=all").await, 1_000_003);
}

#[tokio::test]
async fn a_consumer_slower_than_the_stream_stays_at_the_edge_and_loses_nothing() {
    let node = Node::start().await;
    let whole = bytes(12 << 20);
    node.post("x", "bytes 0-99/*", &whole[..100]).await;
    let (mut consumer, mut reply) = follow(&node, "x?backfill=all", "bytes */*").await;
    parts_of(&mut consumer, &mut reply, 100).await;

    // It reads nothing while twelve megabytes pass.
    for start in (0..whole.len()).step_by(1 << 20) {
        let (from, to) = (start.max(100), start + (1 << 20));
        let range = format!("bytes {from}-{}/*", to - 1);
        assert_eq!(node.post("x", &range, &whole[from..to]).await.status, 200);
    }
    node.send("POST", "/live/x", &[("Content-Range", "bytes */12582912")], b"").await;
    consumer.drain(&mut reply).await;

    let (parts, closed) = reply.parts();
    assert!(reply.ended && closed);
    let newest = parts.iter().position(|(head, _)| head.placed.range.end() == 12 << 20).unwrap();
    let before: usize = parts[..newest].iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(before < 8 << 20, "{before} bytes came before the newest");
    let mut got = RangeSet::new();
    for (head, bytes) in &parts {
        let range = head.placed.range;
        let (start, end) = (range.start().try_into().unwrap(), range.end().try_into().unwrap());
        let expected: &[u8] = &whole[start..end];
        assert_eq!(bytes, expected);
        assert!(!got.overlaps(range));
        got.insert(range);
    }
    assert_eq!(got.bytes(), 12 << 20);
}
