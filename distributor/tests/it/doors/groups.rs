//! groups, by members that know nothing but the text.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use freshet_distributor::{DoorName, PortRange};
use freshet_protocol::doors::groups::{Event, Handshake, Message, Phase, State};
use tokio::{net::UdpSocket, time::timeout};

use super::{Node, bytes, until};
use crate::node::soon;

/// A distributor with the door, and a movie whose number is 1.
pub(crate) async fn node(movie: &[u8]) -> (Node, SocketAddr) {
    let node = Node::with(|config| {
        config.doors.door = vec!["groups=127.0.0.1:0".parse().unwrap()];
        config.doors.door_group_ports = PortRange::Any;
    })
    .await;
    let fields = [("Content-Type", "video/mp4")];
    let reply = node.send("PUT", "/live/films/a", &fields, movie).await;
    assert_eq!(reply.status, 201);
    let (name, door) = node.doors[0];
    assert_eq!(name, DoorName::Groups);
    (node, door)
}

/// Somebody with a socket.
pub(crate) struct Peer {
    socket: UdpSocket,
    group: SocketAddr,
    seq: u64,
    movie: BTreeMap<u64, Bytes>,
    pub(crate) length: Option<u64>,
    pub(crate) presence: Vec<(u32, Event)>,
    pub(crate) state: Option<State>,
    movies: Vec<String>,
}

impl Peer {
    async fn new(group: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (movie, presence, movies) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { socket, group, seq: 0, movie, length: None, presence, state: None, movies }
    }

    async fn raw(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1500];
        let (len, from) = soon(self.socket.recv_from(&mut buffer)).await.unwrap();
        (buffer[..len].to_vec(), from)
    }

    /// The leader of a new group.
    async fn lead(door: SocketAddr) -> Self {
        let mut peer = Self::new(door).await;
        let request = Handshake::PortRequest { port: 0 }.encode(1);
        peer.socket.send_to(&request, door).await.unwrap();
        let (offer, from) = peer.raw().await;
        assert!(offer.len() <= request.len());
        let (token, Handshake::PortAllocated { port }) = Handshake::decode(&offer).unwrap() else {
            panic!("{offer:?}")
        };
        assert_eq!(from.port(), port, "it comes from the new port");
        let answer = Handshake::PortAnswer { port, is_usable: true }.encode(token);
        peer.socket.send_to(&answer, door).await.unwrap();
        assert_eq!(Handshake::decode(&peer.raw().await.0), Ok((token, Handshake::Ack)));
        peer.group = SocketAddr::new(door.ip(), port);
        peer.register().await;
        peer
    }

    pub(crate) async fn join(group: SocketAddr) -> Self {
        let mut peer = Self::new(group).await;
        peer.register().await;
        peer
    }

    async fn register(&mut self) {
        let registration = Message::Registration { interval: 5 }.encode(1);
        self.seq = 1;
        self.socket.send_to(&registration, self.group).await.unwrap();
        let (challenge, from) = self.raw().await;
        assert!(challenge.len() <= registration.len() && from == self.group);
        let (token, Message::Registration { .. }) = Message::decode(&challenge).unwrap() else {
            panic!("{challenge:?}")
        };
        self.socket.send_to(&Message::Ack.encode(token), self.group).await.unwrap();
        self.socket.send_to(&registration, self.group).await.unwrap();
        self.until(|peer| peer.state.is_some() && !peer.movies.is_empty()).await;
    }

    pub(crate) async fn say(&mut self, message: &Message) {
        self.seq += 1;
        self.socket.send_to(&message.encode(self.seq), self.group).await.unwrap();
    }

    /// Take what comes until it is so; alive all the while.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let done = async {
            while !is_so(self) {
                let mut buffer = [0; 1500];
                let silence = Duration::from_secs(1);
                match timeout(silence, self.socket.recv_from(&mut buffer)).await {
                    Ok(received) => {
                        let (len, from) = received.unwrap();
                        assert_eq!(from, self.group);
                        self.take(&buffer[..len]).await;
                    }
                    Err(_) => self.say(&Message::Keepalive(None)).await,
                }
            }
        };
        timeout(Duration::from_secs(20), done).await.expect("in time");
    }

    async fn take(&mut self, datagram: &[u8]) {
        let (seq, message) = Message::decode(datagram).unwrap();
        if message.is_acknowledged() {
            self.socket.send_to(&Message::Ack.encode(seq), self.group).await.unwrap();
        }
        match message {
            Message::Data { offset, bytes } => {
                self.movie.insert(offset, bytes);
            }
            Message::End { length } => self.length = Some(length),
            Message::Presence { member, event } => self.presence.push((member, event)),
            Message::State(state) => self.state = Some(state),
            Message::Movies(movies) => self.movies.extend(movies.into_iter().map(|it| it.name)),
            _ => {}
        }
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.state.map(|state| state.phase)
    }
}

#[tokio::test]
async fn a_leader_and_a_member_get_the_movie_and_its_end() {
    let movie = bytes(300_000);
    let (node, door) = node(&movie).await;
    let mut leader = Peer::lead(door).await;
    let mut member = Peer::join(leader.group).await;
    assert_eq!(leader.movies, ["films/a"]);
    leader.until(|peer| peer.presence.contains(&(2, Event::Joined))).await;

    leader.say(&Message::Choice { movie: 1 }).await;
    leader.say(&Message::Start).await;

    let has_ended = |peer: &Peer| peer.length.is_some();
    tokio::join!(leader.until(has_ended), member.until(has_ended));

    for peer in [&leader, &member] {
        assert_eq!((peer.length, peer.state.unwrap().movie), (Some(300_000), 1));
        for (at, piece) in &peer.movie {
            assert!(piece == &movie[*at as usize..][..piece.len()], "at {at}");
        }
        // Where the machine is busy a socket may have had no room for a few.
        let came: usize = peer.movie.values().map(Bytes::len).sum();
        println!("{came} bytes of {}", movie.len());
        assert!(came * 10 > movie.len() * 8, "{came} bytes");
    }
    assert_eq!(leader.state.unwrap().since, member.state.unwrap().since);
    until(async || node.metric("freshet_groups").await == 0).await;
    assert!(node.metric("freshet_group_sent_total").await >= 2 * 300_000 / 1183);
    node.stop().await;
}

#[tokio::test]
async fn only_the_leader_starts_and_pauses() {
    let (node, door) = node(&bytes(5_000_000)).await;
    let mut leader = Peer::lead(door).await;
    let mut member = Peer::join(leader.group).await;
    leader.say(&Message::Choice { movie: 1 }).await;
    member.say(&Message::Start).await;
    until(async || node.metric("freshet_door_errors_total{door=\"groups\"}").await > 0).await;

    leader.say(&Message::Start).await;
    member.until(|peer| peer.phase() == Some(Phase::Playing)).await;
    leader.say(&Message::Pause).await;
    member.until(|peer| peer.phase() == Some(Phase::Paused)).await;
    let position = member.state.unwrap().position;
    leader.say(&Message::Resume).await;
    member.until(|peer| peer.phase() == Some(Phase::Playing)).await;

    assert_eq!(member.state.unwrap().position, position);
    node.stop().await;
}

#[tokio::test]
async fn who_is_killed_is_lost_to_the_others_and_who_leaves_has_left() {
    let (node, door) = node(b"a movie").await;
    let mut leader = Peer::lead(door).await;
    let killed = Peer::join(leader.group).await;
    let mut leaver = Peer::join(leader.group).await;

    drop(killed);
    leaver.say(&Message::Presence { member: 0, event: Event::Left }).await;

    leader.until(|peer| peer.presence.contains(&(3, Event::Left))).await;
    let begun = tokio::time::Instant::now();
    leader.until(|peer| peer.presence.contains(&(2, Event::Lost))).await;
    println!("lost after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10));
    node.stop().await;
}

#[tokio::test]
async fn a_forged_address_gets_one_datagram_no_larger_than_what_was_sent_in_its_name() {
    let (node, door) = node(b"a movie").await;
    let leader = Peer::lead(door).await;
    // It never sends anything by itself: what is said here, others have said in its name.
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let forged = [
        (door, Handshake::PortRequest { port: 0 }.encode(1)),
        (door, Handshake::PortAnswer { port: 9, is_usable: true }.encode(7)),
        (door, Handshake::Ack.encode(7)),
        (leader.group, Message::Registration { interval: 0 }.encode(1)),
        (leader.group, Message::Ack.encode(7)),
        (leader.group, Message::Start.encode(1)),
        (leader.group, Message::Keepalive(None).encode(1)),
        (leader.group, Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")),
    ];

    for (to, datagram) in forged {
        victim.send_to(&datagram, to).await.unwrap();

        // Longer than a retransmission takes.
        let (mut came, mut buffer) = (Vec::new(), [0; 1500]);
        let wait = Duration::from_millis(700);
        while let Ok(received) = timeout(wait, victim.recv_from(&mut buffer)).await {
            came.push(received.unwrap().0);
        }
        assert!(came.len() <= 1 && came.iter().all(|len| *len <= datagram.len()), "{came:?}");
    }
    assert_eq!(node.metric("freshet_door_sessions{door=\"groups\"}").await, 1, "the leader");
    node.stop().await;
}

#[tokio::test]
async fn a_port_that_cannot_be_used_is_replaced_and_a_wanted_one_is_given() {
    let (node, door) = node(b"a movie").await;
    let peer = Peer::new(door).await;
    let spare = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wanted = spare.local_addr().unwrap().port();
    let ask = async |datagram: Bytes| {
        peer.socket.send_to(&datagram, door).await.unwrap();
        Handshake::decode(&peer.raw().await.0).unwrap()
    };

    let (token, offer) = ask(Handshake::PortRequest { port: wanted }.encode(1)).await;
    let Handshake::PortAllocated { port } = offer else { panic!("{offer:?}") };
    assert_ne!(port, wanted, "it is taken");
    let refused = Handshake::PortAnswer { port, is_usable: false }.encode(token);
    assert!(matches!(ask(refused).await.1, Handshake::PortAllocated { .. }));

    drop(spare);
    let (_, offer) = ask(Handshake::PortRequest { port: wanted }.encode(2)).await;
    assert_eq!(offer, Handshake::PortAllocated { port: wanted });
    node.stop().await;
}
