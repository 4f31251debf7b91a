//! The door lines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use freshet_distributor::{DoorName, PortRange};
use tokio::net::{TcpSocket, TcpStream};

use super::{enter, node, node_with, radio, songs};
use crate::{
    node::{Node, soon, until},
    peer::Peer,
};

/// Ask for a song; the address where it is to be had.
async fn play(peer: &mut Peer, id: u64) -> SocketAddr {
    peer.say(format!("play {id}\n")).await;
    let line = peer.line().await;
    let port: u16 = line.parse().unwrap_or_else(|_| panic!("no port: {line}"));
    SocketAddr::new(peer.socket.peer_addr().unwrap().ip(), port)
}

/// The whole song, by its connection.
pub(super) async fn song(peer: &mut Peer, id: u64) -> Vec<u8> {
    let address = play(peer, id).await;
    Peer::connect(address).await.rest().await
}

async fn ports(node: &Node) -> u64 {
    node.metric("freshet_door_data_ports").await
}

#[tokio::test]
async fn songs_are_listed_and_played_over_a_port_of_their_own() {
    let node = node().await;
    let songs = songs(&node, &[300_000, 0, 9]).await;
    let mut peer = enter(&node, DoorName::Lines).await;

    peer.say("list\r\n").await;
    let listed = r#"{"music/1.mp3": 1, "music/2.mp3": 2, "music/3.mp3": 3}"#;
    assert_eq!(peer.line().await, listed);
    for (id, expected) in (1..).zip(&songs) {
        assert!(song(&mut peer, id).await == *expected, "{id}");
    }
    peer.say("stop\nquit\n").await;
    assert_eq!((peer.line().await, peer.line().await), ("stopped".into(), "bye".into()));
    assert!(peer.is_closed().await);
    until(async || ports(&node).await == 0).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error_and_the_session_goes_on() {
    let node = node().await;
    let mut peer = enter(&node, DoorName::Lines).await;
    for (asked, told) in [
        ("list", "{}"),
        ("play 1", "error no such song: 1"),
        ("play", "error no such song: "),
        ("dance", "error unknown command: dance"),
        (&"x".repeat(1 << 20), "error a line has at most 1024 bytes"),
        ("stop", "stopped"),
    ] {
        peer.say(format!("{asked}\n")).await;
        assert_eq!(peer.line().await, told);
    }
    peer.say(b"\xff\xfe\n").await;
    assert_eq!(peer.line().await, "error a line is UTF-8 text");
    assert_eq!(node.metric("freshet_door_errors_total{door=\"lines\"}").await, 5);
}

#[tokio::test]
async fn a_port_takes_one_connection_and_only_from_its_client() {
    let node = node().await;
    let songs = songs(&node, &[16 << 20]).await;
    let mut peer = enter(&node, DoorName::Lines).await;
    let address = play(&mut peer, 1).await;
    let stranger = TcpSocket::new_v4().unwrap();
    stranger.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0)).unwrap();
    let mut stranger = Peer::over(soon(stranger.connect(address)).await.unwrap());
    assert!(stranger.is_closed().await, "turned away");

    let mut client = Peer::connect(address).await;
    let begin = client.exactly(100_000).await.unwrap();
    assert!(soon(TcpStream::connect(address)).await.is_err(), "closed after the first");
    let rest = client.rest().await;
    assert!([begin, rest].concat() == songs[0]);
}

#[tokio::test]
async fn of_songs_that_follow_each_other_each_has_its_own_bytes() {
    let node = node().await;
    for name in ["1", "2"] {
        let song = name.repeat(4 << 20);
        node.send("PUT", &format!("/live/{name}"), &[], song.as_bytes()).await;
    }
    let mut peer = enter(&node, DoorName::Lines).await;
    for round in 0..200 {
        // play, and list and another play before that has come far; stop, and play at once.
        let mut first = Peer::connect(play(&mut peer, 1).await).await;
        assert_eq!(first.exactly(1).await.unwrap(), b"1");
        peer.say("list\n").await;
        assert_eq!(peer.line().await, r#"{"1": 1, "2": 2}"#, "while a song plays");
        let mut second = Peer::connect(play(&mut peer, 2).await).await;
        assert_eq!(second.exactly(1).await.unwrap(), b"2");
        let left = first.rest().await;
        assert!(left.len() < 4 << 20 && left.iter().all(|byte| *byte == b'1'), "{round}");
        peer.say("stop\n").await;
        assert_eq!(peer.line().await, "stopped");
        assert!(second.rest().await.iter().all(|byte| *byte == b'2'), "{round}");
    }
    // Nobody has come for this one.
    let address = play(&mut peer, 1).await;
    peer.say("stop\n").await;
    assert_eq!(peer.line().await, "stopped");
    assert!(soon(TcpStream::connect(address)).await.is_err(), "its port is closed");
    assert_eq!(ports(&node).await, 0);
}

#[tokio::test]
async fn ports_are_bounded_and_come_back() {
    let node = node_with(|config| {
        config.doors.door_data_ports = PortRange::Between { first: 28_401, last: 28_402 };
    })
    .await;
    let songs = songs(&node, &[16 << 20]).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(enter(&node, DoorName::Lines).await);
    }
    let ([first, second], [third]) = peers.split_at_mut(2) else { panic!("three") };
    for peer in [&mut *first, second] {
        assert!((28_401..=28_402).contains(&play(peer, 1).await.port()));
    }
    third.say("play 1\n").await;
    assert_eq!(third.line().await, "error no port is free, try again later");
    first.say("stop\n").await;
    assert_eq!(first.line().await, "stopped");
    assert!(song(third, 1).await == songs[0]);
}

#[tokio::test]
async fn a_live_stream_begins_at_its_newest_join_point_and_a_cut_is_no_end() {
    let node = node().await;
    let (mut origin, mut expected) = radio(&node).await;
    let mut peer = enter(&node, DoorName::Lines).await;
    let mut data = Peer::connect(play(&mut peer, 1).await).await;
    origin.chunk(&[7; 20_000]).await;
    expected.extend([7; 20_000]);
    assert!(data.exactly(expected.len()).await.unwrap() == expected);

    assert_eq!(node.ask("DELETE", "/live/radio", &[]).await.status, 204);

    let mut byte = [0];
    let end = soon(tokio::io::AsyncReadExt::read(&mut data.socket, &mut byte)).await;
    assert!(end.is_err(), "reset, not ended: {end:?}");
    until(async || ports(&node).await == 0).await;
}

#[tokio::test]
async fn a_client_that_has_said_its_last_word_still_gets_its_song() {
    let node = node().await;
    let songs = songs(&node, &[3 << 20]).await;
    let mut peer = enter(&node, DoorName::Lines).await;
    let address = play(&mut peer, 1).await;
    soon(tokio::io::AsyncWriteExt::shutdown(&mut peer.socket)).await.unwrap();
    assert!(Peer::connect(address).await.rest().await == songs[0]);
    assert!(peer.is_closed().await);
}
