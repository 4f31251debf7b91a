//! One plain consumer of a load: its socket, and what it makes of the bytes.

use std::{io::Write, net::TcpStream, sync::Arc};

use anyhow::{Context, bail};
use rustls::ClientConfig;

use super::{Receiver, Reply, Report, Window, tls::Tls};
use crate::{
    breakdown::stages::Arrival,
    chunk::{Checker, Chunk, Tally},
    clock::Moment,
    limits::{ROLE_ANSWER, SLOW_ROOM_BYTES},
    target::{Scheme, Target},
};

pub(super) struct Consumer {
    number: usize,
    is_slow: bool,
    /// Where it is traced: by what it is known to whom it asks.
    port: Option<u16>,
    socket: TcpStream,
    /// What is between the socket and the reply, where something is.
    tls: Option<Tls>,
    reply: Reply,
    checker: Checker,
    heard: Moment,
    /// Has it had a chunk that was due behind the measured time?
    has_passed: bool,
}

impl Consumer {
    /// Ask for the stream.
    pub(super) fn open(
        from: &Target,
        number: usize,
        is_slow: bool,
        is_traced: bool,
        config: Option<&Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let mut socket =
            TcpStream::connect(from.address).with_context(|| format!("cannot reach {from}"))?;
        Receiver::prepare(&socket, is_slow.then_some(SLOW_ROOM_BYTES))?;
        let request = request(from);
        let tls = config.map(|config| Tls::open(config, &mut socket, &request)).transpose()?;
        if tls.is_none() {
            socket.write_all(request.as_bytes())?;
        }
        socket.set_nonblocking(true)?;
        let reply = if from.scheme == Scheme::Tcp { Reply::bare() } else { Reply::default() };
        let (checker, heard) = (Checker::default(), Moment::now());
        let port = if is_traced { Some(socket.local_addr()?.port()) } else { None };
        let has_passed = false;
        Ok(Self { number, is_slow, port, socket, tls, reply, checker, heard, has_passed })
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    pub(super) const fn is_slow(&self) -> bool {
        self.is_slow
    }

    pub(super) const fn has_head(&self) -> bool {
        self.reply.has_head()
    }

    pub(super) const fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// When something came last.
    pub(super) const fn heard(&self) -> Moment {
        self.heard
    }

    pub(super) const fn tally(&self) -> Tally {
        self.checker.tally()
    }

    /// The chunk that it wants next, once it has one.
    pub(super) const fn next(&self) -> Option<u64> {
        self.checker.next()
    }

    /// Take what has arrived, so many bytes at most; how many it were, nothing once the stream is over.
    pub(super) fn read(
        &mut self,
        receiver: &mut Receiver,
        most: usize,
        window: &Window,
        report: &mut Report,
    ) -> anyhow::Result<Option<usize>> {
        let Some((bytes, arrived)) = receiver.receive(&self.socket, most)? else {
            return Ok(Some(0));
        };
        self.heard = arrived;
        if bytes.is_empty() {
            if !self.reply.may_close() {
                bail!("the connection ended before the stream");
            }
            return self.over();
        }
        let (reply, checker, port) = (&mut self.reply, &mut self.checker, self.port);
        let has_passed = &mut self.has_passed;
        let mut take = |plain: &[u8]| {
            reply.take(plain, |body| {
                checker.take(body, |chunk| {
                    *has_passed |= window.is_behind(chunk.due);
                    if window.has(chunk.due) {
                        count(report, chunk, arrived, window, port);
                    }
                });
            })
        };
        match &mut self.tls {
            Some(tls) => tls.take(bytes, take)?,
            None => take(bytes)?,
        }
        if self.reply.has_ended() { self.over() } else { Ok(Some(bytes.len())) }
    }

    fn over(&self) -> anyhow::Result<Option<usize>> {
        if !self.checker.is_between() {
            bail!("the stream ended inside a chunk");
        }
        Ok(None)
    }
}

/// A chunk that counts has arrived.
fn count(report: &mut Report, chunk: &Chunk, arrived: Moment, window: &Window, port: Option<u16>) {
    let at = chunk.due.since(window.from());
    report.chunk(chunk.length, at, arrived.since(chunk.due));
    report.arrivals.extend(port.map(|port| Arrival {
        number: chunk.number,
        due: chunk.due.nanos(),
        received: Some(arrived.nanos()),
        played: Moment::now().nanos(),
        port,
    }));
}

fn request(from: &Target) -> String {
    let Target { address, path, .. } = from;
    if from.scheme == Scheme::Tcp {
        return format!("GET {path}\n");
    }
    // The stream may begin after us. Who does not know of that ignores it.
    let wait = ROLE_ANSWER.as_secs();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{}Prefer: wait={wait}\r\nTE: chunked\r\n\r\n",
        from.authorization(),
    )
}
