//! The `bench` command: arguments, logging. Nothing else.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use clap::Parser;
use freshet_bench::{memory, report, roles, speed};
use serde::Serialize;

/// Runs the whole relay and measures it, on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
enum Command {
    /// CPU, memory and latency of the distributor beside a bare fan-out of the same bytes
    Speed(speed::Options),
    /// Does the distributor's memory grow with the length of a stream?
    Memory(memory::Options),
    /// One of the processes of the bench itself
    #[command(subcommand, hide = true)]
    Role(roles::Task),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Speed(options) => {
            say(&report::heading(&options))?;
            let tell = |pair: &_| say(&report::pair(pair, options.consumers));
            let figures = speed::run(&options, tell)?;
            say(&report::verdict(&figures, options.consumers))?;
            write(options.json.as_deref(), &figures)
        }
        Command::Memory(options) => {
            let figures = memory::run(&options)?;
            say(&report::memory(&figures))?;
            write(options.json.as_deref(), &figures)
        }
        Command::Role(task) => roles::run(task),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("nobody reads the figures")
}

fn write(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(figures)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
