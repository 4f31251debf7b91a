//! Data ports: opened for one connection each, and given back whatever becomes of it.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::{config::PortRange, limits::DATA_PORT_BACKLOG};

/// The ports of a door.
#[derive(Debug)]
pub(super) struct Ports {
    range: PortRange,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    ports: HashSet<u16>,
    /// How far into the range the next search begins: a port that was in use just now comes last.
    next: usize,
}

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct DataPort {
    number: u16,
    all: Arc<Ports>,
}

impl Ports {
    pub(super) fn new(range: PortRange) -> Self {
        Self { range, taken: Mutex::default() }
    }

    /// Listen at a free port of `host`; `None` where there is none.
    pub(super) fn open(self: &Arc<Self>, host: IpAddr) -> Option<(TcpListener, DataPort)> {
        let PortRange::Between { first, last } = self.range else {
            let listener = listen(host, 0).ok()?;
            let number = listener.local_addr().ok()?.port();
            self.lock().ports.insert(number);
            return Some((listener, DataPort { number, all: Arc::clone(self) }));
        };
        let count = usize::from(last - first) + 1;
        let begin = self.lock().next;
        for step in 0..count {
            let at = (begin + step) % count;
            // It is below `count`, so it fits.
            let number = first + u16::try_from(at).unwrap_or_default();
            if !self.lock().ports.insert(number) {
                continue;
            }
            let port = DataPort { number, all: Arc::clone(self) };
            // Somebody else of this machine may have it.
            if let Ok(listener) = listen(host, number) {
                self.lock().next = (at + 1) % count;
                return Some((listener, port));
            }
        }
        None
    }

    /// For a few lines; never over an await.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataPort {
    /// Its number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for DataPort {
    fn drop(&mut self) {
        self.all.lock().ports.remove(&self.number);
    }
}

fn listen(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = if host.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Its last connection may not be quite over.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(host, port))?;
    socket.listen(DATA_PORT_BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1));

    #[tokio::test]
    async fn all_ports_of_the_range_are_given_out_and_come_back() {
        let ports = Arc::new(Ports::new(PortRange::Between { first: 41000, last: 41003 }));
        for _ in 0..3 {
            let open: Vec<_> = std::iter::from_fn(|| ports.open(HOST)).collect();
            let numbers: HashSet<_> = open.iter().map(|(_, port)| port.number()).collect();
            assert_eq!(numbers, HashSet::from([41000, 41001, 41002, 41003]));
            drop(open);
        }
        assert!(ports.lock().ports.is_empty());
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_left_to_him() {
        let other = std::net::TcpListener::bind((HOST, 0)).unwrap();
        let number = other.local_addr().unwrap().port();
        let range = PortRange::Between { first: number, last: number };
        let ports = Arc::new(Ports::new(range));
        assert!(ports.open(HOST).is_none());
        drop(other);
        assert_eq!(ports.open(HOST).unwrap().1.number(), number);
    }
}
