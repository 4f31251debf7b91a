//! `bench model`: how many distributors in how many tiers serve so many viewers of a stream, at what
//! latency, and what leaves the building.
//!
//! ```text
//!   origin ──▶ 1 distributor ──▶ tier of distributors ──▶ ... ──▶ tier with the viewers
//! ```
//!
//! Three things bound what one distributor feeds: its processors, its network, and its connections. What a
//! byte costs and what a hop adds comes from figures that were measured; the rest is arithmetic.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::{
    document::Document,
    measure::Measured,
    plan::{Common, Entry},
    relay::Relay,
    stats::Spread,
};

/// What is modelled.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The stream's rate
    #[arg(long, default_value_t = 4_000_000, value_name = "BITS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Viewers; repeatable [default: 1 thousand, ten times as many, and so on, to 100 million]
    #[arg(long, value_name = "COUNT")]
    pub viewers: Vec<u64>,
    /// Processors of each distributor
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub cores: u64,
    /// Network of each distributor
    #[arg(long, default_value_t = 10_000_000_000, value_name = "BITS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    pub network: u64,
    /// Connections of each distributor, as its `--connections`
    #[arg(long, default_value_t = 10_000, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub connections: u64,
    /// How much of processors and network is used; the rest is for bad moments
    #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
    pub used: f64,
    /// Figures of `bench versus --all`, or of several commands, one by one; without any the few that are
    /// needed are measured now
    #[arg(long, value_name = "FILE")]
    pub figures: Vec<PathBuf>,
    /// Write the model to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measurements {
    /// CPU seconds for each 10^9 bytes that consumers receive.
    pub cpu_seconds_per_gb: f64,
    /// From when a chunk is due to when a consumer of a single distributor has it: half of them, in ms.
    pub first_hop_ms: f64,
    /// What each further hop adds, in ms.
    pub next_hop_ms: f64,
    /// What half of 1,000 consumers of one distributor wait longer than a single one, in ms: it serves
    /// one after the other.
    pub thousand_ms: f64,
}

/// How so many viewers are served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Served {
    /// How many.
    pub viewers: u64,
    /// How many one distributor feeds at most, viewers or distributors.
    pub each: u64,
    /// What bounds that.
    pub bound: &'static str,
    /// Distributors of each tier, from the one that the origin posts to.
    pub tiers: Vec<u64>,
    /// Half of the viewers have a byte so long after it was due, at least; distances come on top.
    pub latency_ms: f64,
    /// What all viewers receive together, in 10^9 bits a second.
    pub egress_gbit_per_second: f64,
    /// What distributors receive from one another, likewise.
    pub between_gbit_per_second: f64,
}

/// The scenarios that it is measured by: one distributor with a hundred consumers, and one and four hops.
///
/// # Errors
///
/// None in truth: they are built in.
pub fn entries() -> anyhow::Result<Vec<Entry>> {
    let common = Common::default();
    let entry = |name: &str, scenario| {
        let (name, relays) = (name.to_owned(), vec![Relay::Distributor]);
        Entry { name, scenario, relays, rounds: 3 }
    };
    let cascade = common.scenario("cascade")?;
    Ok(vec![
        entry("thousand", common.scenario("thousand")?),
        entry("cascade hops=1", cascade.with("hops", "1")?),
        entry("cascade hops=4", cascade.with("hops", "4")?),
    ])
}

impl Measurements {
    /// Read off figures.
    ///
    /// # Errors
    ///
    /// They do not have what is needed.
    pub fn of(document: &Document) -> anyhow::Result<Self> {
        let of = |scenario: &str, figure| {
            let spread: Option<Spread> = document.spread(scenario, "freshet", figure);
            spread.map(|spread| spread.median).with_context(|| {
                format!("the figures have no {scenario:?} through freshet: see bench versus --all")
            })
        };
        let p50 = |measured: &Measured| measured.seen.ages.at(0.5) as f64 / 1e3;
        let (one, four) = (of("cascade hops=1", p50)?, of("cascade hops=4", p50)?);
        Ok(Self {
            cpu_seconds_per_gb: of("thousand", Measured::cpu_seconds_per_gb)?,
            first_hop_ms: one,
            next_hop_ms: ((four - one) / 3.0).max(0.0),
            thousand_ms: (of("thousand", p50)? - one).max(0.0),
        })
    }
}

/// How all of them are served.
///
/// # Errors
///
/// One distributor could not feed even two.
pub fn model(options: &Options, measured: Measurements) -> anyhow::Result<Vec<Served>> {
    if !(options.used > 0.0 && options.used <= 1.0) {
        bail!("--used {}: a share is more than 0 and at most 1", options.used);
    }
    let (each, bound) = feeds(options, measured);
    if each < 2 {
        bail!(
            "one distributor cannot feed two of {} bit/s: its {bound} is the bound",
            options.rate
        );
    }
    let decades = (3..=8).map(|power| 10_u64.pow(power));
    let viewers =
        if options.viewers.is_empty() { decades.collect() } else { options.viewers.clone() };
    Ok(viewers.into_iter().map(|viewers| serve(viewers, each, bound, options, measured)).collect())
}

/// How many one distributor feeds, and what bounds that.
fn feeds(options: &Options, measured: Measurements) -> (u64, &'static str) {
    let rate = options.rate as f64;
    let cpu_of_one = measured.cpu_seconds_per_gb * rate / 8.0 / 1e9;
    let by_cpu = options.cores as f64 * options.used / cpu_of_one;
    let by_network = options.network as f64 * options.used / rate;
    let by_connections = options.connections as f64;
    let bounds = [(by_cpu, "processors"), (by_network, "network"), (by_connections, "connections")];
    let least = bounds.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let (each, bound) = least.unwrap_or((0.0, "processors"));
    (each as u64, bound)
}

fn serve(
    viewers: u64,
    each: u64,
    bound: &'static str,
    options: &Options,
    measured: Measurements,
) -> Served {
    let mut tiers = vec![viewers.div_ceil(each).max(1)];
    while let Some(last) = tiers.last().copied().filter(|last| *last > 1) {
        tiers.push(last.div_ceil(each));
    }
    tiers.reverse();
    let children = tiers.iter().skip(1).copied().chain([viewers]);
    let fed = tiers.iter().zip(children).map(|(tier, below)| below as f64 / *tier as f64);
    let turns = fed.map(|children| measured.thousand_ms * children / 1e3).sum::<f64>();
    let hops = measured.first_hop_ms + measured.next_hop_ms * (tiers.len() - 1) as f64;
    let between: u64 = tiers.iter().skip(1).sum();
    let gbit = |count: u64| count as f64 * options.rate as f64 / 1e9;
    Served {
        viewers,
        each,
        bound,
        latency_ms: hops + turns,
        tiers,
        egress_gbit_per_second: gbit(viewers),
        between_gbit_per_second: gbit(between),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    const MEASURED: Measurements = Measurements {
        cpu_seconds_per_gb: 2.0,
        first_hop_ms: 0.2,
        next_hop_ms: 0.1,
        thousand_ms: 3.0,
    };

    fn options(words: &str) -> Options {
        Words::parse_from(["model"].into_iter().chain(words.split_whitespace())).options
    }

    #[test]
    fn what_bounds_a_distributor_is_the_least() {
        // 4 Mbit/s are 0.5 MB/s, a thousandth of a processor; half of two processors are used.
        assert_eq!(feeds(&options(""), MEASURED), (1_000, "processors"));
        assert_eq!(feeds(&options("--cores 64"), MEASURED), (1_250, "network"));
        let wide = options("--cores 640 --network 1000000000000");
        assert_eq!(feeds(&wide, MEASURED), (10_000, "connections"));
    }

    #[test]
    fn each_tier_feeds_the_next_and_adds_a_hop() {
        let served = model(&options("--viewers 1000000 --viewers 900"), MEASURED).unwrap();
        assert_eq!(served[0].tiers, [1, 1_000]);
        assert!((served[0].latency_ms - 6.3).abs() < 1e-9);
        assert!((served[0].egress_gbit_per_second - 4_000.0).abs() < 1e-6);
        assert!((served[0].between_gbit_per_second - 4.0).abs() < 1e-9);
        assert_eq!(served[1].tiers, [1]);
        let many = model(&options("--viewers 100000000"), MEASURED).unwrap();
        assert_eq!(many[0].tiers, [1, 100, 100_000]);
    }

    #[test]
    fn a_stream_that_one_cannot_feed_twice_is_refused() {
        assert!(model(&options("--rate 4000000000 --used 0.4"), MEASURED).is_err());
        assert!(model(&options("--used 0"), MEASURED).is_err());
    }

    proptest! {
        #[test]
        fn every_tier_feeds_the_next(viewers in 1..200_000_000u64, each in 2..20_000u64) {
            let served = serve(viewers, each, "", &options(""), MEASURED);
            prop_assert_eq!(served.tiers[0], 1);
            let below = served.tiers.iter().skip(1).copied().chain([viewers]);
            for (tier, below) in served.tiers.iter().zip(below) {
                prop_assert!(tier * each >= below);
                prop_assert!((tier - 1) * each < below);
            }
        }
    }
}
