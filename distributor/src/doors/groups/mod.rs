//! groups: one movie for a group, over UDP. Here the door's known port, where groups begin.
//!
//! ```text
//!   request ──▶ offer, from the port that is offered: a token, and nothing is kept
//!   answer with the token ──▶ a socket, a group, a task; acknowledged
//! ```
//!
//! The offer's socket is closed as soon as it has sent: the port is bound again when it is taken. So a
//! forged address costs us one datagram, and its owner gets one, no larger than what was sent in its name.

mod film;
mod offer;
mod session;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use freshet_protocol::{doors::groups::Handshake, limits::DATAGRAM_BYTES_MAX};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, error};

use self::offer::{Rates, Tokens};
use crate::{
    groups::{Groups, Opened},
    hub::Hub,
    limits::{ACCEPT_PAUSE, GROUPS_OF_HOST_MAX},
    metrics::{DoorMetrics, GroupMetrics, Metrics},
};

/// What the door and all groups share.
#[derive(Debug)]
pub(crate) struct GroupDoor {
    hub: Hub,
    metrics: Metrics,
    counts: DoorMetrics,
    group_counts: GroupMetrics,
    groups: Arc<Groups>,
    tokens: Tokens,
    shutdown: CancellationToken,
}

impl GroupDoor {
    pub(crate) fn new(
        hub: Hub,
        metrics: Metrics,
        groups: Arc<Groups>,
        shutdown: CancellationToken,
    ) -> Self {
        let (counts, group_counts) = (metrics.door("groups"), metrics.groups());
        Self { hub, metrics, counts, group_counts, groups, tokens: Tokens::new(), shutdown }
    }

    fn count_received(&self, bytes: usize) {
        self.metrics.received.inc_by(bytes as u64);
        self.counts.received.inc_by(bytes as u64);
    }

    /// Send a datagram. What cannot be sent is lost, as any may be.
    async fn send(&self, socket: &UdpSocket, datagram: &[u8], peer: SocketAddr) {
        match socket.send_to(datagram, peer).await {
            Ok(sent) => {
                self.metrics.sent.inc_by(sent as u64);
                self.counts.sent.inc_by(sent as u64);
            }
            Err(error) => debug!(%peer, %error, "datagram not sent"),
        }
    }
}

/// Serve the door's port, and the groups that begin there or over HTTP, until the distributor stops.
pub(crate) async fn serve(
    socket: UdpSocket,
    door: Arc<GroupDoor>,
    mut opened: mpsc::Receiver<Opened>,
) {
    let rates = Rates::new(door.groups.clock().now());
    let (running, leaders) = (JoinSet::new(), BTreeMap::new());
    let mut desk = Desk { socket, door, rates, running, leaders };
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        tokio::select! {
            biased;
            () = desk.door.shutdown.cancelled() => break,
            Some(ended) = desk.running.join_next() => match ended {
                Ok(port) => {
                    desk.leaders.remove(&port);
                }
                Err(error) => error!(%error, "group panicked"),
            },
            Some(opened) = opened.recv() => desk.run(opened),
            received = desk.socket.recv_from(&mut buffer) => match received {
                Ok((len, peer)) => {
                    desk.hear(buffer.get(..len).unwrap_or_default(), peer).await;
                }
                Err(error) => {
                    debug!(%error, "cannot receive");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Each of them has seen that the distributor stops.
    while desk.running.join_next().await.is_some() {}
}

struct Desk {
    socket: UdpSocket,
    door: Arc<GroupDoor>,
    rates: Rates,
    running: JoinSet<u16>,
    /// Who began the group at that port, and with which token.
    leaders: BTreeMap<u16, (SocketAddr, u64)>,
}

impl Desk {
    async fn hear(&mut self, datagram: &[u8], peer: SocketAddr) {
        self.door.count_received(datagram.len());
        let now = self.door.groups.clock().now();
        if !self.rates.admit(now, peer.ip()) {
            self.door.counts.errors.inc();
            return;
        }
        match Handshake::decode(datagram) {
            Ok((_, Handshake::PortRequest { port })) => self.offer(port, peer).await,
            Ok((token, Handshake::PortAnswer { port, is_usable }))
                if self.door.tokens.knows(token, now, peer, port) =>
            {
                if is_usable {
                    self.take(token, port, peer).await;
                } else {
                    self.offer(0, peer).await;
                }
            }
            _ => {
                self.door.counts.errors.inc();
            }
        }
    }

    /// Offer that port, or another one, from there.
    async fn offer(&self, wanted: u16, peer: SocketAddr) {
        match self.door.groups.bind(wanted).await {
            Ok((socket, port)) => {
                let now = self.door.groups.clock().now();
                let token = self.door.tokens.make(now, peer, port);
                let offer = Handshake::PortAllocated { port }.encode(token);
                self.door.send(&socket, &offer, peer).await;
            }
            Err(error) => {
                self.door.counts.errors.inc();
                debug!(%peer, %error, "no group");
            }
        }
    }

    /// Begin a group at that port; whoever has it already hears once more that he has.
    async fn take(&mut self, token: u64, port: u16, peer: SocketAddr) {
        if self.leaders.get(&port) != Some(&(peer, token)) {
            let bound = self.door.groups.bind(port).await;
            let socket = match bound {
                Ok((socket, bound)) if bound == port => (socket, bound),
                // Somebody has it by now.
                _ => return self.offer(0, peer).await,
            };
            let of_host = |(leader, _): &&(SocketAddr, u64)| leader.ip() == peer.ip();
            if self.leaders.values().filter(of_host).count() >= GROUPS_OF_HOST_MAX {
                self.door.counts.errors.inc();
                return;
            }
            match self.door.groups.open(socket, Some(peer)) {
                Ok(opened) => self.run(opened),
                Err(error) => {
                    self.door.counts.errors.inc();
                    debug!(%peer, %error, "no group");
                    return;
                }
            }
            self.leaders.insert(port, (peer, token));
        }
        self.door.send(&self.socket, &Handshake::Ack.encode(token), peer).await;
    }

    fn run(&mut self, opened: Opened) {
        let (door, port) = (Arc::clone(&self.door), opened.port);
        let group = async move {
            session::run(&door, opened).await;
            port
        };
        self.running.spawn(group.instrument(debug_span!("group", port)));
    }
}
