//! `bench joins`: many consumers come to one live stream within a second, and each waits for its first
//! bytes.
//!
//! The floor is what somebody waits who comes alone, at the same machine, a moment before: connection,
//! request, and whatever else the machine does. What is reported is the wait beyond it.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio::{
    runtime,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Stage, Viewer, percentile};
use crate::clock::Moment;

/// What 99 of 100 may wait beyond the floor.
const BEYOND_US_MAX: u64 = 100_000;

/// Those who come alone, one after the other.
const ALONE: usize = 100;

/// How long everybody stays after the last one has come.
const STAY: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Consumers that join
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub consumers: u32,
    /// The time within which they do, evenly
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    pub within: u64,
    /// The stream that they come to.
    #[command(flatten)]
    pub stage: Stage,
}

/// Times in microseconds, from before the connection to the first byte of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Half of those who came alone waited no longer.
    pub floor_us: u64,
    /// Those of the crowd that had their first bytes.
    pub joined: usize,
    /// Those that were refused or cut, and why the first one was.
    pub failed: usize,
    /// See `failed`.
    pub why: Option<String>,
    /// Places where bytes were wrong or missing.
    pub wrong: u64,
    /// Half of the crowd waited no longer.
    pub p50_us: u64,
    /// 99 of 100 did not.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Figures {
    /// What 99 of 100 waited no longer, beyond what one waits who comes alone.
    #[must_use]
    pub const fn beyond_us(&self) -> u64 {
        self.p99_us.saturating_sub(self.floor_us)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |micros: u64| micros as f64 / 1e3;
        let Self { floor_us, p50_us, p99_us, max_us, .. } = *self;
        writeln!(
            f,
            "{} joined, {} failed{}, wrong or missing at {} places",
            self.joined,
            self.failed,
            self.why.as_ref().map_or_else(String::new, |why| format!(" ({why})")),
            self.wrong
        )?;
        writeln!(
            f,
            "from before the connection to the first bytes: alone p50 {:.2} ms; in the crowd p50 {:.2}, \
             p99 {:.2}, max {:.2} ms",
            millis(floor_us),
            millis(p50_us),
            millis(p99_us),
            millis(max_us)
        )?;
        let met = self.failed == 0 && self.beyond_us() <= BEYOND_US_MAX;
        writeln!(
            f,
            "p99 beyond the floor: {:.2} ms, goal at most {} ms for all: {}",
            millis(self.beyond_us()),
            BEYOND_US_MAX / 1_000,
            if met { "met" } else { "MISSED" }
        )
    }
}

/// Measure.
///
/// # Errors
///
/// The distributor does not start, or nobody gets the stream.
pub fn run(options: &Options) -> anyhow::Result<Figures> {
    if options.consumers == 0 {
        bail!("nobody to join: consumers begin at 1");
    }
    options.stage.run(|address| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(address, options))
    })
}

async fn measure(address: SocketAddr, options: &Options) -> anyhow::Result<Figures> {
    let mut alone = Vec::new();
    for _ in 0..ALONE {
        alone.push(wait(address).await.context("who comes alone")?.0);
    }
    alone.sort_unstable();
    let within = Duration::from_millis(options.within);
    let begun = Instant::now();
    let mut crowd = JoinSet::new();
    for number in 0..options.consumers {
        let comes = begun + within * number / options.consumers;
        crowd.spawn(async move {
            sleep_until(comes).await;
            let (waited, mut viewer) = wait(address).await?;
            viewer.follow(begun + within + STAY, |_| {}).await?;
            let tally = viewer.tally();
            anyhow::Ok((waited, tally.gaps + tally.wrong))
        });
    }
    let (mut figures, mut waits) = (Figures::default(), Vec::new());
    while let Some(viewer) = crowd.join_next().await {
        match viewer.context("a consumer panicked")? {
            Ok((waited, wrong)) => {
                waits.push(waited);
                figures.wrong += wrong;
            }
            Err(error) => {
                figures.failed += 1;
                figures.why.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    waits.sort_unstable();
    figures.joined = waits.len();
    figures.floor_us = percentile(&alone, 50);
    figures.p50_us = percentile(&waits, 50);
    figures.p99_us = percentile(&waits, 99);
    figures.max_us = percentile(&waits, 100);
    Ok(figures)
}

/// Join; how long it took until there were bytes, in microseconds.
async fn wait(address: SocketAddr) -> anyhow::Result<(u64, Viewer)> {
    let begun = Moment::now();
    let mut viewer = Viewer::join(address).await?;
    viewer.first_bytes().await?;
    Ok((u64::try_from(Moment::now().since(begun).as_micros())?, viewer))
}
