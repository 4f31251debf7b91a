//! The seats of a shard: who sits there, and what is written to them.
//!
//! A shard's lock is held for a few writes at a time, and whoever wants to leave waits for no more than
//! that. It is what orders a walker's writes and the session's: a socket is written to under the lock
//! while its seat is there, and by its session alone once it is not.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use freshet_protocol::{Stamp, way};
use slab::Slab;
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
};
use tracing::trace;

use super::{
    frame::{Frame, Framing},
    lock, port,
};
use crate::{
    hub::{Ahead, Standing, Stream},
    limits::{WALK_FRAME_BYTES_MAX, WALK_SEATS_MAX},
    metrics::Counted,
};

/// A part of a crowd, which one walker serves.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) seats: Mutex<Seats>,
    /// The stream has moved, and the walker is to serve.
    pub(super) moved: Notify,
    /// It was told so, and has not begun.
    pub(super) is_told: AtomicBool,
    /// Everybody has, or had, everything before this place.
    pub(super) served: AtomicU64,
}

/// What a shard's lock guards.
#[derive(Debug)]
pub(super) struct Seats {
    pub(super) taken: Slab<Taken>,
    /// What was written last.
    frame: Frame,
    /// Is there a walker? It ends when it finds that nobody sits here any more.
    pub(super) is_walked: bool,
}

/// Somebody who sits there.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) socket: Arc<TcpStream>,
    pub(super) framing: Framing,
    /// Everything before has been written, whole.
    pub(super) at: u64,
    pub(super) standing: Option<Arc<Standing>>,
    /// Dropped or used under the shard's lock, when the seat is given up.
    pub(super) back: oneshot::Sender<Left>,
    pub(super) _counted: Counted,
}

/// How somebody left.
#[derive(Debug)]
pub(super) struct Left {
    /// Where the session goes on in the stream.
    pub(super) at: u64,
    /// What of a chunk was not written: it goes first.
    pub(super) rest: Bytes,
    /// The socket took no more.
    pub(super) was_full: bool,
}

/// A few writes under one lock.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Seats that were written to, bytes that were, and since when the last of them were here.
    pub(super) writes: u64,
    pub(super) bytes: u64,
    pub(super) received: Option<Stamp>,
    /// There was more to be had than one frame, or the stream's end.
    pub(super) more: bool,
    pub(super) someone_left: bool,
    /// Where to go on, if there are more seats.
    pub(super) next: Option<usize>,
}

impl Taken {
    /// Write the frame that is next here; how many bytes of it, and what is left to the session where
    /// it has to go on.
    fn serve(&mut self, stream: &Stream, frame: &mut Frame) -> (usize, Option<Left>) {
        let nothing = Bytes::new();
        match frame.find(stream, self.at) {
            Ahead::Edge => return (0, None),
            Ahead::Elsewhere => {
                return (0, Some(Left { at: self.at, rest: nothing, was_full: false }));
            }
            Ahead::Bytes { .. } => {}
        }
        let end = frame.end();
        trace!(target: way::TARGET, step = way::SEND, end, peer = port(&self.socket));
        let wire = frame.wire(self.framing, stream);
        let length = wire.len();
        // Why nothing could be written, the session finds out: it tries again.
        let written = wire.send(&self.socket).unwrap_or(0);
        if written == 0 {
            return (0, Some(Left { at: self.at, rest: nothing, was_full: true }));
        }
        let is_whole = written == length;
        let (at, rest) = if is_whole { (end, nothing) } else { frame.left(self.framing, written) };
        self.at = at;
        if let Some(standing) = &self.standing {
            standing.advance(at);
        }
        (written, (!is_whole).then_some(Left { at, rest, was_full: true }))
    }
}

impl Seats {
    /// Write one frame to those who are behind, a few of them from the seat `from` on. What comes next is looked
    /// for anew by whoever begins with the first.
    fn serve(&mut self, from: usize, stream: &Stream) -> Batch {
        if from == 0 {
            self.frame.forget();
        }
        let (mut batch, mut looks) = (Batch::default(), 0);
        for key in from..self.taken.capacity() {
            let Some(taken) = self.taken.get_mut(key) else { continue };
            if looks == WALK_SEATS_MAX {
                batch.next = Some(key);
                break;
            }
            looks += 1;
            let (written, left) = taken.serve(stream, &mut self.frame);
            batch.bytes += written as u64;
            if written > 0 {
                batch.writes += 1;
                batch.received = self.frame.received();
            }
            batch.more |= self.frame.is_followed;
            if let Some(left) = left {
                batch.someone_left = true;
                self.give_back(key, left);
            }
        }
        batch
    }

    fn give_back(&mut self, key: usize, left: Left) {
        if let Some(taken) = self.taken.try_remove(key) {
            // Nobody is there to be told where its session has just ended.
            let _ = taken.back.send(left);
        }
    }
}

impl Shard {
    pub(super) fn new(boundary: &Arc<str>) -> Self {
        let (taken, frame) = (Slab::new(), Frame::new(boundary));
        let seats = Mutex::new(Seats { taken, frame, is_walked: false });
        Self {
            seats,
            moved: Notify::new(),
            is_told: AtomicBool::new(false),
            served: AtomicU64::new(0),
        }
    }

    /// Write one frame to a few of those who are behind, from the seat `from` on.
    pub(super) fn serve(&self, from: usize, stream: &Stream) -> Batch {
        lock(&self.seats).serve(from, stream)
    }

    /// How many sit here.
    pub(super) fn load(&self) -> usize {
        lock(&self.seats).taken.len()
    }

    /// Has its walker much to do before it comes to the stream's `end`?
    pub(super) fn is_behind(&self, end: u64) -> bool {
        end.saturating_sub(self.served.load(Relaxed)) > WALK_FRAME_BYTES_MAX as u64
    }

    /// Is it empty? Then the walker who asks ends, and whoever comes next has a new one.
    pub(super) fn is_deserted(&self) -> bool {
        let mut seats = lock(&self.seats);
        seats.is_walked = !seats.taken.is_empty();
        !seats.is_walked
    }

    /// Have it be served, where it has a walker: one that has none is empty, and begins with a look.
    pub(super) fn tell(&self) {
        self.is_told.store(true, Relaxed);
        self.moved.notify_one();
    }
}
