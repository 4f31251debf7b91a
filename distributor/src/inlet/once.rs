//! The wire below hyper's client, on a connection that carries one exchange.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{Inlet, Scan, poll_read};

/// Sees one head go by, and where hyper is in the body behind it.
#[derive(Debug)]
pub(crate) struct Once {
    socket: Arc<TcpStream>,
    inlet: Arc<Inlet>,
    scan: Scan,
}

impl Once {
    /// Hyper reads `socket`, or somebody else through the inlet.
    pub(crate) fn new(socket: TcpStream) -> (Self, Arc<Inlet>) {
        let socket = Arc::new(socket);
        // What comes from upstream is counted where it is taken in.
        let inlet = Inlet::new(&socket, Counter::default());
        (Self { socket, inlet: Arc::clone(&inlet), scan: Scan::default() }, inlet)
    }

    fn look(&mut self, mut read: &[u8]) {
        if !self.scan.is_done() {
            read = read.get(self.scan.push(read)..).unwrap_or_default();
            if self.scan.is_done() {
                self.inlet.begin(self.scan.is_chunked());
            }
        }
        self.inlet.follow(read);
    }
}

impl AsyncRead for Once {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = |cx: &mut Context<'_>, buf: &mut ReadBuf<'_>| {
            poll_read(&this.socket, cx, buf).map_ok(drop)
        };
        let from = ready!(this.inlet.poll_for_hyper(cx, buf, read))?;
        this.look(buf.filled().get(from..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Once {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Nothing is kept back here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}
