//! What is no stream: the catalogue, the metrics, whether it lives.

use freshet_protocol::Catalogue;
use serde_json::Value;

use crate::{node::Node, peer::Peer};

#[tokio::test]
async fn the_catalogue_lists_every_stream() {
    let node = Node::start().await;
    node.send("PUT", "/live/a", &[("Content-Type", "audio/mpeg")], b"hello").await;
    node.post("b/c", "bytes 10-14/*", b"world").await;
    let mut consumer = node.connect().await;
    consumer.request("GET", "/live/b/c", &[], b"").await;
    consumer.head().await;

    for path in ["/live/", "/live"] {
        let reply = node.ask("GET", path, &[("Accept", "*/*")]).await;
        assert_eq!(reply.field("content-type"), Some("application/json"));
        let catalogue: Catalogue = serde_json::from_slice(&reply.body).unwrap();
        let [a, b] = &catalogue.streams[..] else { panic!("{reply:?}") };
        assert_eq!((a.name.as_str(), a.length, a.id, a.consumers), ("a", Some(5), 1, 0));
        assert_eq!(a.content_type.as_deref(), Some("audio/mpeg"));
        assert_eq!((b.name.as_str(), b.held.as_str()), ("b/c", "bytes 10-14/*"));
        assert_eq!((b.bytes, b.received, b.consumers, b.live), (5, 5, 1, false));
    }
}

/// What a browser sends.
const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[tokio::test]
async fn a_browser_gets_pages_that_ask_nobody_else() {
    let node = Node::start().await;
    assert_eq!(node.ask("GET", "/live/", &[BROWSER]).await.field("location"), Some("/"));
    for path in ["/", "/watch/not/there"] {
        let page = node.ask("GET", path, &[BROWSER]).await;
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
        let text = page.text();
        let files = text.split("=\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let files: Vec<_> = files.collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            assert_eq!(
                node.ask("GET", &format!("/assets/{file}"), &[]).await.status,
                200,
                "{file}"
            );
        }
        assert!(!text.contains("http:") && !text.contains("https:"), "{path} names another host");
    }
    node.ask("GET", "/watch/..%2f", &[BROWSER]).await.refused(400);
    node.ask("GET", "/assets/nothing.js", &[]).await.refused(404);
    node.ask("POST", "/", &[]).await.refused(405);
    // What an origin sends never runs as a page of ours.
    node.send("PUT", "/live/a", &[("Content-Type", "text/html")], b"<script>alert(2)</script>")
        .await;
    let stream = node.ask("GET", "/live/a", &[BROWSER]).await;
    assert_eq!(stream.field("content-security-policy"), Some("sandbox"));
    assert_eq!(stream.field("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn what_a_browser_has_already_is_not_sent_again() {
    let node = Node::start().await;
    let first = node.ask("GET", "/assets/style.css", &[]).await;
    assert_eq!(first.field("cache-control"), Some("no-cache"));
    let tag = first.field("etag").unwrap();
    let again = node.ask("GET", "/assets/style.css", &[("If-None-Match", tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = node.ask("GET", "/assets/style.css", &[("If-None-Match", "\"other\"")]).await;
    assert_eq!(other.body, first.body);
}

/// The next event: its name and its data.
async fn event(peer: &mut Peer) -> (String, Value) {
    loop {
        let text = String::from_utf8(peer.next().await.unwrap().unwrap()).unwrap();
        let Some(rest) = text.strip_prefix("event: ") else { continue };
        let (name, data) = rest.split_once("\ndata: ").unwrap();
        return (name.into(), serde_json::from_str(data.trim_end()).unwrap());
    }
}

#[tokio::test]
async fn the_events_tell_what_changes_and_end_at_shutdown() {
    let node = Node::start().await;
    node.send("PUT", "/live/a", &[], b"hello").await;
    let mut watcher = node.connect().await;
    watcher.request("GET", "/events", &[], b"").await;
    let head = watcher.head().await;
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-store, no-transform"));
    let (name, told) = event(&mut watcher).await;
    assert_eq!(name, "catalogue");
    assert_eq!(told["streams"][0]["name"], "a");
    assert_eq!(told["streams"][0]["received"], 5);

    node.post("b", "bytes 0-4/*", b"world").await;
    node.ask("DELETE", "/live/a", &[]).await;
    let (mut came, mut gone) = (false, false);
    while !(came && gone) {
        let (name, told) = event(&mut watcher).await;
        assert_eq!(name, "change");
        let streams = told["streams"].as_array().unwrap();
        came |= streams.iter().any(|stream| stream["name"] == "b");
        gone |= told["gone"] == serde_json::json!([1]);
    }
    node.stop().await;
    while let Ok(Some(_)) = watcher.next().await {}
    assert!(watcher.is_closed().await);
}

#[tokio::test]
async fn a_browser_that_was_told_a_wrong_token_is_asked_again() {
    let node = Node::with(|config| config.access.read_token = Some("look".parse().unwrap())).await;
    let wrong = [("Authorization", "Basic YW55Ym9keTpndWVzcw==")];
    let right = [("Authorization", "Basic YW55Ym9keTpsb29r")];
    for path in ["/", "/watch/a"] {
        node.ask("GET", path, &[]).await.refused(401);
        let again = node.ask("GET", path, &wrong).await;
        again.refused(401);
        assert!(again.field("www-authenticate").is_some());
        assert_eq!(node.ask("GET", path, &right).await.status, 200);
    }
    for path in ["/events", "/assets/style.css"] {
        node.ask("GET", path, &[]).await.refused(401);
        node.ask("GET", path, &wrong).await.refused(403);
    }
    assert_eq!(node.ask("HEAD", "/events", &right).await.status, 200);
}

#[tokio::test]
async fn the_metrics_count_what_happens() {
    let node = Node::start().await;
    node.send("PUT", "/live/a", &[], b"hello").await;
    node.ask("GET", "/live/a", &[]).await;
    node.ask("GET", "/live/none", &[]).await;
    let reply = node.ask("GET", "/metrics", &[]).await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.field("content-type"), Some(media_type));
    let text = reply.text();
    for line in [
        "freshet_requests_total{method=\"PUT\",status=\"201\"} 1",
        "freshet_requests_total{method=\"GET\",status=\"200\"} 1",
        "freshet_requests_total{method=\"GET\",status=\"404\"} 1",
        "freshet_streams 1",
        "freshet_held_bytes 5",
        "freshet_quarantined_bytes_total 0",
        "freshet_poisoned_total 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(node.metric("freshet_sent_bytes_total").await > 500);
    for (path, allowed) in
        [("*", "GET, HEAD, OPTIONS, POST, PUT, DELETE"), ("/live/", "GET, HEAD, OPTIONS")]
    {
        let reply = node.ask("OPTIONS", path, &[]).await;
        assert_eq!((reply.status, reply.field("allow")), (204, Some(allowed)));
    }
    let head = node.ask("HEAD", "/healthz", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}
