//! What stands between a distributor and its consumers: a reverse proxy, with TLS or without.

use anyhow::Context;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{
    Running,
    peers::{CERTIFICATE, PROXY, TLS},
};
use crate::scenario::{Front, Scenario};

/// Put before `running` what the scenario wants there. What it costs is the relay's cost.
pub(super) fn put_before(mut running: Running, scenario: &Scenario) -> anyhow::Result<Running> {
    let behind = Some(running.consume.address);
    let front = match scenario.front {
        Front::None => return Ok(running),
        Front::Proxy => PROXY.start_before(scenario, behind, &[])?,
        Front::Tls => TLS.start_before(scenario, behind, &certificate()?)?,
    };
    running.consume = front.consume;
    running.servers.extend(front.servers);
    running.folders.extend(front.folders);
    Ok(running)
}

/// A certificate of this run, and the key to it.
fn certificate() -> anyhow::Result<[(&'static str, String); 2]> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).context("no certificate")?;
    let [certificate, key] = CERTIFICATE;
    Ok([(certificate, cert.pem()), (key, signing_key.serialize_pem())])
}
