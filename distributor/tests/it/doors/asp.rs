//! The door asp.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine, engine::general_purpose::STANDARD};
use freshet_distributor::DoorName;

use super::{enter, node, node_with, radio, songs};
use crate::{node::Node, peer::Peer};

/// A client that has said who it is, by a name of its own.
pub(super) async fn login(node: &Node) -> Peer {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut peer = enter(node, DoorName::Asp).await;
    assert_eq!(peer.line().await, "Welcome to the Amar Streaming Platform !");
    peer.say(format!("client {}\n", NUMBER.fetch_add(1, Ordering::Relaxed))).await;
    assert_eq!(peer.line().await, "Valid pseudo");
    peer.say("me@example.org\r\n").await;
    assert_eq!(peer.line().await, "Valid email");
    peer
}

/// The title and the bytes of a video that is watched to its end.
pub(super) async fn watch(peer: &mut Peer, id: u64) -> (String, Vec<u8>) {
    peer.say(format!("WATCH {id}\n")).await;
    let first = peer.line().await;
    let title =
        first.strip_prefix("200 Starting video stream: ").unwrap_or_else(|| panic!("{first}"));
    let mut video = Vec::new();
    loop {
        let line = peer.line().await;
        if line == "END_OF_DOWNLOAD" {
            break;
        }
        assert_eq!(video.len() % 8192, 0, "only the last line is short");
        video.extend(STANDARD.decode(&line).unwrap_or_else(|_| panic!("{line}")));
        assert!(line.len() <= 10_924);
    }
    assert_eq!(peer.line().await, "200 Video stream completed");
    (title.into(), video)
}

#[tokio::test]
async fn a_client_says_who_it_is_until_that_is_valid() {
    let node = node().await;
    let mut peer = enter(&node, DoorName::Asp).await;
    assert_eq!(peer.line().await, "Welcome to the Amar Streaming Platform !");
    for wrong in ["", "   ", "a\u{1}b", &"x".repeat(33), &"x".repeat(100_000)] {
        peer.say(format!("{wrong}\n")).await;
        assert_eq!(peer.line().await, "Invalid entry.", "{wrong:.40}");
    }
    peer.say("amar\n").await;
    assert_eq!(peer.line().await, "Valid pseudo");

    let mut other = enter(&node, DoorName::Asp).await;
    other.line().await;
    other.say("amar\n").await;
    assert_eq!(other.line().await, "Invalid entry.", "in use");
    other.say("bob\n").await;
    assert_eq!(other.line().await, "Valid pseudo");

    for wrong in ["", "nonsense", "a@", "a b@c.d"] {
        peer.say(format!("{wrong}\n")).await;
        assert_eq!(peer.line().await, "Invalid entry.", "{wrong}");
    }
    peer.say("amar@example.org\n").await;
    assert_eq!(peer.line().await, "Valid email");
}

#[tokio::test]
async fn videos_are_listed_and_watched() {
    let node = node().await;
    let videos = songs(&node, &[100_000, 0, 8192, 8193]).await;
    let mut peer = login(&node).await;

    peer.say("list\n").await;
    let list = peer.line().await;
    assert_eq!(
        list,
        "200 1,music/1.mp3,audio/mpeg 100000 bytes;2,music/2.mp3,audio/mpeg 0 bytes;\
         3,music/3.mp3,audio/mpeg 8192 bytes;4,music/4.mp3,audio/mpeg 8193 bytes;"
    );
    for (id, video) in (1..).zip(&videos) {
        let (title, taken) = watch(&mut peer, id).await;
        assert_eq!(title, format!("music/{id}.mp3"));
        assert!(taken == *video, "{id}");
    }
    peer.say("Quit\n").await;
    assert_eq!(peer.line().await, "200 Bye");
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn what_cannot_be_done_is_told_to_whoever_asked() {
    let node = node().await;
    let mut peer = login(&node).await;
    for (asked, told) in [
        ("LIST", "200 "),
        ("WATCH 1", "404 Video not found"),
        ("WATCH one", "404 Video not found"),
        ("WATCH", "400 Missing video id"),
        ("DELETE", "400 Missing video id"),
        ("DELETE 1", "403 Not allowed"),
        ("dance with me", "400 Commande inconnue: dance"),
        (&"x".repeat(1 << 20), "400 Commande inconnue: "),
        ("LIST", "200 "),
    ] {
        peer.say(format!("{asked}\n")).await;
        assert_eq!(peer.line().await, told);
    }
    assert_eq!(node.metric("freshet_door_errors_total{door=\"asp\"}").await, 7);
}

#[tokio::test]
async fn a_live_stream_begins_at_its_newest_join_point() {
    let node = node().await;
    let (mut origin, mut expected) = radio(&node).await;
    let mut peer = login(&node).await;
    peer.say("WATCH 1\n").await;
    assert_eq!(peer.line().await, "200 Starting video stream: radio");

    origin.chunk(&[7; 20_000]).await;
    origin.chunk(b"").await;
    assert_eq!(origin.reply("POST").await.status, 201);
    let end = node.end("radio").await;
    assert_eq!(node.post("radio", &format!("bytes */{end}"), b"").await.status, 200);

    let mut taken = Vec::new();
    loop {
        let line = peer.line().await;
        if line == "END_OF_DOWNLOAD" {
            break;
        }
        taken.extend(STANDARD.decode(&line).unwrap());
    }
    expected.extend([7; 20_000]);
    assert!(taken == expected, "{} of {}", taken.len(), expected.len());
}

#[tokio::test]
async fn a_video_is_deleted_only_where_that_was_allowed_and_whoever_watches_is_told() {
    let node = node_with(|config| config.doors.door_delete = true).await;
    let (_origin, _) = radio(&node).await;
    let (mut viewer, mut other) = (login(&node).await, login(&node).await);
    viewer.say("WATCH 1\n").await;
    assert_eq!(viewer.line().await, "200 Starting video stream: radio");

    other.say("DELETE 1\n").await;
    assert_eq!(other.line().await, "200 Video deleted");

    let line = loop {
        let line = viewer.line().await;
        if STANDARD.decode(&line).is_err() {
            break line;
        }
    };
    assert_eq!(line, "500 Erreur serveur: the stream was deleted");
    viewer.say("LIST\n").await;
    assert_eq!(viewer.line().await, "200 ", "the session goes on");
    assert_eq!(node.ask("GET", "/live/radio", &[]).await.status, 404);
}
