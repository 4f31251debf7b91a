//! One of a crowd: joins the stream as a player does, and checks what it is given.

use std::{io::ErrorKind, net::SocketAddr};

use anyhow::{Context, bail};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::PATH;
use crate::{
    chunk::{Checker, Chunk, Tally},
    limits::{READ_BYTES, ROLE_ANSWER, SILENCE},
    load::Reply,
};

/// A connection that follows the stream.
pub(super) struct Viewer {
    socket: TcpStream,
    reply: Reply,
    checker: Checker,
}

impl Viewer {
    /// Connect, and ask for the stream, or for the stream that is going to be.
    pub(super) async fn join(address: SocketAddr) -> anyhow::Result<Self> {
        let mut socket = timeout(ROLE_ANSWER, TcpStream::connect(address)).await??;
        let wait = ROLE_ANSWER.as_secs();
        let ask = format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\nPrefer: wait={wait}\r\n\r\n");
        socket.write_all(ask.as_bytes()).await?;
        Ok(Self { socket, reply: Reply::default(), checker: Checker::default() })
    }

    /// Wait for bytes of the body.
    pub(super) async fn first_bytes(&mut self) -> anyhow::Result<()> {
        while self.read(|_| {}).await? == 0 {}
        Ok(())
    }

    /// Go on until then; `whole` is told each chunk.
    pub(super) async fn follow(
        &mut self,
        until: Instant,
        mut whole: impl FnMut(&Chunk),
    ) -> anyhow::Result<()> {
        while let Ok(read) = timeout_at(until, self.read(&mut whole)).await {
            read?;
        }
        Ok(())
    }

    /// What was right and what was not.
    pub(super) const fn tally(&self) -> Tally {
        self.checker.tally()
    }

    /// The next bytes, and how many of them were the body's. Cancel safe.
    async fn read(&mut self, mut whole: impl FnMut(&Chunk)) -> anyhow::Result<usize> {
        timeout(SILENCE, self.socket.readable()).await.context("silence")??;
        let mut buffer = [0; READ_BYTES];
        let bytes = match self.socket.try_read(&mut buffer) {
            Ok(0) => bail!("cut"),
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut of_body = 0;
        self.reply.take(bytes, |body| {
            of_body += body.len();
            self.checker.take(body, &mut whole);
        })?;
        Ok(of_body)
    }
}
