//! What a load of consumers saw, as it goes from the process that measured to the one that reports.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{chunk::Tally, limits::LATENCY_MAX};

/// What all consumers together saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Consumers that got a reply.
    pub consumers: u64,
    /// Those whose stream broke off, or was refused, before it ended.
    pub cut: u64,
    /// Why the first of them was.
    pub why: Option<String>,
    /// Chunks that were missing between others.
    pub gaps: u64,
    /// Places where bytes were wrong.
    pub wrong: u64,
    /// Whole chunks received that were due in the measured time.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From when those chunks were due to their last byte.
    pub latency: Latency,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: u64,
    /// One in a hundred was slower.
    pub p99_us: u64,
    /// One in a thousand was slower.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// Adds up what was seen, by one consumer or by many.
#[derive(Debug)]
pub struct Record {
    report: Report,
    latency: Histogram<u64>,
}

impl Record {
    /// Nothing seen yet.
    ///
    /// # Errors
    ///
    /// None in truth: the bounds of the histogram are constants.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { report: Report::default(), latency: histogram()? })
    }

    /// A whole chunk came, so long after it was due.
    pub fn chunk(&mut self, bytes: usize, age: Duration) {
        self.report.chunks += 1;
        self.report.bytes += bytes as u64;
        self.latency.saturating_record(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
    }

    /// A consumer has begun.
    pub const fn joined(&mut self) {
        self.report.consumers += 1;
    }

    /// A consumer is done; `cut` says why, if too early.
    pub fn left(&mut self, tally: Tally, cut: Option<&anyhow::Error>) {
        self.report.gaps += tally.gaps;
        self.report.wrong += tally.wrong;
        if let Some(why) = cut {
            self.report.cut += 1;
            self.report.why.get_or_insert_with(|| format!("{why:#}"));
        }
    }

    /// Add what another one saw.
    ///
    /// # Errors
    ///
    /// None in truth: all histograms have the same bounds.
    pub fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency).context("adding histograms")?;
        let (ours, theirs) = (&mut self.report, other.report);
        ours.consumers += theirs.consumers;
        ours.cut += theirs.cut;
        ours.why = ours.why.take().or(theirs.why);
        ours.gaps += theirs.gaps;
        ours.wrong += theirs.wrong;
        ours.chunks += theirs.chunks;
        ours.bytes += theirs.bytes;
        Ok(())
    }

    /// The whole.
    #[must_use]
    pub fn report(self) -> Report {
        Report { latency: latency(&self.latency), ..self.report }
    }
}

/// A histogram of microseconds.
///
/// # Errors
///
/// None in truth: its bounds are constants.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    // With an upper bound: a value above it counts as it, where one without would be wrong in silence.
    let highest = u64::try_from(LATENCY_MAX.as_micros())?;
    Histogram::new_with_max(highest, 3).context("bounds of the histogram")
}

/// The figures of a histogram of microseconds.
#[must_use]
pub fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency {
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}
