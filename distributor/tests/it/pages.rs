//! What is no stream: the catalogue, the metrics, whether it lives.

use freshet_protocol::Catalogue;

use crate::node::Node;

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
        assert_eq!((b.bytes, b.consumers, b.live), (5, 1, false));
    }
}

#[tokio::test]
async fn a_browser_gets_a_page_that_runs_nothing() {
    let node = Node::start().await;
    let accept = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let empty = node.ask("GET", "/live/", &accept).await;
    assert!(empty.text().contains("None yet"));
    let script = "text/html;x=\"<script>alert(1)</script>\"";
    node.send("PUT", "/live/a", &[("Content-Type", script)], b"<script>alert(2)</script>").await;
    let page = node.ask("GET", "/live/", &accept).await;
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<a href=\"/live/a\">a</a>"));
    assert!(!page.text().contains("<script"), "{page:?}");
    assert!(page.field("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let stream = node.ask("GET", "/live/a", &accept).await;
    assert_eq!(stream.field("content-security-policy"), Some("sandbox"));
    assert_eq!(stream.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(node.ask("GET", "/", &accept).await.field("location"), Some("/live/"));
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
