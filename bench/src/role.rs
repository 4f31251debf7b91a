//! Other processes of the bench: this same program, started again to be one thing only, so that what it
//! costs is measured alone.
//!
//! ```text
//!   bench ──stdin: lines, its end = stop──▶ bench role fanout|distributor|load
//!         ◀──stdout: lines── (an address, CPU time, "joined", a report)
//! ```
//!
//! A role ends when its standard input does: however the bench dies, nothing of it is left.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    limits::{ROLE_ANSWER, ROLE_END, ROLE_LINES_MAX, SAMPLE_EVERY},
    usage::Usage,
};

/// Asks a server for its CPU time; it answers in nanoseconds.
pub(crate) const CPU: &str = "cpu";

/// A process of the bench. Dropped, it is killed.
#[derive(Debug)]
pub struct Role {
    name: String,
    child: Child,
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
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        command.arg("role").args(words);
        Self::spawn(words.first().copied().unwrap_or_default(), command)
    }

    fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let orders = child.stdin.take();
        let said = child.stdout.take().context("no output of a role")?;
        let (tell, lines) = mpsc::sync_channel(ROLE_LINES_MAX);
        thread::spawn(move || {
            // Ends with the role, or when nobody listens any more.
            let lines = BufReader::new(said).lines().map_while(Result::ok);
            lines.take_while(|line| tell.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Self { name: name.to_owned(), child, orders, lines })
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

    /// What it, a server, has cost so far. It says itself what it has of the processor, for `/proc`
    /// tells that in hundredths of a second only.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        self.tell(CPU)?;
        let said = self.line(ROLE_ANSWER)?;
        let nanos = said.parse().with_context(|| format!("{} says {said:?}", self.name))?;
        let usage = Usage::of(self.child.id());
        let usage = usage.with_context(|| format!("{} is gone", self.name))?;
        Ok(Usage { cpu: Duration::from_nanos(nanos), ..usage })
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
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
