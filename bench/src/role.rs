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
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    limits::{ROLE_ANSWER, ROLE_END, ROLE_LINES_MAX, SAMPLE_EVERY},
    usage::Usage,
};

/// A process of the bench. Dropped, it is killed.
#[derive(Debug)]
pub struct Role {
    name: String,
    child: Child,
    /// The process that works: the child, or whom it guards.
    worker: u32,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
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
        role.worker = line.parse().with_context(|| format!("{name} says {line:?}, no process"))?;
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
        let worker = child.id();
        Ok(Self { name: name.to_owned(), child, worker, orders, lines })
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
        writeln!(orders, "{line}").with_context(|| format!("{} does not listen", self.name))
    }

    /// What it has cost so far.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.worker).with_context(|| format!("{} is gone", self.name))
    }

    /// Has it ended?
    ///
    /// # Errors
    ///
    /// Nobody knows.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
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
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status}", self.name);
                }
                return Ok(());
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
        if self.worker == self.child.id() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
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
