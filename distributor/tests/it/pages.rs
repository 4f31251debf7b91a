//! What is no stream: the catalogue, the metrics, whether it lives.

use freshet_protocol::Catalogue;
use serde_json::Value;

use crate::{
    node::{Node, until},
    peer::Peer,
};

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
    for path in ["/", "/watch/not/there", "/operate"] {
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

/// The consumers that `/status` tells of.
async fn consumers(node: &Node) -> Vec<Value> {
    let told = node.ask("GET", "/status", &[]).await;
    assert_eq!(told.field("content-type"), Some("application/json"));
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    told["consumers"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_status_says_where_each_consumer_stands() {
    let node = Node::start().await;
    let range = |from: usize, bytes: &[u8]| format!("bytes {from}-{}/*", from + bytes.len() - 1);
    let chunk = vec![7; 100_000];
    node.post("a", &range(0, &chunk), &chunk).await;
    // One takes all there is, one nothing but the head.
    let mut quick = node.connect().await;
    quick.request("GET", "/live/a?from=start", &[], b"").await;
    quick.head().await;
    quick.take(chunk.len()).await;
    let mut slow = node.connect().await;
    slow.request("GET", "/live/a?from=start&behind=lag", &[], b"").await;
    slow.head().await;
    let mut end = chunk.len();
    while !consumers(&node).await.iter().any(|it| it["behind_bytes"].as_u64() > Some(1_000_000)) {
        node.post("a", &range(end, &chunk), &chunk).await;
        quick.take(chunk.len()).await;
        end += chunk.len();
    }

    until(async || consumers(&node).await[1]["behind_bytes"] == 0).await;
    let told = consumers(&node).await;
    let [first, second] = &told[..] else { panic!("{told:?}") };
    let peer = |peer: &Peer| peer.socket.local_addr().unwrap().to_string();
    assert_eq!((&first["peer"], &second["peer"]), (&peer(&slow).into(), &peer(&quick).into()));
    assert_eq!((&first["way"], &first["stream"]), (&"plain".into(), &1.into()));
    assert_eq!(second["at"], end);
    assert_eq!(first["at"].as_u64().unwrap() + first["behind_bytes"].as_u64().unwrap(), end as u64);
    assert!(first["behind_ms"].as_f64().is_none_or(|ms| ms > 0.0), "{first}");
    // Who has only closed his side may still be reading: the next bytes tell.
    drop((slow, quick));
    while !consumers(&node).await.is_empty() {
        node.post("a", &range(end, &chunk), &chunk).await;
        end += chunk.len();
    }
}

#[tokio::test]
async fn who_was_given_nothing_yet_is_the_first_and_has_no_place() {
    let node = Node::start().await;
    node.post("a", "bytes 0-4/*", b"hello").await;
    let mut fed = node.connect().await;
    fed.request("GET", "/live/a?from=start", &[], b"").await;
    fed.head().await;
    fed.take(5).await;
    let mut waits = node.connect().await;
    waits.request("GET", "/live/a", &[], b"").await;
    waits.head().await;

    let told = consumers(&node).await;
    let [first, second] = &told[..] else { panic!("{told:?}") };
    assert_eq!(first["peer"], waits.socket.local_addr().unwrap().to_string());
    for key in ["at", "behind_bytes", "behind_ms"] {
        assert_eq!(first[key], Value::Null, "{key}");
    }
    assert_eq!((&second["at"], &second["behind_bytes"]), (&5.into(), &0.into()));
}

#[tokio::test]
async fn the_status_tells_of_memory_and_disk_and_is_for_those_who_may_publish() {
    let node = Node::with(|config| {
        config.access.publish_token = Some("say".parse().unwrap());
        config.access.read_token = Some("look".parse().unwrap());
    })
    .await;
    let with = |token: &str| format!("Bearer {token}");
    for (token, status) in [("look", 403), ("guess", 403)] {
        let fields = [("Authorization", &with(token)[..])];
        node.ask("GET", "/status", &fields).await.refused(status);
        node.ask("GET", "/operate", &fields).await.refused(401);
    }
    node.ask("GET", "/status", &[]).await.refused(401);
    let told = node.ask("GET", "/status", &[("Authorization", &with("say"))]).await;
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(told["disk"]["durability"], "os");
    assert!(told["disk"]["free_bytes"].as_u64() > Some(0) && told["memory"]["ring_bytes"] == 0);
    assert!(told["began"].as_u64() <= told["now"].as_u64() && told["began"].as_u64() > Some(0));
    assert_eq!(told["streams"], serde_json::json!([]));
    let moved = ["received_bytes", "sent_bytes"].map(|way| told[way].as_u64().unwrap());
    assert!(moved.iter().all(|&bytes| bytes > 0), "{moved:?}: what was asked and answered");
    let page = node.ask("GET", "/operate", &[("Authorization", &with("say"))]).await;
    assert!(page.text().contains("id=\"consumers\""));
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
