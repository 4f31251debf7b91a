//! What a person sees while it runs: one line on a terminal, nothing anywhere else.

use std::{
    future::pending,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::{
    ages::Ages, assemble::Assembly, clock::ClockOffset, follow::Follow, limits, piece::Piece,
};

/// A line that says what is held, what is missing, how far behind, and how fast.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    redraw: Option<Interval>,
    standing: Standing,
    /// Received since the line was drawn.
    fresh_bytes: u64,
    rate: f64,
    ages: Ages,
    clock: Option<ClockOffset>,
    came: Instant,
    counted: Instant,
}

/// The numbers of a line, as of the newest piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    held: u64,
    total: Option<u64>,
    missing: u64,
    holes: usize,
    behind: u64,
}

impl Progress {
    /// On standard error, where that is a terminal. Needs a runtime around it.
    #[must_use]
    pub fn on_terminal() -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::new_spinner();
        // The template is a constant and valid; the default one is a fair substitute.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        let mut redraw = interval(limits::REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::of(bar, Some(redraw))
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self::of(ProgressBar::hidden(), None)
    }

    fn of(bar: ProgressBar, redraw: Option<Interval>) -> Self {
        let (standing, now) = (Standing::default(), Instant::now());
        let (rate, ages, clock) = (0.0, Ages::default(), None);
        Self { bar, redraw, standing, fresh_bytes: 0, rate, ages, clock, came: now, counted: now }
    }

    /// A writer for log lines, which go above the line.
    #[must_use]
    pub fn aside(&self) -> Aside {
        Aside(self.bar.clone())
    }

    /// A piece came.
    pub fn note(&mut self, piece: &Piece, follow: &Follow) {
        if self.redraw.is_none() {
            return;
        }
        let assembly = follow.assembly();
        self.fresh_bytes = self.fresh_bytes.saturating_add(piece.bytes.len() as u64);
        self.came = Instant::now();
        let is_due = self.counted.elapsed() >= limits::REDRAW;
        // Counting many runs takes longer than taking the piece did: then not for each.
        if assembly.runs() <= limits::RUNS_COUNTED || is_due {
            self.standing = Standing::of(assembly);
        }
        if is_due {
            (self.ages, self.clock) = (follow.ages().clone(), follow.clock());
            self.counted = self.came;
        }
    }

    /// Draws the line anew whenever it is time to; for ever pending where there is none. Cancel safe.
    pub async fn tick(&mut self) {
        let Some(redraw) = &mut self.redraw else { return pending().await };
        redraw.tick().await;
        let rate = self.fresh_bytes as f64 / limits::REDRAW.as_secs_f64();
        // Smoothed over about a second, or the number cannot be read.
        self.rate += (rate - self.rate) * 0.2;
        self.fresh_bytes = 0;
        self.bar.set_message(self.line());
        self.bar.tick();
    }

    fn line(&self) -> String {
        let mut line = self.standing.line(self.rate, &self.ages, self.came.elapsed());
        if let Some(clock) = self.clock {
            line += &format!(" · clock {clock}");
        }
        line
    }

    /// Take the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Standing {
    fn of(assembly: &Assembly) -> Self {
        let holes = assembly.holes();
        Self {
            held: assembly.held_bytes(),
            total: assembly.total(),
            missing: holes.bytes(),
            holes: holes.runs(),
            behind: assembly.edge() - assembly.held_end(),
        }
    }

    fn line(&self, rate: f64, ages: &Ages, silent: Duration) -> String {
        let total =
            self.total.map_or_else(String::new, |total| format!(" of {}", HumanBytes(total)));
        let missing = match self.holes {
            0 => "none missing".into(),
            1 => format!("{} missing in 1 hole", HumanBytes(self.missing)),
            holes => format!("{} missing in {holes} holes", HumanBytes(self.missing)),
        };
        let time = match ages.newest() {
            _ if silent > limits::SILENT_SHOWN => format!("silent for {} s", silent.as_secs()),
            Some(age) => format!("{:.0} ms old, {ages}", age.as_secs_f64() * 1e3),
            None => String::new(),
        };
        let time = if time.is_empty() { time } else { format!(", {time}") };
        // A rate is neither negative nor near 2^64.
        let rate = HumanBytes(rate as u64);
        let (held, behind) = (HumanBytes(self.held), HumanBytes(self.behind));
        format!("{held}{total} held · {missing} · {behind} behind live{time} · {rate}/s")
    }
}

/// Writes to standard error without tearing the line.
#[derive(Clone, Debug)]
pub struct Aside(ProgressBar);

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use freshet_protocol::ByteRange;

    use super::*;

    #[test]
    fn the_line_says_held_missing_behind_and_rate() {
        let mut assembly = Assembly::default();
        assembly.place(ByteRange::new(0, 1024).unwrap());
        assembly.learn("bytes 0-1023,3072-4095/8192".parse().unwrap(), 0).unwrap();
        let (standing, mut ages) = (Standing::of(&assembly), Ages::default());
        ages.note(Duration::from_millis(250));
        assert_eq!(
            standing.line(2048.0, &ages, Duration::ZERO),
            "1.00 KiB of 8.00 KiB held · 7.00 KiB missing in 1 hole · \
             3.00 KiB behind live, 250 ms old, 250.88 ms (p50), 250.88 ms (p99) · 2.00 KiB/s"
        );
        assert_eq!(
            Standing::default().line(0.0, &Ages::default(), Duration::from_secs(12)),
            "0 B held · none missing · 0 B behind live, silent for 12 s · 0 B/s"
        );
    }
}
