//! A player without a picture: counts the bytes and says how old they are when they come.

use std::time::Duration;

use freshet_consumer::{Fetch, FetchError, Manner, Policy};
use hdrhistogram::Histogram;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::limits;

/// What came, and how old it was.
#[derive(Clone, Debug)]
pub struct Tally {
    began: Instant,
    /// Bytes that came.
    pub bytes: u64,
    /// Age of the newest byte when it came; `None` before the first, and where the origin did not
    /// say when it was captured.
    pub newest: Option<Duration>,
    /// `None` only where a histogram of this range cannot be made.
    ages: Option<Histogram<u64>>,
    /// One past the newest byte.
    edge: u64,
}

impl Tally {
    fn new() -> Self {
        let ages = Histogram::new_with_bounds(1, limits::AGE_MICROS_MAX, 3).ok();
        Self { began: Instant::now(), bytes: 0, newest: None, ages, edge: 0 }
    }

    fn note(&mut self, end: u64, bytes: u64, age: Option<Duration>) {
        self.bytes = self.bytes.saturating_add(bytes);
        // What fills a hole is old by right; the age is the newest byte's.
        if end <= self.edge {
            return;
        }
        self.edge = end;
        self.newest = age;
        if let (Some(age), Some(ages)) = (age, &mut self.ages) {
            let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            ages.saturating_record(micros.max(1));
        }
    }

    /// The age below which the given part (0 to 1) of the newest bytes were when they came.
    #[must_use]
    pub fn age(&self, part: f64) -> Option<Duration> {
        let ages = self.ages.as_ref().filter(|ages| !ages.is_empty())?;
        Some(Duration::from_micros(ages.value_at_quantile(part)))
    }

    /// Bytes a second since it began.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.began.elapsed().as_secs_f64().max(f64::EPSILON)
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {:.0} bytes/s", self.bytes, self.rate())?;
        if let (Some(p50), Some(p99)) = (self.age(0.5), self.age(0.99)) {
            let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
            write!(f, ", age {p50:.2} ms (p50), {p99:.2} ms (p99)")?;
        }
        Ok(())
    }
}

/// Take the stream, and `report` what came about once a second and at the end.
///
/// # Errors
///
/// The stream cannot be taken.
pub async fn headless(
    fetch: Fetch,
    policy: Policy,
    shutdown: &CancellationToken,
    mut report: impl FnMut(&Tally),
) -> Result<Tally, FetchError> {
    let mut tally = Tally::new();
    let manner = Manner::Continuous(policy.backfill());
    let mut follow = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(tally),
        follow = fetch.open(manner, None) => follow?,
    };
    let mut due = interval(limits::REPORT);
    due.tick().await;
    loop {
        let next = follow.next();
        tokio::pin!(next);
        let piece = loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(tally),
                piece = &mut next => break piece?,
                _ = due.tick() => report(&tally),
            }
        };
        let Some(piece) = piece else { return Ok(tally) };
        tally.note(piece.end(), piece.bytes.len() as u64, piece.age());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_the_newest_bytes_and_not_that_of_what_fills_a_hole() {
        let mut tally = Tally::new();
        assert_eq!((tally.age(0.5), tally.newest), (None, None));
        tally.note(1000, 100, Some(Duration::from_millis(5)));
        tally.note(500, 100, Some(Duration::from_secs(60)));
        assert_eq!(tally.bytes, 200);
        assert_eq!(tally.newest, Some(Duration::from_millis(5)));
        assert!(tally.age(1.0).unwrap() < Duration::from_millis(6));
    }
}
