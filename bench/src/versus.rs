//! `bench versus`: the same scenarios through our distributor and through others, in one run.
//!
//! Every round takes each relay in turn, and the ratio to the floor is taken round by round: the machine's
//! mood changes from minute to minute and is the same for all of a round. No figure stands for itself.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::{
    document::{Document, Run},
    measure::measure,
    relay::Relay,
    scenario::Scenario,
};

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Scenarios to go through, by name or file [default: thousand, hundred, small, one and the peaks]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Every scenario that is built in
    #[arg(long)]
    pub all: bool,
    /// Only these relays; repeatable. The floor is always there
    #[arg(long, value_name = "NAME")]
    pub relay: Vec<Relay>,
    /// One more, which runs already: NAME=PUBLISH_URL,CONSUME_URL; repeatable
    #[arg(long, value_name = "NAME=URL,URL")]
    pub peer: Vec<Relay>,
    /// Times that every relay is taken
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub rounds: usize,
    /// Measure for so long, whatever the scenario says
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Change a setting of all scenarios; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Taken where none is named.
const USUAL: [&str; 7] = ["thousand", "hundred", "small", "one", "peak-1", "peak-10", "peak-100"];

impl Options {
    fn scenarios(&self) -> anyhow::Result<Vec<(String, Scenario)>> {
        let names: Vec<String> = match (self.all, self.scenarios.is_empty()) {
            (true, _) => Scenario::names().map(Into::into).collect(),
            (_, true) => USUAL.map(Into::into).to_vec(),
            (_, false) => self.scenarios.clone(),
        };
        let load = |name: String| {
            let mut scenario = Scenario::load(&name)?;
            for setting in &self.set {
                let Some((key, value)) = setting.split_once('=') else {
                    bail!("{setting:?}: KEY=VALUE is wanted");
                };
                scenario = scenario.with(key, value)?;
            }
            if let Some(seconds) = self.seconds {
                scenario = scenario.with("seconds", &format!("{seconds:?}"))?;
            }
            Ok((name, scenario))
        };
        names.into_iter().map(load).collect()
    }

    /// Who takes part, and what is to be said of those who do not.
    fn relays(&self) -> anyhow::Result<(Vec<Relay>, Vec<String>)> {
        let (mut relays, mut absent) = (self.relay.clone(), Vec::new());
        if relays.is_empty() {
            for relay in Relay::known() {
                match relay.missing() {
                    Some(what) => absent.push(format!("without {}: {what}", relay.name())),
                    None => relays.push(relay),
                }
            }
        } else if let Some((relay, what)) = relays.iter().find_map(|it| Some((it, it.missing()?))) {
            bail!("--relay {}: {what}", relay.name());
        } else if !relays.contains(&FLOOR) {
            relays.insert(0, FLOOR);
        }
        relays.extend(self.peer.iter().cloned());
        Ok((relays, absent))
    }
}

/// What every figure is divided by.
pub const FLOOR: Relay = Relay::Floor(2);

/// What there is to see while it runs.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A relay that takes no part, and why.
    Absent(&'a str),
    /// This is measured now, so many of so many.
    Measuring(&'a str, &'a str, usize, usize),
    /// All rounds of a scenario are done.
    Scenario(&'a str, &'a Document),
}

/// Measure.
///
/// # Errors
///
/// Something does not start, or ends too early.
pub fn run(options: &Options, mut tell: impl FnMut(News<'_>)) -> anyhow::Result<Document> {
    if options.rounds == 0 {
        bail!("--rounds 0: there is nothing to measure");
    }
    let (scenarios, (relays, absent)) = (options.scenarios()?, options.relays()?);
    absent.iter().for_each(|what| tell(News::Absent(what)));
    let mut document = Document::new(crate::relay::versions(&relays));
    let suits = |scenario| relays.iter().filter(|relay| relay.suits(scenario)).count();
    let all: usize = scenarios.iter().map(|(_, scenario)| suits(scenario) * options.rounds).sum();
    for (name, scenario) in &scenarios {
        document.scenarios.insert(name.clone(), scenario.clone());
        for round in 0..options.rounds {
            for relay in relays.iter().filter(|relay| relay.suits(scenario)) {
                tell(News::Measuring(name, relay.name(), document.runs.len() + 1, all));
                let measured = measure(relay, scenario)?;
                let (scenario, relay) = (name.clone(), relay.name().to_owned());
                document.runs.push(Run { scenario, relay, round, measured });
            }
        }
        tell(News::Scenario(name, &document));
    }
    Ok(document)
}
