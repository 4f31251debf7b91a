//! `bench run`, `bench list` and `bench sweep`: scenarios through one relay, ours where no other is named.

use anyhow::bail;
use clap::Args;

use crate::{
    plan::{Common, Entry, key_value},
    relay::Relay,
    scenario::Scenario,
};

/// What `bench run` is told.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Scenarios, by name or file
    #[arg(value_name = "SCENARIO", required = true)]
    pub scenarios: Vec<String>,
    /// Through what, and how often.
    #[command(flatten)]
    pub through: Through,
}

/// What scenarios go through.
#[derive(Clone, Debug, Args)]
pub struct Through {
    /// Through which relay: a name, or NAME=PUBLISH_URL,CONSUME_URL for one that runs already
    #[arg(long, default_value = "freshet", value_name = "NAME")]
    pub relay: Relay,
    /// How often
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub rounds: usize,
    /// What else is told.
    #[command(flatten)]
    pub common: Common,
}

impl Through {
    fn entry(&self, name: String, scenario: Scenario) -> Entry {
        Entry { name, scenario, relays: vec![self.relay.clone()], rounds: self.rounds }
    }
}

/// What `bench sweep` is told.
#[derive(Clone, Debug, Args)]
pub struct SweepOptions {
    /// The scenario, by name or file
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,
    /// The setting that is varied and its values; repeatable, and then every combination is measured
    #[arg(value_name = "KEY=VALUE,VALUE,..", required = true)]
    pub vary: Vec<String>,
    /// Through what, and how often.
    #[command(flatten)]
    pub through: Through,
}

impl Options {
    /// What is measured.
    ///
    /// # Errors
    ///
    /// A scenario is not sound.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let entry = |name: &String| {
            let scenario = self.through.common.scenario(name)?;
            Ok(self.through.entry(name.clone(), scenario))
        };
        self.scenarios.iter().map(entry).collect()
    }
}

impl SweepOptions {
    /// Every combination of the values.
    ///
    /// # Errors
    ///
    /// The scenario is not sound, or with one of the values is not.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut variants =
            vec![(self.scenario.clone(), self.through.common.scenario(&self.scenario)?)];
        for vary in &self.vary {
            let (key, values) = key_value(vary)?;
            let mut next = Vec::new();
            for (name, scenario) in &variants {
                for value in values.split(',') {
                    next.push((format!("{name} {key}={value}"), scenario.with(key, value)?));
                }
            }
            variants = next;
        }
        if variants.is_empty() {
            bail!("there are no values to go through");
        }
        let entry = |(name, scenario)| self.through.entry(name, scenario);
        Ok(variants.into_iter().map(entry).collect())
    }
}

/// The scenarios that are built in: their names, questions and settings.
///
/// # Errors
///
/// None in truth: a test reads them all.
pub fn list() -> anyhow::Result<String> {
    let line = |name: &str| {
        let scenario = Scenario::load(name)?;
        Ok(format!("{name:<14} {}\n{:14} {}\n", scenario.question, "", scenario.in_short()))
    };
    Scenario::names().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(vary: &[&str]) -> anyhow::Result<Vec<String>> {
        let options = SweepOptions {
            scenario: "hundred".into(),
            vary: vary.iter().map(ToString::to_string).collect(),
            through: Through { relay: Relay::Distributor, rounds: 1, common: Common::default() },
        };
        Ok(options.entries()?.into_iter().map(|entry| entry.name).collect())
    }

    #[test]
    fn a_sweep_has_every_combination() {
        let names = sweep(&["chunk=512,4096", "consumers=1,9"]).unwrap();
        let expected = [
            "hundred chunk=512 consumers=1",
            "hundred chunk=512 consumers=9",
            "hundred chunk=4096 consumers=1",
            "hundred chunk=4096 consumers=9",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_before_anything_is_measured() {
        assert!(sweep(&["chunk=512,1"]).is_err());
        assert!(sweep(&["colour=red"]).is_err());
        assert!(sweep(&["chunk"]).is_err());
    }

    #[test]
    fn the_list_has_every_scenario_and_its_question() {
        let list = list().unwrap();
        assert_eq!(list.lines().count(), 2 * Scenario::names().count());
        assert!(list.lines().step_by(2).all(|line| line.ends_with('?')));
    }
}
