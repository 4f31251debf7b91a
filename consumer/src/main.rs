//! The `consumer` command: arguments, logging, signals. Nothing else.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{args::Args, run::Status};

mod args;
mod console;
mod group;
mod orders;
mod prompt;
mod run;
mod signals;

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
    let code = runtime.block_on(run::command(task));
    // Not dropped: that would wait for a write to a pipe that nobody reads.
    runtime.shutdown_background();
    code
}
