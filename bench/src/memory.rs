//! `bench memory`: does the distributor's memory grow with the length of a stream?
//!
//! ```text
//!   publisher ──PUT, as fast as it goes──▶ distributor (small ring, retention) ──GET──▶ one consumer
//!        ▲                                      └── RSS, sampled                           │
//!        └───────────── waits while more than half of what is retained is ahead ◀──────────┘
//! ```
//!
//! The publisher waits for the consumer, or retention would let go what was not read yet, and not every
//! byte could be verified.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    chunk::{Checker, Chunk, Tally},
    clock::Moment,
    limits::{READ_BYTES, ROLE_ANSWER, SILENCE},
    load::Reply,
    publish::Body,
    role::Role,
    target::{Scheme, Target},
};

/// Looks at the memory, spread evenly over the stream.
const SAMPLES: u64 = 400;

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Length of the stream
    #[arg(long, default_value_t = 10.0, value_name = "GIB")]
    pub gib: f64,
    /// The distributor's ring
    #[arg(long, default_value_t = 32, value_name = "MIB")]
    pub ring: u64,
    /// What it retains on disk
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub retain: u64,
    /// Where the distributor has its disk copy, in a folder that is removed afterwards
    /// [default: the system's folder for what is temporary]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// One look.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Bytes of the stream so far.
    pub bytes: u64,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// What the memory did.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Length of the stream.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// All looks.
    pub samples: Vec<Sample>,
    /// The most in the second quarter: the ring is full, and nothing is new.
    pub rss_early_bytes: u64,
    /// The most in the last quarter.
    pub rss_late_bytes: u64,
}

impl Figures {
    fn of(bytes: u64, seconds: f64, samples: Vec<Sample>) -> Self {
        let most = |quarter: u64| {
            let within =
                |sample: &&Sample| sample.bytes.saturating_sub(1) * 4 / bytes.max(1) == quarter;
            samples.iter().filter(within).map(|sample| sample.rss_bytes).max().unwrap_or(0)
        };
        let (rss_early_bytes, rss_late_bytes) = (most(1), most(3));
        Self { bytes, seconds, samples, rss_early_bytes, rss_late_bytes }
    }

    /// Is there no growth, beyond the few pages by which any process varies?
    #[must_use]
    pub const fn is_flat(&self) -> bool {
        self.rss_late_bytes <= self.rss_early_bytes + self.rss_early_bytes / 10
    }
}

/// Measure.
///
/// # Errors
///
/// Something does not start, breaks off, or brings wrong bytes.
pub fn run(options: &Options) -> anyhow::Result<Figures> {
    let bytes = (options.gib * f64::from(1 << 30)) as u64;
    if bytes == 0 {
        bail!("nothing to measure: --gib is more than 0");
    }
    let data = match &options.data {
        Some(parent) => TempDir::new_in(parent),
        None => TempDir::new(),
    };
    let data = data.context("no folder for the disk copy")?;
    let path = data.path().to_str().context("the folder's name is no text")?;
    let (ring, retain) = (format!("{}MiB", options.ring), format!("{}MiB", options.retain));
    let server = Role::start(&[
        "distributor",
        "--data",
        path,
        "--ring-bytes",
        &ring,
        "--retain-bytes",
        &retain,
    ])?;
    let (address, ahead) = (server.address()?, options.retain << 19);
    let taken = Taken::default();
    let began = Moment::now();
    let samples = thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(address, "/live/long", &taken));
        let published = publish(&server, address, bytes, ahead, &taken);
        let consumed = consumer.join().unwrap_or_else(|_| bail!("the consumer panicked"));
        let samples = published?;
        let tally = consumed.context("consumer")?;
        check(tally, bytes)?;
        anyhow::Ok(samples)
    })?;
    let seconds = Moment::now().since(began).as_secs_f64();
    server.stop()?;
    Ok(Figures::of(bytes, seconds, samples))
}

fn check(tally: Tally, bytes: u64) -> anyhow::Result<()> {
    if tally.wrong > 0 || tally.gaps > 0 || tally.bytes < bytes {
        bail!("the consumer did not get every byte: {tally:?} of {bytes}");
    }
    Ok(())
}

/// How far the consumer is.
#[derive(Debug, Default)]
struct Taken(Mutex<u64>, Condvar);

impl Taken {
    fn set(&self, bytes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        self.1.notify_one();
    }

    fn wait_for(&self, bytes: u64) -> anyhow::Result<()> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.1.wait_timeout_while(taken, SILENCE, |taken| *taken < bytes);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            bail!("the consumer takes nothing any more");
        }
        Ok(())
    }
}

/// Publish `bytes`, at most `ahead` ahead of the consumer, and look at the memory meanwhile.
fn publish(
    server: &Role,
    address: SocketAddr,
    bytes: u64,
    ahead: u64,
    taken: &Taken,
) -> anyhow::Result<Vec<Sample>> {
    let mut body = Body::open(&Target::new(Scheme::Http, address, "/live/long"))?;
    let (mut samples, mut sent, mut number) = (Vec::new(), 0_u64, 0);
    while sent < bytes {
        taken.wait_for(sent.saturating_sub(ahead))?;
        let chunk = Chunk { number, due: Moment::now(), length: READ_BYTES };
        body.send(&chunk)?;
        (number, sent) = (number + 1, sent + chunk.length as u64);
        if sent * SAMPLES / bytes > samples.len() as u64 {
            samples.push(Sample { bytes: sent, rss_bytes: server.usage()?.rss_bytes });
        }
    }
    body.end()?;
    Ok(samples)
}

/// Follow the stream from its first byte to its end.
fn consume(address: SocketAddr, path: &str, taken: &Taken) -> anyhow::Result<Tally> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let wait = ROLE_ANSWER.as_secs();
    write!(
        socket,
        "GET {path}?from=start HTTP/1.1\r\nHost: {address}\r\nPrefer: wait={wait}\r\n\r\n"
    )?;
    let (mut reply, mut checker) = (Reply::default(), Checker::default());
    let mut buffer = vec![0; READ_BYTES];
    while !reply.has_ended() {
        let read = socket.read(&mut buffer).context("silence")?;
        if read == 0 {
            bail!("the connection ended before the stream, after {:?}", checker.tally());
        }
        reply.take(buffer.get(..read).unwrap_or_default(), |body| checker.take(body, |_| ()))?;
        taken.set(checker.tally().bytes);
    }
    Ok(checker.tally())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rss: impl Fn(u64) -> u64) -> Figures {
        let samples = (1..=400).map(|bytes| Sample { bytes, rss_bytes: rss(bytes) }).collect();
        Figures::of(400, 1.0, samples)
    }

    #[test]
    fn memory_that_fills_and_stays_is_flat() {
        assert!(figures(|bytes| 1_000 + bytes.min(90) * 100 + bytes % 7).is_flat());
    }

    #[test]
    fn memory_that_grows_is_noticed() {
        let growing = figures(|bytes| 1_000 + bytes);
        assert_eq!((growing.rss_early_bytes, growing.rss_late_bytes), (1_200, 1_400));
        assert!(!growing.is_flat());
    }
}
