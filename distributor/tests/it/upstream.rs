//! Distributors that pull from one another.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use freshet_distributor::Config;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

const GETS: &str = "freshet_requests_total{method=\"GET\",status=\"206\"}";

/// A distributor that pulls from `upstreams`.
async fn edge(upstreams: &[SocketAddr]) -> Node {
    edge_with(upstreams, |_| {}).await
}

async fn edge_with(upstreams: &[SocketAddr], change: impl FnOnce(&mut Config)) -> Node {
    Node::with(|config| {
        pull_from(config, upstreams);
        change(config);
    })
    .await
}

fn pull_from(config: &mut Config, upstreams: &[SocketAddr]) {
    let url = |address| format!("http://{address}").parse().unwrap();
    config.upstream.upstream = upstreams.iter().map(url).collect();
}

/// An address that is known before anybody listens there: a loopback host of its own.
fn address_to_be() -> SocketAddr {
    static HOSTS: AtomicU8 = AtomicU8::new(2);
    let host = Ipv4Addr::new(127, 88, 0, HOSTS.fetch_add(1, Ordering::Relaxed));
    let free = std::net::TcpListener::bind((host, 0)).unwrap();
    free.local_addr().unwrap()
}

/// An origin at work, whose first bytes are there; its request goes on for as long as it lives.
async fn origin(node: &Node, name: &str, first: &[u8]) -> Peer {
    let (mut origin, path) = (node.connect().await, format!("/live/{name}"));
    origin.begin_post(&path, "Content-Type: video/test\r\n").await;
    origin.chunk(first).await;
    let held = format!("bytes 0-{}/*", first.len() - 1);
    let is_held = |reply: Reply| reply.field("content-range") == Some(&held);
    until(async || is_held(node.ask("HEAD", &path, &[]).await)).await;
    origin
}

/// A viewer in order from the first byte, whose reply's head has been read.
async fn viewer(node: &Node, path: &str) -> (Peer, Reply) {
    let mut viewer = node.connect().await;
    viewer.request("GET", path, &[], b"").await;
    let head = viewer.head().await;
    assert_eq!(head.status, 200, "{head:?}");
    (viewer, head)
}

async fn put(node: &Node, name: &str, body: &[u8]) -> Reply {
    let reply = node.send("PUT", &format!("/live/{name}"), &[], body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply
}

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

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
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
async fn the_middle_is_stopped_and_started_again_and_no_byte_is_lost_or_sent_twice() {
    let root = Node::start().await;
    let middle = edge(&[root.address]).await;
    let address = middle.address;
    let edge = edge(&[address]).await;
    let all = bytes(1_500_000);
    let mut origin = origin(&root, "film", &all[..500_000]).await;
    let (mut viewer, _) = viewer(&edge, "/live/film?from=start").await;
    let mut seen = viewer.take(500_000).await;

    let data = middle.stop().await;
    origin.chunk(&all[500_000..1_000_000]).await;
    let middle = Node::on(data, |config| {
        config.listen = address;
        pull_from(config, &[root.address]);
    })
    .await;
    seen.extend(soon(viewer.take(500_000)).await);
    origin.chunk(&all[1_000_000..]).await;
    seen.extend(soon(viewer.take(500_000)).await);

    assert!(seen == all, "the viewer's bytes are the origin's");
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, 1_500_000);
    assert!(
        middle.metric("freshet_pulled_bytes_total").await <= 1_000_000,
        "its first half was kept"
    );
}

#[tokio::test]
async fn an_edge_that_is_started_again_takes_only_what_it_lacks() {
    let root = Node::start().await;
    let mut origin = origin(&root, "film", &bytes(300_000)).await;
    let edge = edge(&[root.address]).await;
    let (mut first, head) = viewer(&edge, "/live/film?from=start").await;
    first.take(300_000).await;
    until(async || edge.held("film").await == "bytes 0-299999/*").await;

    let data = edge.stop().await;
    origin.chunk(&bytes(1_000)).await;
    let edge = Node::on(data, |config| pull_from(config, &[root.address])).await;
    let (mut again, new) = viewer(&edge, "/live/film?from=300000").await;

    assert_eq!(soon(again.take(1_000)).await, bytes(1_000));
    assert_eq!(new.field("etag"), head.field("etag"));
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, 1_000);
}

#[tokio::test]
async fn an_upstream_is_lost_and_the_viewers_see_no_cut() {
    let root = Node::start().await;
    let (one, two) = (edge(&[root.address]).await, edge(&[root.address]).await);
    let edge = edge(&[one.address, two.address]).await;
    let all = bytes(900_000);
    let mut origin = origin(&root, "game", &all[..300_000]).await;
    let mut viewers = Vec::new();
    for _ in 0..5 {
        let (mut viewer, _) = viewer(&edge, "/live/game?from=start").await;
        let seen = viewer.take(300_000).await;
        viewers.push((viewer, seen));
    }

    one.stop().await;
    origin.chunk(&all[300_000..600_000]).await;
    for (viewer, seen) in &mut viewers {
        seen.extend(soon(viewer.take(300_000)).await);
    }
    origin.chunk(&all[600_000..]).await;
    for (viewer, seen) in &mut viewers {
        seen.extend(soon(viewer.take(300_000)).await);
        assert!(*seen == all, "each byte once, in one reply");
    }

    assert_eq!(edge.metric("freshet_upstream_failovers_total").await, 1);
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, 900_000);
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
async fn without_viewers_the_pull_ends_and_what_is_held_stays() {
    let root = Node::start().await;
    let edge = edge_with(&[root.address], |config| {
        config.upstream.upstream_linger = Duration::from_secs(1);
    })
    .await;
    let mut origin = origin(&root, "radio", &bytes(100_000)).await;
    let (mut first, _) = viewer(&edge, "/live/radio?from=start").await;
    first.take(100_000).await;
    assert_eq!(edge.metric("freshet_pulls").await, 1);

    drop(first);
    // Who has left is noticed by the next bytes that are sent there.
    origin.chunk(b"one").await;
    origin.chunk(b"two").await;
    until(async || edge.metric("freshet_pulls").await == 0).await;
    let before = edge.metric("freshet_pulled_bytes_total").await;
    origin.chunk(b"more").await;
    until(async || root.held("radio").await == "bytes 0-100009/*").await;
    until(async || root.metric("freshet_consumers").await == 0).await;
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, before);

    let (mut second, _) = viewer(&edge, "/live/radio?from=start").await;
    assert_eq!(soon(second.take(100_010)).await[100_000..], *b"onetwomore");
    assert_eq!(edge.metric("freshet_pulled_bytes_total").await, 100_010);
}

#[tokio::test]
async fn a_complete_stream_is_had_whole_from_an_edge_that_has_nothing() {
    let root = Node::start().await;
    let film = bytes(9_000_000);
    let posted = put(&root, "film", &film).await;
    let (plain, native, seeking) =
        (edge(&[root.address]).await, edge(&[root.address]).await, edge(&[root.address]).await);

    let reply = plain.ask("GET", "/live/film", &[]).await;
    assert!(reply.ended && reply.body == film);
    assert_eq!(reply.field("etag"), posted.field("etag"));
    until(async || plain.metric("freshet_pulls").await == 0).await;
    let head = plain.ask("HEAD", "/live/film", &[]).await;
    assert_eq!(head.field("content-length"), Some("9000000"));
    assert_eq!(plain.metric("freshet_pulled_bytes_total").await, 9_000_000);

    let fields = [("Accept", "multipart/byteranges"), ("Content-Range", "bytes */*")];
    let (parts, ended) = native.ask("GET", "/live/film?backfill=all", &fields).await.parts();
    assert!(ended && parts.concat_bytes() == film);

    let reply = seeking.ask("GET", "/live/film", &[("Range", "bytes=5000000-5000009")]).await;
    assert_eq!((reply.status, &*reply.body), (206, &film[5_000_000..5_000_010]));
}

#[tokio::test]
async fn an_empty_stream_is_had_as_one() {
    let root = Node::start().await;
    put(&root, "nothing", b"").await;
    let edge = edge(&[root.address]).await;
    let reply = edge.ask("GET", "/live/nothing", &[]).await;
    assert_eq!((reply.status, reply.field("content-length")), (200, Some("0")));
}

#[tokio::test]
async fn nobody_publishes_to_what_is_pulled_and_what_is_published_here_goes_before() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    put(&root, "theirs", b"theirs").await;
    put(&root, "both", b"theirs").await;
    put(&edge, "both", b"ours").await;

    assert_eq!(edge.ask("GET", "/live/both", &[]).await.body, b"ours");
    assert_eq!(edge.ask("GET", "/live/theirs", &[]).await.body, b"theirs");
    let refused = edge.post("theirs", "bytes 0-4/*", b"wrong").await;
    assert!(refused.refused(409).contains("pulled"));
    assert_eq!(edge.post("theirs", "bytes 0-5/*", b"theirs").await.status, 409);

    assert_eq!(edge.ask("DELETE", "/live/theirs", &[]).await.status, 204);
    assert_eq!(edge.ask("GET", "/live/theirs", &[]).await.body, b"theirs", "it is pulled again");
}

#[tokio::test]
async fn another_incarnation_upstream_is_begun_anew() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    let _old_origin = origin(&root, "radio", b"old").await;
    let (mut old, head) = viewer(&edge, "/live/radio?from=start").await;
    assert_eq!(old.take(3).await, b"old");

    assert_eq!(root.ask("DELETE", "/live/radio", &[]).await.status, 204);
    let _new_origin = origin(&root, "radio", b"new bytes").await;

    assert_eq!(soon(old.next()).await, Err(()), "cut, not ended");
    let (mut new, now) = viewer(&edge, "/live/radio?from=start").await;
    assert_eq!(soon(new.take(9)).await, b"new bytes");
    assert_ne!(now.field("etag"), head.field("etag"));
}

#[tokio::test]
async fn an_upstream_that_is_away_leaves_what_is_held_and_says_so_of_the_rest() {
    let root = Node::start().await;
    let edge = edge(&[root.address]).await;
    let _origin = origin(&root, "radio", b"tick").await;
    let (mut viewer_before, _) = viewer(&edge, "/live/radio?from=start").await;
    viewer_before.take(4).await;
    root.stop().await;

    let (mut late, _) = viewer(&edge, "/live/radio?from=start").await;
    assert_eq!(soon(late.take(4)).await, b"tick");
    let refused = soon(edge.ask("GET", "/live/unknown", &[])).await;
    refused.refused(503);
    assert!(refused.field("retry-after").is_some());
}

#[tokio::test]
async fn a_guarded_upstream_wants_its_token() {
    let root = Node::with(|config| {
        config.access.publish_token = Some("write".parse().unwrap());
        config.access.read_token = Some("look".parse().unwrap());
    })
    .await;
    let fields = [("Authorization", "Bearer write")];
    assert_eq!(root.send("PUT", "/live/x", &fields, b"hello").await.status, 201);
    let with = async |token: &str| {
        let token = Some(token.parse().unwrap());
        let edge =
            edge_with(&[root.address], |config| config.upstream.upstream_token = token).await;
        edge.ask("GET", "/live/x", &[]).await
    };

    assert_eq!(with("look").await.body, b"hello");
    with("guess").await.refused(503);
}

#[tokio::test]
async fn an_edge_that_keeps_little_takes_what_upstream_has_at_hand() {
    let root = Node::with(|config| config.store.ring_bytes = 1 << 20).await;
    let all = bytes(6_000_000);
    let mut origin = origin(&root, "long", &all).await;
    until(async || root.held("long").await == "bytes 0-5999999/*").await;
    let edge = edge_with(&[root.address], |config| config.store.retain_bytes = Some(1 << 20)).await;

    let (mut viewer, head) = viewer(&edge, "/live/long").await;
    origin.chunk(b"tick").await;

    let from: usize = head.field("stream-join").unwrap().parse().unwrap();
    assert!(from >= 5_900_000, "at the live edge: {from}");
    let seen = soon(viewer.take(6_000_004 - from)).await;
    assert!(seen == [&all[from..], b"tick"].concat());
    let pulled = edge.metric("freshet_pulled_bytes_total").await;
    assert!(pulled < 2_000_000, "{pulled}");
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

/// Forwards connections to `to` until dropped, and cuts them then.
async fn wire(to: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
    tasks.spawn(async move {
        let mut wires = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            wires.spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn an_upstream_that_has_lost_its_own_is_left_for_one_that_has_more() {
    let root = Node::start().await;
    let (wire_address, wire) = wire(root.address).await;
    let (starving, fed) = (edge(&[wire_address]).await, edge(&[root.address]).await);
    let edge = edge(&[starving.address, fed.address]).await;
    let mut origin = origin(&root, "radio", b"tick").await;
    let (mut viewer, _) = viewer(&edge, "/live/radio?from=start").await;
    assert_eq!(viewer.take(4).await, b"tick");

    drop(wire);
    origin.chunk(b"tock").await;

    // It is silent first, for longer than `soon` has patience.
    let tock = timeout(Duration::from_secs(30), viewer.socket.readable()).await;
    tock.expect("it goes on").unwrap();
    assert_eq!(viewer.take(4).await, b"tock");
    assert_eq!(edge.metric("freshet_upstream_failovers_total").await, 1);
}
