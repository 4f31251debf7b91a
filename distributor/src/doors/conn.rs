//! One socket of a session: bytes in, bytes out, counted, and never waited for without an end.

use std::{future::pending, io, net::SocketAddr, sync::Arc};

use bytes::{Buf, Bytes};
use freshet_protocol::{
    doors::{LineError, LineReader},
    limits::DOOR_LINE_BYTES_MAX,
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::Door;
use crate::{
    limits::DOOR_READ_BYTES,
    stall::{Shared, Stalling},
};

/// Why a session is over before its peer said so.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the peer has left")]
    Left,
    #[error("the peer was silent for too long")]
    Idle,
    #[error("the distributor stops")]
    Stopping,
    #[error("the connection is lost: {0}")]
    Lost(#[from] io::Error),
}

/// The reading end of a socket.
#[derive(Debug)]
pub(super) struct Inlet {
    socket: Arc<TcpStream>,
    counters: [Counter; 2],
}

impl Inlet {
    pub(super) fn new(socket: &Arc<TcpStream>, door: &Door) -> Self {
        let counters = [door.metrics.received.clone(), door.counts.received.clone()];
        Self { socket: Arc::clone(socket), counters }
    }

    /// How many bytes of the peer are in `buffer` now; 0 where it has ended. Cancel safe.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(read) => {
                    self.counters.iter().for_each(|counter| {
                        counter.inc_by(read as u64);
                    });
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns when the peer's system has said that it does not know the connection. Cancel safe.
    pub(super) async fn gone(&self) {
        // An error says the same.
        let _ = self.socket.ready(Interest::ERROR).await;
    }
}

/// The writing end of a socket, with a deadline for each byte.
#[derive(Debug)]
pub(super) struct Outlet {
    io: Stalling<Shared>,
    sent: Counter,
    peer: Option<SocketAddr>,
}

impl Outlet {
    pub(super) fn new(socket: &Arc<TcpStream>, door: &Door) -> Self {
        Self::over(Self::shared(socket, door), door, socket)
    }

    /// One that looks at the socket before each write.
    pub(super) fn careful(socket: &Arc<TcpStream>, door: &Door) -> Self {
        Self::over(Self::shared(socket, door).carefully(), door, socket)
    }

    fn shared(socket: &Arc<TcpStream>, door: &Door) -> Shared {
        let metrics = &door.metrics;
        Shared::new(Arc::clone(socket), metrics.received.clone(), metrics.sent.clone())
    }

    fn over(shared: Shared, door: &Door, socket: &TcpStream) -> Self {
        let io = Stalling::new(shared, door.bounds.write, door.metrics.stalled.clone());
        Self { io, sent: door.counts.sent.clone(), peer: socket.peer_addr().ok() }
    }

    /// Who is at the other end; `None` where he was gone when he came.
    pub(super) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Write some of `bytes`, and take that away from them. Cancel safe.
    pub(super) async fn write(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        let written = self.io.write(bytes).await?;
        self.sent.inc_by(written as u64);
        bytes.advance(written);
        Ok(())
    }

    /// Write all of them.
    pub(super) async fn write_all(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let mut bytes = bytes.into();
        while !bytes.is_empty() {
            self.write(&mut bytes).await?;
        }
        Ok(())
    }

    /// Write a line.
    pub(super) async fn say(&mut self, line: &str) -> io::Result<()> {
        self.write_all(format!("{line}\n")).await
    }
}

/// How long a peer may take for its next command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When it had said all of the last one, or had got all that it asked for.
    since: Instant,
    /// When it began the next one.
    begun: Option<Instant>,
    /// Something plays: then it need not say anything.
    pub(super) is_playing: bool,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), begun: None, is_playing: false }
    }

    /// Bytes of a command have come.
    pub(super) fn heard(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// A command was all there, or what it asked for is done.
    pub(super) fn renew(&mut self) {
        (self.since, self.begun) = (Instant::now(), None);
    }

    /// Until when the next one has to be there, if it has to be.
    pub(super) fn deadline(&self, door: &Door) -> Option<Instant> {
        let idle = (!self.is_playing).then(|| self.since + door.bounds.idle);
        let command = self.begun.map(|begun| begun + door.bounds.command);
        [idle, command].into_iter().flatten().min()
    }
}

/// Wait until then; for ever where there is no such time. Cancel safe.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// The lines that a peer sends.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) inlet: Inlet,
    reader: LineReader,
    pub(super) patience: Patience,
    has_ended: bool,
}

impl Lines {
    pub(super) fn new(inlet: Inlet) -> Self {
        let reader = LineReader::new(DOOR_LINE_BYTES_MAX);
        Self { inlet, reader, patience: Patience::new(), has_ended: false }
    }

    /// The next line, or what is wrong with it. Cancel safe.
    pub(super) async fn next(&mut self, door: &Door) -> Result<Result<String, LineError>, End> {
        loop {
            if let Some(line) = self.reader.next_line() {
                self.patience.renew();
                return Ok(line);
            }
            if self.has_ended {
                return Err(End::Left);
            }
            if !self.reader.is_empty() {
                self.patience.heard();
            }
            let mut buffer = [0; DOOR_READ_BYTES];
            let read = tokio::select! {
                read = self.inlet.read(&mut buffer) => read?,
                () = until(self.patience.deadline(door)) => return Err(End::Idle),
            };
            self.reader.push(buffer.get(..read).unwrap_or_default());
            self.has_ended = read == 0;
        }
    }
}
