//! The `consumer` command: arguments, logging, signals. Nothing else.

use std::process::ExitCode;

use clap::Parser;
use freshet_consumer::Progress;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Args, Task},
    run::Status,
};

mod args;
mod run;
mod signals;

/// 128 and the signal's number, as a shell says it.
const TERMINATED: u8 = 143;

fn main() -> ExitCode {
    let task = match Args::parse().task() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("consumer: {error:#}");
            return (Status::Usage as u8).into();
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("consumer: cannot start: {error}");
            return (Status::Failed as u8).into();
        }
    };
    let code = runtime.block_on(command(task));
    // Not dropped: that would wait for a write to a pipe that nobody reads.
    runtime.shutdown_background();
    code
}

async fn command(task: Task) -> ExitCode {
    let mut progress = Progress::on_terminal();
    let aside = progress.aside();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || aside.clone()).init();

    let shutdown = CancellationToken::new();
    let running = run::run(task, &mut progress, &shutdown);
    let (outcome, terminated) = match signals::until(running, &shutdown).await {
        Ok(ended) => ended,
        Err(error) => (Err(error.into()), false),
    };
    progress.finish();
    let status = outcome.unwrap_or_else(|error| {
        eprintln!("consumer: {error:#}");
        run::hint(&error).into_iter().for_each(|hint| eprintln!("{hint}"));
        run::status_of(&error)
    });
    match status {
        Status::Interrupted if terminated => TERMINATED.into(),
        status => (status as u8).into(),
    }
}
