//! The write deadline: a peer that takes no byte for too long is cut.
//!
//! ```text
//!   hyper ──▶ Stalling ──▶ socket        pending write: timer armed; any byte taken: forgotten
//! ```
//!
//! It sits below hyper because nothing above can do it: while a write is pending hyper does not
//! poll the body, so a timer in there would not fire. A write that goes through at once costs no
//! timer, and one that has to wait keeps the timer of the write before: it fires early, sees that
//! its write has long gone through, and is set anew.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use prometheus_client::metrics::counter::Counter;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    time::Timespec,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::{
    deadline::Deadline,
    fanout::{Due, HandOver},
    inlet::poll_read,
    limits::{self, WRITE_STEP_BYTES, WRITE_STEPS},
    outlet::{Outlet, is_stand_in},
};

/// An I/O whose writes make progress within a limit, or fail.
#[derive(Debug)]
pub(crate) struct Stalling<T> {
    inner: T,
    limit: Duration,
    /// Since when the write at hand is pending.
    since: Option<Instant>,
    deadline: Deadline,
    cut: Counter,
}

impl<T> Stalling<T> {
    /// Give `inner` the `limit`; `cut` counts the writes that reached it.
    pub(crate) fn new(inner: T, limit: Duration, cut: Counter) -> Self {
        Self { inner, limit, since: None, deadline: Deadline::new(Instant::now()), cut }
    }

    /// Let a write's outcome pass, unless it has been pending for too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.since = None;
            return polled;
        }
        self.deadline.put(*self.since.get_or_insert_with(Instant::now) + self.limit);
        ready!(self.deadline.poll_passed(cx));
        self.cut.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stalling<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stalling<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.watch(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, polled)
    }
}

/// A socket that hyper reads and writes while its session keeps an eye on it, and that the fan-out
/// writes to in between.
#[derive(Debug)]
pub(crate) struct Shared {
    socket: Arc<TcpStream>,
    handover: Option<Arc<HandOver>>,
    outlet: Option<Arc<Outlet>>,
    /// What the fan-out has left of a chunk: it goes before anything of hyper's.
    rest: Bytes,
    received: Counter,
    sent: Counter,
    /// It is new, or was full lately: how many writes more are small steps, where newer bytes could go
    /// before older ones.
    steps: u32,
    /// Is each write one of these?
    is_careful: bool,
}

impl Shared {
    /// Share `socket`, counting its bytes.
    pub(crate) fn new(socket: Arc<TcpStream>, received: Counter, sent: Counter) -> Self {
        let (handover, outlet, rest) = (None, None, Bytes::new());
        let (steps, is_careful) = (WRITE_STEPS, false);
        Self { socket, handover, outlet, rest, received, sent, steps, is_careful }
    }

    /// Look at the socket before each write, however fast it is.
    pub(crate) fn carefully(self) -> Self {
        Self { is_careful: true, ..self }
    }

    /// Let the fan-out write, where that is offered.
    pub(crate) fn lent_by(self, handover: Arc<HandOver>) -> Self {
        Self { handover: Some(handover), ..self }
    }

    /// Send bytes of files where something stands in for them.
    pub(crate) fn with_outlet(self, outlet: Arc<Outlet>) -> Self {
        Self { outlet: Some(outlet), ..self }
    }

    /// Nobody else writes any more; what is due before we do.
    fn take(&self) -> Due {
        self.handover.as_ref().map(|handover| handover.take()).unwrap_or_default()
    }

    /// Write what is due before anything else is.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Due) -> Poll<io::Result<()>> {
        if due.was_full {
            self.steps = WRITE_STEPS;
        }
        if !due.rest.is_empty() {
            // The fan-out is not given the socket before the last rest is out.
            self.rest = due.rest;
        }
        while !self.rest.is_empty() {
            let rest = self.rest.clone();
            let some = |max| rest.get(..max).unwrap_or(&rest);
            let written = ready!(self.write(cx, |socket, max| socket.try_write(some(max))))?;
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Write of `bufs` what goes at once.
    fn write_memory(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.write(cx, |socket, max| match first.get(..max) {
            _ if whole <= max => socket.try_write_vectored(bufs),
            some => socket.try_write(some.unwrap_or(first)),
        })
    }

    /// Send of a file what goes at once of `len` bytes.
    fn send_stored(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let Some(outlet) = self.outlet.clone() else {
            return Poll::Ready(Err(io::Error::other("a stand-in without an outlet")));
        };
        self.write(cx, |_, max| outlet.send(len.min(max)))
    }

    fn goes_in_steps(&self) -> bool {
        let is_newest_first = || self.handover.as_ref().is_none_or(|it| it.is_newest_first());
        self.is_careful || self.steps > 0 && is_newest_first()
    }

    /// A socket that was full is filled in small steps, with a look at it before each: by itself the
    /// kernel takes 64 KiB more than it was told to. What goes in order in any case is written at once.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl Fn(&TcpStream, usize) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            let in_steps = self.goes_in_steps();
            let max = if in_steps { WRITE_STEP_BYTES } else { usize::MAX };
            let room = || if in_steps { has_room(&self.socket) } else { Ok(()) };
            // What clears the readiness must run inside, or a wake-up could be lost.
            let has_room = self.socket.try_io(Interest::WRITABLE, room);
            match has_room.and_then(|()| attempt(&self.socket, max)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.steps = WRITE_STEPS;
                }
                Ok(written) => {
                    self.steps = self.steps.saturating_sub(1);
                    self.sent.inc_by(written as u64);
                    return Poll::Ready(Ok(written));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Set a socket up: small writes leave at once, little waits in the kernel where newer bytes could
/// not overtake it, and a peer that is gone is noticed though nobody speaks.
pub(crate) fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(limits::UNSENT_BYTES_MAX)?;
    let probes = TcpKeepalive::new()
        .with_time(limits::TCP_PROBE_AFTER)
        .with_interval(limits::TCP_PROBE_EVERY);
    socket.set_tcp_keepalive(&probes)
}

/// Is less unsent in the kernel than it was told to keep (`TCP_NOTSENT_LOWAT`)? Otherwise the kernel
/// wakes us when that is so.
fn has_room(socket: &TcpStream) -> io::Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match retry_on_intr(|| poll(&mut polled, Some(&at_once)))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(poll_read(&self.socket, cx, buf))?;
        self.received.inc_by(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_due(cx, this.take()))?;
        let in_memory = bufs.iter().take_while(|buf| !is_stand_in(buf)).count();
        match (bufs.get(..in_memory).unwrap_or(bufs), bufs.first()) {
            ([], Some(stand_in)) => this.send_stored(cx, stand_in.len()),
            (bufs, _) => this.write_memory(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Hyper flushes when its own buffer is empty, and a socket has none of ours: this is where the
    /// fan-out may go on. Not on a socket that is filled in small steps.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(handover) = this.handover.clone() else { return Poll::Ready(Ok(())) };
        ready!(this.poll_due(cx, handover.due()))?;
        if !this.goes_in_steps() {
            handover.sit(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_due(cx, this.take()))?;
        Poll::Ready(SockRef::from(&*this.socket).shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_at_the_deadline() {
        let (ours, _theirs) = duplex(4);
        let cut = Counter::default();
        let mut ours = Stalling::new(ours, LIMIT, cut.clone());
        let begun = Instant::now();

        let error = ours.write_all(b"more than four").await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), LIMIT.as_secs());
        assert_eq!(cut.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_that_is_taken_begins_the_deadline_anew() {
        let (ours, mut theirs) = duplex(1);
        let cut = Counter::default();
        let mut ours = Stalling::new(ours, LIMIT, cut.clone());
        let begun = Instant::now();

        let read = async {
            let mut text = Vec::new();
            while text.len() < 5 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                text.push(theirs.read_u8().await.unwrap());
            }
            text
        };
        let (written, text) = tokio::join!(ours.write_all(b"hello"), read);

        written.unwrap();
        assert_eq!(text, b"hello");
        assert!(begun.elapsed() > LIMIT * 4, "slower than one deadline by far");
        assert_eq!(cut.get(), 0);
    }
}
