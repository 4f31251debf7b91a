//! Bytes of the disk copy that the kernel sends by itself.

use crate::node::{Node, bytes};

const LENGTH: usize = 3_000_000;

/// A complete stream that has left the ring.
async fn complete() -> (Node, Vec<u8>) {
    let node = Node::with(|config| config.store.ring_bytes = 200_000).await;
    let whole = bytes(LENGTH);
    node.send("PUT", "/live/done", &[], &whole).await;
    (node, whole)
}

/// How many bytes the kernel has sent by itself.
async fn sent(node: &Node) -> usize {
    node.metric("freshet_stored_sent_bytes_total").await as usize
}

#[tokio::test]
async fn a_complete_stream_is_sent_from_the_disk_to_whoever_asks_for_it() {
    let (node, whole) = complete().await;
    assert_eq!(node.ask("GET", "/live/done", &[]).await.body, whole);
    assert!(sent(&node).await > LENGTH - 300_000, "all but what is in the ring");
}

#[tokio::test]
async fn ranges_over_one_connection_come_whole_and_in_order() {
    let (node, whole) = complete().await;
    let ranges = [(5, 1_000_004), (1, 10), (2_000_000, LENGTH - 1), (70_000, 90_000), (0, 65_535)];
    let mut peer = node.connect().await;
    for (first, last) in ranges {
        let range = format!("bytes={first}-{last}");
        peer.request("GET", "/live/done", &[("Range", &range)], b"").await;
    }
    for (first, last) in ranges {
        let reply = peer.reply("GET").await;
        assert_eq!(reply.status, 206);
        assert!(reply.body == whole[first..=last], "{first} to {last}");
    }
    assert!(sent(&node).await > 1_000_000);
}

#[tokio::test]
async fn parts_of_several_ranges_have_the_bytes_and_nothing_that_stood_in_for_them() {
    let (node, whole) = complete().await;
    let ranges = [("Range", "bytes=100000-299999,1000000-1999999")];
    let (parts, is_closed) = node.ask("GET", "/live/done", &ranges).await.parts();
    assert!(is_closed);
    let [first, second] = &parts[..] else { panic!("{} parts", parts.len()) };
    assert!(first.1 == whole[100_000..300_000] && second.1 == whole[1_000_000..2_000_000]);
}

#[tokio::test]
async fn polling_consumers_get_what_has_left_the_ring() {
    let (node, whole) = complete().await;
    let polled = "/live/done?limit=400000";
    let fields = [("Have", "bytes 0-999999,1400000-2999999/*")];
    let reply = node.ask("GET", polled, &fields).await;
    assert_eq!(reply.status, 206, "{:?}", reply.fields);
    assert!(reply.body == whole[1_000_000..1_400_000]);
}
