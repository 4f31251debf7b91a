//! What a person sees while it runs: one line on a terminal, nothing anywhere else.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::{assemble::Assembly, limits, piece::Piece};

/// A line that says what is held, what is missing, how far behind, and how fast.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    drawn: Option<Instant>,
    /// Received since the line was drawn.
    fresh_bytes: u64,
    rate: f64,
    age: Option<Duration>,
}

impl Progress {
    /// On standard error, where that is a terminal.
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
        bar.enable_steady_tick(limits::REDRAW);
        Self::of(bar)
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self::of(ProgressBar::hidden())
    }

    const fn of(bar: ProgressBar) -> Self {
        Self { bar, drawn: None, fresh_bytes: 0, rate: 0.0, age: None }
    }

    /// A writer for log lines, which go above the line.
    #[must_use]
    pub fn aside(&self) -> Aside {
        Aside(self.bar.clone())
    }

    /// A piece came.
    pub fn note(&mut self, piece: &Piece, assembly: &Assembly) {
        self.fresh_bytes = self.fresh_bytes.saturating_add(piece.bytes.len() as u64);
        if piece.end() == assembly.edge() {
            self.age = piece.age();
        }
        let now = Instant::now();
        let since = self.drawn.map(|drawn| now - drawn);
        if self.bar.is_hidden() || since.is_some_and(|since| since < limits::REDRAW) {
            return;
        }
        if let Some(since) = since {
            let rate = self.fresh_bytes as f64 / since.as_secs_f64();
            // Smoothed over about a second, or the number cannot be read.
            self.rate += (rate - self.rate) * 0.2;
        }
        (self.drawn, self.fresh_bytes) = (Some(now), 0);
        self.bar.set_message(line(assembly, self.rate, self.age));
    }

    /// Take the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(assembly: &Assembly, rate: f64, age: Option<Duration>) -> String {
    let holes = assembly.holes();
    let total =
        assembly.total().map_or_else(String::new, |total| format!(" of {}", HumanBytes(total)));
    let missing = match holes.runs() {
        0 => "none missing".into(),
        runs => format!("{} missing in {runs} holes", HumanBytes(holes.bytes())),
    };
    let behind = assembly.edge() - assembly.held_end();
    let age = age.map_or_else(String::new, |age| format!(", {:.2} s old", age.as_secs_f64()));
    format!(
        "{}{total} held · {missing} · {} behind live{age} · {}/s",
        HumanBytes(assembly.held_bytes()),
        HumanBytes(behind),
        // A rate is neither negative nor near 2^64.
        HumanBytes(rate as u64),
    )
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
        assert_eq!(
            line(&assembly, 2048.0, Some(Duration::from_millis(250))),
            "1.00 KiB of 8.00 KiB held · 7.00 KiB missing in 1 holes · \
             3.00 KiB behind live, 0.25 s old · 2.00 KiB/s"
        );
    }
}
