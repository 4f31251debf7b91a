//! What is measured: one question, and what flows to answer it. A file of TOML says it.
//!
//! ```toml
//! # What does a thousand consumers cost?
//! question = "What does a thousand consumers cost?"
//! rate = 1_000_000
//! chunk = 4_096
//! consumers = 1_000
//! ```
//!
//! What is not said has its default; what nobody knows is refused.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{
    chunk::HEADER_BYTES,
    limits::{CHUNK_BYTES_MAX, RANGE_BYTES},
};

/// One question and its setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What one wants to know.
    pub question: String,
    /// Bits per second of each stream.
    pub rate: u64,
    /// Never mind the rate: as fast as the slowest consumer takes it, and no more than a few MiB ahead.
    pub peak: bool,
    /// Bytes of each chunk.
    pub chunk: usize,
    /// Streams at once.
    pub streams: usize,
    /// Consumers of each stream.
    pub consumers: usize,
    /// How long is measured.
    pub seconds: f64,
    /// More consumers of each stream, who take half of its rate and have little room: is it the others'
    /// trouble?
    pub slow: usize,
    /// In which form it is published.
    pub publish: Publish,
    /// In which form it is consumed.
    pub delivery: Delivery,
    /// Bytes of a stream that is complete before anybody asks for it, by ranges; 0: it is live.
    pub stored: u64,
    /// Distributors one behind the other; the last one has the consumers.
    pub hops: usize,
    /// The distributor's ring, as its `--ring-bytes`; nothing: its default.
    pub ring: Option<String>,
    /// What an acknowledgement means, as its `--durability`.
    pub durability: Option<String>,
    /// Does the distributor keep a disk copy?
    pub disk: bool,
    /// What stands between the distributor and its consumers.
    pub front: Front,
    /// Does every role have a process of its own, whose cost is known, or are all of them threads of one?
    pub roles: Roles,
    /// Processors that the relay may use; 0: all.
    pub cores: usize,
    /// Threads of the load.
    pub threads: usize,
}

/// How a publisher says what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// One request, its body chunk by chunk.
    Body,
    /// A request for each chunk, over one connection, each acknowledged before the next.
    Posts,
    /// Likewise, with a connection for each.
    Each,
}

/// Where the publisher, our relays and the consumers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roles {
    /// Each in a process of its own.
    Processes,
    /// All in the bench's: what they cost is told of all together, as the relay's.
    Threads,
}

/// What stands before the last distributor, and takes its consumers' connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Front {
    /// Nothing.
    None,
    /// A reverse proxy (nginx).
    Proxy,
    /// The same, to which consumers come over TLS.
    Tls,
}

/// How a consumer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// A plain GET, as players do.
    Plain,
    /// The native GET: the newest bytes in one reply that goes on.
    Pushed,
    /// The native GET again and again: the newest bytes in one part each.
    Polled,
    /// Ranges of a complete stream, one after the other.
    Range,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            question: String::new(),
            rate: 1_000_000,
            peak: false,
            chunk: 4_096,
            streams: 1,
            consumers: 100,
            seconds: 5.0,
            slow: 0,
            publish: Publish::Body,
            delivery: Delivery::Plain,
            stored: 0,
            hops: 1,
            ring: None,
            durability: None,
            disk: true,
            front: Front::None,
            roles: Roles::Processes,
            cores: 0,
            threads: 1,
        }
    }
}

/// The scenarios that are part of the program, in the order of `bench list`.
const BUILT_IN: [(&str, &str); 22] = [
    ("thousand", include_str!("../scenarios/thousand.toml")),
    ("hundred", include_str!("../scenarios/hundred.toml")),
    ("small", include_str!("../scenarios/small.toml")),
    ("one", include_str!("../scenarios/one.toml")),
    ("peak-1", include_str!("../scenarios/peak-1.toml")),
    ("peak-10", include_str!("../scenarios/peak-10.toml")),
    ("peak-100", include_str!("../scenarios/peak-100.toml")),
    ("range", include_str!("../scenarios/range.toml")),
    ("ten-thousand", include_str!("../scenarios/ten-thousand.toml")),
    ("ingest", include_str!("../scenarios/ingest.toml")),
    ("cascade", include_str!("../scenarios/cascade.toml")),
    ("large-chunks", include_str!("../scenarios/large-chunks.toml")),
    ("posts", include_str!("../scenarios/posts.toml")),
    ("connections", include_str!("../scenarios/connections.toml")),
    ("pushed", include_str!("../scenarios/pushed.toml")),
    ("polled", include_str!("../scenarios/polled.toml")),
    ("small-ring", include_str!("../scenarios/small-ring.toml")),
    ("synced", include_str!("../scenarios/synced.toml")),
    ("no-disk", include_str!("../scenarios/no-disk.toml")),
    ("tls", include_str!("../scenarios/tls.toml")),
    ("slow", include_str!("../scenarios/slow.toml")),
    ("one-core", include_str!("../scenarios/one-core.toml")),
];

impl Scenario {
    /// The names of those that are part of the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.into_iter().map(|(name, _)| name)
    }

    /// The scenario of that name, or in the file of that path.
    ///
    /// # Errors
    ///
    /// There is none, or it is not sound.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = BUILT_IN.into_iter().find(|(known, _)| *known == name) {
            return Self::parse(text).with_context(|| format!("scenario {name}"));
        }
        let text = std::fs::read_to_string(name).with_context(|| {
            format!("{name:?} is neither a file nor one of the scenarios that `bench list` tells")
        })?;
        Self::parse(&text).with_context(|| format!("scenario {name}"))
    }

    /// Read the text of a file.
    ///
    /// # Errors
    ///
    /// It is not TOML, has a key that is not known, or a value that cannot be.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The same with `key` set to `value`, as a line of the file would.
    ///
    /// # Errors
    ///
    /// See [`Self::parse`].
    pub fn with(&self, key: &str, value: &str) -> anyhow::Result<Self> {
        let mut table = toml::Table::try_from(self)?;
        let said = format!("{key} = {value}");
        let said = said.parse::<toml::Table>();
        // A word without quotes is a word.
        let said = said.or_else(|_| format!("{key} = {value:?}").parse::<toml::Table>());
        table.extend(said.with_context(|| format!("{key}={value} is no setting"))?);
        let scenario: Self = table.try_into().with_context(|| format!("{key}={value}"))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Its setting, in a line.
    #[must_use]
    pub fn in_short(&self) -> String {
        let Self { rate, chunk, streams, consumers, seconds, hops, .. } = self;
        let rate = match self.stored {
            _ if self.peak => "as fast as it goes".to_owned(),
            0 => format!("{rate} bit/s"),
            stored => format!("ranges of {stored} bytes that are stored"),
        };
        let consumers = match (streams, consumers) {
            (1, count) => format!("{count} consumer(s)"),
            (streams, count) => format!("{streams} streams with {count} consumer(s) each"),
        };
        let hops = if *hops > 1 { format!(", {hops} hops") } else { String::new() };
        format!("{consumers}, {rate} in chunks of {chunk} bytes{hops}, {seconds} s each")
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(HEADER_BYTES..=CHUNK_BYTES_MAX).contains(&self.chunk) {
            bail!(
                "chunk = {}: {HEADER_BYTES} to {CHUNK_BYTES_MAX} bytes can be told apart",
                self.chunk
            );
        }
        for (key, value) in [
            ("rate", usize::try_from(self.rate)?),
            ("streams", self.streams),
            ("consumers", self.consumers),
            ("hops", self.hops),
            ("threads", self.threads),
        ] {
            if value == 0 {
                bail!("{key} = 0: there is nothing to measure");
            }
        }
        if !(self.seconds > 0.0 && self.seconds.is_finite()) {
            bail!("seconds = {}: more than 0 are measured", self.seconds);
        }
        if (self.delivery == Delivery::Range) != (self.stored > 0) {
            bail!("stored: what is asked for by Range, and only that, is stored before");
        }
        let whole = |bytes: u64| bytes.is_multiple_of(self.chunk as u64);
        if self.stored > 0 && !(whole(self.stored) && whole(RANGE_BYTES)) {
            bail!("stored = {}: ranges of it are whole chunks", self.stored);
        }
        if self.stored > 0 && (self.streams, self.hops) != (1, 1) {
            bail!("stored: ranges are of one stream, of one distributor");
        }
        if self.roles == Roles::Threads && self.cores > 0 {
            bail!("cores: it is a process that is kept on some of them");
        }
        if self.delivery != Delivery::Plain && (self.peak || self.slow > 0) {
            bail!("delivery: only plain consumers are slow, or in haste");
        }
        if self.front != Front::None && self.delivery != Delivery::Plain {
            bail!("front: only plain consumers come to what stands before a distributor");
        }
        if self.front != Front::None && self.roles == Roles::Threads {
            bail!("front: a proxy has a process of its own");
        }
        if self.peak && self.streams > 1 {
            bail!("peak = true has one stream: its publisher goes by the consumers of it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_is_built_in_asks_a_question() {
        for name in Scenario::names() {
            let scenario = Scenario::load(name).unwrap();
            assert!(scenario.question.ends_with('?'), "{name}");
        }
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for (text, why) in [
            ("consumer = 3", "unknown field `consumer`"),
            ("consumers = 0", "consumers = 0"),
            ("consumers = \"many\"", "invalid type"),
            ("chunk = 31", "chunk = 31"),
            ("seconds = 0.0", "seconds = 0"),
            ("peak = true\nstreams = 2", "peak = true"),
            ("delivery = \"polled\"\nslow = 1", "delivery"),
            ("delivery = \"sung\"", "unknown variant"),
            ("roles = \"threads\"\ncores = 1", "cores"),
            ("stored = 4096", "stored"),
            ("delivery = \"range\"", "stored"),
            ("delivery = \"range\"\nstored = 65537", "stored = 65537"),
        ] {
            let told = format!("{:#}", Scenario::parse(text).unwrap_err());
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn one_key_is_varied_and_the_rest_stays() {
        let base = Scenario::parse("question = \"?\"\nrate = 7").unwrap();
        assert_eq!(base.with("consumers", "9").unwrap(), Scenario { consumers: 9, ..base.clone() });
        let ring = Scenario { ring: Some("4MiB".into()), ..base.clone() };
        assert_eq!(base.with("ring", "4MiB").unwrap(), ring);
        assert!(base.with("colour", "red").is_err());
        assert!(base.with("consumers", "0").is_err());
    }
}
