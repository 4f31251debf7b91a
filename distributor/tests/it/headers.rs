//! What every reply says to pages, caches and proxies, whatever else it is.

use crate::{node::Node, peer::Reply};

const KEEP: &str = "public, max-age=31536000, immutable";
const LIVE: &str = "no-store, no-transform";
const NEVER: &str = "no-store";

#[track_caller]
fn check(what: &str, reply: &Reply, status: u16, caching: &str) {
    assert_eq!(reply.status, status, "{what}: {reply:?}");
    assert_eq!(reply.field("cache-control"), Some(caching), "{what}: {reply:?}");
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "{what}");
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"), "{what}");
    let exposed = reply.field("access-control-expose-headers").unwrap_or_default();
    for name in ["Content-Range", "ETag", "Stream-Join", "Origin-Time", "Stream-Time", "Have"] {
        assert!(exposed.split(", ").any(|field| field == name), "{what}: {name} in {exposed}");
    }
    let unbuffered = (Some("?1"), Some("no"));
    let asked = (reply.field("incremental"), reply.field("x-accel-buffering"));
    assert_eq!(asked == unbuffered, caching == LIVE, "{what}: {asked:?}");
}

#[tokio::test]
async fn every_reply_is_open_to_pages_and_says_who_may_keep_it() {
    let node = Node::start().await;
    node.post("done", "bytes 0-4/5", b"01234").await;
    node.post("live", "bytes 0-4/*", b"01234").await;
    let etag = node.ask("HEAD", "/live/done", &[]).await.field("etag").unwrap().to_owned();
    let parts = ("Accept", "multipart/byteranges");
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let rows: &[Row<'_>] = &[
        ("GET", "/live/done", &[], 200, KEEP),
        ("GET", "/live/done?from=2", &[], 200, LIVE),
        ("GET", "/live/done", &[("Range", "bytes=1-2")], 206, KEEP),
        ("GET", "/live/done", &[("Range", "bytes=0-0,2-3")], 206, KEEP),
        ("GET", "/live/done", &[("If-None-Match", &etag)], 304, KEEP),
        ("GET", "/live/done", &[("Range", "bytes=9-")], 416, NEVER),
        ("GET", "/live/done", &[("If-Match", "\"other\"")], 412, NEVER),
        ("GET", "/live/done", &[("Have", "bytes 0-4/*")], 204, LIVE),
        ("GET", "/live/done", &[("Have", "bytes 0-1/*")], 206, LIVE),
        ("GET", "/live/done", &[("Have", "bytes 0-1/*"), parts], 206, LIVE),
        ("GET", "/live/live", &[("Range", "bytes=1-2")], 206, KEEP),
        ("GET", "/live/live", &[("Range", "bytes=1-")], 206, LIVE),
        ("GET", "/live/done?from=nowhere", &[], 400, NEVER),
        ("GET", "/live/none", &[], 404, NEVER),
        ("GET", "/none", &[], 404, NEVER),
        ("HEAD", "/live/done", &[], 200, NEVER),
        ("HEAD", "/live/none", &[], 404, NEVER),
        ("OPTIONS", "/live/done", &[], 204, NEVER),
        ("OPTIONS", "/live/none", &[], 404, NEVER),
        ("OPTIONS", "/index/done", &[], 204, NEVER),
        ("OPTIONS", "*", &[], 204, NEVER),
        ("BREW", "/live/done", &[], 405, NEVER),
        ("GET", "/index/done", &[], 200, LIVE),
        ("GET", "/index/none", &[], 404, NEVER),
        ("GET", "/live/", &[], 200, NEVER),
        ("GET", "/", &[], 200, "no-cache"),
        ("GET", "/metrics", &[], 200, NEVER),
        ("GET", "/healthz", &[], 200, NEVER),
        ("DELETE", "/live/none", &[], 404, NEVER),
    ];
    for (method, path, fields, status, caching) in rows {
        let reply = node.ask(method, path, fields).await;
        check(&format!("{method} {path} {fields:?}"), &reply, *status, caching);
    }
    check("POST", &node.post("more", "bytes 0-0/*", b"x").await, 201, NEVER);
    check("POST", &node.post("more", "bytes 0-0/*", b"x").await, 200, NEVER);
    check("POST", &node.post("more", "bytes 0-0/*", b"y").await, 409, NEVER);
    check("DELETE", &node.ask("DELETE", "/live/more", &[]).await, 204, NEVER);
    let preflight = [("Origin", "http://a.example"), ("Access-Control-Request-Method", "GET")];
    check("preflight", &node.ask("OPTIONS", "/live/done", &preflight).await, 204, NEVER);
}

#[tokio::test]
async fn replies_without_an_end_and_heads_that_cannot_be_read_say_it_too() {
    let node = Node::start().await;
    node.post("live", "bytes 0-4/*", b"01234").await;
    for (query, fields, status) in [
        ("", &[][..], 200),
        ("?from=-1s", &[], 200),
        ("?resume=1", &[], 206),
        ("", &[("Range", "bytes=1-9007199254740991")], 206),
        ("", &[("Have", "bytes */*"), ("Accept", "multipart/byteranges")], 206),
    ] {
        let mut consumer = node.connect().await;
        consumer.request("GET", &format!("/live/live{query}"), fields, b"").await;
        check(&format!("{query} {fields:?}"), &consumer.head().await, status, LIVE);
    }
    let mut peer = node.connect().await;
    peer.say("this is no request\r\n\r\n").await;
    check("no request", &peer.reply("GET").await, 400, NEVER);
}
