//! Which bytes came when: `/index/NAME`, and `from=` with a time.

use freshet_protocol::{Stamp, TimelineEntry};

use crate::{
    joining::{FRAME, frames, numbers},
    node::{Node, bytes, until},
    peer::Reply,
};

/// A time on our line: so many seconds into 2024.
fn at(seconds: u64) -> Stamp {
    Stamp::from_nanos((1_704_067_200 + seconds) * 1_000_000_000)
}

/// Post `bytes` at `offset`, captured at `time`.
async fn post(node: &Node, offset: usize, bytes: &[u8], time: Stamp) {
    let range = format!("bytes {offset}-{}/*", offset + bytes.len() - 1);
    let fields = [("Content-Range", range.as_str()), ("Origin-Time", &time.to_string())];
    let reply = node.send("POST", "/live/x", &fields, bytes).await;
    assert!(reply.status < 300, "{reply:?}");
}

#[track_caller]
fn lines(reply: &Reply) -> Vec<TimelineEntry> {
    assert_eq!((reply.status, reply.ended), (200, true), "{reply:?}");
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn index(node: &Node, query: &str) -> Vec<TimelineEntry> {
    lines(&node.ask("GET", &format!("/index/x{query}"), &[]).await)
}

/// A stream of ten pieces of ten frames of sound, a second after each other.
async fn seconds_of_sound(node: &Node) -> Vec<u8> {
    let sound = frames(0..100);
    for (second, piece) in sound.chunks(10 * FRAME).enumerate() {
        post(node, second * 10 * FRAME, piece, at(second as u64)).await;
    }
    sound
}

#[tokio::test]
async fn the_timeline_says_which_bytes_came_when_and_outlives_the_process() {
    let node = Node::start().await;
    seconds_of_sound(&node).await;

    let before = index(&node, "").await;

    let places: Vec<_> = before.iter().map(|line| (line.offset, line.length)).collect();
    let expected: Vec<_> = (0..10).map(|n| (n * 10 * FRAME as u64, 10 * FRAME as u64)).collect();
    assert_eq!(places, expected);
    for (second, line) in before.iter().enumerate() {
        assert_eq!(line.origin_time, Some(at(second as u64)));
        assert!(line.receive_time > at(0));
        assert_eq!(line.join, Some(line.offset), "each begins with a frame");
    }
    assert!(before.is_sorted_by_key(|line| line.receive_time));

    let node = Node::on(node.stop().await, |_| {}).await;

    assert_eq!(index(&node, "").await, before);
}

#[tokio::test]
async fn a_timeline_is_had_page_by_page_from_any_place_or_time() {
    let node = Node::start().await;
    seconds_of_sound(&node).await;
    let all = index(&node, "").await;
    let (mut paged, mut from) = (Vec::new(), 0);
    loop {
        let page = index(&node, &format!("?from={from}&limit=3")).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        from = last.offset + last.length;
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(index(&node, "?limit=0").await, []);
    assert_eq!(index(&node, "?from=-2.5s").await, all[6..]);
    assert_eq!(index(&node, "?from=2024-01-01T00:00:07Z").await, all[7..]);
    let middle = all[4].offset + 100;
    let cut = index(&node, &format!("?from={middle}&limit=1")).await.remove(0);
    assert_eq!((cut.offset, cut.length), (middle, all[4].length - 100));
    assert_eq!(cut.join, Some(all[4].offset + FRAME as u64));
    for (query, status) in [("from=then", 400), ("limit=some", 400), ("from=999999", 416)] {
        node.ask("GET", &format!("/index/x?{query}"), &[]).await.refused(status);
    }
    node.ask("GET", "/index/nobody", &[]).await.refused(404);
    node.ask("POST", "/index/x", &[]).await.refused(405);
    let head = node.ask("HEAD", "/index/x", &[]).await;
    assert_eq!((head.status, head.field("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(head.field("cache-control"), Some("no-store, no-transform"));
}

#[tokio::test]
async fn who_follows_a_timeline_gets_each_line_as_its_bytes_come() {
    let node = Node::start().await;
    post(&node, 0, b"01234", at(0)).await;
    let mut reader = node.connect().await;
    reader.request("GET", "/index/x?follow=1", &[], b"").await;
    let mut reply = reader.head().await;
    let first = String::from_utf8(reader.next().await.unwrap().unwrap()).unwrap();
    assert!(first.starts_with(r#"{"offset":0,"length":5,"#), "{first}");

    post(&node, 7, b"789", at(1)).await;

    let second = String::from_utf8(reader.next().await.unwrap().unwrap()).unwrap();
    assert!(second.starts_with(r#"{"offset":7,"length":3,"#), "{second}");
    assert_eq!(node.metric("freshet_consumers").await, 0, "it takes no byte of the stream");
    node.post("x", "bytes 5-6/10", b"56").await;
    reader.drain(&mut reply).await;
    assert!(reply.ended);
}

#[tokio::test]
async fn join_points_that_memory_has_forgotten_are_found_again() {
    let node = Node::start().await;
    let sound = frames(0..4000);
    node.post("x", &format!("bytes 0-{}/*", sound.len() - 1), &sound).await;
    let node = Node::on(node.stop().await, |_| {}).await;
    for line in index(&node, "").await {
        let join = line.offset.next_multiple_of(FRAME as u64);
        // The scanner is sure of a frame only when two more have come.
        if join + 3 * FRAME as u64 <= sound.len() as u64 {
            assert_eq!(line.join, Some(join), "{line:?}");
        }
    }
}

/// What a plain GET of `/live/x?query` begins with, and where it says that it does.
async fn begin(node: &Node, query: &str) -> (u64, Vec<u8>) {
    let mut consumer = node.connect().await;
    consumer.request("GET", &format!("/live/x?{query}"), &[("Range", "bytes=0-")], b"").await;
    let reply = consumer.head().await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let join = reply.field("stream-join").unwrap().parse().unwrap();
    let bytes = match reply.field("content-length") {
        Some(_) => consumer.exactly(3 * FRAME).await.unwrap(),
        None => consumer.take(3 * FRAME).await,
    };
    (join, bytes)
}

#[tokio::test]
async fn a_time_is_the_join_point_at_or_before_what_came_then() {
    let node = Node::start().await;
    let sound = seconds_of_sound(&node).await;
    let check = async |node: &Node| {
        for (query, second) in [
            ("from=-0s", 9),
            ("from=-2s", 7),
            ("from=-2.5s", 6),
            ("from=-8h", 0),
            ("from=2024-01-01T00:00:05Z", 5),
            ("from=2024-01-01T01:00:05.9%2B01:00", 5),
            ("from=@1704067200", 0),
            ("from=@1704067203.25", 3),
        ] {
            let (join, bytes) = begin(node, query).await;
            assert_eq!(join, second * 10 * FRAME as u64, "{query}");
            assert_eq!(numbers(&bytes)[0], second as u32 * 10, "{query}");
        }
    };
    check(&node).await;
    let node = Node::on(node.stop().await, |_| {}).await;
    check(&node).await;
    node.send("POST", "/live/x", &[("Content-Range", &format!("bytes */{}", sound.len()))], b"")
        .await;
    check(&node).await;
    let node = Node::on(node.stop().await, |_| {}).await;
    check(&node).await;
}

#[tokio::test]
async fn a_time_that_nothing_is_of_is_refused_with_the_times_that_are_there() {
    let node = Node::start().await;
    post(&node, 0, b"01234", at(100)).await;
    post(&node, 5, b"56789", at(200)).await;
    for (from, why) in [("@1704067299", "before the oldest"), ("2100-01-01T00:00:00Z", "after")] {
        let reply = node.ask("GET", &format!("/live/x?from={from}"), &[]).await;
        let detail = reply.refused(416);
        for part in [why, &at(100).to_string(), &at(200).to_string()] {
            assert!(detail.contains(part), "{part} is not in {detail}");
        }
        assert_eq!(reply.field("content-range"), Some("bytes */10"));
    }
    // What came meanwhile is at the live edge.
    assert_eq!(lines(&node.ask("GET", "/index/x?from=@1704067500", &[]).await), []);
    node.ask("GET", "/live/x?resume=1&from=-1s", &[]).await.refused(400);
}

#[tokio::test]
async fn a_native_consumer_may_name_a_time_too() {
    let node = Node::start().await;
    post(&node, 0, b"01234", at(0)).await;
    post(&node, 5, b"56789", at(60)).await;
    node.send("POST", "/live/x", &[("Content-Range", "bytes */10")], b"").await;
    let fields = [("Have", "bytes 8-9/*"), ("Accept", "multipart/byteranges")];
    let reply = node.ask("GET", "/live/x?backfill=all&from=-30s", &fields).await;
    let (parts, ended) = reply.parts();
    let placed: Vec<_> = parts.iter().map(|(head, _)| head.placed.to_string()).collect();
    assert!(ended);
    assert_eq!(placed, ["bytes 0-7/10"], "in order from the piece that has the time");
}

#[tokio::test]
async fn a_player_may_begin_at_a_time_in_a_container_with_a_header() {
    let node = Node::start().await;
    // WAVE, one channel of 8 bits, without an end.
    let mut sound = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\xff\xff\xff\xff".to_vec();
    let header = sound.clone();
    sound.extend(bytes(8 * 16_384));
    for (second, piece) in sound.chunks(16_384).enumerate() {
        post(&node, second * 16_384, piece, at(second as u64)).await;
    }
    let reply_of = async |node: &Node| {
        let mut player = node.connect().await;
        player.request("GET", "/live/x?from=@1704067204", &[], b"").await;
        let reply = player.head().await;
        let length = header.len().to_string();
        assert_eq!(reply.field("stream-header"), Some(length.as_str()), "{reply:?}");
        assert_eq!(reply.field("accept-ranges"), Some("none"));
        (reply, player)
    };
    let (reply, mut player) = reply_of(&node).await;
    let join: usize = reply.field("stream-join").unwrap().parse().unwrap();
    assert!(join <= 4 * 16_384 && 3 * 16_384 < join, "{join}");
    let body = player.take(header.len() + sound.len() - join).await;
    assert!(body.starts_with(&header) && body[header.len()..] == sound[join..]);

    let total = format!("bytes */{}", sound.len());
    node.send("POST", "/live/x", &[("Content-Range", &total)], b"").await;

    let (reply, mut player) = reply_of(&node).await;
    let whole = header.len() + sound.len() - join;
    assert_eq!(reply.field("content-length"), Some(whole.to_string().as_str()));
    assert_eq!(player.exactly(whole).await.unwrap(), body);
}

#[tokio::test]
async fn the_later_bytes_of_one_long_post_have_times_of_their_own() {
    let node = Node::start().await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", &format!("Origin-Time: {}\r\n", at(0))).await;
    origin.chunk(b"01234").await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;
    until(async || node.end("x").await == 5).await;
    origin.chunk(b"56789").await;
    until(async || node.end("x").await == 10).await;

    let lines = index(&node, "").await;

    assert_eq!((lines.len(), lines[0].origin_time), (2, Some(at(0))));
    let later = lines[1].origin_time.unwrap().minus(at(0));
    let came = lines[1].receive_time.minus(lines[0].receive_time);
    assert!(later > 0, "captured after the first");
    assert!(
        later.abs_diff(came) < 5_000_000_000,
        "and as much later as they came: {later}, {came}"
    );
}
