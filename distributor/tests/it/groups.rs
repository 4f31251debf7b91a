//! Groups over HTTP alone, and together with members over UDP.

use std::net::SocketAddr;

use freshet_protocol::doors::groups::{Event, Message, Phase};
use serde_json::{Value, json};

use crate::{
    doors::groups::{Peer as UdpPeer, node},
    node::{Node, bytes, soon, until},
    peer::{Peer, Reply},
};

fn told(reply: &Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{reply:?}");
    serde_json::from_slice(&reply.body).unwrap()
}

/// Somebody who takes part over HTTP.
struct Member {
    group: u64,
    member: u64,
    token: String,
    events: Peer,
}

/// A group, and its leader's token.
async fn create(node: &Node) -> (u64, String) {
    let reply = node.send("POST", "/groups", &[], b"").await;
    assert_eq!(reply.status, 201);
    let told = told(&reply);
    let group = told["group"].as_u64().unwrap();
    assert_eq!(reply.field("location"), Some(&format!("/groups/{group}")[..]));
    (group, told["token"].as_str().unwrap().into())
}

async fn put(node: &Node, path: &str, token: &str, body: &Value) -> Reply {
    let path = format!("{path}?token={token}");
    node.send("PUT", &path, &[], body.to_string().as_bytes()).await
}

impl Member {
    async fn join(node: &Node, group: u64, leader: Option<&str>) -> Self {
        let query = leader.map(|token| format!("?token={token}")).unwrap_or_default();
        let reply = node.send("POST", &format!("/groups/{group}/members{query}"), &[], b"").await;
        assert_eq!(reply.status, 201);
        let told = told(&reply);
        let token: String = told["token"].as_str().unwrap().into();
        let mut events = node.connect().await;
        let path = format!("/groups/{group}/events?token={token}");
        events.request("GET", &path, &[], b"").await;
        assert_eq!(events.head().await.field("content-type"), Some("text/event-stream"));
        Self { group, member: told["member"].as_u64().unwrap(), token, events }
    }

    /// What is told next: events and their data.
    async fn next(&mut self) -> Vec<(String, Value)> {
        let text = String::from_utf8(self.events.next().await.unwrap().unwrap()).unwrap();
        let events = text.split("\n\n").filter_map(|event| event.strip_prefix("event: "));
        let parts = events.map(|event| event.split_once("\ndata: ").unwrap());
        parts.map(|(name, data)| (name.into(), serde_json::from_str(data).unwrap())).collect()
    }

    /// Listen until an event of that name is so.
    async fn until(&mut self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let heard = async {
            loop {
                let found =
                    self.next().await.into_iter().find(|(told, data)| told == name && is_so(data));
                if let Some((_, data)) = found {
                    return data;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), heard).await.expect("in time")
    }

    fn path(&self) -> String {
        format!("/groups/{}/members/{}", self.group, self.member)
    }
}

fn at(door: SocketAddr, group: u64) -> SocketAddr {
    SocketAddr::new(door.ip(), u16::try_from(group).unwrap())
}

#[tokio::test]
async fn over_http_and_udp_all_are_told_the_same_and_begin_at_the_same_moment() {
    let movie = bytes(200_000);
    let (node, door) = node(&movie).await;
    let (group, leader) = create(&node).await;
    let mut one = Member::join(&node, group, Some(&leader)).await;
    let mut two = Member::join(&node, group, None).await;
    let mut udp = UdpPeer::join(at(door, group)).await;
    let (choice, state) = (format!("/groups/{group}/choice"), format!("/groups/{group}/state"));

    one.until("presence", |told| *told == json!({ "member": 3, "event": "joined" })).await;
    assert_eq!(put(&node, &two.path(), &two.token, &json!({ "ready": true })).await.status, 204);
    let seen = one.until("state", |state| state["members"][1]["ready"] == true).await;
    assert_eq!((&seen["leader"], &seen["phase"]), (&json!(1), &json!("gathering")));

    let chosen = put(&node, &choice, &leader, &json!({ "movie": 1, "rate": 100_000 })).await;
    assert_eq!(chosen.status, 204);
    assert_eq!(put(&node, &state, &leader, &json!({ "phase": "playing" })).await.status, 204);
    let playing = |state: &Value| state["phase"] == "playing";
    let (first, second) = (one.until("state", playing).await, two.until("state", playing).await);
    udp.until(|peer| peer.phase() == Some(Phase::Playing)).await;
    assert_eq!(first["movie"], json!({ "id": 1, "name": "films/a" }));
    assert_eq!((&first["since"], &first["rate"]), (&second["since"], &json!(100_000)));
    assert_eq!(first["since"].as_u64(), udp.state.map(|state| state.since));
    assert!(first["since"].as_u64() > first["clock"].as_u64(), "it begins in a moment");

    assert_eq!(put(&node, &state, &leader, &json!({ "phase": "paused" })).await.status, 204);
    let paused = two.until("state", |state| state["phase"] == "paused").await;
    assert_eq!(put(&node, &state, &leader, &json!({ "phase": "playing" })).await.status, 204);
    let on = two.until("state", playing).await;
    assert_eq!(on["position"], paused["position"]);

    udp.until(|peer| peer.length == Some(200_000)).await;
    two.until("state", |state| state["phase"] == "ended").await;
    let is_over = async || node.ask("GET", &format!("/groups/{group}"), &[]).await.status == 404;
    tokio::time::timeout(std::time::Duration::from_secs(20), async { while !is_over().await {} })
        .await
        .expect("the group is over");
    while soon(one.events.next()).await.unwrap().is_some() {}
    node.stop().await;
}

#[tokio::test]
async fn who_listens_is_here_who_leaves_has_left_and_who_vanishes_is_lost() {
    let (node, door) = node(b"a movie").await;
    let (group, leader) = create(&node).await;
    let mut udp = UdpPeer::join(at(door, group)).await;
    let mut one = Member::join(&node, group, Some(&leader)).await;
    let (gone, two) =
        (Member::join(&node, group, None).await, Member::join(&node, group, None).await);

    let begun = tokio::time::Instant::now();
    drop(gone);
    let left = node.send("DELETE", &format!("{}?token={}", two.path(), two.token), &[], b"").await;
    assert_eq!(left.status, 204);
    one.until("presence", |told| *told == json!({ "member": 4, "event": "left" })).await;
    tokio::join!(
        one.until("presence", |told| *told == json!({ "member": 3, "event": "lost" })),
        udp.until(|peer| peer.presence.contains(&(3, Event::Lost))),
    );
    println!("lost after {:?}", begun.elapsed());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    let list = told(&node.ask("GET", "/groups", &[]).await);
    assert_eq!(
        list,
        json!([{ "group": group, "phase": "gathering", "movie": null, "members": 2 }])
    );
    udp.say(&Message::Presence { member: 0, event: Event::Left }).await;
    one.until("presence", |told| *told == json!({ "member": 1, "event": "left" })).await;
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_ones_own_to_do_is_refused_and_what_makes_no_sense_too() {
    let (node, _) = node(b"a movie").await;
    let (group, leader) = create(&node).await;
    let member = Member::join(&node, group, None).await;
    let (choice, state) = (format!("/groups/{group}/choice"), format!("/groups/{group}/state"));
    let stranger = "0".repeat(32);
    let one = json!({ "movie": 1 });
    for (path, token, body, status) in [
        (&choice, &stranger, &one, 403),
        (&choice, &member.token, &one, 403),
        (&choice, &leader, &json!({ "movie": 9 }), 409),
        (&choice, &leader, &json!({ "film": 1 }), 400),
        (&choice, &leader, &json!({ "movie": "x".repeat(2000) }), 413),
        (&state, &leader, &json!({ "phase": "playing" }), 409),
        (&state, &leader, &json!({ "phase": "paused" }), 409),
        (&state, &leader, &json!({ "phase": "over" }), 400),
        (&member.path(), &leader, &json!({}), 403),
        (&format!("/groups/{group}/members/9"), &member.token, &json!({}), 403),
        (&"/groups/1/state".into(), &leader, &json!({ "phase": "playing" }), 404),
    ] {
        put(&node, path, token, body).await.refused(status);
    }
    let wrong = format!("/groups/{group}/members?token={stranger}");
    node.send("POST", &wrong, &[], b"").await.refused(403);
    node.ask("DELETE", &format!("/groups/{group}"), &[]).await.refused(405);
    let html = node.ask("GET", &format!("/groups/{group}"), &[("Accept", "text/html")]).await;
    assert_eq!((html.status, html.field("vary")), (200, Some("Accept")));
    assert!(html.text().contains("<main"));

    let without = Node::start().await;
    let told = without.send("POST", "/groups", &[], b"").await.refused(404);
    assert!(told.contains("--door groups="), "{told}");
    until(async || node.metric("freshet_groups").await == 1).await;
    node.stop().await;
    without.stop().await;
}
