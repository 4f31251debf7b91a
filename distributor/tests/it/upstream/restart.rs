//! Who is stopped, started again, or lost: no byte is, and no viewer sees it.

use super::*;

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
