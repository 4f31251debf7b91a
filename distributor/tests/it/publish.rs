//! What an origin may do, and the status of each outcome.

use freshet_protocol::Sha256Digest;
use sha2::{Digest, Sha256};

use crate::node::{Node, bytes, until};

fn digest(bytes: &[u8]) -> String {
    Sha256Digest(Sha256::digest(bytes).into()).to_string()
}

#[tokio::test]
async fn the_first_bytes_make_the_stream_and_more_of_them_are_accepted() {
    let node = Node::start().await;
    let first = node.post("a/b", "bytes 0-4/*", b"hello").await;
    assert_eq!(first.status, 201);
    assert_eq!(first.field("location"), Some("/live/a/b"));
    assert_eq!(first.field("content-range"), Some("bytes 0-4/*"));
    let etag = first.field("etag").unwrap().to_owned();

    let second = node.post("a/b", "bytes 10-14/*", b"world").await;
    assert_eq!(second.status, 200);
    assert_eq!(second.field("content-range"), Some("bytes 0-4,10-14/*"));
    assert_eq!(second.field("etag"), Some(etag.as_str()));

    let again = node.post("a/b", "bytes 0-4/*", b"hello").await;
    assert_eq!(again.status, 200, "equal bytes change nothing");
    let last = node.post("a/b", "bytes 5-9/15", b", my ").await;
    assert_eq!(last.field("content-range"), Some("bytes 0-14/15"));
    assert_eq!(node.ask("GET", "/live/a/b", &[]).await.text(), "hello, my world");
}

#[tokio::test]
async fn bytes_that_differ_or_go_past_the_end_are_refused_and_nothing_changes() {
    let node = Node::start().await;
    node.post("x", "bytes 0-9/20", &[1; 10]).await;
    for (range, body, why) in [
        ("bytes 5-14/*", [2; 10], "byte at 5 differs"),
        ("bytes 9-18/*", [2; 10], "byte at 9 differs"),
        ("bytes 15-24/*", [2; 10], "past the complete length 20"),
        ("bytes 10-19/21", [2; 10], "length is 20, not 21"),
    ] {
        let reply = node.post("x", range, &body).await;
        assert!(reply.refused(409).contains(why), "{reply:?}");
        assert_eq!(reply.field("content-range"), Some("bytes 0-9/20"), "{range}");
        assert_eq!(node.held("x").await, "bytes 0-9/20", "{range}");
    }
    let reply = node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"").await;
    reply.refused(409);
    assert_eq!(node.metric("freshet_conflicts_total").await, 2);
}

#[tokio::test]
async fn a_chunk_that_differs_far_inside_changes_nothing_either() {
    let node = Node::start().await;
    let whole = bytes(1_000_000);
    node.post("x", "bytes 900000-900009/*", &whole[..10]).await;
    let reply = node.post("x", "bytes 0-999999/*", &whole).await;
    assert!(reply.refused(409).contains("byte at 900000 differs"));
    assert_eq!(node.held("x").await, "bytes 900000-900009/*");
}

#[tokio::test]
async fn a_length_alone_completes_a_stream() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"hello").await;
    let reply = node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("content-range"), Some("bytes 0-4/5"));
    let again = node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"").await;
    assert_eq!(again.status, 200);
    let low = node.send("POST", "/live/x", &[("Content-Range", "bytes */4")], b"").await;
    low.refused(409);
    let body = node.send("POST", "/live/x", &[("Content-Range", "bytes */5")], b"!").await;
    body.refused(400);
    assert_eq!(node.ask("GET", "/live/x", &[]).await.text(), "hello");
}

#[tokio::test]
async fn the_first_media_type_that_is_told_is_kept() {
    let node = Node::start().await;
    assert_eq!(node.send("POST", "/live/x", &[], b"hello").await.status, 201);
    for told in ["audio/mpeg", "video/mp4"] {
        let more = node.send("POST", "/live/x", &[("Content-Type", told)], b"!").await;
        assert_eq!(more.status, 200);
        let look = node.ask("HEAD", "/live/x", &[]).await;
        assert_eq!(look.field("content-type"), Some("audio/mpeg"), "after {told}");
    }
}

#[tokio::test]
async fn a_post_without_a_place_appends_and_a_put_is_the_whole() {
    let node = Node::start().await;
    assert_eq!(node.send("POST", "/live/x", &[], b"hello").await.status, 201);
    let more = node.send("POST", "/live/x", &[], b", world").await;
    assert_eq!(more.field("content-range"), Some("bytes 0-11/*"));

    let put = node.send("PUT", "/live/y", &[("Content-Type", "audio/mpeg")], b"hello").await;
    assert_eq!((put.status, put.field("content-range")), (201, Some("bytes 0-4/5")));
    let get = node.ask("GET", "/live/y", &[]).await;
    assert_eq!(get.field("content-type"), Some("audio/mpeg"));
    assert_eq!(get.field("content-length"), Some("5"));
    assert_eq!(node.send("PUT", "/live/y", &[], b"hello").await.status, 200, "the same again");
    node.send("PUT", "/live/y", &[], b"hullo").await.refused(409);
    node.send("PUT", "/live/y", &[], b"hello!").await.refused(409);

    // As `curl -C 2 -T FILE` does it.
    let rest = node.send("PUT", "/live/y", &[("Content-Range", "bytes 2-4/5")], b"llo").await;
    assert_eq!(rest.status, 200);
    let empty = node.send("PUT", "/live/z", &[], b"").await;
    assert_eq!(empty.field("content-range"), Some("bytes */0"));
    assert_eq!(node.ask("GET", "/live/z", &[]).await.status, 200);
}

#[tokio::test]
async fn consumers_have_the_bytes_before_the_post_ends() {
    let node = Node::start().await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", "").await;
    origin.chunk(b"one").await;
    until(async || node.ask("HEAD", "/live/x", &[]).await.status == 200).await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x?from=start", &[], b"").await;
    consumer.head().await;
    assert_eq!(consumer.take(3).await, b"one");

    origin.chunk(b"two").await;
    assert_eq!(consumer.take(3).await, b"two");
    origin.chunk(b"").await;
    assert_eq!(origin.reply("POST").await.status, 201);
}

#[tokio::test]
async fn a_post_that_dies_leaves_what_came_and_goes_on_from_there() {
    let node = Node::start().await;
    let whole = bytes(100_000);
    for cut in ["close", "reset"] {
        let name = format!("x-{cut}");
        let mut origin = node.connect().await;
        origin
            .say(format!(
                "POST /live/{name} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\
                 Content-Range: bytes 0-99999/100000\r\n\r\n"
            ))
            .await;
        origin.say(&whole[..60_000]).await;
        until(async || {
            let head = node.ask("HEAD", &format!("/live/{name}"), &[]).await;
            head.field("content-range") == Some("bytes 0-59999/*")
        })
        .await;
        if cut == "reset" {
            let linger = Some(std::time::Duration::ZERO);
            socket2::SockRef::from(&origin.socket).set_linger(linger).unwrap();
        }
        drop(origin);

        let rest = node.post(&name, "bytes 60000-99999/100000", &whole[60_000..]);
        // The dead connection's request keeps the lease until its end is seen.
        let mut reply = rest.await;
        while reply.status == 409 {
            reply = node.post(&name, "bytes 60000-99999/100000", &whole[60_000..]).await;
        }
        assert_eq!(reply.field("content-range"), Some("bytes 0-99999/100000"), "{reply:?}");
        assert_eq!(node.ask("GET", &format!("/live/{name}"), &[]).await.body, whole);
    }
}

#[tokio::test]
async fn a_digest_is_checked_before_a_byte_is_kept() {
    let node = Node::start().await;
    let right = digest(b"hello");
    let fields = [("Content-Range", "bytes 0-4/*"), ("Content-Digest", right.as_str())];
    assert_eq!(node.send("POST", "/live/x", &fields, b"hello").await.status, 201);
    let fields = [("Content-Range", "bytes 5-9/*"), ("Content-Digest", right.as_str())];
    let reply = node.send("POST", "/live/x", &fields, b"HELLO").await;
    assert!(reply.refused(400).contains("digest"));
    assert_eq!(node.held("x").await, "bytes 0-4/*");

    let whole = bytes(3 << 20);
    let right = digest(&whole);
    let reply = node.send("PUT", "/live/y", &[("Content-Digest", &right)], &whole).await;
    assert_eq!(reply.status, 201);
    assert_eq!(node.ask("GET", "/live/y", &[]).await.body, whole);
}

#[tokio::test]
async fn a_digest_of_a_body_that_is_cut_keeps_nothing() {
    let node = Node::start().await;
    let mut origin = node.connect().await;
    origin.begin_post("/live/x", &format!("Content-Digest: {}\r\n", digest(b"hello"))).await;
    origin.chunk(b"hel").await;
    drop(origin);
    until(async || node.metric("freshet_connections").await == 1).await;
    assert_eq!(node.ask("HEAD", "/live/x", &[]).await.status, 404);
}

#[tokio::test]
async fn a_chunk_over_the_limit_is_told_the_limit() {
    let node = Node::with(|config| config.bounds.chunk_bytes_max = 1000).await;
    let reply = node.post("x", "bytes 0-1000/*", &[0; 1001]).await;
    reply.refused(413);
    assert_eq!(reply.field("upload-limit"), Some("max-append-size=1000"));
    node.send("POST", "/live/x", &[], &[0; 1001]).await.refused(413);
    assert_eq!(node.post("x", "bytes 0-999/*", &[0; 1000]).await.status, 201);

    let node = Node::start().await;
    let digest = digest(b"");
    let mut origin = node.connect().await;
    origin
        .say(format!(
            "POST /live/x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\
             Content-Digest: {digest}\r\n\r\n"
        ))
        .await;
    let reply = origin.reply("POST").await;
    reply.refused(413);
    assert_eq!(reply.field("upload-limit"), Some("max-append-size=16777216"));
}

#[tokio::test]
async fn only_so_many_bytes_wait_to_be_checked() {
    let node = Node::with(|config| config.bounds.checked_bytes_max = 4096).await;
    let digest = digest(b"hello");
    let mut first = node.connect().await;
    first
        .say(format!(
            "POST /live/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Digest: {digest}\r\n\
             Expect: 100-continue\r\n\r\n"
        ))
        .await;
    // Asked to go on: it has its room, and keeps it.
    assert_eq!(first.exactly(25).await.unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    let fields = [("Content-Digest", digest.as_str())];
    let large = vec![0; 4096];
    let second = node.send("POST", "/live/y", &fields, &large).await;
    second.refused(503);
    assert_eq!(second.field("retry-after"), Some("1"));

    first.say("hello").await;
    assert_eq!(first.reply("POST").await.status, 201);
    assert_eq!(node.send("POST", "/live/y", &fields, b"hello").await.status, 201);
}

#[tokio::test]
async fn conditions_are_minded() {
    let node = Node::start().await;
    let first = node.post("x", "bytes 0-0/*", b"a").await;
    let etag = first.field("etag").unwrap();
    let post = async |name: &str, field: &str, value: &str| {
        let fields = [(field, value), ("Content-Range", "bytes 1-1/*")];
        node.send("POST", &format!("/live/{name}"), &fields, b"b").await
    };
    let refused = post("x", "If-Match", "\"other\"").await;
    refused.refused(412);
    assert_eq!(refused.field("etag"), Some(etag));
    post("x", "If-None-Match", "*").await.refused(412);
    post("absent", "If-Match", etag).await.refused(412);
    post("x", "If-Match", "x").await.refused(400);
    assert_eq!(node.held("x").await, "bytes 0-0/*");
    assert_eq!(post("x", "If-Match", etag).await.status, 200);
    assert_eq!(post("new", "If-None-Match", "*").await.status, 201);
}

#[tokio::test]
async fn a_gap_may_be_large_and_not_too_large() {
    let node = Node::with(|config| config.store.gap_bytes_max = 1000).await;
    node.post("x", "bytes 0-9/*", &[0; 10]).await;
    let reply = node.post("x", "bytes 1011-1011/*", b"a").await;
    reply.refused(416);
    assert_eq!(reply.field("content-range"), Some("bytes 0-9/*"));
    assert_eq!(node.post("x", "bytes 1010-1010/*", b"a").await.status, 200);
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let node = Node::with(|config| config.store.streams_max = 1).await;
    node.post("x", "bytes 0-0/*", b"a").await;
    let reply = node.post("y", "bytes 0-0/*", b"a").await;
    reply.refused(503);
    assert_eq!(reply.field("retry-after"), Some("1"));
    assert_eq!(node.ask("DELETE", "/live/x", &[]).await.status, 204);
    assert_eq!(node.post("y", "bytes 0-0/*", b"a").await.status, 201);
}

#[tokio::test]
async fn a_deleted_name_is_free_for_another_incarnation() {
    let node = Node::start().await;
    let old = node.post("x", "bytes 0-4/5", b"hello").await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/x", &[("Range", "bytes=0-9007199254740991")], b"").await;
    let old_tag = old.field("etag").unwrap();
    node.ask("DELETE", "/live/x", &[("If-Match", "\"no\"")]).await.refused(412);

    assert_eq!(node.ask("DELETE", "/live/x", &[("If-Match", old_tag)]).await.status, 204);

    node.ask("GET", "/live/x", &[]).await.refused(404);
    node.ask("DELETE", "/live/x", &[]).await.refused(404);
    let new = node.post("x", "bytes 0-4/5", b"HELLO").await;
    assert_eq!(new.status, 201);
    assert_ne!(new.field("etag"), Some(old_tag));
}

#[tokio::test]
async fn the_handshake_tells_what_an_origin_needs_to_know() {
    let node = Node::start().await;
    node.post("x", "bytes 0-4/*", b"hello").await;
    let reply = node.ask("OPTIONS", "/live/x", &[("Connection-Type", "origin")]).await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.field("allow"), Some("GET, HEAD, OPTIONS, POST, PUT, DELETE"));
    assert_eq!(reply.field("content-range"), Some("bytes 0-4/*"));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert_eq!(reply.field("keep-alive"), Some("timeout=30, max=9999"));
    assert!(reply.field("upload-limit").unwrap().starts_with("max-append-size="));
    assert!(reply.field("etag").is_some());
    let clock: f64 = reply.field("stream-time").unwrap().parse().unwrap();
    assert!(clock > 1.7e9);

    let unknown = node.ask("OPTIONS", "/live/y", &[]).await;
    unknown.refused(404);
    assert!(unknown.field("stream-time").is_some() && unknown.field("allow").is_some());
}
