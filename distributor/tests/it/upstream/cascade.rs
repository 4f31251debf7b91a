//! Distributors behind each other: one request for all viewers, the same bytes at each, and no rings.

use super::*;

#[tokio::test]
async fn a_thousand_viewers_are_one_request_upstream() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    let mut origin = origin(&root, "radio", b"tick").await;
    let mut viewers = Vec::new();
    for _ in 0..1_000 {
        let mut viewer = edge.connect().await;
        viewer.request("GET", "/live/radio?from=start", &[], b"").await;
        viewers.push(viewer);
    }
    for viewer in &mut viewers {
        assert_eq!(viewer.head().await.status, 200);
        assert_eq!(viewer.take(4).await, b"tick");
    }

    origin.chunk(b"tock").await;

    for viewer in &mut viewers {
        assert_eq!(viewer.take(4).await, b"tock");
    }
    assert_eq!(root.metric(GETS).await, 1);
    assert_eq!(root.metric("freshet_consumers").await, 1);
    assert_eq!(edge.metric("freshet_upstream_requests_total").await, 1);
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, 8);
}

#[tokio::test]
async fn through_a_cascade_bytes_incarnation_type_and_times_stay_the_same() {
    let root = Node::start().await;
    let first = edge(&[root.address]).await;
    let second = edge(&[first.address]).await;
    let time = "1700000000.123456789";
    let fields =
        [("Content-Range", "bytes 0-4/*"), ("Content-Type", "video/test"), ("Origin-Time", time)];
    let posted = root.send("POST", "/live/a/b", &fields, b"hello").await;

    let mut native = second.connect().await;
    let fields = [("Accept", "multipart/byteranges"), ("Content-Range", "bytes */*")];
    native.request("GET", "/live/a/b?backfill=all", &fields, b"").await;
    let mut reply = native.head().await;
    assert_eq!(reply.status, 206);
    assert_eq!(reply.field("etag"), posted.field("etag"));
    root.post("a/b", "bytes 5-10/11", b" world").await;
    soon(native.drain(&mut reply)).await;

    let (parts, ended) = reply.parts();
    assert!(ended, "it ends where the stream does");
    assert_eq!(parts.concat_bytes(), b"hello world");
    let head = &parts[0].0;
    assert_eq!(head.content_type.as_deref(), Some("video/test"));
    assert_eq!(head.origin_time.unwrap().to_string(), time);
    for node in [&first, &second] {
        assert!(
            node.metric("freshet_capture_to_ingest_seconds_count").await > 0,
            "its age is told"
        );
        until(async || node.held("a/b").await == "bytes 0-10/11").await;
        let reply = node.ask("GET", "/live/a/b", &[("Want-Repr-Digest", "sha-256=1")]).await;
        let original = root.ask("GET", "/live/a/b", &[("Want-Repr-Digest", "sha-256=1")]).await;
        assert_eq!(reply.body, original.body);
        for field in ["etag", "content-type", "content-length", "repr-digest", "cache-control"] {
            assert_eq!(reply.field(field), original.field(field), "{field}");
            assert!(reply.field(field).is_some(), "{field}");
        }
    }
}

/// Parts in order of their place.
impl Concat for Vec<(freshet_protocol::PartHead, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_by_key(|(head, _)| head.placed.range.start());
        sorted.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

#[tokio::test]
async fn a_ring_of_distributors_ends_its_own_questions() {
    let (a, b) = (address_to_be(), address_to_be());
    let one = edge_with(&[b], |config| config.listen = a).await;
    let two = edge_with(&[a], |config| config.listen = b).await;

    let reply = soon(one.ask("GET", "/live/nowhere", &[])).await;

    reply.refused(404);
    assert_eq!(one.metric("freshet_upstream_requests_total").await, 1);
    assert_eq!(two.metric("freshet_upstream_requests_total").await, 1);
    // A stream of one is still the other's.
    put(&two, "here", b"hello").await;
    assert_eq!(soon(one.ask("GET", "/live/here", &[])).await.body, b"hello");
}

#[tokio::test]
async fn who_has_come_too_far_is_sent_back() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    put(&edge, "own", b"hello").await;
    let hop = |at| format!("1.1 freshet-{at:016x}");
    let via = (0..17).map(hop).collect::<Vec<_>>().join(", ");

    let lost = edge.ask("GET", "/live/nowhere", &[("Via", &via)]).await;
    let found = edge.ask("GET", "/live/own", &[("Via", &via)]).await;

    lost.refused(508);
    assert_eq!(found.body, b"hello", "what is here needs no way");
    assert_eq!(edge.metric("freshet_upstream_requests_total").await, 0);
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once_a_second() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    let begun = Instant::now();

    for _ in 0..100 {
        edge.ask("GET", "/live/later", &[]).await.refused(404);
    }

    let asked = edge.metric("freshet_upstream_requests_total").await;
    assert!(asked <= 1 + begun.elapsed().as_secs(), "{asked}");
    put(&root, "later", b"hello").await;
    until(async || edge.ask("GET", "/live/later", &[]).await.body == b"hello").await;
}

#[tokio::test]
async fn who_waits_for_a_stream_has_it_through_all_nodes_as_it_begins() {
    let root = Node::start().await;
    let middle = edge(&[root.address]).await;
    let edge = edge(&[middle.address]).await;
    let mut viewer = edge.connect().await;
    viewer.request("GET", "/live/soon?from=start", &[("Prefer", "wait=30")], b"").await;
    until(async || root.metric("freshet_connections").await > 1).await;

    let _origin = origin(&root, "soon", b"hello").await;

    assert_eq!(viewer.head().await.status, 200);
    assert_eq!(viewer.take(5).await, b"hello");
    let asked = edge.metric("freshet_upstream_requests_total").await;
    assert!(asked <= 3, "it waits there, and does not ask again and again: {asked}");
}

#[tokio::test]
async fn a_player_that_joins_an_edge_that_has_nothing_gets_header_and_join_point() {
    let sound = |length: u32| {
        let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        wav.extend([48_000_u32.to_le_bytes(), 192_000_u32.to_le_bytes()].concat());
        wav.extend(b"\x04\0\x10\0data\xff\xff\xff\xff");
        wav.extend(bytes(length as usize));
        wav
    };
    let (root, all) = (Node::start().await, sound(5_000_000));
    let _origin = origin(&root, "sound", &all).await;
    let small = |config: &mut Config| config.store.retain_bytes = Some(1 << 20);
    for edge in [edge(&[root.address]).await, edge_with(&[root.address], small).await] {
        let (mut viewer, head) = viewer(&edge, "/live/sound").await;
        let from: usize = head.field("stream-join").unwrap().parse().unwrap();
        assert!((4_700_000..all.len()).contains(&from), "{from}");
        let seen = soon(viewer.take(44 + all.len() - from)).await;
        assert!(seen == [&all[..44], &all[from..]].concat(), "header, and from {from} on");
    }
}
