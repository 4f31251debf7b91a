//! What happens when a stream changes: who sits at its live edge is served, then who waits for it is woken.
//!
//! Serving comes first and at once, in the task of whoever brought the bytes: a chunk that has to wake
//! another task, or another thread, is later by what that takes.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, task::yield_now};

use super::{limits::PACE_YIELDS_MAX, lock};

/// Those who sit at a stream's live edge. All of it takes microseconds, and waits for nothing.
pub(crate) trait Edge: Send + Sync {
    /// Write to them what has come, or tell those who do.
    fn serve(&self);

    /// Were those woken who serve more than a handful, and have not begun?
    fn is_to_begin(&self) -> bool;

    /// Are we, not they, too slow for what comes in?
    fn is_behind(&self) -> bool;
}

/// Who is to know that a stream has changed.
pub(super) struct News {
    changed: watch::Sender<()>,
    edge: Mutex<Option<Arc<dyn Edge>>>,
}

impl News {
    pub(super) fn new() -> Self {
        Self { changed: watch::Sender::new(()), edge: Mutex::new(None) }
    }

    /// A version counter and not a `Notify`: what changed between a look and a wait is seen.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Something has changed. Not to be called with any lock of the stream's held.
    pub(super) fn tell(&self) {
        let edge = lock(&self.edge).clone();
        if let Some(edge) = edge {
            edge.serve();
        }
        self.changed.send_replace(());
    }

    /// Let those who serve the edge have the processor: once if they were woken and have not begun, and until
    /// they lag behind no more. What is taken in faster than it can be sent leaves memory, and is read from the
    /// disk by each consumer. One whose socket is full sits there no longer: nobody waits for a peer here. To be
    /// called before bytes are taken in: afterwards, another origin could take over a request that has not
    /// answered for them yet. Cancel safe.
    pub(super) async fn pace(&self) {
        let Some(edge) = lock(&self.edge).clone() else { return };
        if edge.is_to_begin() {
            yield_now().await;
        }
        for _ in 0..PACE_YIELDS_MAX {
            if !edge.is_behind() {
                return;
            }
            yield_now().await;
        }
    }

    pub(super) fn serve_edge_by(&self, edge: Option<Arc<dyn Edge>>) {
        *lock(&self.edge) = edge;
    }
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("changed", &self.changed).finish_non_exhaustive()
    }
}
