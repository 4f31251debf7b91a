//! One group at its own port: who registers, what is told to whom, and the movie.
//!
//! ```text
//!   datagram ──▶ Group ──changes──▶ a Link for each member ──▶ datagrams, again until acknowledged
//!   time     ──▶       ──due────▶ the movie's next bytes ──▶ the same datagram to each member, once
//! ```

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use freshet_protocol::{
    doors::groups::{Event, Link, Message, Movie, Phase, Received, State, movie_lists},
    limits::{DATAGRAM_BYTES_MAX, DATAGRAM_DATA_BYTES_MAX},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;

use super::{GroupDoor, film::Film, offer::Rates};
use crate::{
    groups::{By, Change, Chosen, Denied, Micros, Opened, Shared},
    hub::Who,
    limits::{ACCEPT_PAUSE, GROUP_BURST_DATAGRAMS, GROUP_LISTS_MAX, GROUP_TICK},
    metrics::Counted,
};

/// How a group's movie is told of among consumers.
const GROUP: Who = Who { peer: None, way: "groups" };

/// Serve a group until it is over.
pub(super) async fn run(door: &GroupDoor, opened: Opened) {
    let Opened { socket, port, leader, shared } = opened;
    let counted = door.group_counts.group();
    debug!(?leader, "group begins");
    let now = door.groups.clock().now();
    let (rates, peers) = (Rates::new(now), BTreeMap::new());
    let mut session =
        Session { door, socket, port, leader, shared, rates, peers, seen: 0, film: None, seq: 0 };
    session.serve().await;
    door.groups.close(port);
    debug!("group over");
    drop(counted);
}

struct Session<'a> {
    door: &'a GroupDoor,
    socket: UdpSocket,
    port: u16,
    leader: Option<SocketAddr>,
    shared: Arc<Shared>,
    rates: Rates,
    peers: BTreeMap<SocketAddr, Peer>,
    /// The version of the group that everybody here was told.
    seen: u64,
    film: Option<Film>,
    /// The number of the last datagram with data.
    seq: u64,
}

/// A member that takes part over UDP.
struct Peer {
    member: u32,
    link: Link,
    _counted: Counted,
}

impl Session<'_> {
    async fn serve(&mut self) {
        let mut versions = self.shared.versions();
        let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
        let mut tick = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.door.shutdown.cancelled() => return,
                () = sleep_until(tick) => {
                    tick = Instant::now() + self.tick().await;
                    if self.is_over() {
                        return;
                    }
                }
                // The sender lives as long as the group, which is ours.
                Ok(()) = versions.changed() => {}
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((len, peer)) => self.hear(buffer.get(..len).unwrap_or_default(), peer).await,
                    Err(error) => {
                        debug!(%error, "cannot receive");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
            self.tell().await;
        }
    }

    fn is_over(&self) -> bool {
        self.shared.with(|group, now| {
            let has_ended = group.phase() == Phase::Ended
                && self.film.as_ref().is_none_or(|film| group.position_at(now) >= film.at());
            let is_settled = || self.peers.values().all(|peer| peer.link.is_settled());
            group.is_deserted(now) || (has_ended && is_settled())
        })
    }

    /// What time alone does; and how long until the next time.
    async fn tick(&mut self) -> Duration {
        let (now, interval) = self.shared.with(|group, now| {
            group.tick(now);
            (now, (group.phase() == Phase::Playing).then(|| group.interval()))
        });
        let mut again = Vec::new();
        for (address, peer) in &mut self.peers {
            again.extend(peer.link.due(now).into_iter().map(|datagram| (*address, datagram)));
        }
        for (address, datagram) in again {
            self.door.send(&self.socket, &datagram, address).await;
        }
        let Some(interval) = interval else { return GROUP_TICK };
        self.play(interval).await;
        Duration::from_millis(interval.into())
    }

    /// Send what is due of the movie, but no faster than at twice its rate: a member's socket has room for
    /// little.
    async fn play(&mut self, interval: u32) {
        let (due, chosen, rate) =
            self.shared.with(|group, now| (group.due(now), group.movie().cloned(), group.rate()));
        if self.film.is_none() {
            let Some(chosen) = chosen else { return };
            let stream = self.door.hub.numbered(chosen.id.into()).await;
            self.film = stream.map(|stream| Film::new(self.door.hub.follow(&stream, GROUP)));
        }
        let bytes = 2 * u64::from(rate) * u64::from(interval) / 1000;
        let most = bytes / DATAGRAM_DATA_BYTES_MAX as u64 + 2;
        for _ in 0..most.min(GROUP_BURST_DATAGRAMS) {
            let piece = match &mut self.film {
                Some(film) if film.at() < due => film.next(due).await,
                Some(film) if film.is_over() => None,
                Some(_) => return,
                None => None,
            };
            match piece {
                Some(Some((offset, bytes))) => self.broadcast(offset, bytes).await,
                // The next byte is not here yet.
                Some(None) => return,
                None => return self.shared.with(|group, _| group.end()),
            }
        }
    }

    async fn broadcast(&mut self, offset: u64, bytes: Bytes) {
        self.seq += 1;
        let datagram = Message::Data { offset, bytes }.encode(self.seq);
        for address in self.peers.keys() {
            self.door.send(&self.socket, &datagram, *address).await;
        }
        self.door.group_counts.sent.inc_by(self.peers.len() as u64);
        self.shared.with(|group, _| {
            self.peers.values().for_each(|peer| group.sent(peer.member));
        });
    }

    async fn hear(&mut self, datagram: &[u8], from: SocketAddr) {
        self.door.count_received(datagram.len());
        let heard = Message::decode(datagram);
        if self.peers.contains_key(&from) {
            match heard {
                Ok((seq, message)) => self.hear_member(from, seq, message).await,
                Err(_) => self.refuse(),
            }
            return;
        }
        let now = self.door.groups.clock().now();
        if !self.rates.admit(now, from.ip()) {
            return self.refuse();
        }
        match heard {
            // It is to say the token back first. No larger than what it sent, and nothing is kept.
            Ok((_, Message::Registration { .. })) => {
                let token = self.door.tokens.make(now, from, self.port);
                let interval = self.shared.with(|group, _| group.interval());
                let challenge = Message::Registration { interval }.encode(token);
                self.door.send(&self.socket, &challenge, from).await;
            }
            Ok((token, Message::Ack)) if self.door.tokens.knows(token, now, from, self.port) => {
                self.admit(from).await;
            }
            _ => self.refuse(),
        }
    }

    fn refuse(&self) {
        self.door.counts.errors.inc();
    }

    /// Take in a member whose address is known to be its own.
    async fn admit(&mut self, from: SocketAddr) {
        let leads = self.leader == Some(from);
        // Those who are here already hear of it as of any change.
        let joined = self.shared.with(|group, now| {
            let others: Vec<_> = group.members().map(|(id, _)| id).collect();
            group.join(now, 0, leads).map(|member| (member, others))
        });
        let (member, others) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                debug!(%from, %error, "not taken in");
                return self.refuse();
            }
        };
        debug!(%from, member, "joined");
        let peer = Peer { member, link: Link::default(), _counted: self.door.counts.session() };
        self.peers.insert(from, peer);
        let mut messages = self.movies();
        let joined = |member| Message::Presence { member, event: Event::Joined };
        messages.extend(others.into_iter().map(joined));
        messages.push(self.state(member, 0));
        if self.shared.with(|group, _| group.phase() == Phase::Ended)
            && let Some(film) = &self.film
        {
            messages.push(Message::End { length: film.at() });
        }
        for message in messages {
            self.say(from, &message).await;
        }
    }

    fn movies(&self) -> Vec<Message> {
        let streams = self.door.hub.catalogue().streams;
        let movie = |(id, name): (u64, String)| Some(Movie { id: u32::try_from(id).ok()?, name });
        let named = streams.into_iter().map(|entry| (entry.id, entry.name.to_string()));
        let mut lists = movie_lists(named.filter_map(movie));
        lists.truncate(GROUP_LISTS_MAX);
        lists
    }

    async fn hear_member(&mut self, from: SocketAddr, seq: u64, message: Message) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let member = peer.member;
        self.shared.with(|group, now| group.heard(now, member));
        match message {
            Message::Ack => return peer.link.acknowledged(seq),
            Message::Keepalive(received) => {
                self.count(member, received);
                let state = self.state(member, seq);
                return self.say(from, &state).await;
            }
            _ => {}
        }
        let is_new = peer.link.is_new(seq);
        self.door.send(&self.socket, &Message::Ack.encode(seq), from).await;
        if is_new && let Err(error) = self.carry_out(member, message).await {
            debug!(%from, member, %error, "refused");
            self.refuse();
        }
    }

    async fn carry_out(&mut self, member: u32, message: Message) -> Result<(), Denied> {
        let by = By::Member(member);
        match message {
            Message::Registration { interval } => {
                self.shared.with(|group, _| group.set_interval(member, interval));
                Ok(())
            }
            Message::Choice { movie } => {
                let found = self.door.hub.numbered(movie.into()).await;
                let name = found.ok_or(Denied::NoMovie)?.name().clone();
                self.shared
                    .with(|group, _| group.choose(by, Chosen { id: movie, name, rate: None }))
            }
            Message::Start => self.shared.with(|group, now| group.start(now, by)),
            Message::Pause => self.shared.with(|group, now| group.pause(now, by)),
            Message::Resume => self.shared.with(|group, now| group.resume(now, by)),
            Message::Ready => self.shared.with(|group, _| group.ready(member)),
            Message::Presence { event: Event::Left, .. } => {
                self.shared.with(|group, now| group.leave(now, member));
                Ok(())
            }
            _ => Err(Denied::NoSense),
        }
    }

    fn count(&self, member: u32, received: Option<Received>) {
        let Some(received) = received else { return };
        if let Some(before) = self.shared.with(|group, _| group.report(member, received)) {
            self.door.group_counts.report(before, received);
        }
    }

    /// Tell all members what has changed.
    async fn tell(&mut self) {
        let (version, changes) = self.shared.with(|group, _| group.changes_since(self.seen));
        self.seen = version;
        if changes.is_empty() {
            return;
        }
        let gone = |peer: &Peer| !self.shared.with(|group, _| group.has(peer.member));
        self.peers.retain(|_, peer| !gone(peer));
        let all: Vec<_> = self.peers.iter().map(|(from, peer)| (*from, peer.member)).collect();
        for change in changes {
            for (from, member) in &all {
                for message in self.messages(change, *member) {
                    self.say(*from, &message).await;
                }
            }
        }
    }

    /// What that change is for that member.
    fn messages(&self, change: Change, to: u32) -> Vec<Message> {
        let state = || self.state(to, 0);
        match change {
            Change::Presence { member, .. } if member == to => Vec::new(),
            Change::Presence { member, event } => vec![Message::Presence { member, event }],
            Change::Ready { .. } => Vec::new(),
            Change::Choice { movie } => vec![Message::Choice { movie }, state()],
            Change::Play => vec![state()],
            Change::Pause => vec![Message::Pause, state()],
            Change::Resume => vec![Message::Resume, state()],
            Change::End => {
                let length = self.film.as_ref().map_or(0, Film::at);
                vec![Message::End { length }]
            }
        }
    }

    fn state(&self, member: u32, echo: u64) -> Message {
        self.shared.with(|group, clock| {
            let ((since, position), phase) = (group.place(), group.phase());
            let (movie, rate) = (group.movie().map_or(0, |movie| movie.id), group.rate());
            Message::State(State { echo, clock, phase, member, movie, since, position, rate })
        })
    }

    async fn say(&mut self, to: SocketAddr, message: &Message) {
        let now: Micros = self.door.groups.clock().now();
        if let Some(peer) = self.peers.get_mut(&to) {
            let datagram = peer.link.send(now, message);
            self.door.send(&self.socket, &datagram, to).await;
        }
    }
}
