//! The door packets.

use freshet_distributor::DoorName;
use tokio::{io::AsyncReadExt, net::TcpSocket};

use super::{enter, node, radio, songs};
use crate::{
    node::{Node, soon},
    peer::Peer,
};

const TAIL: &[u8] = b"<NEXT;><END;>";

/// The next packet: its type, and what it carries. No song of these tests has a delimiter in it.
async fn packet(peer: &mut Peer) -> (String, Vec<u8>) {
    let packet = peer.through(TAIL).await;
    assert!(packet.len() <= 4096 && packet.ends_with(TAIL), "{}", packet.escape_ascii());
    let kind = String::from_utf8(packet[..4].to_vec()).unwrap();
    let data = packet.get(11..packet.len() - TAIL.len()).unwrap_or_default().to_vec();
    (kind, data)
}

/// The whole song that was asked for: it ends with the first packet that is not full.
pub(super) async fn song(peer: &mut Peer) -> Vec<u8> {
    let mut song = Vec::new();
    loop {
        let (kind, data) = packet(peer).await;
        assert_eq!(kind, "play");
        song.extend(&data);
        if data.len() < 4072 {
            return song;
        }
    }
}

async fn list(peer: &mut Peer) -> String {
    let mut text = Vec::new();
    loop {
        let (kind, data) = packet(peer).await;
        assert_eq!(kind, "list");
        text.extend(&data);
        if data.len() < 4072 {
            return String::from_utf8(text).unwrap();
        }
    }
}

#[tokio::test]
async fn songs_are_listed_played_and_stopped() {
    let node = node().await;
    let songs = songs(&node, &[100_000, 4072, 0, 9]).await;
    let mut peer = enter(&node, DoorName::Packets).await;

    peer.say("list<NEXT;><END;>").await;
    let listed = list(&mut peer).await;
    assert!(listed.starts_with("{sid: 1 title: music/1.mp3}\n{sid: 2 title: music/2.mp3}\n"));
    for (id, expected) in (1..).zip(&songs) {
        peer.say(format!("play<NEXT;>{id}<NEXT;><END;>")).await;
        assert!(song(&mut peer).await == *expected, "{id}");
    }
    peer.say("stop<NEXT;><END;>quit<NEXT;><END;>").await;
    assert_eq!(packet(&mut peer).await.0, "stop");
    assert_eq!(packet(&mut peer).await.0, "quit");
    assert!(peer.is_closed().await);
}

/// The original client reads up to 4,096 bytes, or until what it has ends in `<END;>`.
#[tokio::test]
async fn the_original_client_gets_a_song_packet_by_packet() {
    let node = node().await;
    let [song] = &songs(&node, &[1_000_000]).await[..] else { panic!("one song") };
    let mut peer = enter(&node, DoorName::Packets).await;
    let mut taken = Vec::<u8>::new();
    for asked in ["list", "play<NEXT;>1<NEXT;><END;>"] {
        peer.say(asked).await;
        loop {
            let (mut buffer, mut len) = (vec![0; 4096], 0);
            while len < 4096 && !buffer[..len].ends_with(b"<END;>") {
                len += soon(peer.socket.read(&mut buffer[len..])).await.unwrap();
            }
            let packet = &buffer[..len];
            assert!(packet.starts_with(&asked.as_bytes()[..4]) && packet.ends_with(TAIL));
            taken.extend(&packet[11..len - TAIL.len()]);
            if len < 4096 {
                break;
            }
        }
    }
    assert!(taken == [&b"{sid: 1 title: music/1.mp3}\n"[..], &song[..]].concat());
}

#[tokio::test]
async fn a_list_without_delimiters_is_answered_and_what_is_unknown_is_not() {
    let node = node().await;
    songs(&node, &[9]).await;
    let mut peer = enter(&node, DoorName::Packets).await;
    let nothing = "dance<NEXT;><END;>play<NEXT;>7<NEXT;><END;>play<NEXT;><END;>";
    let long = format!("play<NEXT;>{}<NEXT;><END;>", "9".repeat(1 << 20));
    for asked in ["list", "list\n", &format!("{nothing}{long}list<NEXT;><END;>")] {
        peer.say(asked).await;
        assert_eq!(list(&mut peer).await, "{sid: 1 title: music/1.mp3}\n");
    }
    assert_eq!(node.metric("freshet_door_errors_total{door=\"packets\"}").await, 4);
    // In any slices, too.
    for byte in b"play<NEXT;>1<NEXT;><END;>" {
        peer.say([*byte]).await;
    }
    assert_eq!(song(&mut peer).await.len(), 9);
}

#[tokio::test]
async fn a_long_list_has_full_packets_and_a_last_one() {
    let node = node().await;
    for number in 0..60 {
        let path = format!("/live/{}/{}/{number}", "a".repeat(60), "b".repeat(60));
        node.send("PUT", &path, &[], b"x").await;
    }
    let mut peer = enter(&node, DoorName::Packets).await;
    peer.say("list<NEXT;><END;>list<NEXT;><END;>").await;
    for _ in 0..2 {
        let listed = list(&mut peer).await;
        assert!(listed.len() > 2 * 4072);
        assert_eq!(listed.lines().count(), 60);
        assert!(listed.ends_with("/59}\n"), "{listed}");
    }
}

/// Two songs whose every piece tells which it is of.
async fn two_songs(node: &Node) {
    for name in ["1", "2"] {
        let song = name.repeat(16 << 20);
        let reply = node.send("PUT", &format!("/live/{name}"), &[], song.as_bytes()).await;
        assert_eq!(reply.status, 201);
    }
}

#[tokio::test]
async fn of_a_song_that_was_left_nothing_follows() {
    let node = node().await;
    two_songs(&node).await;
    let mut peer = enter(&node, DoorName::Packets).await;
    for round in 0..200 {
        // play, and list and another play before that has come far; stop, and play at once.
        peer.say("play<NEXT;>1<NEXT;><END;>").await;
        let (kind, data) = packet(&mut peer).await;
        assert_eq!((kind.as_str(), data[0]), ("play", b'1'), "{round}");
        peer.say("list<NEXT;><END;>play<NEXT;>2<NEXT;><END;>stop<NEXT;><END;>").await;
        if round % 2 == 0 {
            peer.say("play<NEXT;>1<NEXT;><END;>stop<NEXT;><END;>").await;
        }
        let mut allowed: &[u8] = b"1";
        let mut stops = if round % 2 == 0 { 2 } else { 1 };
        while stops > 0 {
            let (kind, data) = packet(&mut peer).await;
            match kind.as_str() {
                "list" => allowed = b"2",
                "stop" => {
                    stops -= 1;
                    allowed = b"1";
                }
                _ => assert!(allowed.contains(&data[0]), "round {round}: a byte of {}", data[0]),
            }
        }
    }
    peer.say("quit<NEXT;><END;>").await;
    assert_eq!(packet(&mut peer).await.0, "quit", "nothing else was on its way");
}

#[tokio::test]
async fn a_list_is_answered_in_the_middle_of_a_song_that_is_read_slowly() {
    let node = node().await;
    two_songs(&node).await;
    let (_, address) = node.doors.iter().find(|(name, _)| *name == DoorName::Packets).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut peer = Peer::over(soon(socket.connect(*address)).await.unwrap());
    peer.say("play<NEXT;>1<NEXT;><END;>").await;
    packet(&mut peer).await;
    peer.say("list<NEXT;><END;>").await;

    let mut before = 0;
    while packet(&mut peer).await.0 == "play" {
        before += 1;
    }
    // What the two kernels hold, and nothing of ours; the song has 4,121 packets.
    assert!(before < 1500, "{before} packets before the list");
    assert_eq!(packet(&mut peer).await.0, "play", "and it goes on");
}

#[tokio::test]
async fn a_live_stream_begins_at_its_newest_join_point_and_a_cut_is_told() {
    let node = node().await;
    let (mut origin, mut expected) = radio(&node).await;
    let mut peer = enter(&node, DoorName::Packets).await;
    peer.say("play<NEXT;>1<NEXT;><END;>").await;
    origin.chunk(&[7; 20_000]).await;
    expected.extend([7; 20_000]);

    for piece in expected.chunks_exact(4072) {
        let (kind, data) = packet(&mut peer).await;
        assert!(kind == "play" && data == piece);
    }
    assert_eq!(node.ask("DELETE", "/live/radio", &[]).await.status, 204);
    assert_eq!(packet(&mut peer).await.0, "stop", "unasked: the song has broken off");
}
