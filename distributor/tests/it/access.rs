//! Tokens, and who needs one.

use freshet_distributor::{BindError, Config, Distributor, Secret};

use crate::node::Node;

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

#[tokio::test]
async fn without_a_token_nobody_else_can_reach_it() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let mut config = Config { listen, ..Config::default() };
    config.store.data = Some(tempfile::tempdir().unwrap().path().into());
    let error = Distributor::bind(config.clone()).await.unwrap_err();
    assert!(matches!(error, BindError::Access(_)), "{error}");
    assert!(error.to_string().contains("--publish-token-file FILE"), "{error}");
    config.access.publish_token = Some(secret("hush"));
    assert!(Distributor::bind(config).await.is_ok());
}

#[tokio::test]
async fn publishing_needs_its_token_and_reading_does_not() {
    let node = Node::with(|config| config.access.publish_token = Some(secret("hush"))).await;
    for method in ["POST", "PUT", "DELETE"] {
        let reply = node.send(method, "/live/x", &[], b"hello").await;
        reply.refused(401);
        let schemes: Vec<_> =
            reply.fields.iter().filter(|(name, _)| name == "www-authenticate").collect();
        assert_eq!(schemes.len(), 2, "{reply:?}");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
        let wrong = [("Authorization", "Bearer guess")];
        node.send(method, "/live/x", &wrong, b"hello").await.refused(403);
    }
    let right = [("Authorization", "Bearer hush")];
    assert_eq!(node.send("POST", "/live/x", &right, b"hello").await.status, 201);
    let basic = [("Authorization", "Basic YW55Ym9keTpodXNo")];
    assert_eq!(node.send("POST", "/live/x", &basic, b"hello").await.status, 200);
    let refused = node.send("POST", "/live/x", &[], b"hello").await;
    assert_eq!(refused.field("content-range"), None, "what is held is not told to strangers");
    assert_eq!(node.held("x").await, "bytes 0-9/*");
}

#[tokio::test]
async fn reading_may_need_a_token_and_whoever_publishes_reads() {
    let node = Node::with(|config| {
        config.access.publish_token = Some(secret("write"));
        config.access.read_token = Some(secret("look"));
    })
    .await;
    let write = [("Authorization", "Bearer write")];
    let look = [("Authorization", "Bearer look")];
    assert_eq!(node.send("PUT", "/live/x", &write, b"hello").await.status, 201);
    for (method, path) in [
        ("GET", "/live/x"),
        ("OPTIONS", "/live/x"),
        ("GET", "/live/"),
        ("GET", "/metrics"),
        ("GET", "/live/absent"),
    ] {
        node.ask(method, path, &[]).await.refused(401);
        node.ask(method, path, &[("Authorization", "Bearer guess")]).await.refused(403);
    }
    for token in [write, look] {
        assert_eq!(node.ask("GET", "/live/x", &token).await.text(), "hello");
        assert_eq!(node.ask("HEAD", "/live/x", &token).await.status, 200);
    }
    node.send("POST", "/live/y", &look, b"hello").await.refused(403);
    assert_eq!(node.ask("GET", "/healthz", &[]).await.text(), "ok\n");
    let range = [look[0], ("Range", "bytes=0-1")];
    let caching = node.ask("GET", "/live/x", &range).await;
    let only_the_reader = Some("private, max-age=31536000, immutable");
    assert_eq!(caching.field("cache-control"), only_the_reader);
}

#[tokio::test]
async fn a_page_may_read_and_no_page_may_write() {
    let node = Node::with(|config| config.access.read_token = Some(secret("look"))).await;
    let preflight = [("Origin", "http://page"), ("Access-Control-Request-Method", "PUT")];
    let reply = node.ask("OPTIONS", "/live/x", &preflight).await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.field("access-control-allow-methods"), Some("GET, HEAD"));
    assert!(reply.field("access-control-allow-headers").unwrap().contains("Content-Range"));
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
    let exposed = reply.field("access-control-expose-headers").unwrap();
    for name in ["Content-Range", "ETag", "Stream-Join", "Origin-Time", "Stream-Time"] {
        assert!(exposed.contains(name), "{name}");
    }
    node.send("POST", "/live/x", &[("Origin", "http://page")], b"a").await.refused(403);
    assert_eq!(node.send("POST", "/live/x", &[("Origin", "http://test")], b"a").await.status, 201);
}
