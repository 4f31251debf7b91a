//! What a load of consumers saw, as it goes from the process that measured to the one that reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    ages::{Ages, Course},
    breakdown::stages::Arrival,
    chunk::Tally,
    limits::STALE,
};

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
    /// Chunks that came again.
    pub repeats: u64,
    /// Places where bytes were wrong.
    pub wrong: u64,
    /// Whole chunks received that were due in the measured time.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, those that were older than a second when they came.
    pub stale_bytes: u64,
    /// From when those chunks were due to their last byte.
    pub ages: Ages,
    /// The same over time.
    pub course: Course,
    /// What slow consumers among them came to.
    pub slow: Slow,
    /// Where it is traced: which chunk came when, to whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<Arrival>,
}

/// Consumers that take less than there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// Those that got a reply.
    pub consumers: u64,
    /// Those that were cut, or refused.
    pub cut: u64,
    /// Chunks that they were not given.
    pub gaps: u64,
    /// Places where bytes were wrong.
    pub wrong: u64,
}

impl Report {
    /// A whole chunk came: due so long after the measured time began, and so old.
    pub fn chunk(&mut self, bytes: usize, at: Duration, age: Duration) {
        self.chunks += 1;
        self.bytes += bytes as u64;
        if age > STALE {
            self.stale_bytes += bytes as u64;
        }
        self.ages.record(age);
        self.course.record(at + age, age);
    }

    /// A consumer is done; `cut` says why, if too early.
    pub fn left(&mut self, tally: Tally, cut: Option<&anyhow::Error>) {
        self.gaps += tally.gaps;
        self.repeats += tally.repeats;
        self.wrong += tally.wrong;
        if let Some(why) = cut {
            self.cut += 1;
            self.why.get_or_insert_with(|| format!("{why:#}"));
        }
    }

    /// Add what others saw.
    pub fn add(&mut self, other: Self) {
        self.consumers += other.consumers;
        self.cut += other.cut;
        self.why = self.why.take().or(other.why);
        self.gaps += other.gaps;
        self.repeats += other.repeats;
        self.wrong += other.wrong;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.stale_bytes += other.stale_bytes;
        self.ages.add(&other.ages);
        self.course.add(&other.course);
        self.arrivals.extend(other.arrivals);
        self.slow.consumers += other.slow.consumers;
        self.slow.cut += other.slow.cut;
        self.slow.gaps += other.slow.gaps;
        self.slow.wrong += other.slow.wrong;
    }
}
