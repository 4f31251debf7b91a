//! The live edge: whoever has everything but the next byte is written to directly, by one loop for each
//! stream and runtime thread.
//!
//! ```text
//!                      ┌─ shard: seat, seat, seat ◀── walker, a task ─┐
//!   stream ── Crowd ───┤                                              ├── ring: the bytes that are next,
//!                      └─ shard: seat, seat, seat ◀── walker, a task ─┘         framed once for all
//!                            │
//!                            └ full, behind, at an end or a hole ──▶ back to its own session
//! ```
//!
//! A live stream in small chunks is bound by system calls, one for each chunk and consumer. All that is
//! not this call is the wake-up of a task, hyper's way from a body to its buffer and from there to the
//! socket. So a reply that has nothing left to send gives up its socket for the time being ([`HandOver`])
//! and sleeps, and a walker writes what comes next to a thousand sockets in a row, or the task that
//! brought the bytes to a handful of them. Whatever is not plain sailing goes back to the session, which
//! knows deadlines, holes, skips, ends and cuts: nothing of that is here.
//!
//! A walker lives as long as anybody sits in its shard. Lock order: crowds, then one shard, then the
//! stream's.

mod crowd;
mod frame;
mod handover;
mod seats;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::counter::Counter;
use tokio::{net::TcpStream, runtime::Handle, task::JoinSet};

use self::{
    crowd::{Crowd, Seat},
    handover::Offer,
};
use crate::{
    hub::Edge,
    metrics::{Counted, Metrics},
};

pub(crate) use self::{
    frame::Framing,
    handover::{Due, HandOver},
};

/// Everybody who sits at the live edge of any stream.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// By the number of their stream.
    crowds: Mutex<HashMap<u64, Arc<Crowd>>>,
    walkers: Mutex<JoinSet<()>>,
    /// Threads of the runtime, and shards of each crowd.
    threads: usize,
    /// What sets parts off.
    boundary: Arc<str>,
    metrics: Metrics,
}

impl Fanout {
    /// Nobody yet. To be called in the runtime that it is going to run in.
    /// Parts of all multipart bodies that it writes on are set off by `boundary`.
    pub(crate) fn new(boundary: &str, metrics: Metrics) -> Self {
        let threads = Handle::current().metrics().num_workers();
        let (crowds, walkers) = (Mutex::default(), Mutex::default());
        Self { crowds, walkers, threads, boundary: boundary.into(), metrics }
    }

    /// What sets the parts of a body off that it is to write on.
    pub(crate) fn boundary(&self) -> &Arc<str> {
        &self.boundary
    }

    /// Write what comes next to `socket`.
    fn sit(self: &Arc<Self>, socket: Arc<TcpStream>, offer: Offer) -> Seat {
        let stream = &offer.stream;
        let mut crowds = lock(&self.crowds);
        let crowd = crowds.entry(stream.id()).or_insert_with(|| {
            let crowd = Arc::new(Crowd::new(self, stream, self.threads));
            stream.serve_edge_by(Some(Arc::clone(&crowd) as Arc<dyn Edge>));
            crowd
        });
        let crowd = Arc::clone(crowd);
        crowd.sit(socket, offer)
    }

    /// Forget a crowd that nobody sits in.
    fn clear(&self, stream: u64) {
        let mut crowds = lock(&self.crowds);
        if crowds.get(&stream).is_some_and(|crowd| crowd.is_empty())
            && let Some(crowd) = crowds.remove(&stream)
        {
            crowd.stream().serve_edge_by(None);
        }
    }

    fn spawn(&self, walker: impl Future<Output = ()> + Send + 'static) {
        let mut walkers = lock(&self.walkers);
        // Those that have ended, so that they are not kept.
        while let Some(ended) = walkers.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "walker panicked");
            }
        }
        walkers.spawn(walker);
    }

    fn sent(&self) -> &Counter {
        &self.metrics.sent
    }

    fn count(&self) -> Counted {
        self.metrics.at_the_edge()
    }
}

/// The port of whoever is at the other end; 0 where nobody is any more.
fn port(socket: &TcpStream) -> u16 {
    socket.peer_addr().map_or(0, |peer| peer.port())
}

/// Nothing that is guarded here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
