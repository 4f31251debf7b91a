//! A connection to a door: connected, read and written within deadlines.

use std::{io, time::Duration};

use bytes::BytesMut;
use freshet_protocol::{doors::LineReader, limits::DOOR_REPLY_BYTES_MAX};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{DoorError, DoorScheme, DoorUrl};
use crate::limits;

/// Connect to a door, with probes that notice one that vanished.
pub(super) async fn connect(url: &DoorUrl) -> Result<TcpStream, DoorError> {
    connect_to(url, url.port()).await
}

/// Connect to another port of its host.
pub(super) async fn connect_to(url: &DoorUrl, port: u16) -> Result<TcpStream, DoorError> {
    let failed = |source| DoorError::Connect { url: url.to_string(), source };
    let connected = timeout(limits::CONNECT, TcpStream::connect((url.host(), port))).await;
    let socket = connected.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(limits::KEEPALIVE_PROBES);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// What comes next, at most a few KiB of it; nothing at the end. Cancel safe.
pub(super) async fn read(socket: &mut TcpStream) -> io::Result<BytesMut> {
    let mut bytes = BytesMut::with_capacity(limits::DOOR_READ_BYTES);
    socket.read_buf(&mut bytes).await?;
    Ok(bytes)
}

/// Do that within the time that an answer may take.
pub(super) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, DoorError>>,
) -> Result<T, DoorError> {
    timeout(deadline, work).await.map_err(|_| DoorError::NoAnswer)?
}

/// A connection on which lines are spoken.
#[derive(Debug)]
pub(super) struct Talk {
    scheme: DoorScheme,
    socket: TcpStream,
    reader: LineReader,
}

impl Talk {
    pub(super) async fn connect(url: &DoorUrl) -> Result<Self, DoorError> {
        let reader = LineReader::new(DOOR_REPLY_BYTES_MAX);
        Ok(Self { scheme: url.scheme(), socket: connect(url).await?, reader })
    }

    /// Say a line.
    pub(super) async fn say(&mut self, line: &str) -> Result<(), DoorError> {
        Ok(self.socket.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// The next line, whenever it comes; `None` at the connection's end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<String>, DoorError> {
        loop {
            match self.reader.next_line() {
                Some(Ok(line)) => return Ok(Some(line)),
                Some(Err(error)) => return Err(self.surprise(&error.to_string())),
                None => {}
            }
            let bytes = read(&mut self.socket).await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.reader.push(&bytes);
        }
    }

    /// The answer to what was said.
    pub(super) async fn answer(&mut self) -> Result<String, DoorError> {
        within(limits::REPLY_HEAD, self.next()).await?.ok_or(DoorError::NoAnswer)
    }

    /// The error for a line that does not belong there.
    pub(super) fn surprise(&self, what: &str) -> DoorError {
        DoorError::Protocol { scheme: self.scheme, what: what.chars().take(80).collect() }
    }
}
