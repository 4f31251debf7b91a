//! Whatever is wrong with a request: its status, its problem document, and nothing changed.

use freshet_protocol::Sha256Digest;

use crate::{node::Node, peer::Reply};

/// A stream with a hole, and a complete one.
async fn node() -> Node {
    let node = Node::with(|config| config.store.gap_bytes_max = 10_000).await;
    node.post("x", "bytes 0-99/*", &[1; 100]).await;
    node.post("x", "bytes 200-299/*", &[1; 100]).await;
    node.post("done", "bytes 0-9/10", &[1; 10]).await;
    node
}

async fn heads(node: &Node) -> Vec<(u16, Option<String>, Option<String>)> {
    let mut heads = Vec::new();
    for name in ["x", "done", "new"] {
        let reply = node.ask("HEAD", &format!("/live/{name}"), &[]).await;
        let field = |name| reply.field(name).map(str::to_owned);
        heads.push((reply.status, field("content-range"), field("etag")));
    }
    heads
}

/// Refused with `status`, and all is as it was.
async fn unchanged(
    node: &Node,
    what: &str,
    status: u16,
    reply: Reply,
    before: &[impl PartialEq<(u16, Option<String>, Option<String>)>],
) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    reply.refused(status);
    let after = heads(node).await;
    assert!(before.iter().zip(&after).all(|(a, b)| a == b), "{what}: {after:?}");
}

#[tokio::test]
async fn a_place_that_means_nothing() {
    let node = node().await;
    let before = heads(&node).await;
    let many: Vec<_> = (0..2000).map(|at| format!("{0}-{0}", at * 2)).collect();
    let thousand = format!("bytes {}/*", many[..1000].join(","));
    for (status, range) in [
        (400, "bytes 109-100/*"),
        (400, "bytes 100-109/-1"),
        (400, "bytes 100-99999999999999999999/*"),
        (400, "bytes 99999999999999999999-99999999999999999999/*"),
        (400, "bytes 9223372036854775807-9223372036854775807/*"),
        (400, "bytes 100-109/105"),
        (400, "bytes 0-9,20-29/*"),
        (400, "bytes */*"),
        (400, "bytes=100-109"),
        (400, "bytes 100-/*"),
        (400, "bytes -10/*"),
        (400, "items 100-109/*"),
        (400, "bytes 100-109"),
        (400, "bytes 0x64-109/*"),
        (400, ""),
        (400, &thousand),
        (416, "bytes 10301-10310/*"),
        (409, "bytes 95-104/*"),
        (409, "bytes 195-204/*"),
        (409, "bytes 100-109/250"),
    ] {
        let reply = node.post("x", range, &[2; 10]).await;
        if matches!(status, 409 | 416) || range.len() < 100 {
            let held = reply.field("content-range").map(str::to_owned);
            assert_eq!(held.as_deref(), Some("bytes 0-99,200-299/*"), "{range}");
        }
        unchanged(&node, range, status, reply, &before).await;
    }
    let twice = [("Content-Range", "bytes 100-109/*"), ("Content-Range", "bytes 100-109/*")];
    let reply = node.send("POST", "/live/x", &twice, &[2; 10]).await;
    unchanged(&node, "twice", 400, reply, &before).await;
}

#[tokio::test]
async fn a_body_that_is_not_what_was_announced() {
    let node = node().await;
    let before = heads(&node).await;
    for (range, length) in [("bytes 100-109/*", 9), ("bytes 100-109/*", 11), ("bytes 100-109/*", 0)]
    {
        let reply = node.post("x", range, &vec![2; length]).await;
        unchanged(&node, &format!("{length} bytes"), 400, reply, &before).await;
    }
    let mut chunked = node.connect().await;
    chunked.begin_post("/live/x", "Content-Range: bytes 100-109/*\r\n").await;
    chunked.chunk(&[2; 11]).await;
    chunked.chunk(b"").await;
    let reply = chunked.reply("POST").await;
    unchanged(&node, "chunked and too long", 400, reply, &before).await;

    let mut broken = node.connect().await;
    broken.begin_post("/live/x", "Content-Range: bytes 100-109/*\r\n").await;
    broken.say("zz\r\n").await;
    let reply = broken.reply("POST").await;
    unchanged(&node, "no chunk at all", 400, reply, &before).await;

    let wrong = Sha256Digest([7; 32]).to_string();
    for digest in [wrong.as_str(), "sha-256=:AAAA:", "md5=:AAAA:", "nonsense"] {
        let fields = [("Content-Range", "bytes 100-109/*"), ("Content-Digest", digest)];
        let reply = node.send("POST", "/live/x", &fields, &[2; 10]).await;
        unchanged(&node, digest, 400, reply, &before).await;
    }
}

#[tokio::test]
async fn a_chunked_body_that_is_too_short_is_refused_and_what_came_stays() {
    let node = node().await;
    let mut chunked = node.connect().await;
    chunked.begin_post("/live/x", "Content-Range: bytes 100-109/*\r\n").await;
    chunked.chunk(&[2; 9]).await;
    chunked.chunk(b"").await;
    let reply = chunked.reply("POST").await;
    assert!(reply.refused(400).contains("9 of 10"));
    assert_eq!(node.held("x").await, "bytes 0-108,200-299/*");
}

#[tokio::test]
async fn a_name_that_is_none() {
    let node = node().await;
    let before = heads(&node).await;
    let long = "x".repeat(65);
    for name in [
        "..",
        "../etc",
        "a/../b",
        "%2e%2e%2f",
        "a%00b",
        "a%2fb",
        ".hidden",
        "a//b",
        "a/",
        "/a",
        "a/b/c/d/e",
        &long,
        "a~b",
        "a+b",
        "a%20b",
        "a:b",
        "a;b",
        "a@b",
    ] {
        for method in ["POST", "PUT", "GET", "HEAD", "DELETE", "OPTIONS"] {
            let reply = node.send(method, &format!("/live/{name}"), &[], b"").await;
            assert_eq!(reply.status, 400, "{method} {name}: {reply:?}");
            if method != "HEAD" {
                reply.refused(400);
            }
        }
    }
    let mut nul = node.connect().await;
    nul.say("POST /live/a\0b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    let reply = nul.reply("POST").await;
    unchanged(&node, "NUL", 400, reply, &before).await;
    for path in ["/etc/passwd", "/live/../../etc/passwd", "/livex", "/metrics/x", "*"] {
        let reply = node.ask("GET", path, &[]).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        reply.refused(reply.status);
    }
    assert_eq!(heads(&node).await, before);
}

#[tokio::test]
async fn fields_that_mean_nothing() {
    let node = node().await;
    let before = heads(&node).await;
    let (long, wide) = ("x".repeat(129), format!("a/{}", "b".repeat(300)));
    for (field, value) in [
        ("Origin-Id", ""),
        ("Origin-Id", "a b"),
        ("Origin-Id", &long),
        ("Origin-Time", "yesterday"),
        ("Origin-Time", "-1"),
        ("If-Match", "unquoted"),
        ("If-None-Match", "unquoted"),
        ("Content-Type", &wide),
        ("Connection-Type", "consumer"),
    ] {
        let fields = [("Content-Range", "bytes 100-109/*"), (field, value)];
        let reply = node.send("POST", "/live/x", &fields, &[2; 10]).await;
        unchanged(&node, &format!("{field}: {value}"), 400, reply, &before).await;
    }
    for (field, value) in [
        ("Content-Range", "bytes 9-3/*"),
        ("Have", "nonsense"),
        ("Content-Range", "bytes 0-99999999999999999999/*"),
        ("If-Match", "unquoted"),
        ("Connection-Type", "origin"),
    ] {
        node.ask("GET", "/live/x", &[(field, value)]).await.refused(400);
    }
    for query in ["from=never", "behind=x", "backfill=some", "limit=0", "limit=-1", "from=-5"] {
        node.ask("GET", &format!("/live/x?{query}"), &[]).await.refused(400);
    }
    let both = [("Have", "bytes */*"), ("Content-Range", "bytes */*")];
    node.ask("GET", "/live/x", &both).await.refused(400);
    assert_eq!(heads(&node).await, before);
}

#[tokio::test]
async fn a_method_that_means_nothing_is_told_what_does() {
    let node = node().await;
    for method in ["PATCH", "BREW", "TRACE"] {
        let reply = node.ask(method, "/live/x", &[]).await;
        reply.refused(405);
        assert_eq!(reply.field("allow"), Some("GET, HEAD, OPTIONS, POST, PUT, DELETE"));
    }
    let reply = node.send("POST", "/metrics", &[], b"x").await;
    reply.refused(405);
    assert_eq!(reply.field("allow"), Some("GET, HEAD, OPTIONS"));
}
