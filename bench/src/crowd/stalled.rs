//! `bench stalled`: does a consumer that stops reading delay the others?
//!
//! The others' latency is taken twice in turn, alone and beside those that have stopped, and compared
//! pair by pair: what else the machine does is the same for both halves of a pair.

use std::{
    fmt,
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::{runtime, task::JoinSet, time::Instant};

use super::{PATH, Stage, Viewer, percentile};
use crate::{chunk::Chunk, clock::Moment, stats::Spread};

/// What the others' p99 may be beside those that have stopped, by what it is without.
const RATIO_MAX: f64 = 1.1;

/// How long the stream goes on before anything counts: what those that have stopped have room for is
/// full by then.
const SETTLE: Duration = Duration::from_secs(3);

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Consumers that read, and whose latency is taken
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub consumers: usize,
    /// Consumers that have stopped reading, every other one of them a native one
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub stalled: usize,
    /// How long each half of a pair is measured
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub seconds: u64,
    /// Pairs of with and without
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub pairs: usize,
    /// The stream that they come to.
    #[command(flatten)]
    pub stage: Stage,
}

/// What those that read saw, from when chunks were due to their last byte, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Half {
    /// Chunks of all of them together.
    pub chunks: usize,
    /// Places where bytes were wrong or missing.
    pub wrong: u64,
    /// Half were faster.
    pub p50_us: u64,
    /// One in a hundred was slower.
    pub p99_us: u64,
}

/// Both halves, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Nobody has stopped.
    pub alone: Half,
    /// Beside those that have.
    pub beside: Half,
}

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Pair by pair.
    pub pairs: Vec<Pair>,
}

impl Figures {
    /// The p99 beside those that have stopped, by the p99 without them: the median over all pairs.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let of = |pair: &Pair| pair.beside.p99_us as f64 / pair.alone.p99_us.max(1) as f64;
        Spread::of(self.pairs.iter().map(of)).map_or(f64::NAN, |ratio| ratio.median)
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |micros: u64| micros as f64 / 1e3;
        let Self { chunks, wrong, p50_us, p99_us } = *self;
        let (p50, p99) = (millis(p50_us), millis(p99_us));
        write!(f, "{chunks} chunks, {wrong} wrong, p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alone, beside } = self;
        writeln!(f, "nobody stopped: {alone}\nbeside stopped: {beside}\n")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ratio, pairs) = (self.ratio(), self.pairs.len());
        let met = if ratio <= RATIO_MAX { "met" } else { "MISSED" };
        writeln!(
            f,
            "p99 beside those that stopped by p99 without, median of {pairs} pairs: {ratio:.2}, \
             goal at most {RATIO_MAX}: {met}"
        )
    }
}

/// Measure; `tell` is told each pair as it is done.
///
/// # Errors
///
/// The distributor does not start, or somebody who reads is cut.
pub fn run(
    options: &Options,
    mut tell: impl FnMut(&Pair) -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    if options.pairs == 0 || options.consumers == 0 || options.seconds == 0 {
        bail!("nothing to measure: pairs, consumers and seconds begin at 1");
    }
    let mut figures = Figures::default();
    for number in 0..options.pairs {
        // In turn the one and the other comes first.
        let half = |stalled| half(options, stalled);
        let pair = if number.is_multiple_of(2) {
            let alone = half(0)?;
            Pair { alone, beside: half(options.stalled)? }
        } else {
            let beside = half(options.stalled)?;
            Pair { alone: half(0)?, beside }
        };
        tell(&pair)?;
        figures.pairs.push(pair);
    }
    Ok(figures)
}

fn half(options: &Options, stalled: usize) -> anyhow::Result<Half> {
    options.stage.run(|address| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // Once somebody has bytes there is a stream to join.
            Viewer::join(address).await?.first_bytes().await?;
            let stopped: Vec<_> =
                (0..stalled).map(|number| stop(address, number)).collect::<Result<_, _>>()?;
            let seen = read(address, options).await;
            drop(stopped);
            seen
        })
    })
}

/// Asks, and never reads a byte.
fn stop(address: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let native = "Content-Range: bytes */*\r\nAccept: multipart/byteranges\r\n";
    let fields = if number.is_multiple_of(2) { native } else { "" };
    let mut socket = TcpStream::connect(address).context("one that stops cannot connect")?;
    write!(socket, "GET {PATH} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n")?;
    Ok(socket)
}

async fn read(address: SocketAddr, options: &Options) -> anyhow::Result<Half> {
    let from = Moment::now().after(SETTLE);
    let measured = Duration::from_secs(options.seconds);
    let to = from.after(measured);
    let until = Instant::now() + SETTLE + measured + SETTLE;
    let mut reading = JoinSet::new();
    for _ in 0..options.consumers {
        reading.spawn(async move {
            let (mut viewer, mut ages) = (Viewer::join(address).await?, Vec::new());
            let age = |chunk: &Chunk| {
                if (from..to).contains(&chunk.due) {
                    ages.push(Moment::now().since(chunk.due).as_micros());
                }
            };
            viewer.follow(until, age).await?;
            anyhow::Ok((ages, viewer.tally()))
        });
    }
    let (mut half, mut all) = (Half::default(), Vec::new());
    while let Some(viewer) = reading.join_next().await {
        let (ages, tally) = viewer.context("a consumer panicked")??;
        half.wrong += tally.gaps + tally.wrong;
        all.extend(ages.into_iter().map(|age| u64::try_from(age).unwrap_or(u64::MAX)));
    }
    all.sort_unstable();
    half.chunks = all.len();
    half.p50_us = percentile(&all, 50);
    half.p99_us = percentile(&all, 99);
    Ok(half)
}
