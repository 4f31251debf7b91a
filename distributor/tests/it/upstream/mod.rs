//! Distributors that pull from one another.

mod cascade;
mod restart;

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

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
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
