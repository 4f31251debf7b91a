//! Groups that watch one movie together: their state, for UDP and for HTTP alike.
//!
//! ```text
//!   doors ──▶ Groups ──▶ Shared ──▶ group::Group     a lock for a few lines, never over an await
//!   http  ──▶
//! ```
//!
//! A group is known by the number of its UDP port, which nobody else has while it lives.

mod group;
mod key;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    time::Instant,
};

pub(crate) use self::{
    group::{By, Change, Chosen, Denied, Group, Member, Micros, Terms},
    key::Key,
};
use crate::{
    config::{DoorsConfig, PortRange},
    limits::{GROUP_INTERVAL, GROUP_PORT_TRIES, GROUPS_MAX, GROUPS_WAITING_MAX},
};

/// All groups of a distributor.
#[derive(Debug)]
pub(crate) struct Groups {
    all: Mutex<BTreeMap<u16, Arc<Shared>>>,
    clock: Clock,
    terms: Terms,
    host: IpAddr,
    ports: PortRange,
    opened: mpsc::Sender<Opened>,
}

/// A group that is to be served.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) socket: UdpSocket,
    pub(crate) port: u16,
    /// Who leads it, where that is known by his address.
    pub(crate) leader: Option<SocketAddr>,
    pub(crate) shared: Arc<Shared>,
}

/// One group, as its transports share it.
#[derive(Debug)]
pub(crate) struct Shared {
    group: Mutex<Group>,
    /// The version, for whoever waits for another one.
    version: watch::Sender<u64>,
    clock: Clock,
}

/// The distributor's clock: what the system said when it began, and steady from then on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    then: Micros,
}

/// Why there is no other group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoGroup {
    #[error("there are {GROUPS_MAX} groups already")]
    TooMany,
    #[error("no port is free for another group")]
    NoPort,
}

impl Groups {
    /// Groups on the host of that door; and those that are to be served, as they are opened.
    pub(crate) fn of(config: &DoorsConfig, door: &UdpSocket) -> (Self, mpsc::Receiver<Opened>) {
        let (opened, served) = mpsc::channel(GROUPS_WAITING_MAX);
        let (all, clock) = (Mutex::default(), Clock::new());
        let host = door.local_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it| it.ip());
        let ports = config.door_group_ports;
        (Self { all, clock, terms: Terms::of(config), host, ports, opened }, served)
    }

    /// A socket at that port, or at another one where it cannot be had (or 0 is wanted).
    pub(crate) async fn bind(&self, wanted: u16) -> Result<(UdpSocket, u16), NoGroup> {
        let mut port = if self.may_be(wanted) { wanted } else { self.any() };
        for _ in 0..GROUP_PORT_TRIES {
            if let Ok(socket) = UdpSocket::bind((self.host, port)).await
                && let Ok(address) = socket.local_addr()
            {
                return Ok((socket, address.port()));
            }
            port = self.any();
        }
        Err(NoGroup::NoPort)
    }

    fn may_be(&self, port: u16) -> bool {
        match self.ports {
            PortRange::Any => true,
            PortRange::Between { first, last } => (first..=last).contains(&port),
        }
    }

    fn any(&self) -> u16 {
        match self.ports {
            PortRange::Any => 0,
            PortRange::Between { first, last } => rand::random_range(first..=last),
        }
    }

    /// A group at that socket.
    pub(crate) fn open(
        &self,
        (socket, port): (UdpSocket, u16),
        leader: Option<SocketAddr>,
    ) -> Result<Opened, NoGroup> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= GROUPS_MAX {
            return Err(NoGroup::TooMany);
        }
        let group = Mutex::new(Group::new(self.terms, self.clock.now()));
        let shared = Shared { group, version: watch::Sender::new(0), clock: self.clock };
        let shared = Arc::new(shared);
        all.insert(port, Arc::clone(&shared));
        Ok(Opened { socket, port, leader, shared })
    }

    /// A group at any port, led by whoever has asked for it over HTTP.
    pub(crate) async fn create(&self) -> Result<(u16, Arc<Shared>), NoGroup> {
        let opened = self.open(self.bind(0).await?, None)?;
        let (port, shared) = (opened.port, Arc::clone(&opened.shared));
        if self.opened.try_send(opened).is_err() {
            self.close(port);
            return Err(NoGroup::TooMany);
        }
        Ok((port, shared))
    }

    /// All of them, and their ports.
    pub(crate) fn all(&self) -> Vec<(u16, Arc<Shared>)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(port, shared)| (*port, Arc::clone(shared))).collect()
    }

    /// The group at that port.
    pub(crate) fn find(&self, port: u16) -> Option<Arc<Shared>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned()
    }

    /// It is over.
    pub(crate) fn close(&self, port: u16) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }
}

impl Terms {
    fn of(config: &DoorsConfig) -> Self {
        let rate = u32::try_from(config.door_group_rate).unwrap_or(u32::MAX).max(1);
        let interval = [GROUP_INTERVAL, config.interval_min, config.interval_max];
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        Self { rate, wait: micros(config.door_group_wait), interval: interval.map(millis) }
    }
}

impl Shared {
    /// Look at the group, or do something to it; whoever waits is told when that changed something.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Group, Micros) -> T) -> T {
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut group, self.clock.now());
        let (version, _) = group.changes_since(u64::MAX);
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
        done
    }

    /// Tells when the version is another one.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

impl Clock {
    fn new() -> Self {
        let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), then: micros(then) }
    }

    pub(crate) fn now(&self) -> Micros {
        self.then + micros(self.began.elapsed())
    }
}

/// A duration on the clock of groups.
pub(crate) fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
