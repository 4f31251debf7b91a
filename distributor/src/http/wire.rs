//! What hyper does without asking us, seen and set right on the wire below it.
//!
//! ```text
//!   socket ──bytes──▶ Wire ──▶ hyper     a head with both framings is marked before hyper drops one
//!   socket ◀──bytes── Wire ◀── hyper     a bare 400 or 431 of hyper's own becomes a problem document
//! ```
//!
//! Hyper hides two things from a service. Of a request with Transfer-Encoding and Content-Length it
//! takes the second away, and a head that it cannot parse it answers by itself, without a body. Both
//! happen only while no request is being served, and [`Line`] knows when that is. What shares a read
//! with the request before it (pipelining) is not seen here; hyper then takes the Transfer-Encoding
//! and closes, as RFC 9112, section 6.1 allows.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    fanout::HandOver,
    inlet::{Inlet, Scan},
    outlet::Outlet,
};

/// What the session, its requests and its wire know of each other. All of it is touched by one
/// task at a time: the atomics are for the compiler, their order does not matter.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Requests that reached the service.
    begun: AtomicU64,
    /// Those whose reply has been handed over whole.
    ended: AtomicU64,
    /// The head that was read last says its length in two ways.
    two_framings: AtomicBool,
    /// The peer may still be sending what nobody reads: wait for it a little before closing.
    lingers: AtomicBool,
    /// The reply at hand ends with the connection: only a reset tells its cut from its end.
    ends_with_connection: AtomicBool,
    /// The distributor is stopping: open-ended replies are cut.
    stops: AtomicBool,
    /// Who writes to the socket, and what goes there from the disk.
    handover: Option<Arc<HandOver>>,
    outlet: Option<Arc<Outlet>>,
}

/// Marks a request as being served until dropped, which its reply's body does.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Line>);

impl Line {
    pub(super) fn new(handover: Arc<HandOver>, outlet: Arc<Outlet>) -> Self {
        Self { handover: Some(handover), outlet: Some(outlet), ..Self::default() }
    }

    /// Whoever is at the other end; `None` where nobody is any more.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.handover.as_ref()?.peer()
    }

    /// By what a reply at the live edge gives up the socket for a while.
    pub(super) fn handover(&self) -> Option<&Arc<HandOver>> {
        self.handover.as_ref()
    }

    /// By what a reply has the kernel send bytes of the disk copy.
    pub(super) fn outlet(&self) -> Option<Arc<Outlet>> {
        self.outlet.clone()
    }

    /// The reply at hand may leave older bytes out for newer ones: little of it is to wait in the kernel.
    pub(super) fn newest_first(&self) {
        if let Some(handover) = &self.handover {
            handover.newest_first();
        }
    }

    /// A request begins: which one it is, and whether its head had two framings.
    pub(super) fn begin(self: &Arc<Self>) -> (Exchange, u64, bool) {
        let number = self.begun.fetch_add(1, Relaxed) + 1;
        self.ends_with_connection.store(false, Relaxed);
        (Exchange(Arc::clone(self)), number, self.two_framings.swap(false, Relaxed))
    }

    /// The peer may go on sending though its request has been answered.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    /// The reply at hand has no other end than the connection's.
    pub(super) fn end_with_connection(&self) {
        self.ends_with_connection.store(true, Relaxed);
    }

    pub(super) fn ends_with_connection(&self) -> bool {
        self.ends_with_connection.load(Relaxed)
    }

    /// Cut open-ended replies when they are polled next.
    pub(super) fn stop(&self) {
        self.stops.store(true, Relaxed);
    }

    /// The number of requests so far, where none of them is being served.
    fn idle(&self) -> Option<u64> {
        let begun = self.begun.load(Relaxed);
        (begun == self.ended.load(Relaxed)).then_some(begun)
    }
}

impl Exchange {
    /// Is an open-ended reply to be cut?
    pub(super) fn must_stop(&self) -> bool {
        self.0.stops.load(Relaxed)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(handover) = self.0.handover() {
            handover.withdraw();
        }
        if let Some(outlet) = &self.0.outlet {
            outlet.narrow();
        }
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// The wire below hyper.
#[derive(Debug)]
pub(super) struct Wire<T> {
    inner: T,
    line: Arc<Line>,
    inlet: Arc<Inlet>,
    scan: Scan,
    /// The request that came before the head that is scanned.
    request: u64,
    /// Nothing was read so far that is behind a head, where the next one may have begun: so where this one does is
    /// known, and where its body does.
    only_heads: bool,
    /// The request up to which everything has left hyper's buffer.
    quiet: Option<u64>,
    /// A reply of ours in place of one of hyper's.
    instead: Bytes,
    /// Makes that reply from hyper's status.
    problem: fn(u16) -> Bytes,
}

impl<T> Wire<T> {
    pub(super) fn new(
        inner: T,
        line: Arc<Line>,
        inlet: Arc<Inlet>,
        problem: fn(u16) -> Bytes,
    ) -> Self {
        let (scan, instead) = (Scan::default(), Bytes::new());
        Self {
            inner,
            line,
            inlet,
            scan,
            request: 0,
            only_heads: true,
            quiet: Some(0),
            instead,
            problem,
        }
    }

    /// Look at what was read, of a head or of a body.
    fn look(&mut self, read: &[u8]) {
        let behind = match self.line.idle() {
            Some(request) => self.look_at_head(request, read),
            None => read,
        };
        self.only_heads &= behind.is_empty();
        self.inlet.follow(behind);
    }

    /// Look at what may be of the head of the next `request`; what is behind it.
    fn look_at_head<'a>(&mut self, request: u64, read: &'a [u8]) -> &'a [u8] {
        if self.request != request {
            (self.request, self.scan) = (request, Scan::default());
        }
        if self.scan.is_done() {
            return read;
        }
        let body = read.get(self.scan.push(read)..).unwrap_or_default();
        if self.scan.is_done() {
            self.line.two_framings.store(self.scan.has_two_framings(), Relaxed);
            self.inlet.begin(self.only_heads && self.scan.is_chunked());
        }
        body
    }

    /// Take hyper's own reply, if this is one, and keep ours for it.
    fn replace(&mut self, hypers: &[u8]) -> bool {
        let ours = self.quiet.is_some() && self.quiet == self.line.idle();
        let Some(status) = ours.then(|| status_of(hypers)).flatten() else {
            self.quiet = None;
            return false;
        };
        self.instead = (self.problem)(status);
        self.line.linger();
        true
    }
}

/// The status of `HTTP/1.1 431 ...`.
fn status_of(reply: &[u8]) -> Option<u16> {
    let digits = reply.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.instead))?;
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let inner = Pin::new(&mut this.inner);
        let from = ready!(this.inlet.poll_for_hyper(cx, buf, |cx, buf| inner.poll_read(cx, buf)))?;
        this.look(buf.filled().get(from..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
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
        if this.quiet.is_some() && bufs.first().is_some_and(|first| this.replace(first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut this.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Hyper flushes when, and only when, its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.quiet = this.line.idle();
        ready!(this.poll_instead(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A wire over nothing, and the way past hyper that it keeps.
    async fn wire(line: &Arc<Line>) -> (Wire<()>, Arc<Inlet>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let inlet = Inlet::new(&Arc::new(socket), Counter::default());
        let ours = |_| Bytes::from_static(b"ours");
        (Wire::new((), Arc::clone(line), Arc::clone(&inlet), ours), inlet)
    }

    #[tokio::test]
    async fn a_body_is_read_past_hyper_only_where_its_beginning_is_known() {
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        let line = Arc::new(Line::default());
        let (mut wire, inlet) = wire(&line).await;
        wire.look(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        drop(line.begin());
        wire.look(chunked);
        let (_serving, ..) = line.begin();
        assert!(inlet.take(1).is_some(), "nothing was read but heads");
    }

    #[tokio::test]
    async fn what_looks_like_a_head_behind_the_beginning_of_one_is_not_taken_for_it() {
        let line = Arc::new(Line::default());
        let (mut wire, inlet) = wire(&line).await;
        // With the first request the beginning of the second one is read.
        wire.look(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 99\r\nX-");
        drop(line.begin());
        wire.look(b"Transfer-Encoding: chunked\r\n\r\n");
        let (_serving, ..) = line.begin();
        wire.look(b"1\r\nx\r\n");
        assert!(inlet.take(1).is_none());
    }

    #[tokio::test]
    async fn a_reply_is_hypers_own_only_while_no_request_is_served() {
        let line = Arc::new(Line::default());
        let (mut wire, _) = wire(&line).await;
        assert!(wire.replace(b"HTTP/1.1 431 "));

        let (exchange, number, _) = line.begin();
        assert_eq!(number, 1);
        assert!(!wire.replace(b"HTTP/1.1 404 "));
        drop(exchange);
        wire.quiet = Some(0);
        assert!(!wire.replace(b"HTTP/1.1 404 "), "the reply to the request that has just ended");
    }
}
