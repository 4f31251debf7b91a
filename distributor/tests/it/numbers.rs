//! The numbers of the catalogue: from 1 in order of creation, kept for ever, never used twice.

use freshet_protocol::Catalogue;

use crate::node::{Node, until};

/// Name and number of each stream, as the catalogue lists them.
async fn numbers(node: &Node) -> Vec<(String, u64)> {
    let reply = node.ask("GET", "/live/", &[("Accept", "application/json")]).await;
    let catalogue: Catalogue = serde_json::from_slice(&reply.body).unwrap();
    catalogue.streams.into_iter().map(|entry| (entry.name.to_string(), entry.id)).collect()
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect()
}

async fn put(node: &Node, name: &str) {
    assert_eq!(node.send("PUT", &format!("/live/{name}"), &[], name.as_bytes()).await.status, 201);
}

#[tokio::test]
async fn a_stream_keeps_its_number_over_restarts_and_nobody_gets_it_again() {
    let node = Node::start().await;
    for name in ["z", "a", "m"] {
        put(&node, name).await;
    }
    assert_eq!(numbers(&node).await, pairs(&[("z", 1), ("a", 2), ("m", 3)]));

    // The newest number is the one that a count of what is there would give again.
    for name in ["m", "z"] {
        assert_eq!(node.ask("DELETE", &format!("/live/{name}"), &[]).await.status, 204);
    }
    let node = Node::on(node.stop().await, |_| {}).await;
    put(&node, "m").await;

    assert_eq!(numbers(&node).await, pairs(&[("a", 2), ("m", 4)]));
}

#[tokio::test]
async fn a_stream_that_is_pulled_has_a_number_of_the_distributor_that_pulls_it() {
    let root = Node::start().await;
    for name in ["first", "second"] {
        put(&root, name).await;
    }
    let url = format!("http://{}", root.address);
    let edge = Node::with(|config| config.upstream.upstream = vec![url.parse().unwrap()]).await;
    for name in ["second", "first"] {
        let reply = edge.ask("GET", &format!("/live/{name}"), &[]).await;
        assert_eq!(reply.text(), name);
    }
    let expected = pairs(&[("second", 1), ("first", 2)]);
    assert_eq!(numbers(&edge).await, expected);

    let edge = Node::on(edge.stop().await, |_| {}).await;

    until(async || numbers(&edge).await == expected).await;
}
