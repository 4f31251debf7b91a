//! `bench breakdown`: where a chunk's time goes on its way through one distributor.
//!
//! ```text
//!   publish (role): when it was given to the kernel ─────────┐
//!   distributor (role): in the ring, before each send ───────┼──▶ Told ──▶ Stages
//!   load (role): in the socket, whole and handed on ─────────┘
//! ```
//!
//! All of them tell the time of one clock. The distributor, and a native consumer, tell it as traces, which
//! cost them a microsecond or two each: what is seen is a little slower than what is not.

pub mod marks;
pub mod stages;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};

use self::stages::Stages;
use crate::{
    document::{Document, Run},
    measure,
    plan::{Common, News},
    relay::{self, Relay},
    scenario::{Delivery, Roles, Scenario},
};

/// What is taken apart.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Scenarios, by name or file [default: one, hundred]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// What else is told.
    #[command(flatten)]
    pub common: Common,
}

/// Where the time goes in one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Which one.
    pub scenario: String,
    /// Stage by stage.
    pub of: Stages,
}

/// Taken apart where none is named.
const USUAL: [&str; 2] = ["one", "hundred"];

/// Measure it.
///
/// # Errors
///
/// A scenario is not sound, or has more than one way; or something does not start, or ends too early.
pub fn run(options: &Options, mut tell: impl FnMut(News<'_>)) -> anyhow::Result<Document> {
    let mut names = options.scenarios.clone();
    if names.is_empty() {
        names = USUAL.map(Into::into).to_vec();
    }
    let scenarios = names.into_iter().map(|name| {
        let scenario = options.common.scenario(&name)?;
        check(&scenario)?;
        Ok((name, scenario))
    });
    let scenarios = scenarios.collect::<anyhow::Result<Vec<_>>>()?;
    let mut document = Document::new(relay::versions(&[Relay::Distributor]));
    for (done, (name, scenario)) in scenarios.iter().enumerate() {
        tell(News::Measuring(name, Relay::Distributor.name(), done, scenarios.len()));
        let (measured, told) = measure::trace(scenario)?;
        let of = told.stages();
        if of.seen == 0 {
            bail!("{name}: of {} deliveries nothing is known", of.unseen);
        }
        let (scenario_name, relay) = (name.clone(), Relay::Distributor.name().to_owned());
        document.scenarios.insert(name.clone(), scenario.clone());
        document.runs.push(Run { scenario: scenario_name, relay, round: 0, measured });
        document.breakdowns.push(Breakdown { scenario: name.clone(), of });
    }
    Ok(document)
}

/// A chunk is known by its place: in one stream, through one distributor, by the schedule.
fn check(scenario: &Scenario) -> anyhow::Result<()> {
    let Scenario { streams, hops, peak, consumers, delivery, .. } = scenario;
    if (*streams, *hops, *peak) != (1, 1, false) {
        bail!("only one stream through one distributor is taken apart, and not in haste");
    }
    if scenario.roles == Roles::Threads {
        bail!("each role tells its own marks, and so has a process of its own");
    }
    if *delivery != Delivery::Plain && *consumers > 1 {
        bail!(
            "one native consumer is taken apart: a distributor does not tell several of them apart"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_more_than_one_way_is_refused() {
        let one = Scenario::load("one").unwrap();
        check(&one).unwrap();
        check(&one.with("delivery", "pushed").unwrap()).unwrap();
        check(&one.with("consumers", "9").unwrap()).unwrap();
        for (key, value) in [("streams", "2"), ("hops", "2"), ("peak", "true")] {
            assert!(check(&one.with(key, value).unwrap()).is_err(), "{key}");
        }
        let pushed = Scenario::load("pushed").unwrap();
        assert!(check(&pushed.with("consumers", "2").unwrap()).is_err());
    }
}
