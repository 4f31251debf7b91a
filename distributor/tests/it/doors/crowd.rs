//! Many clients at each door, and such as nobody wants: the others notice nothing, and nothing of them stays.

use std::{sync::Arc, time::Duration};

use freshet_distributor::DoorName;
use tokio::{net::TcpSocket, task::JoinSet};

use super::{ALL, are_empty, asp, enter, lines, node, node_with, packets, songs};
use crate::{
    node::{Node, bytes, until},
    peer::Peer,
};

const CLIENTS: usize = 500;

/// One client that takes the first song and leaves.
async fn take(node: &Node, door: DoorName) -> Vec<u8> {
    match door {
        DoorName::Asp => asp::watch(&mut asp::login(node).await, 1).await.1,
        DoorName::Packets => {
            let mut peer = enter(node, door).await;
            peer.say("play<NEXT;>1<NEXT;><END;>").await;
            packets::song(&mut peer).await
        }
        _ => lines::song(&mut enter(node, door).await, 1).await,
    }
}

#[tokio::test]
async fn a_crowd_comes_and_goes_at_each_door() {
    let node = Arc::new(node().await);
    let songs = songs(&node, &[20_000]).await;
    for door in ALL {
        let mut crowd = JoinSet::new();
        let clients: Vec<_> = {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(enter(&node, door).await);
            }
            clients
        };
        // All at once, and while they are there, others take the song.
        let sessions = format!("freshet_door_sessions{{door=\"{door}\"}}");
        until(async || node.metric(&sessions).await == CLIENTS as u64).await;
        for _ in 0..20 {
            let node = Arc::clone(&node);
            crowd.spawn(async move { take(&node, door).await });
        }
        while let Some(taken) = crowd.join_next().await {
            assert!(taken.unwrap() == songs[0], "{door}");
        }
        drop(clients);
        until(async || are_empty(&node).await).await;
        let accepted = format!("freshet_door_sessions_accepted_total{{door=\"{door}\"}}");
        assert_eq!(node.metric(&accepted).await, CLIENTS as u64 + 20);
    }
}

/// What a peer does that nobody wants, and whether it is the door that ends it.
async fn misbehave(node: &Node, door: DoorName, how: usize) -> Option<Peer> {
    let mut peer = enter(node, door).await;
    match how {
        // It vanishes in the middle of a command.
        0 => {
            peer.say("play<NEXT;>").await;
            socket2::SockRef::from(&peer.socket).set_linger(Some(Duration::ZERO)).unwrap();
            return None;
        }
        // It never ends its command.
        1 => peer.say("lis").await,
        2 => send(&mut peer, &[b'x'; 1 << 20]).await,
        3 => send(&mut peer, &bytes(1 << 20)).await,
        4 => peer.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
        _ => peer.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await,
    }
    Some(peer)
}

/// As much of that as the door takes.
async fn send(peer: &mut Peer, bytes: &[u8]) {
    let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.socket, bytes).await;
}

#[tokio::test]
async fn peers_that_nobody_wants_are_left_behind() {
    let node = node_with(|config| {
        config.doors.door_idle = Duration::from_millis(1500);
        config.bounds.idle = Duration::from_millis(300);
    })
    .await;
    let songs = songs(&node, &[500_000]).await;
    for door in ALL {
        let mut strangers = Vec::new();
        for how in 0..6 {
            strangers.extend(misbehave(&node, door, how).await);
        }
        assert!(take(&node, door).await == songs[0], "{door}: the others go on");
        // None of them says anything more: each is left for its own reason, at the latest when idle.
        for mut stranger in strangers {
            stranger.rest().await;
        }
    }
    until(async || are_empty(&node).await).await;
}

/// Asks for a song of which it reads nothing.
async fn never_reads(node: &Node, door: DoorName) -> Vec<Peer> {
    let small = |address| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Peer::over(socket.connect(address).await.unwrap())
    };
    let (_, address) = node.doors.iter().find(|(name, _)| *name == door).unwrap();
    let mut peer = small(*address).await;
    match door {
        DoorName::Asp => peer.say("idle\nidle@example.org\nWATCH 1\n").await,
        DoorName::Packets => peer.say("play<NEXT;>1<NEXT;><END;>").await,
        _ => {
            peer.say("play 1\n").await;
            let port: u16 = peer.line().await.parse().unwrap();
            return vec![small((address.ip(), port).into()).await, peer];
        }
    }
    vec![peer]
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_the_others_go_on() {
    let node = node_with(|config| {
        config.bounds.write_deadline = Duration::from_millis(1500);
        config.doors.door_idle = Duration::from_secs(3);
    })
    .await;
    let songs = songs(&node, &[16 << 20]).await;
    let mut idlers = Vec::new();
    for door in ALL {
        idlers.extend(never_reads(&node, door).await);
    }
    for door in ALL {
        assert!(take(&node, door).await == songs[0], "{door}");
    }
    until(async || are_empty(&node).await).await;
    assert!(node.metric("freshet_stalled_writes_total").await >= 3);
}

#[tokio::test]
async fn when_the_distributor_stops_a_song_comes_to_its_end_and_the_rest_is_over() {
    let node = node_with(|config| config.bounds.drain = Duration::from_secs(60)).await;
    let songs = songs(&node, &[4 << 20]).await;
    let mut idle = enter(&node, DoorName::Packets).await;
    idle.say("list<NEXT;><END;>").await;
    idle.through(b"<END;>").await;
    let mut peer = enter(&node, DoorName::Packets).await;
    peer.say("play<NEXT;>1<NEXT;><END;>").await;
    let begun = peer.exactly(1).await.unwrap();

    let (_, played) = tokio::join!(node.stop(), async {
        assert!(idle.is_closed().await);
        [begun, peer.rest().await].concat()
    });

    let frames = songs[0].len() / 4072;
    assert_eq!(played.len(), songs[0].len() + (frames + 1) * 24);
}
