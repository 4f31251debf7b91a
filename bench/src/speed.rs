//! `bench speed`: what the distributor costs beside a bare fan-out of the same bytes.
//!
//! ```text
//!   publisher ──PUT, paced──▶ server ──GET──▶ load: N consumers     each in a process of its own
//!                               └── CPU, memory
//! ```
//!
//! Pairs are interleaved, distributor and fan-out in turn, and the ratio is taken pair by pair: the
//! machine's mood changes from minute to minute and is the same for both halves of a pair. No figure
//! stands for itself.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    clock::Moment,
    limits::{ROLE_ANSWER, SETTLE, TAIL},
    load::{Latency, Report, histogram, latency},
    publish::{Schedule, post_each, publish},
    role::Role,
};

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Consumers of the one stream
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub consumers: usize,
    /// How long each half of a pair is measured
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub seconds: u64,
    /// Pairs of distributor and bare fan-out
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub pairs: usize,
    /// The stream's rate
    #[arg(long, default_value_t = 1_000_000, value_name = "BITS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// The stream's chunks
    #[arg(long, default_value_t = 4_096, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(32..=1_048_576))]
    pub chunk: u64,
    /// Chunks posted one by one, for the time until each is acknowledged
    #[arg(long, default_value_t = 2_000, value_name = "COUNT")]
    pub posts: u64,
    /// Threads of the load
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub threads: usize,
    /// Where the distributor has its disk copy, in a folder that is removed afterwards
    /// [default: the system's folder for what is temporary]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// One server under load.
#[derive(Clone, Debug, Serialize)]
pub struct Half {
    /// CPU seconds of the server for each 10^9 bytes that consumers received.
    pub cpu_seconds_per_gb: f64,
    /// CPU seconds of the server for each second.
    pub cores: f64,
    /// Most memory that was ever resident.
    pub rss_peak_bytes: u64,
    /// Chunks that were due, for all consumers together.
    pub chunks_due: u64,
    /// What the consumers saw.
    pub seen: Report,
}

impl Half {
    /// Consumers that did not get every chunk to the end, at least.
    #[must_use]
    pub fn dropped(&self, consumers: usize) -> u64 {
        let never = (consumers as u64).saturating_sub(self.seen.consumers);
        self.seen.cut.max(never)
    }

    /// Chunks that were due and did not come.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.chunks_due.saturating_sub(self.seen.chunks)
    }
}

/// Both servers, one after the other.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The distributor.
    pub distributor: Half,
    /// The bare fan-out.
    pub fanout: Half,
    /// CPU for the same bytes, the distributor's by the fan-out's.
    pub cpu_ratio: f64,
    /// Were chunks typically older than the time between two of them? Then the machine had no time for
    /// one of the servers, which sent many chunks at once: its CPU says nothing.
    pub is_disturbed: bool,
}

impl Pair {
    fn of(distributor: Half, fanout: Half, options: &Options) -> Self {
        let between = Duration::from_secs_f64(options.chunk as f64 * 8.0 / options.rate as f64);
        let old = |half: &Half| u128::from(half.seen.latency.p50_us) > between.as_micros();
        Self {
            cpu_ratio: distributor.cpu_seconds_per_gb / fanout.cpu_seconds_per_gb,
            is_disturbed: old(&distributor) || old(&fanout),
            distributor,
            fanout,
        }
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Pair by pair.
    pub pairs: Vec<Pair>,
    /// From a chunk's POST to its acknowledgement, with no consumer.
    pub acknowledged: Latency,
}

impl Figures {
    /// The ratios' median over the pairs that were not disturbed; `None` where all were.
    #[must_use]
    pub fn cpu_ratio(&self) -> Option<f64> {
        let sound = self.pairs.iter().filter(|pair| !pair.is_disturbed);
        let ratios: Vec<_> = sound.map(|pair| pair.cpu_ratio).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// How many pairs were disturbed.
    #[must_use]
    pub fn disturbed(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.is_disturbed).count()
    }
}

/// The middle one of `values`, or the mean of the two that are nearest to it.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (half, odd) = (values.len() / 2, values.len() % 2);
    let middle: Vec<_> = values.iter().skip(half + odd - 1).take(2 - odd).collect();
    middle.iter().copied().sum::<f64>() / middle.len() as f64
}

/// Measure; `tell` is told each pair as it is done.
///
/// # Errors
///
/// Something does not start, or ends too early.
pub fn run(
    options: &Options,
    mut tell: impl FnMut(&Pair) -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    if options.pairs == 0 || options.consumers == 0 || options.seconds == 0 || options.posts == 0 {
        bail!("nothing to measure: pairs, consumers, seconds and posts begin at 1");
    }
    let mut pairs = Vec::new();
    for _ in 0..options.pairs {
        let (role, _data) = distributor(options)?;
        let distributor = half(role, options).context("distributor")?;
        let fanout = half(Role::start(&["fanout"])?, options).context("bare fan-out")?;
        let pair = Pair::of(distributor, fanout, options);
        tell(&pair)?;
        pairs.push(pair);
    }
    let acknowledged = acknowledged(options).context("posts")?;
    Ok(Figures { pairs, acknowledged })
}

/// A distributor as it is by default, with a disk copy.
fn distributor(options: &Options) -> anyhow::Result<(Role, TempDir)> {
    let data = match &options.data {
        Some(parent) => TempDir::new_in(parent),
        None => TempDir::new(),
    };
    let data = data.context("no folder for the disk copy")?;
    let path = data.path().to_str().context("the folder's name is no text")?;
    Ok((Role::start(&["distributor", "--data", path])?, data))
}

fn half(mut server: Role, options: &Options) -> anyhow::Result<Half> {
    let address = server.address()?;
    let path = "/live/bench";
    let (consumers, threads) = (options.consumers.to_string(), options.threads.to_string());
    let load = Role::start(&["load", &address.to_string(), path, &consumers, &threads])?;
    let schedule = Schedule {
        start: Moment::now(),
        chunk_bytes: usize::try_from(options.chunk)?,
        bits_per_second: options.rate,
    };
    let stop = AtomicBool::new(false);
    let half = thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(address, path, schedule, &stop));
        let measured = measure(&mut server, load, schedule, options, &stop);
        stop.store(true, Ordering::Relaxed);
        match publisher.join() {
            Ok(published) => published.context("publisher").and(measured),
            Err(_) => bail!("the publisher panicked"),
        }
    })?;
    server.stop()?;
    Ok(half)
}

fn measure(
    server: &mut Role,
    mut load: Role,
    schedule: Schedule,
    options: &Options,
    stop: &AtomicBool,
) -> anyhow::Result<Half> {
    let joined = load.line(ROLE_ANSWER)?;
    if joined != "joined" {
        bail!("the consumers did not join: {joined}");
    }
    let now = Moment::now();
    let from = now.after(SETTLE);
    let to = from.after(Duration::from_secs(options.seconds));
    load.tell(&format!("{} {}", from.nanos(), to.nanos()))?;
    sleep_until(from);
    let before = server.usage()?;
    sleep_until(to);
    let usage = server.usage()?;
    sleep_until(to.after(TAIL));
    stop.store(true, Ordering::Relaxed);
    let seen: Report = serde_json::from_str(&load.line(ROLE_ANSWER)?)?;
    load.stop()?;
    let cpu = (usage.cpu - before.cpu).as_secs_f64();
    Ok(Half {
        cpu_seconds_per_gb: cpu / (seen.bytes as f64 / 1e9),
        cores: cpu / to.since(from).as_secs_f64(),
        rss_peak_bytes: server.usage()?.rss_peak_bytes,
        chunks_due: schedule.chunks_between(from, to) * options.consumers as u64,
        seen,
    })
}

fn sleep_until(time: Moment) {
    thread::sleep(time.left());
}

/// From a POST to its acknowledgement, at the default durability `os`, over one connection.
fn acknowledged(options: &Options) -> anyhow::Result<Latency> {
    let (server, _data) = distributor(options)?;
    let address = server.address()?;
    let mut took = histogram()?;
    let chunk_bytes = usize::try_from(options.chunk)?;
    post_each(address, "/live/posts", chunk_bytes, options.posts, |time| {
        took.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    })?;
    server.stop()?;
    Ok(latency(&took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(vec![7.0]) - 7.0).abs() < f64::EPSILON);
    }

    fn pair(cpu: f64, p50_us: u64) -> Pair {
        let half = |cpu_seconds_per_gb, p50_us| Half {
            cpu_seconds_per_gb,
            cores: 0.1,
            rss_peak_bytes: 1,
            chunks_due: 1,
            seen: Report { latency: Latency { p50_us, ..Latency::default() }, ..Report::default() },
        };
        Pair::of(half(cpu, p50_us), half(1.0, 100), &options())
    }

    fn options() -> Options {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            options: Options,
        }
        <Words as clap::Parser>::parse_from(["speed"]).options
    }

    #[test]
    fn a_pair_that_the_machine_had_no_time_for_does_not_count() {
        // Between two chunks of 4 KiB at 1 Mbit/s are 32.768 ms.
        let pairs = vec![pair(1.2, 32_768), pair(0.5, 32_769), pair(1.4, 5_000)];
        let mut figures = Figures { pairs, acknowledged: Latency::default() };
        assert_eq!(figures.disturbed(), 1);
        assert!((figures.cpu_ratio().unwrap() - 1.3).abs() < 1e-9);
        figures.pairs.retain(|pair| pair.is_disturbed);
        assert_eq!(figures.cpu_ratio(), None);
    }
}
