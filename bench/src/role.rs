//! Other processes of the bench: this same program, started again to be one thing only, so that what it
//! costs is measured alone.
//!
//! ```text
//!   bench ──stdin: lines, its end = stop──▶ bench role floor|fanout|distributor|publish|load
//!         ◀──stdout: lines── (an address, "ready", "joined", a report)
//!
//!   bench ──────────────▶ bench role guard ──▶ icecast2, nginx, varnishd
//! ```
//!
//! A role ends when its standard input does: however the bench dies, nothing of it is left. A program that
//! knows nothing of this has a guard, which does.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    desk,
    limits::{ROLE_ANSWER, ROLE_END, ROLE_LINES_MAX, SAMPLE_EVERY},
    roles::{self, Task},
    scenario::{Roles, Scenario},
    usage::Usage,
};

/// The words of a role without a program before them.
#[derive(Parser)]
struct Alone {
    #[command(subcommand)]
    task: Task,
}

/// A process of the bench, or a thread of this one. Dropped, it is ended.
#[derive(Debug)]
pub struct Role {
    name: String,
    body: Body,
    orders: Option<Tell>,
    lines: Receiver<String>,
}

#[derive(Debug)]
enum Body {
    /// A process, and the one that works: itself, or whom it guards.
    Process(Child, u32),
    Thread(Option<JoinHandle<anyhow::Result<()>>>),
}

#[derive(Debug)]
enum Tell {
    Input(ChildStdin),
    Channel(SyncSender<String>),
}

impl Role {
    /// Start this program again as the role `words`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(words: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(words, 0)
    }

    /// Likewise as the scenario has it: on its processors, or as a thread of this process.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_for(scenario: &Scenario, words: &[&str]) -> anyhow::Result<Self> {
        match scenario.roles {
            Roles::Processes => Self::start_on(words, scenario.cores),
            Roles::Threads => Self::start_here(words),
        }
    }

    fn start_here(words: &[&str]) -> anyhow::Result<Self> {
        let task = Alone::try_parse_from([&["role"], words].concat())?.task;
        let (orders, voice, tell, lines) = desk::channels();
        let name = (*words.first().unwrap_or(&"")).to_owned();
        let work = move || roles::run_here(task, orders, &voice);
        let thread = thread::Builder::new().name(name.clone()).spawn(work);
        let body = Body::Thread(Some(thread.context("no thread for a role")?));
        Ok(Self { name, body, orders: Some(Tell::Channel(tell)), lines })
    }

    /// Likewise, on the first `cores` processors only; 0: on all.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_on(words: &[&str], cores: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        command.arg("role").args(words);
        Self::spawn(words.first().unwrap_or(&""), command, cores)
    }

    /// Start another program under a guard; what it says goes into the file `log`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn guard(name: &str, log: &str, words: &[&str], cores: usize) -> anyhow::Result<Self> {
        let mut role = Self::start_on(&[&["guard", log, "--"], words].concat(), cores)?;
        name.clone_into(&mut role.name);
        let line = role.line(ROLE_ANSWER)?;
        let worker = line.parse().with_context(|| format!("{name} says {line:?}, no process"))?;
        if let Body::Process(_, works) = &mut role.body {
            *works = worker;
        }
        Ok(role)
    }

    fn spawn(name: &str, mut command: Command, cores: usize) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = on_cores(cores, || command.spawn());
        let mut child = started.with_context(|| format!("cannot start {command:?}"))?;
        let orders = child.stdin.take();
        let said = child.stdout.take().context("no output of a role")?;
        let (tell, lines) = mpsc::sync_channel(ROLE_LINES_MAX);
        thread::spawn(move || {
            // Ends with the role, or when nobody listens any more.
            let lines = BufReader::new(said).lines().map_while(Result::ok);
            lines.take_while(|line| tell.send(line.clone()).is_ok()).for_each(drop);
        });
        let (worker, orders) = (child.id(), orders.map(Tell::Input));
        Ok(Self { name: name.to_owned(), body: Body::Process(child, worker), orders, lines })
    }

    /// The next line that it says.
    ///
    /// # Errors
    ///
    /// It says nothing in time, or has ended.
    pub fn line(&self, within: Duration) -> anyhow::Result<String> {
        self.lines.recv_timeout(within).with_context(|| format!("{} says nothing", self.name))
    }

    /// The address that it says first.
    ///
    /// # Errors
    ///
    /// See [`Self::line`]; or it says something else.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        let line = self.line(ROLE_ANSWER)?;
        line.parse().with_context(|| format!("{} says {line:?}, no address", self.name))
    }

    /// Tell it a line.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().context("told to stop already")?;
        let told = match orders {
            Tell::Input(input) => writeln!(input, "{line}").map_err(anyhow::Error::from),
            Tell::Channel(tell) => tell.send(line.to_owned()).map_err(anyhow::Error::from),
        };
        told.with_context(|| format!("{} does not listen", self.name))
    }

    /// What it has cost so far; a thread's share of this process is not known.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        match &self.body {
            Body::Process(_, worker) => {
                Usage::of(*worker).with_context(|| format!("{} is gone", self.name))
            }
            Body::Thread(_) => Ok(Usage::default()),
        }
    }

    /// Has it ended?
    ///
    /// # Errors
    ///
    /// Nobody knows.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        match &mut self.body {
            Body::Process(child, _) => Ok(child.try_wait()?.is_some()),
            Body::Thread(thread) => Ok(thread.as_ref().is_none_or(JoinHandle::is_finished)),
        }
    }

    /// It has ended; how?
    fn end(&mut self) -> anyhow::Result<()> {
        match &mut self.body {
            Body::Process(child, _) => match child.wait()? {
                status if status.success() => Ok(()),
                status => bail!("{} ended with {status}", self.name),
            },
            Body::Thread(thread) => match thread.take().map(JoinHandle::join) {
                Some(Ok(ended)) => ended,
                _ => bail!("{} panicked", self.name),
            },
        }
    }

    /// Tell it to end, and take the last line that it says.
    ///
    /// # Errors
    ///
    /// It says nothing, or does not end well.
    pub fn finish(mut self) -> anyhow::Result<String> {
        self.orders = None;
        let line = self.line(ROLE_ANSWER)?;
        self.stop()?;
        Ok(line)
    }

    /// Let it end.
    ///
    /// # Errors
    ///
    /// It does not, in time, or not well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.orders = None;
        let looks = ROLE_END.as_millis() / SAMPLE_EVERY.as_millis();
        for _ in 0..looks {
            if self.has_ended()? {
                return self.end();
            }
            thread::sleep(SAMPLE_EVERY);
        }
        bail!("{} does not end", self.name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // A guard ends with its input, and whom it guards with it: killed, it would leave it alone.
        self.orders = None;
        if let Body::Process(child, worker) = &mut self.body {
            if *worker == child.id() {
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.kill();
            }
            let _ = child.wait();
        }
        // A thread ends with its orders, and this process with it in any case.
    }
}

/// Do it on the first `cores` processors, 0: on all, with whatever is started by it.
fn on_cores<T: Send>(cores: usize, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if cores == 0 {
        return work();
    }
    // Which processors a thread may use is its own, and what it starts has it from it.
    let restricted = || {
        let mut set = CpuSet::new();
        (0..cores.min(CpuSet::MAX_CPU)).for_each(|core| set.set(core));
        sched_setaffinity(None, &set)?;
        work()
    };
    thread::scope(|scope| scope.spawn(restricted).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
}
