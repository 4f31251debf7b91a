//! A paced publisher: one request whose body is the test pattern, each chunk sent when it is due.
//!
//! A thread with a blocking socket, for it sleeps far more exactly than an event loop's timer, which
//! counts in milliseconds. The schedule does not wait for anybody: a chunk that is sent late keeps the
//! time at which it was due.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    chunk::Chunk,
    clock::Moment,
    limits::{HEAD_BYTES_MAX, ROLE_END},
};

/// When which chunk is due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first one is.
    pub start: Moment,
    /// Bytes of each chunk.
    pub chunk_bytes: usize,
    /// Bits per second of the stream.
    pub bits_per_second: u64,
}

impl Schedule {
    /// The chunk of that number.
    #[must_use]
    pub fn chunk(&self, number: u64) -> Chunk {
        let bits = u128::from(number) * self.chunk_bytes as u128 * 8;
        let after = bits * 1_000_000_000 / u128::from(self.bits_per_second.max(1));
        let after = Duration::from_nanos(u64::try_from(after).unwrap_or(u64::MAX));
        let due = self.start.after(after);
        Chunk { number, due, length: self.chunk_bytes }
    }

    /// How many chunks are due from `from` on and before `to`.
    #[must_use]
    pub fn chunks_between(&self, from: Moment, to: Moment) -> u64 {
        self.first_from(to).saturating_sub(self.first_from(from))
    }

    /// The first chunk that is due at `time` or after it.
    fn first_from(&self, time: Moment) -> u64 {
        let nanos = u128::from(time.nanos().saturating_sub(self.start.nanos()));
        let bits = nanos * u128::from(self.bits_per_second.max(1));
        let chunk_bits = self.chunk_bytes.max(1) as u128 * 8 * 1_000_000_000;
        u64::try_from(bits.div_ceil(chunk_bits)).unwrap_or(u64::MAX)
    }
}

/// Publish at `path` by the schedule until `stop`, then end the body; how many chunks that were.
///
/// # Errors
///
/// The connection breaks, or the server does not take the stream.
pub fn publish(
    address: SocketAddr,
    path: &str,
    schedule: Schedule,
    stop: &AtomicBool,
) -> anyhow::Result<u64> {
    let mut body = Body::open(address, path)?;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let chunk = schedule.chunk(number);
        thread::sleep(chunk.due.left());
        body.send(&chunk)?;
        number += 1;
    }
    body.end()?;
    Ok(number)
}

/// The body of one PUT, chunk by chunk.
#[derive(Debug)]
pub struct Body {
    socket: TcpStream,
    frame: Vec<u8>,
}

impl Body {
    /// Send the head of a PUT to `path`.
    ///
    /// # Errors
    ///
    /// No connection.
    pub fn open(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(address).context("cannot reach the server")?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(ROLE_END))?;
        socket.set_read_timeout(Some(ROLE_END))?;
        write!(
            socket,
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )?;
        Ok(Self { socket, frame: Vec::new() })
    }

    /// Send one chunk, in one write.
    ///
    /// # Errors
    ///
    /// The connection broke; what the server said, if it said anything.
    pub fn send(&mut self, chunk: &Chunk) -> anyhow::Result<()> {
        self.frame.clear();
        write!(self.frame, "{:x}\r\n", chunk.length)?;
        chunk.write_to(&mut self.frame);
        self.frame.extend_from_slice(b"\r\n");
        if let Err(error) = self.socket.write_all(&self.frame) {
            let reply = head(&mut self.socket).unwrap_or_default();
            bail!("the server takes no more ({error}): {reply}");
        }
        Ok(())
    }

    /// End the body, and wait until it is acknowledged.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.socket.write_all(b"0\r\n\r\n")?;
        let reply = head(&mut self.socket).context("no reply to the stream")?;
        if !reply.starts_with("HTTP/1.1 2") {
            bail!("the server did not take the stream: {reply}");
        }
        Ok(())
    }
}

/// Post chunks one after another over one connection, each when the one before is acknowledged; how
/// long each acknowledgement took.
///
/// # Errors
///
/// The connection breaks, or the server does not take a chunk.
pub fn post_each(
    address: SocketAddr,
    path: &str,
    chunk_bytes: usize,
    posts: u64,
    mut took: impl FnMut(Duration),
) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address).context("cannot reach the server")?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ROLE_END))?;
    let mut request = Vec::new();
    for number in 0..posts {
        let began = Moment::now();
        let first = number * chunk_bytes as u64;
        request.clear();
        write!(
            request,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin-Id: bench\r\n\
             Content-Range: bytes {first}-{}/*\r\nContent-Length: {chunk_bytes}\r\n\r\n",
            first + chunk_bytes as u64 - 1,
        )?;
        Chunk { number, due: began, length: chunk_bytes }.write_to(&mut request);
        let sent = Moment::now();
        socket.write_all(&request)?;
        let reply = head(&mut socket).context("no reply to a chunk")?;
        took(Moment::now().since(sent));
        if !reply.starts_with("HTTP/1.1 2") {
            bail!("the server did not take a chunk: {reply}");
        }
        let reply = reply.to_ascii_lowercase();
        let held = format!("content-range: bytes 0-{}/*\r\n", first + chunk_bytes as u64 - 1);
        if !reply.contains(&held) {
            bail!("the chunk is not acknowledged: {reply}");
        }
        // The next reply must begin with its own head.
        if !reply.contains("content-length: 0\r\n") && !reply.contains(" 204 ") {
            bail!("the reply to a chunk has a body: {reply}");
        }
    }
    Ok(())
}

/// The head of a reply; nothing of it may follow at once.
fn head(socket: &mut TcpStream) -> anyhow::Result<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4 << 10]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = socket.read(&mut buffer)?;
        if read == 0 || bytes.len() > HEAD_BYTES_MAX {
            bail!("no whole head: {:?}", String::from_utf8_lossy(&bytes));
        }
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_chunk_from_a_time_on_is_the_first(
            chunk_bytes in 32..70_000usize, bits_per_second in 1_000..100_000_000u64,
            after in 1..50_000_000_000_u64,
        ) {
            let start = Moment::from_nanos(1_000);
            let schedule = Schedule { start, chunk_bytes, bits_per_second };
            let time = start.after(Duration::from_nanos(after));
            let first = schedule.first_from(time);
            prop_assert!(schedule.chunk(first).due >= time);
            prop_assert!(schedule.chunk(first - 1).due < time);
        }
    }

    #[test]
    fn a_megabit_in_small_chunks_is_thirty_a_second() {
        let start = Moment::from_nanos(0);
        let schedule = Schedule { start, chunk_bytes: 4_096, bits_per_second: 1_000_000 };
        assert_eq!(schedule.chunk(1).due, Moment::from_nanos(32_768_000));
        assert_eq!(schedule.chunks_between(start, Moment::from_nanos(10_000_000_000)), 306);
    }
}
