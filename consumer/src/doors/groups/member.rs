//! A member of a group over UDP: the handshake, what has to arrive in both directions, the clock.
//!
//! ```text
//!   lead: request ──▶ offer ──▶ answer ──▶ acknowledged ──▶ join
//!   join: registration ──▶ the same back, with a token ──▶ acknowledged ──▶ news, news, ...
//! ```

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use freshet_protocol::{
    doors::groups::{Event, Handshake, Link, Message, Movie, Phase, State},
    limits::{DATAGRAM_BYTES_MAX, GROUP_RETRIES_MAX, GROUP_UNACKED_MAX},
};
use socket2::SockRef;
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, sleep_until, timeout_at},
};

use super::{clock::GroupClock, receipt::Receipt};
use crate::{
    doors::{DoorError, DoorUrl},
    limits::{
        GROUP_KEEPALIVE, GROUP_SILENCE, GROUP_SOCKET_BYTES, GROUP_TICK, GROUP_TRY, GROUP_TRY_MAX,
    },
};

/// Somebody's place in a group.
#[derive(Debug)]
pub struct GroupMember {
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    link: Link,
    clock: GroupClock,
    receipt: Receipt,
    /// The keepalive that waits for its answer, and when it left.
    asked: (u64, u64),
    keepalive: Instant,
    tick: Instant,
    heard: Instant,
    leads: bool,
    /// Does it play, as far as we were told?
    plays: bool,
    /// What was told before we knew that we are in.
    told: VecDeque<GroupNews>,
}

/// What a group tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupNews {
    /// There are these movies, among others.
    Movies(Vec<Movie>),
    /// Somebody has come or gone.
    Presence {
        /// Who.
        member: u32,
        /// What he did.
        event: Event,
    },
    /// Where the group is.
    State(State),
    /// A piece of the movie.
    Data {
        /// Its number.
        seq: u64,
        /// Where in the movie.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The movie ends there.
    End {
        /// Its length.
        length: u64,
    },
}

impl GroupMember {
    /// Begin a group at the door, and join it as its leader.
    ///
    /// # Errors
    ///
    /// The door does not answer.
    pub async fn lead(url: &DoorUrl, interval: u32) -> Result<Self, DoorError> {
        let door = resolve(url).await?;
        let socket = socket(door).await?;
        let port = handshake(&socket, door).await?;
        let mut member = Self::new(socket, SocketAddr::new(door.ip(), port), true);
        member.register(interval).await?;
        Ok(member)
    }

    /// Join the group that is at that port.
    ///
    /// # Errors
    ///
    /// Nobody answers there.
    pub async fn join(url: &DoorUrl, interval: u32) -> Result<Self, DoorError> {
        let group = resolve(url).await?;
        let mut member = Self::new(socket(group).await?, group, false);
        member.register(interval).await?;
        Ok(member)
    }

    fn new(socket: UdpSocket, group: SocketAddr, leads: bool) -> Self {
        let now = Instant::now();
        Self {
            socket: Arc::new(socket),
            group,
            link: Link::default(),
            clock: GroupClock::new(now),
            receipt: Receipt::default(),
            asked: (0, 0),
            keepalive: now,
            tick: now,
            heard: now,
            leads,
            plays: false,
            told: VecDeque::new(),
        }
    }

    /// The group's port, at which others join.
    #[must_use]
    pub const fn group(&self) -> SocketAddr {
        self.group
    }

    /// Does it lead the group?
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.leads
    }

    /// Register, and say back the token that proves where we are.
    async fn register(&mut self, interval: u32) -> Result<(), DoorError> {
        let registration = Message::Registration { interval };
        let first = self.link.send(self.now(), &registration);
        let (seq, _) = Message::decode(&first).map_err(|_| DoorError::NoAnswer)?;
        let mut wait = GROUP_TRY;
        for _ in 0..GROUP_RETRIES_MAX {
            self.send(&first).await?;
            let until = Instant::now() + wait;
            wait = (wait * 2).min(GROUP_TRY_MAX);
            while let Ok(received) = timeout_at(until, receive(&self.socket)).await {
                let (datagram, from) = received?;
                if from != self.group {
                    continue;
                }
                match Message::decode(&datagram) {
                    Ok((token, Message::Registration { .. })) => {
                        self.send(&Message::Ack.encode(token)).await?;
                        // Known now: this one is acknowledged, and says the interval.
                        self.send(&first).await?;
                    }
                    Ok((acked, Message::Ack)) if acked == seq => {
                        self.link.acknowledged(seq);
                        self.heard = Instant::now();
                        return Ok(());
                    }
                    Ok((seq, message)) => {
                        let news = self.hear(seq, message);
                        self.told.extend(news.filter(|_| self.told.len() < GROUP_UNACKED_MAX));
                    }
                    Err(_) => {}
                }
            }
        }
        Err(DoorError::NoAnswer)
    }

    /// What is told next; `None` where the group is gone. Cancel safe.
    ///
    /// # Errors
    ///
    /// The socket fails.
    pub async fn next(&mut self) -> Result<Option<GroupNews>, DoorError> {
        if let Some(news) = self.told.pop_front() {
            return Ok(Some(news));
        }
        loop {
            let socket = Arc::clone(&self.socket);
            // In any order: what comes does not keep us from saying that we are here.
            tokio::select! {
                received = receive(&socket) => {
                    let (datagram, from) = received?;
                    if from == self.group
                        && let Ok((seq, message)) = Message::decode(&datagram)
                        && let Some(news) = self.hear(seq, message)
                    {
                        return Ok(Some(news));
                    }
                }
                () = sleep_until(self.tick) => {
                    if self.heard.elapsed() > GROUP_SILENCE {
                        return Ok(None);
                    }
                    self.tick();
                }
            }
        }
    }

    fn hear(&mut self, seq: u64, message: Message) -> Option<GroupNews> {
        self.heard = Instant::now();
        if message.is_acknowledged() {
            self.send_now(&Message::Ack.encode(seq));
            if !self.link.is_new(seq) {
                return None;
            }
        }
        match message {
            Message::Ack => {
                self.link.acknowledged(seq);
                None
            }
            Message::State(state) => {
                if state.echo != 0 && state.echo == self.asked.0 {
                    self.clock.trip(self.asked.1, Instant::now(), state.clock);
                }
                self.plays = state.phase == Phase::Playing;
                Some(GroupNews::State(state))
            }
            Message::Movies(movies) => Some(GroupNews::Movies(movies)),
            Message::Presence { member, event } => Some(GroupNews::Presence { member, event }),
            Message::Data { offset, bytes } => {
                // It has begun, and what would have told us so was lost: ask.
                if !std::mem::replace(&mut self.plays, true) {
                    self.keepalive = Instant::now();
                }
                Some(GroupNews::Data { seq, offset, bytes })
            }
            Message::End { length } => Some(GroupNews::End { length }),
            _ => None,
        }
    }

    /// What is to be sent again, and a keepalive: often until the clock is known well.
    fn tick(&mut self) {
        let now = Instant::now();
        self.tick = now + GROUP_TICK;
        for datagram in self.link.due(self.now()) {
            self.send_now(&datagram);
        }
        if now >= self.keepalive {
            let pause = if self.clock.is_sure() { GROUP_KEEPALIVE } else { GROUP_TICK };
            self.keepalive = now + pause;
            let sent = self.now();
            let keepalive = Message::Keepalive(Some(self.receipt.counts()));
            let datagram = self.link.send(sent, &keepalive);
            self.asked = (self.link.last(), sent);
            self.send_now(&datagram);
        }
    }

    /// A datagram of the movie has come, and was of use or not.
    pub fn note(&mut self, seq: u64, is_of_use: bool) {
        self.receipt.note(seq, is_of_use);
    }

    /// When it is that time at the distributor; `None` until its clock is known.
    #[must_use]
    pub fn when(&self, theirs: u64) -> Option<Instant> {
        self.clock.when(theirs)
    }

    /// The byte that the group plays now, by its last state.
    #[must_use]
    pub fn position(&self, state: &State) -> Option<u64> {
        Some(state.position_at(self.clock.theirs(Instant::now())?))
    }

    /// Choose a movie; the leader's right.
    pub fn choose(&mut self, movie: u32) {
        self.say(&Message::Choice { movie });
    }

    /// Begin; the leader's right.
    pub fn start(&mut self) {
        self.say(&Message::Start);
    }

    /// Hold on; the leader's right.
    pub fn pause(&mut self) {
        self.say(&Message::Pause);
    }

    /// Go on; the leader's right.
    pub fn resume(&mut self) {
        self.say(&Message::Resume);
    }

    /// Say that we can begin.
    pub fn ready(&mut self) {
        self.say(&Message::Ready);
    }

    /// Say that we leave; once, for we do not stay to hear whether it came.
    pub fn leave(&mut self) {
        self.say(&Message::Presence { member: 0, event: Event::Left });
    }

    fn say(&mut self, message: &Message) {
        let datagram = self.link.send(self.now(), message);
        self.send_now(&datagram);
    }

    /// Where the socket has no room the datagram is lost, as any may be.
    fn send_now(&self, datagram: &[u8]) {
        let _ = self.socket.try_send_to(datagram, self.group);
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, self.group).await.map(drop)
    }

    fn now(&self) -> u64 {
        self.clock.ours(Instant::now())
    }
}

async fn resolve(url: &DoorUrl) -> Result<SocketAddr, DoorError> {
    let failed = |source| DoorError::Connect { url: url.to_string(), source };
    let mut found = lookup_host((url.host(), url.port())).await.map_err(failed)?;
    found.next().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// A socket from which that address can be reached.
async fn socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    // As far as the system allows it: what finds no room is lost.
    SockRef::from(&socket).set_recv_buffer_size(GROUP_SOCKET_BYTES)?;
    Ok(socket)
}

async fn receive(socket: &UdpSocket) -> io::Result<(Bytes, SocketAddr)> {
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    let (len, from) = socket.recv_from(&mut buffer).await?;
    Ok((Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default()), from))
}

/// Ask the door for a group; its port.
async fn handshake(socket: &UdpSocket, door: SocketAddr) -> Result<u16, DoorError> {
    let mut question = Handshake::PortRequest { port: 0 }.encode(1);
    let mut wait = GROUP_TRY;
    for _ in 0..GROUP_RETRIES_MAX {
        socket.send_to(&question, door).await?;
        let until = Instant::now() + wait;
        wait = (wait * 2).min(GROUP_TRY_MAX);
        if let Some(port) = offered(socket, door, &mut question, until).await? {
            return Ok(port);
        }
    }
    Err(DoorError::NoAnswer)
}

/// Answer the offers that come until then; the port that is ours, once that is acknowledged.
async fn offered(
    socket: &UdpSocket,
    door: SocketAddr,
    question: &mut Bytes,
    until: Instant,
) -> Result<Option<u16>, DoorError> {
    while let Ok(received) = timeout_at(until, receive(socket)).await {
        let (datagram, from) = received?;
        if from.ip() != door.ip() {
            continue;
        }
        match Handshake::decode(&datagram) {
            // It comes from the port that it offers, so that can be reached.
            Ok((token, Handshake::PortAllocated { port })) => {
                let is_usable = from.port() == port;
                let answer = Handshake::PortAnswer { port, is_usable }.encode(token);
                socket.send_to(&answer, door).await?;
                *question = answer;
            }
            Ok((acked, Handshake::Ack)) => {
                if let Ok((token, Handshake::PortAnswer { port, .. })) = Handshake::decode(question)
                    && token == acked
                {
                    return Ok(Some(port));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}
