//! The `origin` command: arguments, logging, signals; the work is in the library and in `command`.

mod args;
mod command;
mod progress;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

use crate::{args::Args, command::Stop, progress::Bar};

fn main() -> ExitCode {
    let args = Args::parse();
    let bar = Bar::new(args.quiet());
    bar.log();
    match run(args, &bar) {
        Ok(code) => code,
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(command::FAILED)
        }
    }
}

fn run(args: Args, bar: &Bar) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let stop = Stop::default();
        let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        let work = command::run(args, bar, &stop);
        tokio::pin!(work);
        for step in [&stop.asked, &stop.now] {
            tokio::select! {
                code = &mut work => return anyhow::Ok(code),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            step.cancel();
        }
        Ok(work.await)
    })?;
    // A read of standard input may block for ever: it is left alone, and ends with the process.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
