//! What is measured one after the other: round by round, each scenario through each of its relays.
//!
//! ```text
//!   round 0: hops=1, hops=2, hops=3, hops=4 │ round 1: hops=1, hops=2, ...     one scenario, another setting
//!            each through floor, freshet, ...                                  one setting, another relay
//! ```
//!
//! What is compared is taken one right after the other, and compared round by round: the machine's mood changes
//! from minute to minute and is the same for all of a round.

use std::{fs::File, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use hdrhistogram::serialization::{V2DeflateSerializer, interval_log::IntervalLogWriterBuilder};

use crate::{
    document::{Document, Run},
    measure::measure,
    relay::{self, Relay},
    scenario::Scenario,
};

/// What all commands that measure scenarios understand.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Measure for so long, whatever the scenario says
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Change a setting of all scenarios; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write all figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the histograms of latency to this file as well, as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

impl Common {
    /// The scenario of that name or file, with what was changed.
    ///
    /// # Errors
    ///
    /// There is none, or it is not sound.
    pub fn scenario(&self, name: &str) -> anyhow::Result<Scenario> {
        let mut scenario = Scenario::load(name)?;
        for setting in &self.set {
            let (key, value) = key_value(setting)?;
            scenario = scenario.with(key, value)?;
        }
        match self.seconds {
            Some(seconds) => scenario.with("seconds", &format!("{seconds:?}")),
            None => Ok(scenario),
        }
    }

    /// Write the files that are asked for.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn write(&self, document: &Document) -> anyhow::Result<()> {
        self.json.iter().try_for_each(|path| document.write(path))?;
        self.log
            .iter()
            .try_for_each(|path| {
                let mut file = File::create(path)?;
                write_log(document, &mut file)
            })
            .with_context(|| format!("cannot write {:?}", self.log))
    }
}

/// `KEY=VALUE`.
///
/// # Errors
///
/// It is not.
pub fn key_value(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('=').with_context(|| format!("{text:?}: KEY=VALUE is wanted"))
}

/// One scenario and what it goes through.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called in the tables.
    pub name: String,
    /// What flows.
    pub scenario: Scenario,
    /// What it flows through; who cannot do it is left out.
    pub relays: Vec<Relay>,
    /// How often.
    pub rounds: usize,
}

/// What there is to see while it runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// So many of so many are done, and this comes next.
    Measuring(&'a str, &'a str, usize, usize),
    /// All rounds of a scenario are done.
    Scenario(&'a str, &'a Document),
}

/// Measure all of it.
///
/// # Errors
///
/// There is nothing to measure. What does not start, or ends too early, is among the failures.
pub fn run(entries: &[Entry], mut tell: impl FnMut(News<'_>)) -> anyhow::Result<Document> {
    let taking_part: Vec<_> = entries.iter().flat_map(Entry::taking_part).cloned().collect();
    let mut document = Document::new(relay::versions(&taking_part));
    let all: usize = entries.iter().map(|it| it.taking_part().count() * it.rounds).sum();
    if all == 0 {
        bail!("there is nothing to measure: no rounds, or no relay that can do it");
    }
    let mut done = 0;
    for variants in entries.chunk_by(Entry::varies) {
        let rounds = variants.first().map_or(0, |entry| entry.rounds);
        let turn: Vec<_> = variants.iter().flat_map(Entry::turn).collect();
        for round in 0..rounds {
            for (entry, relay) in &turn {
                tell(News::Measuring(&entry.name, relay.name(), done, all));
                entry.measure(relay, round, &mut document);
                done += 1;
            }
        }
        for Entry { name, scenario, .. } in variants {
            document.scenarios.insert(name.clone(), scenario.clone());
            tell(News::Scenario(name, &document));
        }
    }
    Ok(document)
}

impl Entry {
    /// The relays that can do it.
    fn taking_part(&self) -> impl Iterator<Item = &Relay> {
        self.relays.iter().filter(|relay| relay.suits(&self.scenario))
    }

    /// What is measured of it in a round.
    fn turn(&self) -> impl Iterator<Item = (&Self, &Relay)> {
        self.taking_part().map(move |relay| (self, relay))
    }

    /// Is `other` the same scenario with another setting? Then the two take turns.
    fn varies(&self, other: &Self) -> bool {
        let scenario = |entry: &Self| entry.name.split(' ').next().map(str::to_owned);
        scenario(self) == scenario(other) && self.rounds == other.rounds
    }

    /// Measure it once; what fails is told, for a peer that gives up must not take a quarter of an hour with it.
    fn measure(&self, through: &Relay, round: usize, document: &mut Document) {
        let (scenario, relay) = (self.name.clone(), through.name().to_owned());
        match measure(through, &self.scenario) {
            Ok(measured) => document.runs.push(Run { scenario, relay, round, measured }),
            Err(why) => document.failures.push(format!("{scenario} through {relay}: {why:#}")),
        }
    }
}

/// Every run's histogram, one interval each, marked with scenario and relay: the log that all HdrHistogram
/// tools read, and add up.
fn write_log(document: &Document, out: &mut File) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&document.command)
        .begin_log_with(out, &mut serializer)?;
    let mut at = std::time::Duration::ZERO;
    for run in &document.runs {
        let length = std::time::Duration::try_from_secs_f64(run.measured.seconds)?;
        let tag: String = format!("{}/{}", run.scenario, run.relay)
            .chars()
            .map(|c| if matches!(c, ',' | ' ' | '\n' | '\r') { '_' } else { c })
            .collect();
        let tag = hdrhistogram::serialization::interval_log::Tag::new(&tag);
        let histogram = run.measured.seen.ages.histogram();
        log.write_histogram(histogram, at, length, tag)?;
        at += length;
    }
    Ok(())
}
