//! What this program does where it was started as one of the bench's own processes; see
//! [`Role`](crate::role::Role) for the other end.

use std::{
    ffi::OsString,
    io::{self, BufRead, Write},
    net::SocketAddr,
    thread,
};

use anyhow::Context;
use clap::Subcommand;
use freshet_distributor::{Config, Distributor};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Moment,
    fanout,
    load::{Load, Window},
    role::CPU,
};

/// Which of them. They listen on a free port of 127.0.0.1.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Relays and holds nothing; says its address.
    Fanout,
    /// A distributor with these settings; says its address.
    Distributor {
        /// As the `distributor` command takes them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        settings: Vec<OsString>,
    },
    /// Consumers of one stream; says `joined`, is told `FROM TO` (nanoseconds), and at the end says a
    /// report.
    Load {
        /// The server.
        address: SocketAddr,
        /// What is asked for.
        path: String,
        /// How many consumers.
        consumers: usize,
        /// In how many threads.
        threads: usize,
    },
}

/// Be it, until standard input ends.
///
/// # Errors
///
/// It cannot do its work.
pub fn run(task: Task) -> anyhow::Result<()> {
    raise_open_files()?;
    match task {
        Task::Fanout => Runtime::new()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            say(&listener.local_addr()?.to_string())?;
            fanout::serve(listener, &until_input_ends()).await;
            Ok(())
        }),
        Task::Distributor { settings } => Runtime::new()?.block_on(async {
            let given = ["distributor", "--listen", "127.0.0.1:0"].map(OsString::from);
            let config = Config::load(given.into_iter().chain(settings))?;
            let distributor = Distributor::bind(config).await?;
            say(&distributor.address().to_string())?;
            distributor.run(until_input_ends()).await;
            Ok(())
        }),
        Task::Load { address, path, consumers, threads } => {
            consume(&Load { address, path, consumers, threads })
        }
    }
}

fn consume(load: &Load) -> anyhow::Result<()> {
    let window = Window::default();
    let orders = window.clone();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Some((from, to)) = times(&line) {
                orders.open(from, to);
            }
        }
    });
    let report = load.run(&window, || {
        // Whoever started us may be gone; then the report has no reader either.
        let _ = say("joined");
    })?;
    say(&serde_json::to_string(&report)?)
}

fn times(line: &str) -> Option<(Moment, Moment)> {
    let (from, to) = line.split_once(' ')?;
    Some((Moment::from_nanos(from.parse().ok()?), Moment::from_nanos(to.parse().ok()?)))
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("nobody listens")
}

/// Cancelled when standard input ends; until then, whoever asks is told the CPU time.
fn until_input_ends() -> CancellationToken {
    let ended = CancellationToken::new();
    let tell = ended.clone();
    // On a thread that is left alone: nothing can wake a blocked read.
    thread::spawn(move || {
        let orders = io::stdin().lock().lines().map_while(Result::ok);
        // Whoever asked may be gone.
        let answers = orders.filter(|order| order == CPU).map(|_| say(&cpu_nanos().to_string()));
        answers.take_while(Result::is_ok).for_each(drop);
        tell.cancel();
    });
    ended
}

/// CPU time of all threads of this process, those that have ended included.
fn cpu_nanos() -> u128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u128::from(time.tv_sec.unsigned_abs()) * 1_000_000_000 + u128::from(time.tv_nsec.unsigned_abs())
}

/// A thousand sockets are more than most shells allow at first.
fn raise_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}
