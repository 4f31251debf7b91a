//! `bench versus`: the same scenarios through our distributor and through others, in one run.
//!
//! No figure stands for itself: all are shown beside those of the floor, the kernel's price.

use anyhow::bail;
use clap::Args;

use crate::{
    plan::{Common, Entry},
    relay::Relay,
};

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Scenarios to go through, by name or file [default: thousand, hundred, small, one, the peaks and range]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// All that our goals speak of, and whether they are met: about a quarter of an hour
    #[arg(long, conflicts_with_all = ["scenarios", "seconds", "set"])]
    pub all: bool,
    /// Only these relays; repeatable. The floor is always there
    #[arg(long, value_name = "NAME")]
    pub relay: Vec<Relay>,
    /// One more, which runs already: NAME=PUBLISH_URL,CONSUME_URL; repeatable
    #[arg(long, value_name = "NAME=URL,URL")]
    pub peer: Vec<Relay>,
    /// Times that every relay is taken [default: 3, with --all 5]
    #[arg(long, value_name = "COUNT")]
    pub rounds: Option<usize>,
    /// What else is told.
    #[command(flatten)]
    pub common: Common,
}

/// What every figure is divided by.
pub const FLOOR: Relay = Relay::Floor(2);

/// Taken where none is named.
const USUAL: [&str; 8] =
    ["thousand", "hundred", "small", "one", "peak-1", "peak-10", "peak-100", "range"];

impl Options {
    /// What is measured, and what is to be said of relays that do not take part.
    ///
    /// # Errors
    ///
    /// A scenario is not sound, or a relay that is named is not there.
    pub fn entries(&self) -> anyhow::Result<(Vec<Entry>, Vec<String>)> {
        let (relays, absent) = self.relays()?;
        if self.all {
            return Ok((self.goals(&relays)?, absent));
        }
        let mut names = self.scenarios.clone();
        if names.is_empty() {
            names = USUAL.map(Into::into).to_vec();
        }
        let entry = |name: String| {
            let (scenario, relays) = (self.common.scenario(&name)?, relays.clone());
            Ok(Entry { name, scenario, relays, rounds: self.rounds.unwrap_or(3) })
        };
        Ok((names.into_iter().map(entry).collect::<anyhow::Result<_>>()?, absent))
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

    /// What the goals speak of, short enough that five rounds of all of it are a quarter of an hour.
    fn goals(&self, relays: &[Relay]) -> anyhow::Result<Vec<Entry>> {
        let rounds = self.rounds.unwrap_or(5);
        let all: Vec<_> = relays.iter().filter(|it| **it != Relay::Floor(1)).cloned().collect();
        let few: Vec<_> = all
            .iter()
            .filter(|it| !matches!(it, Relay::Icecast | Relay::Varnish))
            .cloned()
            .collect();
        let alone: Vec<_> = all.iter().filter(|it| **it == Relay::Distributor).cloned().collect();
        let entry = |name: &str, setting: &str, seconds: f64, relays: &[Relay], rounds| {
            let scenario = self.common.scenario(name)?.with("seconds", &format!("{seconds:?}"))?;
            let (name, scenario) = match setting.split_once('=') {
                Some((key, value)) => (format!("{name} {setting}"), scenario.with(key, value)?),
                None => (name.to_owned(), scenario),
            };
            Ok(Entry { name, scenario, relays: relays.to_vec(), rounds })
        };
        [
            entry("thousand", "", 4.0, &all, rounds),
            entry("hundred", "", 3.0, &all, rounds),
            entry("small", "", 3.0, &few, rounds),
            entry("one", "", 4.0, &few, rounds),
            entry("peak-1", "", 2.0, &few, rounds),
            entry("peak-10", "", 2.0, &few, rounds),
            entry("peak-100", "", 2.0, &few, rounds),
            entry("range", "consumers=1", 2.0, &all, rounds),
            entry("range", "consumers=10", 2.0, &all, rounds),
            entry("range", "consumers=100", 2.0, &all, rounds),
            entry("ten-thousand", "consumers=100", 5.0, &alone, 1),
            entry("ten-thousand", "consumers=1000", 5.0, &alone, 1),
            entry("ten-thousand", "", 10.0, &alone, 1),
            entry("ingest", "", 10.0, &alone, 1),
            entry("cascade", "hops=1", 3.0, &alone, rounds),
            entry("cascade", "hops=2", 3.0, &alone, rounds),
            entry("cascade", "hops=3", 3.0, &alone, rounds),
            entry("cascade", "hops=4", 3.0, &alone, rounds),
        ]
        .into_iter()
        .collect()
    }
}
