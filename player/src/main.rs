//! The `player` command: arguments, logging. Nothing else.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Args;

mod args;
mod run;

/// What is logged unless somebody asks for more: the window's own doubts about a display are of no use.
const LOGGED: &str = "warn,winit=error";

fn main() -> ExitCode {
    let task = match Args::parse().task() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("player: {error:#}");
            return run::USAGE.into();
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.without_time().with_target(false).with_ansi(io::stderr().is_terminal()).init();
    match run::run(task) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("player: {error:#}");
            run::status_of(&error).into()
        }
    }
}
