//! Who writes to a socket: its session, or for a while the fan-out.
//!
//! ```text
//!   body: nothing to send ──offer──▶ socket: all before is written ──sit──▶ the fan-out writes
//!     ▲                                                                          │
//!     └── the place where it goes on ◀── what is left of a frame goes first ◀────┘ full, hole, end
//! ```
//!
//! The body, in hyper's hands, offers the socket with the place that comes next. Hyper then empties its
//! buffer and flushes, and only the flush, below hyper, hands the socket over. On the way back nothing is
//! written by the session before [`HandOver::take`] has been called, which takes the seat away from the
//! fan-out, if need be in the middle of a frame. So bytes are in order whatever wakes the session, and
//! whatever hyper does.

use std::{
    future::poll_fn,
    mem,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::net::TcpStream;

use super::{Fanout, Framing, crowd::Seat, lock, port, seats::Left};
use crate::hub::{Follower, Standing, Stream};

/// Who writes to one socket. The state is touched by its session's task alone.
#[derive(Debug)]
pub(crate) struct HandOver {
    fanout: Arc<Fanout>,
    socket: Arc<TcpStream>,
    state: Mutex<State>,
    newest_first: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    turn: Turn,
    /// What the fan-out has left to be done.
    due: Due,
}

#[derive(Debug, Default)]
enum Turn {
    /// The session writes.
    #[default]
    Session,
    /// The session writes, and its body has nothing for it.
    Offered(Offer),
    /// The fan-out writes.
    Fanout(Seat),
    /// The session writes, and its body goes on here.
    Back(u64),
}

/// What is to be written on: of which stream, from where, in which form, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) stream: Arc<Stream>,
    pub(super) at: u64,
    pub(super) framing: Framing,
    pub(super) standing: Option<Arc<Standing>>,
}

/// What the session has to do before it writes anything of its own.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The rest of a chunk.
    pub(crate) rest: Bytes,
    /// The socket took no more.
    pub(crate) was_full: bool,
}

impl HandOver {
    /// The session writes to `socket`, until it offers that.
    pub(crate) fn new(fanout: &Arc<Fanout>, socket: &Arc<TcpStream>) -> Self {
        let (fanout, socket) = (Arc::clone(fanout), Arc::clone(socket));
        Self { fanout, socket, state: Mutex::default(), newest_first: AtomicBool::new(false) }
    }

    /// In the reply at hand newer bytes may go before older ones, or in their place: what the kernel
    /// has taken cannot be overtaken any more, so that it is to be given little.
    pub(crate) fn newest_first(&self) {
        self.newest_first.store(true, Relaxed);
    }

    /// Whoever is at the other end; `None` where nobody is any more.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// The port of whoever is at the other end.
    pub(crate) fn port(&self) -> u16 {
        port(&self.socket)
    }

    pub(crate) fn is_newest_first(&self) -> bool {
        self.newest_first.load(Relaxed)
    }

    /// A body has given everything before `at`, where the stream ends for now: wait for more, and let
    /// the fan-out write it meanwhile; the place from which on the body goes on.
    ///
    /// Not cancel safe: whoever drops this does not know what was written. A body that is dropped
    /// ends its exchange, and with it [`withdraw`](Self::withdraw).
    pub(crate) async fn wait(&self, follower: &mut Follower, at: u64, framing: Framing) -> u64 {
        let (stream, standing) = (Arc::clone(follower.stream()), follower.standing());
        lock(&self.state).turn = Turn::Offered(Offer { stream, at, framing, standing });
        let mut changed = pin!(Some(follower.changed()));
        poll_fn(|cx| self.poll_wait(cx, changed.as_mut(), at)).await
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        mut changed: Pin<&mut Option<impl Future<Output = ()>>>,
        at: u64,
    ) -> Poll<u64> {
        let mut state = lock(&self.state);
        if let Turn::Fanout(seat) = &mut state.turn {
            // Each new byte would wake us.
            changed.set(None);
            let left = ready!(seat.poll_left(cx));
            if !left.rest.is_empty() {
                // It goes out in a flush, and hyper may have had its last one for now.
                cx.waker().wake_by_ref();
            }
            state.back(left);
        } else if let (Turn::Offered(..), Some(changed)) = (&state.turn, changed.as_pin_mut()) {
            ready!(changed.poll(cx));
        }
        match mem::take(&mut state.turn) {
            Turn::Back(at) => Poll::Ready(at),
            _ => Poll::Ready(at),
        }
    }

    /// Everything that the session had is written: if the socket is offered, the fan-out goes on.
    pub(crate) fn sit(&self, cx: &mut Context<'_>) {
        let mut state = lock(&self.state);
        let Turn::Offered(offer) = &state.turn else { return };
        let mut seat = self.fanout.sit(Arc::clone(&self.socket), offer.clone());
        match seat.poll_left(cx) {
            Poll::Pending => state.turn = Turn::Fanout(seat),
            // So soon that nobody could be woken.
            Poll::Ready(left) => {
                state.back(left);
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The session is about to write: the fan-out does no more. What is due first.
    pub(crate) fn take(&self) -> Due {
        let mut state = lock(&self.state);
        state.take();
        mem::take(&mut state.due)
    }

    /// What is due first, if the session is to write.
    pub(crate) fn due(&self) -> Due {
        mem::take(&mut lock(&self.state).due)
    }

    /// The body is gone, and the next one offers the socket anew.
    pub(crate) fn withdraw(&self) {
        let mut state = lock(&self.state);
        state.take();
        state.turn = Turn::Session;
        self.newest_first.store(false, Relaxed);
    }
}

impl State {
    fn take(&mut self) {
        if let Turn::Fanout(seat) = &mut self.turn
            && let Some(left) = seat.leave()
        {
            self.back(left);
        }
    }

    fn back(&mut self, left: Left) {
        let Left { at, rest, was_full } = left;
        self.turn = Turn::Back(at);
        self.due = Due { rest, was_full };
    }
}
