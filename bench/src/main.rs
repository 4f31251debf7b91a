//! The `bench` command: arguments, logging. Nothing else.

use clap::Parser;
use freshet_bench::{
    breakdown::{self, marks::log},
    compare, crowd, demo, glass, memory, model, report, roles, run, screen, versus,
};

/// Runs the whole relay and measures it, on this machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
enum Command {
    /// The whole chain in one process, live, with its latency and rate
    Demo(demo::Options),
    /// The same streams through the distributor and through others, round by round
    Versus(versus::Options),
    /// Scenarios through the distributor, or through one other relay
    Run(run::Options),
    /// The scenarios that are built in: what they ask
    List,
    /// One scenario again and again, with other values of its settings
    Sweep(run::SweepOptions),
    /// Are two distributors different, or is it the machine?
    Compare(compare::Options),
    /// Where does a chunk's time go?
    Breakdown(breakdown::Options),
    /// How old is the picture that a person sees, in each player?
    Glass(glass::Options),
    /// Figures as one page of HTML with plots
    Report(report::Options),
    /// How many distributors in how many tiers serve how many viewers?
    Model(model::Options),
    /// Does the distributor's memory grow with the length of a stream?
    Memory(memory::Options),
    /// How long consumers wait for their first bytes who join one live stream within a second
    Joins(crowd::joins::Options),
    /// Do consumers that stop reading delay the others?
    Stalled(crowd::stalled::Options),
    /// One of the processes of the bench itself
    #[command(subcommand, hide = true)]
    Role(roles::Task),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    if !matches!(command, Command::Role(_)) {
        log(None);
    }
    match command {
        Command::Demo(options) => screen::demo(&options),
        Command::Versus(options) => screen::versus(&options),
        Command::Run(options) => screen::run(&options),
        Command::List => screen::list(),
        Command::Sweep(options) => screen::sweep(&options),
        Command::Compare(options) => screen::compare(&options),
        Command::Breakdown(options) => screen::breakdown(&options),
        Command::Glass(options) => screen::glass(&options),
        Command::Report(options) => screen::report(&options),
        Command::Model(options) => screen::model(&options),
        Command::Memory(options) => screen::memory(&options),
        Command::Joins(options) => screen::joins(&options),
        Command::Stalled(options) => screen::stalled(&options),
        Command::Role(task) => roles::run(task),
    }
}
