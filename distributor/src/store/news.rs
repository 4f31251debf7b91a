//! What happens when a stream changes: who sits at its live edge is served, then who waits for it is woken.
//!
//! Serving comes first and at once, in the task of whoever brought the bytes: a chunk that has to wake
//! another task, or another thread, is later by what that takes.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use super::lock;

/// Serves those at the live edge, or tells those who do: takes microseconds, and waits for nothing.
pub(super) type ServeEdge = Arc<dyn Fn() + Send + Sync>;

/// Who is to know that a stream has changed.
pub(super) struct News {
    changed: watch::Sender<()>,
    edge: Mutex<Option<ServeEdge>>,
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
        if let Some(serve) = edge {
            serve();
        }
        self.changed.send_replace(());
    }

    pub(super) fn serve_edge_by(&self, edge: Option<ServeEdge>) {
        *lock(&self.edge) = edge;
    }
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("changed", &self.changed).finish_non_exhaustive()
    }
}
