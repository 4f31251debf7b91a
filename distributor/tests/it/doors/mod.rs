//! The doors over raw sockets, by clients that know nothing but the text of `docs/doors.md`.

mod asp;
mod crowd;
pub(crate) mod groups;
mod lines;
mod packets;

use freshet_distributor::{Config, DoorAddress, DoorName, PortRange};

use crate::{
    node::{Node, bytes, until},
    peer::Peer,
};

const ALL: [DoorName; 3] = [DoorName::Asp, DoorName::Packets, DoorName::Lines];

/// A distributor with all doors.
async fn node() -> Node {
    node_with(|_| {}).await
}

async fn node_with(change: impl FnOnce(&mut Config)) -> Node {
    Node::with(|config| {
        let address = "127.0.0.1:0".parse().unwrap();
        config.doors.door = ALL.map(|name| DoorAddress { name, address }).into();
        config.doors.door_data_ports = PortRange::Any;
        change(config);
    })
    .await
}

/// A connection to a door.
async fn enter(node: &Node, door: DoorName) -> Peer {
    let (_, address) = node.doors.iter().find(|(name, _)| *name == door).unwrap();
    Peer::connect(*address).await
}

/// Some songs, all of whose bytes are one another's.
async fn songs(node: &Node, lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut songs = Vec::new();
    for (number, length) in (1_u8..).zip(lengths) {
        let song: Vec<u8> = bytes(*length).into_iter().map(|byte| byte ^ number).collect();
        let path = format!("/live/music/{number}.mp3");
        let reply = node.send("PUT", &path, &[("Content-Type", "audio/mpeg")], &song).await;
        assert_eq!(reply.status, 201);
        songs.push(song);
    }
    songs
}

/// A live stream of sound, and what a plain GET that comes now begins with, as the HTTP side has it.
async fn radio(node: &Node) -> (Peer, Vec<u8>) {
    let mut wav =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0"
            .to_vec();
    wav.extend(b"data\xff\xff\xff\xff");
    wav.extend(bytes(600_000));
    let mut origin = node.connect().await;
    origin.begin_post("/live/radio", "Content-Type: audio/wav\r\n").await;
    origin.chunk(&wav).await;
    until(async || {
        let reply = node.ask("HEAD", "/live/radio", &[]).await;
        reply.field("content-range") == Some(format!("bytes 0-{}/*", wav.len() - 1).as_str())
    })
    .await;
    let mut listener = node.connect().await;
    listener.request("GET", "/live/radio", &[], b"").await;
    let head = listener.head().await;
    let join: usize = head.field("stream-join").unwrap().parse().unwrap();
    assert!(join > 44, "in the middle: {join}");
    // The header of a WAV file has 44 bytes.
    (origin, [&wav[..44], &wav[join..]].concat())
}

/// All sessions of all doors are over, and their ports given back.
async fn are_empty(node: &Node) -> bool {
    let mut open = node.metric("freshet_door_data_ports").await;
    for door in ALL {
        open += node.metric(&format!("freshet_door_sessions{{door=\"{door}\"}}")).await;
    }
    open == 0
}
