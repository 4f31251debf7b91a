//! Crowds before one live stream: those that come all at once, and those that stop reading.
//!
//! ```text
//!   Stage: publisher ──PUT, paced──▶ distributor (role) ──GET──▶ Viewer: Reply ─▶ Checker
//! ```
//!
//! The stream is a WAV whose samples are the test pattern: it has a header and join points, so that who
//! comes in the middle is given bytes at once, and a checker passes over the header as over any noise.

pub mod joins;
pub mod stalled;
mod viewer;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, bail};
use clap::Args;
use tempfile::TempDir;

use self::viewer::Viewer;
use crate::{
    clock::Moment,
    limits::{HEAD_BYTES_MAX, ROLE_END},
    publish::Schedule,
    role::Role,
};

/// Where the stream is.
const PATH: &str = "/live/crowd.wav";

/// Bytes of a chunk: as far as the join points of a WAV are apart, so that each is one chunk's beginning.
const CHUNK_BYTES: usize = 4 << 10;

/// `RIFF`, `fmt ` (PCM, 2 channels of 16 bits, 44.1 kHz) and the beginning of `data`, without lengths.
const WAV_HEADER: &[u8; 44] = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\
    \x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data\xff\xff\xff\xff";

/// The stream that a crowd comes to, and what becomes of the figures.
#[derive(Clone, Debug, Args)]
pub struct Stage {
    /// The stream's rate
    #[arg(long, default_value_t = 1_000_000, value_name = "BITS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Where the distributor has its disk copy, in a folder that is removed afterwards
    /// [default: the system's folder for what is temporary]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Stage {
    /// A distributor with its defaults and a disk copy, and a live stream on it for as long as `audience`
    /// runs.
    fn run<T>(&self, audience: impl FnOnce(SocketAddr) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let folder = self.data.as_deref().map_or_else(TempDir::new, TempDir::new_in);
        let folder = folder.context("no folder for the disk copy")?;
        let path = folder.path().to_str().context("the folder's name is no text")?;
        let server = Role::start(&["distributor", "--data", path])?;
        let address = server.address()?;
        let (start, bits_per_second) = (Moment::now(), self.rate);
        let schedule = Schedule { start, chunk_bytes: CHUNK_BYTES, bits_per_second };
        let stop = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let publisher = scope.spawn(|| publish(address, schedule, &stop));
            let seen = audience(address);
            stop.store(true, Ordering::Relaxed);
            match publisher.join() {
                Ok(published) => published.context("publisher").and(seen),
                Err(_) => bail!("the publisher panicked"),
            }
        })?;
        server.stop()?;
        Ok(seen)
    }
}

/// The stream, by the schedule, until `stop`.
fn publish(address: SocketAddr, schedule: Schedule, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address).context("cannot reach the distributor")?;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(ROLE_END))?;
    socket.set_read_timeout(Some(ROLE_END))?;
    write!(socket, "PUT {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: audio/wav\r\n")?;
    write!(socket, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
    let (mut body, mut frame) = (WAV_HEADER.to_vec(), Vec::new());
    for number in 0.. {
        frame.clear();
        write!(frame, "{:x}\r\n", body.len())?;
        frame.append(&mut body);
        frame.extend_from_slice(b"\r\n");
        socket.write_all(&frame)?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let chunk = schedule.chunk(number);
        thread::sleep(chunk.due.left());
        chunk.write_to(&mut body);
    }
    socket.write_all(b"0\r\n\r\n")?;
    let mut reply = String::new();
    socket.take(HEAD_BYTES_MAX as u64).read_to_string(&mut reply)?;
    if !reply.starts_with("HTTP/1.1 2") {
        bail!("the distributor did not take the stream: {reply}");
    }
    Ok(())
}

/// The value that so many of a hundred do not exceed; zero where there is none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_what_so_many_do_not_exceed() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([1, 50, 99, 100].map(|percent| percentile(&hundred, percent)), [1, 50, 99, 100]);
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[1, 2, 3], 50), 2);
        assert_eq!(percentile(&[], 99), 0);
    }
}
