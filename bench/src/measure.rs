//! One scenario through one relay, once: the one thing that all commands are made of.
//!
//! ```text
//!   publish (role) ──▶ relay (roles) ──▶ load (role): N consumers     each in a process of its own
//!         └──────────────────┴───────────────┴── CPU, memory, context switches
//! ```
//!
//! In haste (`peak`) publisher and load are one process: the publisher goes by its slowest consumer.

use std::thread;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    breakdown::{marks::Mark, stages::Told},
    chunk::Chunk,
    clock::Moment,
    limits::{ROLE_ANSWER, SETTLE},
    load::{Load, Report},
    publish::{Body, Fed, Feed},
    relay::{self, Relay, Running},
    role::Role,
    roles::{Seen, Work},
    scenario::{Roles, Scenario},
    target::Target,
    usage::Usage,
};

/// What a role cost in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// The most memory that was ever resident.
    pub rss_peak_bytes: u64,
    /// Context switches.
    pub context_switches: u64,
    /// Threads at the end.
    pub threads: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How long.
    pub seconds: f64,
    /// What the relay cost, all its processes together; nothing where it runs elsewhere.
    pub relay: Cost,
    /// What the publisher cost; nothing where it is part of the load.
    pub publisher: Cost,
    /// What the load cost.
    pub load: Cost,
    /// Chunks that were due, for all consumers together.
    pub chunks_due: u64,
    /// What the consumers saw.
    pub seen: Report,
    /// What the publisher saw.
    pub fed: Fed,
}

impl Measured {
    /// CPU seconds of the relay for each 10^9 bytes that consumers received.
    #[must_use]
    pub fn cpu_seconds_per_gb(&self) -> f64 {
        self.relay.cpu_seconds / (self.seen.bytes as f64 / 1e9)
    }

    /// Bits that all consumers received in a second, in 10^9.
    #[must_use]
    pub fn gbit_per_second(&self) -> f64 {
        self.seen.bytes as f64 * 8.0 / 1e9 / self.seconds
    }

    /// Chunks that were due and did not come.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.chunks_due.saturating_sub(self.seen.chunks)
    }

    /// Consumers that did not get every chunk to the end, at least.
    #[must_use]
    pub fn dropped(&self, scenario: &Scenario) -> u64 {
        let never = (scenario.consumers * scenario.streams) as u64;
        self.seen.cut.max(never.saturating_sub(self.seen.consumers))
    }
}

/// Measure it.
///
/// # Errors
///
/// Something does not start, or ends too early.
pub fn measure(relay: &Relay, scenario: &Scenario) -> anyhow::Result<Measured> {
    if !relay.suits(scenario) {
        bail!("{} cannot do it: {}", relay.name(), scenario.question);
    }
    let running = relay.start(scenario)?;
    let measured = through(&running, scenario, false).with_context(|| relay.name().to_owned())?;
    running.stop()?;
    Ok(measured.0)
}

/// Measure it through our distributor, and have all roles tell when each chunk was where.
///
/// # Errors
///
/// See [`measure`].
pub fn trace(scenario: &Scenario) -> anyhow::Result<(Measured, Told)> {
    let running = relay::traced(scenario)?;
    let (mut measured, consumer) = through(&running, scenario, true)?;
    let relay = read(&running.finish()?)?;
    let sent = std::mem::take(&mut measured.fed.sent).into_iter().collect();
    let arrivals = std::mem::take(&mut measured.seen.arrivals);
    let chunk_bytes = scenario.chunk as u64;
    Ok((measured, Told { chunk_bytes, sent, relay, consumer, arrivals }))
}

fn through(
    running: &Running,
    scenario: &Scenario,
    is_traced: bool,
) -> anyhow::Result<(Measured, Vec<Mark>)> {
    let feed = Feed {
        to: running.publish.clone(),
        streams: scenario.streams,
        chunk: scenario.chunk,
        rate: scenario.rate,
        is_traced,
    };
    let load = Load {
        from: running.consume.clone(),
        streams: scenario.streams,
        consumers: scenario.consumers,
        slow: scenario.slow,
        slow_rate: scenario.rate / 8 / 2,
        delivery: scenario.delivery,
        stored: scenario.stored,
        threads: scenario.threads,
        is_traced,
    };
    // Only the relay is kept on some of the processors.
    let own_cores = Scenario { cores: 0, ..scenario.clone() };
    let (publisher, feed) = if scenario.stored > 0 {
        store(&running.publish, scenario)?;
        (None, None)
    } else if scenario.peak {
        (None, Some(feed))
    } else {
        let mut role = Role::start_for(&own_cores, &["publish"])?;
        role.tell(&serde_json::to_string(&feed)?)?;
        expect(&role, "ready")?;
        (Some(role), None)
    };
    let mut consumers = Role::start_for(&own_cores, &["load"])?;
    consumers.tell(&serde_json::to_string(&Work { load, feed })?)?;
    expect(&consumers, "joined")?;
    Actors { running, publisher, consumers }.measure(scenario)
}

/// Put a whole stream there, and wait until it is kept.
fn store(to: &Target, scenario: &Scenario) -> anyhow::Result<()> {
    let (mut body, length) = (Body::open(to)?, scenario.chunk);
    for number in 0..scenario.stored / length as u64 {
        body.send(&Chunk { number, due: Moment::now(), length })?;
    }
    body.end()
}

fn expect(role: &Role, word: &str) -> anyhow::Result<()> {
    let said = role.line(ROLE_ANSWER)?;
    if said != word {
        bail!("instead of {word:?} it says {said:?}");
    }
    Ok(())
}

/// All that runs in the measured time.
struct Actors<'a> {
    running: &'a Running,
    publisher: Option<Role>,
    consumers: Role,
}

impl Actors<'_> {
    fn measure(mut self, scenario: &Scenario) -> anyhow::Result<(Measured, Vec<Mark>)> {
        let from = Moment::now().after(SETTLE);
        let to = from.after(std::time::Duration::try_from_secs_f64(scenario.seconds)?);
        for role in self.publisher.iter_mut().chain([&mut self.consumers]) {
            role.tell(&format!("{} {}", from.nanos(), to.nanos()))?;
        }
        thread::sleep(from.left());
        let before = self.usage(scenario.roles)?;
        thread::sleep(to.left());
        let after = self.usage(scenario.roles)?;
        let seen: Seen = read(&self.consumers.line(ROLE_ANSWER)?)?;
        let [relay, load, publisher] =
            before.into_iter().zip(after).map(cost).collect::<Vec<_>>()[..]
        else {
            bail!("roles were lost");
        };
        self.consumers.stop()?;
        let fed = match (self.publisher, seen.fed) {
            (Some(role), _) => read(&role.finish()?)?,
            (None, Some(fed)) => fed,
            (None, None) if scenario.stored > 0 => Fed::default(),
            (None, None) => bail!("nobody published"),
        };
        let measured = Measured {
            seconds: scenario.seconds,
            relay,
            publisher,
            load,
            chunks_due: fed.chunks * scenario.consumers as u64,
            seen: seen.report,
            fed,
        };
        Ok((measured, seen.marks))
    }

    /// Of the relay, the load and the publisher.
    fn usage(&self, roles: Roles) -> anyhow::Result<[Usage; 3]> {
        if roles == Roles::Threads {
            return Ok([Usage::own()?, Usage::default(), Usage::default()]);
        }
        let publisher = self.publisher.as_ref().map(Role::usage).transpose()?;
        Ok([self.running.usage()?, self.consumers.usage()?, publisher.unwrap_or_default()])
    }
}

fn read<T: DeserializeOwned>(line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).with_context(|| format!("a role says {line:.80}"))
}

fn cost((before, after): (Usage, Usage)) -> Cost {
    Cost {
        cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
        rss_peak_bytes: after.rss_peak_bytes,
        context_switches: after.context_switches.saturating_sub(before.context_switches),
        threads: after.threads,
    }
}
