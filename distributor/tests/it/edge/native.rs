//! Native consumers at the live edge: parts that are written past hyper, and what ends that.

use freshet_protocol::PartHead;

use super::AT_THE_EDGE;
use crate::{
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

/// One who follows the stream `x` natively.
struct Consumer {
    peer: Peer,
    reply: Reply,
}

impl Consumer {
    async fn new(node: &Node, query: &str) -> Self {
        let mut peer = node.connect().await;
        let fields = [("Content-Range", "bytes */*"), ("Accept", "multipart/byteranges")];
        peer.request("GET", &format!("/live/x{query}"), &fields, b"").await;
        let reply = peer.head().await;
        assert_eq!(reply.status, 206, "{reply:?}");
        Self { peer, reply }
    }

    /// All parts that are here so far.
    fn parts(&self) -> Vec<(PartHead, Vec<u8>)> {
        self.reply.parts().0
    }

    /// Read on until so many bytes of parts are here.
    async fn read_to(&mut self, length: usize) {
        let here = |parts: Vec<(PartHead, Vec<u8>)>| -> usize {
            parts.iter().map(|(_, bytes)| bytes.len()).sum()
        };
        while here(self.parts()) < length {
            self.reply.body.extend(self.peer.next().await.unwrap().unwrap());
        }
        assert_eq!(here(self.parts()), length, "no byte twice");
    }

    /// Put together by their places.
    fn whole(&self) -> Vec<u8> {
        let mut whole = Vec::new();
        for (head, bytes) in self.parts() {
            let (start, end) =
                (head.placed.range.start() as usize, head.placed.range.end() as usize);
            assert_eq!(end - start, bytes.len());
            whole.resize(whole.len().max(end), 0);
            whole[start..end].copy_from_slice(&bytes);
        }
        whole
    }
}

/// Somebody at the live edge of a stream, and what that has.
async fn at_the_edge(node: &Node) -> (Vec<u8>, Consumer) {
    let mut sent = Vec::new();
    append(node, &mut sent, b"!", &[]).await;
    let mut consumer = Consumer::new(node, "?backfill=all").await;
    until_at_the_edge(node, &mut sent, std::slice::from_mut(&mut consumer)).await;
    (sent, consumer)
}

/// Append to `sent` little by little until all are at the live edge, who read along.
async fn until_at_the_edge(node: &Node, sent: &mut Vec<u8>, consumers: &mut [Consumer]) {
    for step in 0..200 {
        append(node, sent, &bytes(1 + step), &[]).await;
        for consumer in &mut *consumers {
            consumer.read_to(sent.len()).await;
        }
        if node.metric(AT_THE_EDGE).await == consumers.len() as u64 {
            return;
        }
    }
    panic!("not at the edge after 200 chunks");
}

async fn append(node: &Node, sent: &mut Vec<u8>, more: &[u8], fields: &[(&str, &str)]) {
    let range = format!("bytes {}-{}/*", sent.len(), sent.len() + more.len() - 1);
    let fields = [&[("Content-Range", range.as_str())], fields].concat();
    let status = node.send("POST", "/live/x", &fields, more).await.status;
    assert!(matches!(status, 200 | 201), "{status}");
    sent.extend(more);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_as_ever_and_so_is_the_end() {
    let node = Node::start().await;
    let mut sent = Vec::new();
    append(&node, &mut sent, b"!", &[("Content-Type", "audio/ogg")]).await;
    let mut consumers = Vec::new();
    for _ in 0..40 {
        consumers.push(Consumer::new(&node, "?backfill=all").await);
    }
    until_at_the_edge(&node, &mut sent, &mut consumers).await;

    let at = sent.len() as u64;
    append(&node, &mut sent, b"captured", &[("Origin-Time", "1700000000.5")]).await;
    for size in [100, 70_000, 4096, 200_000] {
        append(&node, &mut sent, &bytes(size), &[]).await;
    }
    let length = format!("bytes */{}", sent.len());
    node.send("POST", "/live/x", &[("Content-Range", &length)], b"").await;

    for mut consumer in consumers {
        soon(consumer.peer.drain(&mut consumer.reply)).await;
        assert!(
            consumer.reply.ended && consumer.reply.parts().1,
            "its closing boundary, its last chunk"
        );
        assert!(consumer.whole() == sent, "byte for byte");
        let parts = consumer.parts();
        let captured = parts.iter().find(|(head, _)| head.placed.range.start() == at).unwrap();
        assert_eq!(captured.0.origin_time.unwrap().to_string(), "1700000000.500000000");
        assert!(parts.iter().all(|(head, _)| head.content_type.as_deref() == Some("audio/ogg")));
        consumer.peer.request("GET", "/healthz", &[], b"").await;
        assert_eq!(consumer.peer.reply("GET").await.text(), "ok\n");
    }
    assert_eq!(node.metric(AT_THE_EDGE).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newest_comes_first_behind_a_hole_and_the_hole_when_it_is_filled() {
    let node = Node::start().await;
    let (sent, mut consumer) = at_the_edge(&node).await;

    let hole = sent.len() as u64;
    let newest = format!("bytes {}-{}/*", hole + 4, hole + 7);
    node.post("x", &newest, b"newe").await;
    consumer.read_to(sent.len() + 4).await;
    assert_eq!(consumer.parts().last().unwrap().0.placed.range.start(), hole + 4);
    // More at the edge does not hide what is filled in behind it.
    node.post("x", &format!("bytes {}-{}/*", hole + 8, hole + 10), b"st.").await;
    consumer.read_to(sent.len() + 7).await;
    node.post("x", &format!("bytes {hole}-{}/*", hole + 3), b"the ").await;
    consumer.read_to(sent.len() + 11).await;

    assert_eq!(consumer.parts().last().unwrap().0.placed.range.start(), hole);
    assert!(consumer.whole().ends_with(b"the newest."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_and_native_ones_sit_side_by_side() {
    let node = Node::start().await;
    let (mut sent, mut consumer) = at_the_edge(&node).await;
    let mut plain = node.connect().await;
    plain.request("GET", "/live/x?from=start", &[], b"").await;
    let mut reply = plain.head().await;
    while reply.body.len() < sent.len() {
        reply.body.extend(plain.next().await.unwrap().unwrap());
    }
    until(async || node.metric(AT_THE_EDGE).await == 2).await;

    for size in [5_000, 1, 60_000] {
        append(&node, &mut sent, &bytes(size), &[]).await;
    }
    consumer.read_to(sent.len()).await;
    while reply.body.len() < sent.len() {
        reply.body.extend(plain.next().await.unwrap().unwrap());
    }
    assert!(reply.body == sent && consumer.whole() == sent);
    // Whoever leaves is let go.
    drop((plain, consumer));
    append(&node, &mut sent, b".", &[]).await;
    until(async || node.metric(AT_THE_EDGE).await == 0).await;
}
