//! What a stream flows through: our distributor, whatever it is measured against, or anything at a URL.
//!
//! A relay that runs is no more than two places, one to publish to and one to consume from, and the
//! processes that it costs.

mod front;
mod own;
mod peer;
mod peers;

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use anyhow::{Context, bail};
use tempfile::TempDir;

use self::{own::Own, peer::Peer};
use crate::{
    document::version_of,
    limits::VARNISH_CONSUMERS_MAX,
    role::Role,
    scenario::{Delivery, Front, Publish, Roles, Scenario},
    target::Target,
    usage::Usage,
};

/// Which relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Raw TCP, in so many threads: the kernel's price.
    Floor(usize),
    /// The same in two threads, and a disk copy of what it relays.
    FloorDisk,
    /// hyper and nothing else.
    Fanout,
    /// Ours.
    Distributor,
    /// Another `distributor` program.
    Program {
        /// What it is called in the tables.
        name: String,
        /// Where it is.
        path: PathBuf,
    },
    /// Icecast.
    Icecast,
    /// nginx with nchan.
    Nchan,
    /// Varnish over one stream.
    Varnish,
    /// nginx with a file.
    Static,
    /// Somebody else's, which runs already.
    Peer {
        /// What it is called in the tables.
        name: String,
        /// Where streams are published.
        publish: Target,
        /// Where they are consumed.
        consume: Target,
    },
}

/// A relay that runs. Dropped, it is gone.
#[derive(Debug)]
pub struct Running {
    /// Where streams are published.
    pub publish: Target,
    /// Where they are consumed.
    pub consume: Target,
    servers: Vec<Role>,
    folders: Vec<TempDir>,
}

/// The path of the stream that is measured.
const PATH: &str = "/live/bench";

impl Relay {
    /// All that the bench can start itself, the floor first.
    #[must_use]
    pub fn known() -> Vec<Self> {
        use Relay::{Distributor, Fanout, Floor, FloorDisk, Icecast, Nchan, Static, Varnish};
        vec![Floor(2), Floor(1), FloorDisk, Distributor, Fanout, Nchan, Icecast, Varnish, Static]
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Floor(1) => "floor-1",
            Self::Floor(_) => "floor",
            Self::FloorDisk => "floor-disk",
            Self::Fanout => "hyper",
            Self::Distributor => "freshet",
            Self::Icecast => "icecast",
            Self::Nchan => "nchan",
            Self::Varnish => "varnish",
            Self::Static => "nginx",
            Self::Peer { name, .. } | Self::Program { name, .. } => name,
        }
    }

    /// Its version, where it has one of its own.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        match self {
            Self::Distributor => Some(format!("distributor {}", env!("CARGO_PKG_VERSION"))),
            Self::Floor(_) | Self::FloorDisk | Self::Fanout | Self::Peer { .. } => None,
            Self::Program { path, .. } => version_of(path.to_str()?, "--version"),
            Self::Icecast | Self::Nchan | Self::Varnish | Self::Static => {
                let program = self.program()?.find().ok()?;
                let argument = if *self == Self::Varnish { "-V" } else { "-v" };
                version_of(program.to_str()?, argument)
            }
        }
    }

    /// What has to be installed for it.
    const fn program(&self) -> Option<&'static Peer> {
        match self {
            Self::Icecast => Some(&peers::ICECAST),
            Self::Nchan => Some(&peers::NCHAN),
            Self::Varnish => Some(&peers::VARNISH),
            Self::Static => Some(&peers::STATIC),
            Self::Floor(_)
            | Self::FloorDisk
            | Self::Fanout
            | Self::Distributor
            | Self::Program { .. }
            | Self::Peer { .. } => None,
        }
    }

    /// What is not there that it needs.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.program()?.find().err()
    }

    /// Can it do what the scenario asks for?
    #[must_use]
    pub fn suits(&self, scenario: &Scenario) -> bool {
        // What ends and is kept, only we do, and whoever has a file of it.
        if scenario.stored > 0 || *self == Self::Static {
            let keeps = [Self::Static, Self::Distributor].contains(self);
            return scenario.stored > 0 && (keeps || matches!(self, Self::Program { .. }));
        }
        if scenario.roles == Roles::Threads
            && !matches!(self, Self::Distributor | Self::Fanout | Self::Peer { .. })
        {
            return false;
        }
        // What comes slower costs a copy nothing that could be seen here.
        if *self == Self::FloorDisk {
            return scenario.peak && scenario.disk && scenario.hops == 1;
        }
        // Varnish has a thread for each consumer, and comes for one stream.
        let is_plain = scenario.delivery == Delivery::Plain && scenario.front == Front::None;
        if scenario.publish != Publish::Body || !is_plain {
            return matches!(self, Self::Distributor | Self::Program { .. });
        }
        let too_many = scenario.consumers > VARNISH_CONSUMERS_MAX || scenario.streams > 1;
        match self {
            Self::Distributor | Self::Program { .. } => true,
            Self::Varnish => scenario.hops == 1 && !too_many,
            _ => scenario.hops == 1,
        }
    }

    /// Start it as the scenario wants it.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(&self, scenario: &Scenario) -> anyhow::Result<Running> {
        let started = match self {
            Self::Floor(threads) => own::floor(*threads, scenario),
            Self::FloorDisk => own::floor_with_copy(scenario),
            Self::Fanout => own::fanout(scenario),
            Self::Distributor => own::distributors(scenario, Own::Role)
                .and_then(|running| front::put_before(running, scenario)),
            Self::Program { path, .. } => own::distributors(scenario, Own::Program(path))
                .and_then(|running| front::put_before(running, scenario)),
            Self::Icecast => peers::ICECAST.start(scenario),
            Self::Nchan => peers::NCHAN.start(scenario),
            Self::Varnish => peers::VARNISH.start(scenario),
            Self::Static => peers::STATIC.start(scenario),
            Self::Peer { publish, consume, .. } => Ok(Running {
                publish: publish.clone(),
                consume: consume.clone(),
                servers: Vec::new(),
                folders: Vec::new(),
            }),
        };
        started.with_context(|| format!("cannot start {}", self.name()))
    }
}

impl FromStr for Relay {
    type Err = anyhow::Error;

    /// A name, or `NAME=PUBLISH_URL,CONSUME_URL`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some((name, urls)) = text.split_once('=') else {
            let known = Self::known();
            let names = known.iter().map(Self::name).collect::<Vec<_>>().join(", ");
            let found = known.iter().find(|relay| relay.name() == text).cloned();
            return found.with_context(|| format!("{text:?} is no relay: {names} are known"));
        };
        let Some((publish, consume)) = urls.split_once(',') else {
            bail!("{text:?}: NAME=PUBLISH_URL,CONSUME_URL is wanted");
        };
        let (publish, consume) = (publish.parse()?, consume.parse()?);
        Ok(Self::Peer { name: name.to_owned(), publish, consume })
    }
}

impl Running {
    /// What all its processes have cost so far; nothing where it runs elsewhere.
    ///
    /// # Errors
    ///
    /// One of them is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        self.servers.iter().try_fold(Usage::default(), |sum, role| Ok(sum.and(role.usage()?)))
    }

    /// Let the one that it is end; the last line that it says.
    ///
    /// # Errors
    ///
    /// It does not end well, or says nothing.
    pub fn finish(mut self) -> anyhow::Result<String> {
        let said = self.servers.pop().context("there is none")?.finish()?;
        self.stop()?;
        Ok(said)
    }

    /// Let it end, who consumes before who is consumed from.
    ///
    /// # Errors
    ///
    /// It does not end well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        while let Some(role) = self.servers.pop() {
            role.stop()?;
        }
        self.folders.clear();
        Ok(())
    }
}

/// Our distributor, telling the way of what it delivers when it [finishes](Running::finish).
///
/// # Errors
///
/// It does not start.
pub fn traced(scenario: &Scenario) -> anyhow::Result<Running> {
    if scenario.front != Front::None {
        bail!("front: the way of a chunk is not told by what stands before a distributor");
    }
    own::distributors(scenario, Own::Traced).context("cannot start a distributor")
}

/// The versions of those that have one.
#[must_use]
pub fn versions(relays: &[Relay]) -> BTreeMap<String, String> {
    let version = |relay: &Relay| Some((relay.name().to_owned(), relay.version()?));
    relays.iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_known_by_their_names() {
        for relay in Relay::known() {
            assert_eq!(relay.name().parse::<Relay>().unwrap(), relay);
        }
        let told = format!("{:#}", "flor".parse::<Relay>().unwrap_err());
        assert!(told.contains("floor-1"), "{told}");
    }

    #[test]
    fn a_peer_is_two_urls() {
        let text = "mine=tcp://127.0.0.1:1/a,http://127.0.0.1:2/b";
        let Relay::Peer { name, publish, consume } = text.parse().unwrap() else { panic!() };
        assert_eq!(
            (name.as_str(), publish.path.as_str(), consume.path.as_str()),
            ("mine", "/a", "/b")
        );
        assert!("mine=tcp://127.0.0.1:1/a".parse::<Relay>().is_err());
    }
}
