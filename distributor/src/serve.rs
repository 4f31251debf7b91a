//! The accept loop: the one place that accepts sockets and the one place that spawns sessions.
//!
//! ```text
//!   slot ──▶ accept ──▶ spawn session ──▶ (shutdown) drain ──▶ abort what is left
//! ```
//!
//! The slot is taken before the accept: when all are in use, new peers wait in the kernel's
//! backlog, which is bounded, instead of in our memory.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, error, info, warn};

use crate::{limits, metrics::Metrics, stall::tune};

/// Run one `session` for each accepted socket until `shutdown`; return when none is left, at the
/// latest `drain` later.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    slots: &Arc<Semaphore>,
    metrics: &Metrics,
    shutdown: &CancellationToken,
    drain: Duration,
    session: impl Fn(TcpStream) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut sessions = JoinSet::new();
    let mut failures = 0_u64;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.join_next() => log_panic(ended),
            admitted = admit(&listener, slots) => match admitted {
                Ok((slot, socket, peer)) => {
                    if let Err(error) = tune(&socket) {
                        // Gone already, most likely; its session will see.
                        debug!(%error, "socket not tuned");
                    }
                    let guarded = guarded(session(socket), slot);
                    sessions.spawn(guarded.instrument(debug_span!("session", %peer)));
                    if failures > 0 {
                        info!(failures, "accepting again");
                        failures = 0;
                    }
                }
                Err(error) => {
                    metrics.accept_errors.inc();
                    failures += 1;
                    // Once: it may go on for long.
                    if failures == 1 {
                        warn!(%error, "accept failed");
                    }
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while sessions.join_next().await.is_some() {} };
    if timeout(drain, drained).await.is_err() {
        warn!(left = sessions.len(), "drain time is over");
    }
    sessions.shutdown().await;
}

/// A session that gives back its slot, however it ends.
async fn guarded(session: impl Future<Output = ()>, slot: OwnedSemaphorePermit) {
    session.await;
    drop(slot);
}

/// A free slot, then a socket. Cancel safe: a slot without a socket is given back.
async fn admit(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok((slot, socket, peer))
}

/// A session that panics is our bug; the other sessions go on.
fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "session panicked");
    }
}

/// Connections that may be open at once: `wanted`, or what the limit of open files leaves once the
/// disk has its share. Raises that limit as far as it may be.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit of open files");
    }
    // No limit at all is said by `None`.
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    let allowed = usize::try_from(share(files)).unwrap_or(usize::MAX);
    if allowed < wanted {
        info!(wanted, allowed, files, "fewer connections, for want of open files");
    }
    wanted.min(allowed).max(1)
}

/// How many of the `allowed` descriptors those get that would have `wanted` of `all`.
pub(crate) fn part(wanted: usize, all: usize, allowed: usize) -> usize {
    if all <= allowed {
        return wanted;
    }
    let part = wanted as u128 * allowed as u128 / all as u128;
    usize::try_from(part).unwrap_or(wanted).max(1)
}

/// What connections get of `files` descriptors: all but the reserve, which is half of them where
/// there are few.
fn share(files: u64) -> u64 {
    files - (files / 2).min(limits::DESCRIPTORS_RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_keeps_its_descriptors() {
        assert_eq!(share(64), 32);
        assert_eq!(share(1_024), 512);
        assert_eq!(share(100_000), 100_000 - 4_096);
        assert_eq!(share(0), 0);
    }

    #[test]
    fn where_there_are_too_few_all_get_less() {
        assert_eq!((part(100, 300, 300), part(200, 300, 300)), (100, 200));
        assert_eq!((part(100, 300, 30), part(200, 300, 30)), (10, 20));
        assert_eq!(part(1, 1000, 10), 1);
    }
}
