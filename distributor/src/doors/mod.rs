//! The doors: protocols of older systems, each turned into reads of the same streams.
//!
//! ```text
//!   socket ──▶ session: asp, packets, lines ──▶ Door: which streams are there ──▶ hub
//!                 commands in, answers out  └──▶ Song: the bytes of one, in order
//! ```
//!
//! A door owns no data: what it lists is the catalogue, what it plays is a stream. A session is one task
//! on one socket; it keeps a command, the message that it is sending, and its place in a stream.

mod asp;
mod conn;
mod data;
pub(crate) mod groups;
mod lines;
mod packets;
mod ports;
mod song;

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use freshet_protocol::{CatalogueEntry, doors::Entry};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::{conn::End, ports::Ports, song::Song};
use crate::{
    config::{BoundsConfig, DoorName, DoorsConfig},
    hub::{Hub, Stream, Who},
    metrics::{DoorMetrics, Metrics},
};

/// What all sessions of a door share.
#[derive(Debug)]
pub(crate) struct Door {
    name: DoorName,
    hub: Hub,
    metrics: Metrics,
    counts: DoorMetrics,
    bounds: Bounds,
    /// May whoever comes delete streams?
    deletes: bool,
    ports: Arc<Ports>,
    pseudos: Pseudos,
    shutdown: CancellationToken,
}

/// What one peer may cost.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Between two commands while nothing plays.
    idle: Duration,
    /// From the first byte of a command to its last.
    command: Duration,
    /// For a byte to be taken.
    write: Duration,
    /// For a hole to be filled.
    gap: Duration,
}

impl Door {
    /// The door of that name.
    pub(crate) fn new(
        name: DoorName,
        hub: Hub,
        metrics: Metrics,
        (doors, bounds): (&DoorsConfig, &BoundsConfig),
        shutdown: CancellationToken,
    ) -> Self {
        let bounds = Bounds {
            idle: doors.door_idle,
            command: bounds.idle,
            write: bounds.write_deadline,
            gap: bounds.gap_wait,
        };
        let counts = metrics.door(name.as_str());
        let ports = Arc::new(Ports::new(doors.door_data_ports));
        let (deletes, pseudos) = (doors.door_delete, Pseudos::default());
        Self { name, hub, metrics, counts, bounds, deletes, ports, pseudos, shutdown }
    }

    /// All streams, by number.
    fn entries(&self) -> Vec<Entry> {
        self.hub.catalogue().streams.iter().map(entry).collect()
    }

    /// The stream of that number; what is asked for and not there is counted.
    async fn find(&self, id: u64) -> Option<Arc<Stream>> {
        let found = self.hub.numbered(id).await;
        if found.is_none() {
            self.counts.errors.inc();
        }
        found
    }

    /// Play that stream.
    fn play(&self, stream: &Arc<Stream>, peer: Option<SocketAddr>) -> Song {
        debug!(stream = %stream.name(), "plays");
        let who = Who { peer, way: self.name.as_str() };
        Song::begin(self.hub.follow(stream, who), self.bounds.gap)
    }
}

/// Serve one socket until its peer leaves, is cut, or the distributor stops.
pub(crate) async fn session(socket: TcpStream, door: Arc<Door>) {
    let counted = door.counts.session();
    let socket = Arc::new(socket);
    let ended = match door.name {
        DoorName::Asp => asp::session(&socket, &door).await,
        DoorName::Packets => packets::session(&socket, &door).await,
        DoorName::Lines => lines::session(&socket, &door).await,
        // It has no sockets of that kind.
        DoorName::Groups => Ok(()),
    };
    match ended {
        Ok(()) | Err(End::Left) => debug!("session over"),
        Err(why) => debug!(%why, "session cut short"),
    }
    drop(counted);
}

fn entry(entry: &CatalogueEntry) -> Entry {
    let kind = entry.content_type.as_deref().unwrap_or("unknown");
    let description = match entry.length {
        Some(length) => format!("{kind} {length} bytes"),
        None => format!("{kind} live"),
    };
    Entry { id: entry.id, title: entry.name.to_string(), description }
}

/// The names that sessions go by, each of them once.
#[derive(Debug, Default)]
struct Pseudos(Arc<Mutex<HashSet<String>>>);

/// A name that is taken until this is dropped.
#[derive(Debug)]
struct Pseudo {
    name: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Pseudos {
    /// Take that name, if nobody has it.
    fn take(&self, name: &str) -> Option<Pseudo> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
        is_new.then(|| Pseudo { name: name.into(), all: Arc::clone(&self.0) })
    }
}

impl Drop for Pseudo {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudo_is_somebodys_until_he_leaves() {
        let pseudos = Pseudos::default();
        let amar = pseudos.take("amar");
        assert!(amar.is_some() && pseudos.take("amar").is_none() && pseudos.take("Amar").is_some());
        drop(amar);
        assert!(pseudos.take("amar").is_some());
    }
}
