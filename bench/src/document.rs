//! What is written to a file: every run with its scenario, and the machine, versions and command that it
//! came from. All commands write it, and all that show figures read it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::SystemTime,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{
    breakdown::Breakdown, glass::Shown, goals::Goal, measure::Measured, scenario::Scenario,
    stats::Spread,
};

/// The form of the file; another one is not read.
const FORM: &str = "freshet-bench-1";

/// Everything that one command measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    form: String,
    /// The command line.
    pub command: String,
    /// When it began: Unix seconds.
    pub began: u64,
    /// Where.
    pub machine: Machine,
    /// Of the programs that were measured.
    pub versions: BTreeMap<String, String>,
    /// The scenarios by name.
    pub scenarios: BTreeMap<String, Scenario>,
    /// In the order in which they were made.
    pub runs: Vec<Run>,
    /// What could not be measured, and why.
    #[serde(default)]
    pub failures: Vec<String>,
    /// Where the time went, of scenarios that were taken apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakdowns: Vec<Breakdown>,
    /// How old pictures were on the screen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub glass: Vec<Shown>,
    /// What the distributor must reach, as far as there are figures for it.
    #[serde(default)]
    pub goals: Vec<Goal>,
}

/// One scenario through one relay, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The name of the scenario.
    pub scenario: String,
    /// The name of the relay.
    pub relay: String,
    /// Which repetition, from 0; those of one number were made one right after the other.
    pub round: usize,
    /// What was measured.
    pub measured: Measured,
}

/// What figures depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, as the kernel calls it.
    pub processor: String,
    /// How many of them may be used.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
    /// The load average when it began: other work shows in it.
    pub load_average: String,
}

impl Document {
    /// Nothing measured yet, here and now.
    #[must_use]
    pub fn new(versions: BTreeMap<String, String>) -> Self {
        let words: Vec<_> = env::args().skip(1).collect();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            form: FORM.to_owned(),
            command: format!("bench {}", words.join(" ")),
            began: since.map_or(0, |time| time.as_secs()),
            machine: Machine::this(),
            versions,
            scenarios: BTreeMap::new(),
            runs: Vec::new(),
            failures: Vec::new(),
            breakdowns: Vec::new(),
            glass: Vec::new(),
            goals: Vec::new(),
        }
    }

    /// Read a file.
    ///
    /// # Errors
    ///
    /// It is not there, or is no such file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let document: Self = serde_json::from_str(&text)
            .with_context(|| format!("{name} is no file of figures that bench writes"))?;
        if document.form != FORM {
            bail!("{name} is of the form {:?}, and {FORM:?} is read", document.form);
        }
        Ok(document)
    }

    /// Read several files as one.
    ///
    /// # Errors
    ///
    /// See [`Self::read`]; or there are none.
    pub fn read_all(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let (first, others) = paths.split_first().context("no file of figures is named")?;
        let mut all = Self::read(first)?;
        others.iter().try_for_each(|path| {
            all.merge(Self::read(path)?);
            anyhow::Ok(())
        })?;
        Ok(all)
    }

    /// Write a file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Add the runs of another one; rounds go on counting.
    pub fn merge(&mut self, other: Self) {
        let rounds = self.runs.iter().map(|run| run.round + 1).max().unwrap_or(0);
        let runs = other.runs.into_iter().map(|run| Run { round: run.round + rounds, ..run });
        self.runs.extend(runs);
        self.scenarios.extend(other.scenarios);
        self.versions.extend(other.versions);
        self.failures.extend(other.failures);
        self.breakdowns.extend(other.breakdowns);
        self.glass.extend(other.glass);
        self.command = format!("{}; {}", self.command, other.command);
    }

    /// The runs of a relay in a scenario.
    pub fn of<'a>(&'a self, scenario: &'a str, relay: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.scenario == scenario && run.relay == relay)
    }

    /// The relays that a scenario went through, in the order in which they came.
    #[must_use]
    pub fn relays(&self, scenario: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for run in self.runs.iter().filter(|run| run.scenario == scenario) {
            if !names.contains(&run.relay.as_str()) {
                names.push(&run.relay);
            }
        }
        names
    }

    /// The scenarios, in the order in which they were measured.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !names.contains(&run.scenario.as_str()) {
                names.push(&run.scenario);
            }
        }
        names
    }

    /// A figure over all rounds.
    #[must_use]
    pub fn spread(&self, scenario: &str, relay: &str, figure: Figure) -> Option<Spread> {
        Spread::of(self.of(scenario, relay).map(|run| figure(&run.measured)))
    }

    /// A figure by that of another relay, round by round: what else the machine does is the same for both
    /// of a round, and is another thing in the next.
    #[must_use]
    pub fn ratio(&self, scenario: &str, relay: &str, to: &str, figure: Figure) -> Option<Spread> {
        let pairs = self.pairs((scenario, relay), (scenario, to), figure);
        Spread::of(pairs.into_iter().map(|(a, b)| a / b))
    }

    /// What a figure of a scenario and a relay is above that of another such pair, round by round.
    #[must_use]
    pub fn difference(&self, of: (&str, &str), to: (&str, &str), figure: Figure) -> Option<Spread> {
        Spread::of(self.pairs(of, to, figure).into_iter().map(|(a, b)| a - b))
    }

    /// A figure of both, for each round that both were in.
    fn pairs(&self, of: (&str, &str), to: (&str, &str), figure: Figure) -> Vec<(f64, f64)> {
        let pair = |run: &Run| {
            let other = self.of(to.0, to.1).find(|other| other.round == run.round)?;
            Some((figure(&run.measured), figure(&other.measured)))
        };
        self.of(of.0, of.1).filter_map(pair).collect()
    }
}

/// One figure of what was measured.
pub type Figure = fn(&Measured) -> f64;

impl Machine {
    /// The one that this runs on.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let kibibytes = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kibibytes = kibibytes.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes << 10,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

/// What a program says of its version: its first line, whichever way it says it.
#[must_use]
pub fn version_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(runs: &[(&str, usize, f64)]) -> Document {
        let mut document = Document::new(BTreeMap::new());
        document.runs = runs
            .iter()
            .map(|(relay, round, seconds)| Run {
                scenario: "x".into(),
                relay: (*relay).into(),
                round: *round,
                measured: Measured { seconds: *seconds, ..Measured::default() },
            })
            .collect();
        document
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let runs = [("a", 0, 2.0), ("b", 0, 1.0), ("a", 1, 30.0), ("b", 1, 10.0), ("a", 2, 7.0)];
        let document = document(&runs);
        let ratio = document.ratio("x", "a", "b", |measured| measured.seconds).unwrap();
        assert_eq!(ratio, Spread { median: 2.5, min: 2.0, max: 3.0 });
        assert_eq!(document.ratio("y", "a", "b", |measured| measured.seconds), None);
        assert_eq!(document.relays("x"), ["a", "b"]);
    }

    #[test]
    fn what_is_merged_adds_rounds_and_mixes_none() {
        let mut all = document(&[("a", 0, 2.0), ("b", 0, 1.0)]);
        all.merge(document(&[("a", 0, 9.0), ("b", 0, 3.0)]));
        let ratio = all.ratio("x", "a", "b", |measured| measured.seconds).unwrap();
        assert_eq!(ratio, Spread { median: 2.5, min: 2.0, max: 3.0 });
        let above = all.difference(("x", "a"), ("x", "b"), |measured| measured.seconds).unwrap();
        assert_eq!(above, Spread { median: 3.5, min: 1.0, max: 6.0 });
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_no_other_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("figures.json");
        let written = document(&[("a", 0, 1.5)]);
        written.write(&path).unwrap();
        assert_eq!(Document::read(&path).unwrap(), written);
        let text = fs::read_to_string(&path).unwrap().replace(FORM, "freshet-bench-0");
        fs::write(&path, text).unwrap();
        assert!(Document::read(&path).is_err());
    }
}
