//! `bench compare A B`: is B another than A, or is it the machine?
//!
//! A and B are two `distributor` programs, which are then measured in turn, or two files of figures. Where
//! they were measured in turn the ratio is taken round by round, and the interval is drawn from the rounds
//! by lot (bootstrap): if it does not have 1 in it, they differ by more than chance.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::{
    document::{Document, Figure},
    measure::Measured,
    plan::{self, Common, Entry, News},
    relay::Relay,
    stats::{Interval, paired_ratio, unpaired_ratio},
};

/// What is compared.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// A `distributor` program, or a file of figures
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// The scenario that programs are measured by; repeatable
    #[arg(long, default_value = "hundred", value_name = "NAME")]
    pub scenario: Vec<String>,
    /// How often programs are taken in turn
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub rounds: usize,
    /// What else is told.
    #[command(flatten)]
    pub common: Common,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// In which scenario.
    pub scenario: String,
    /// Which figure.
    pub figure: &'static str,
    /// B by A: the median, and where it lies in 95 of 100 cases.
    pub ratio: Interval,
    /// Is 1 outside of it?
    pub is_change: bool,
}

const FIGURES: [(&str, Figure); 4] = [
    ("CPU per GB", Measured::cpu_seconds_per_gb),
    ("latency p50", |measured| measured.seen.ages.at(0.5) as f64),
    ("latency p99", |measured| measured.seen.ages.at(0.99) as f64),
    ("memory", |measured| measured.relay.rss_peak_bytes as f64),
];

/// Compare, and measure before that where A and B are programs.
///
/// # Errors
///
/// One is a file of figures and the other is not, or they have no scenario in common, or it cannot measure.
pub fn run(options: &Options, tell: impl FnMut(News<'_>)) -> anyhow::Result<Vec<Comparison>> {
    let is_figures = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    let found = match (is_figures(&options.a), is_figures(&options.b)) {
        (true, true) => files(&Document::read(&options.a)?, &Document::read(&options.b)?),
        (false, false) => programs(options, tell)?,
        _ => bail!(
            "one of them is a file of figures and the other is not: two of a kind are compared"
        ),
    };
    if found.is_empty() {
        bail!(
            "they have no scenario in common that was measured with the same relay twice or more"
        );
    }
    Ok(found)
}

fn programs(options: &Options, tell: impl FnMut(News<'_>)) -> anyhow::Result<Vec<Comparison>> {
    let program = |name: &str, path: &Path| Relay::Program { name: name.into(), path: path.into() };
    let relays = vec![program("A", &options.a), program("B", &options.b)];
    let entry = |name: &String| {
        let (scenario, rounds) = (options.common.scenario(name)?, options.rounds);
        Ok(Entry { name: name.clone(), scenario, relays: relays.clone(), rounds })
    };
    let entries = options.scenario.iter().map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    let document = plan::run(&entries, tell)?;
    options.common.write(&document)?;
    if let Some(failure) = document.failures.first() {
        bail!("{failure}");
    }
    let values = |scenario: &str, relay: &str, figure: Figure| {
        document.of(scenario, relay).map(|run| figure(&run.measured)).collect::<Vec<_>>()
    };
    let each = document.scenarios().into_iter().flat_map(|name| {
        let values = &values;
        FIGURES.into_iter().filter_map(move |(what, figure)| {
            let ratio = paired_ratio(&values(name, "A", figure), &values(name, "B", figure))?;
            Some(Comparison::of(name, what, ratio))
        })
    });
    Ok(each.collect())
}

/// What both files have, relay by relay.
fn files(a: &Document, b: &Document) -> Vec<Comparison> {
    let mut found = Vec::new();
    for scenario in a.scenarios() {
        for relay in a.relays(scenario) {
            let values = |document: &Document, figure: Figure| {
                document.of(scenario, relay).map(|run| figure(&run.measured)).collect::<Vec<_>>()
            };
            for (what, figure) in FIGURES {
                if let Some(ratio) = unpaired_ratio(&values(a, figure), &values(b, figure)) {
                    let name = format!("{scenario} through {relay}");
                    found.push(Comparison::of(&name, what, ratio));
                }
            }
        }
    }
    found
}

impl Comparison {
    fn of(scenario: &str, figure: &'static str, ratio: Interval) -> Self {
        let is_change = ratio.low > 1.0 || ratio.high < 1.0;
        Self { scenario: scenario.into(), figure, ratio, is_change }
    }
}
