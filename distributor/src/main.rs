//! The `distributor` command: arguments, logging, signals. Nothing else.

use std::io::IsTerminal;

use anyhow::Context;
use freshet_distributor::{Config, ConfigError, Distributor};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = match Config::load(std::env::args_os()) {
        Ok(config) => config,
        // Prints what was asked for (`--help`), or what is wrong with it.
        Err(ConfigError::Argument(error)) => error.exit(),
        Err(error) => return Err(error.into()),
    };
    let filter = EnvFilter::try_new(&config.log).context("--log is no filter")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    let distributor = Distributor::bind(config).await?;
    info!(address = %distributor.address(), "listening");
    for (door, address) in distributor.doors() {
        info!(%door, %address, "door open");
    }

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let stop = async {
        let told = tokio::select! {
            _ = terminate.recv() => "terminated",
            _ = interrupt.recv() => "interrupted",
        };
        info!(told, "stopping");
        shutdown.cancel();
    };
    tokio::join!(distributor.run(shutdown.clone()), stop);
    info!("stopped");
    Ok(())
}
