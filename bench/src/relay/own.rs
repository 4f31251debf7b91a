//! The relays that are part of this program: the floor, the bare fan-out, and our distributors, one or
//! several behind one another.

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

use super::{
    PATH, Running,
    peer::{free_ports, until_it_listens},
};
use crate::{
    limits::SPARE_CONNECTIONS,
    role::Role,
    scenario::{Publish, Scenario},
    target::{Scheme, Target},
};

/// Which distributor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Own<'a> {
    /// This program.
    Role,
    /// This program, and it tells the way of what it delivers.
    Traced,
    /// The one there.
    Program(&'a Path),
}

/// The floor, in so many threads.
pub(super) fn floor(threads: usize, scenario: &Scenario) -> anyhow::Result<Running> {
    single(Scheme::Tcp, Role::start_on(&["floor", &threads.to_string()], scenario.cores)?)
}

/// The floor in two threads, and another that writes.
pub(super) fn floor_with_copy(scenario: &Scenario) -> anyhow::Result<Running> {
    let folder = TempDir::new().context("no folder for the disk copy")?;
    let path = folder.path().to_str().context("the folder's name is no text")?;
    let role = Role::start_on(&["floor", "2", "--copy", path], scenario.cores)?;
    let mut running = single(Scheme::Tcp, role)?;
    running.folders.push(folder);
    Ok(running)
}

/// hyper and a broadcast.
pub(super) fn fanout(scenario: &Scenario) -> anyhow::Result<Running> {
    single(Scheme::Http, Role::start_for(scenario, &["fanout"])?)
}

/// Published to and consumed from at one address.
fn single(scheme: Scheme, role: Role) -> anyhow::Result<Running> {
    let place = Target::new(scheme, role.address()?, PATH);
    Ok(Running { publish: place.clone(), consume: place, servers: vec![role], folders: Vec::new() })
}

/// As many distributors as there are hops, each with a disk copy of its own; the stream goes into the
/// first and comes out of the last.
pub(super) fn distributors(scenario: &Scenario, own: Own<'_>) -> anyhow::Result<Running> {
    let mut running = distributor(scenario, own, None)?;
    running.publish.scheme = match scenario.publish {
        Publish::Body => Scheme::Http,
        Publish::Posts => Scheme::Posts,
        Publish::Each => Scheme::Each,
    };
    for _ in 1..scenario.hops {
        let next = distributor(scenario, own, Some(&running.consume))?;
        running.consume = next.consume;
        running.servers.extend(next.servers);
        running.folders.extend(next.folders);
    }
    Ok(running)
}

fn distributor(
    scenario: &Scenario,
    own: Own<'_>,
    upstream: Option<&Target>,
) -> anyhow::Result<Running> {
    let folder = TempDir::new().context("no folder for the disk copy")?;
    let settings = settings(scenario, &folder, upstream)?;
    let words: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut running = match own {
        Own::Role => {
            let words = [&["distributor"], &words[..]].concat();
            single(Scheme::Http, Role::start_for(scenario, &words)?)?
        }
        Own::Traced => {
            let words = [&["distributor", "--traced"], &words[..]].concat();
            single(Scheme::Http, Role::start_on(&words, scenario.cores)?)?
        }
        Own::Program(program) => {
            let (address, _) = free_ports()?;
            let program = program.to_str().context("its path is no text")?;
            let listen = address.to_string();
            let words = [&[program, "--listen", &listen], &words[..]].concat();
            let log = folder.path().with_extension("log");
            let log = log.to_str().context("the folder's name is no text")?;
            let mut role = Role::guard("distributor", log, &words, scenario.cores)?;
            until_it_listens(&mut role, address)?;
            let place = Target::new(Scheme::Http, address, PATH);
            let (publish, consume) = (place.clone(), place);
            Running { publish, consume, servers: vec![role], folders: Vec::new() }
        }
    };
    running.folders.push(folder);
    Ok(running)
}

/// Its settings: the defaults, but for what the scenario says and what its size needs.
fn settings(
    scenario: &Scenario,
    folder: &TempDir,
    upstream: Option<&Target>,
) -> anyhow::Result<Vec<String>> {
    let data = folder.path().to_str().context("the folder's name is no text")?;
    let connections = scenario.streams * (scenario.consumers + 1) + SPARE_CONNECTIONS;
    let streams = scenario.streams + 1;
    let given = [
        scenario.disk.then(|| ("--data", data.to_owned())),
        scenario.ring.clone().map(|ring| ("--ring-bytes", ring)),
        scenario.durability.clone().map(|which| ("--durability", which)),
        upstream.map(|place| ("--upstream", format!("http://{}", place.address))),
        Some(("--connections", connections.max(10_000).to_string())),
        Some(("--streams-max", streams.max(1_000).to_string())),
    ];
    let given = given.into_iter().flatten();
    Ok(given.flat_map(|(name, value)| [name.to_owned(), value]).collect())
}
