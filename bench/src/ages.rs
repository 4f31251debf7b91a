//! How old things were: an HDR histogram of microseconds, as it goes into files and from process to process.
//!
//! In JSON it is the text form that all HdrHistogram tools read (V2, deflated, base64), so that what was
//! measured in many processes and many runs can be added up without loss.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize};

use crate::limits::LATENCY_MAX;

/// A histogram of times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ages(Histogram<u64>);

/// The figures that are told of it, in microseconds.
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

impl Default for Ages {
    fn default() -> Self {
        // With an upper bound: a value above it counts as it, where one without would be wrong in silence.
        let highest = LATENCY_MAX.as_micros() as u64;
        let new = Histogram::new_with_max(highest, 3);
        Self(new.unwrap_or_else(|_| unreachable!("the bounds are constants, and sound")))
    }
}

impl Ages {
    /// One more, so old.
    pub fn record(&mut self, age: Duration) {
        self.0.saturating_record(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
    }

    /// All of another one.
    pub fn add(&mut self, other: &Self) {
        // All have the same bounds, those from files too: whatever is read goes through `default`.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    /// Forget all.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// So much of them, 0 to 1, were not older; in microseconds.
    #[must_use]
    pub fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The mean, in microseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// What is told of them.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let (p50_us, p99_us, p999_us) = (self.at(0.5), self.at(0.99), self.at(0.999));
        Latency { p50_us, p99_us, p999_us, max_us: self.0.max() }
    }

    /// The histogram itself.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl TryFrom<String> for Ages {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let bytes = STANDARD.decode(text).context("a histogram is no base64")?;
        let read = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice());
        let mut ages = Self::default();
        ages.0.add(read.context("no histogram")?).context("a histogram with other bounds")?;
        Ok(ages)
    }
}

impl From<Ages> for String {
    fn from(ages: Ages) -> Self {
        let mut bytes = Vec::new();
        // Into memory, and of a size that is known to fit.
        let written = V2DeflateSerializer::new().serialize(&ages.0, &mut bytes);
        debug_assert!(written.is_ok());
        STANDARD.encode(bytes)
    }
}

/// How old things were over time: for each tenth of a second, those that came in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course(BTreeMap<u32, Tenth>);

/// A tenth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenth {
    /// How many came.
    pub count: u64,
    /// Their ages together.
    pub sum_us: u64,
    /// The oldest.
    pub max_us: u64,
}

impl Course {
    /// One came so long after the beginning, so old.
    pub fn record(&mut self, at: Duration, age: Duration) {
        let tenth = u32::try_from(at.as_millis() / 100).unwrap_or(u32::MAX);
        let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        self.add_at(tenth, Tenth { count: 1, sum_us: age_us, max_us: age_us });
    }

    /// All of another one.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(at, tenth)| self.add_at(*at, *tenth));
    }

    fn add_at(&mut self, at: u32, tenth: Tenth) {
        let ours = self.0.entry(at).or_default();
        ours.count += tenth.count;
        ours.sum_us = ours.sum_us.saturating_add(tenth.sum_us);
        ours.max_us = ours.max_us.max(tenth.max_us);
    }

    /// Seconds since the beginning, and what came in the tenth of a second that begins there.
    pub fn tenths(&self) -> impl Iterator<Item = (f64, Tenth)> {
        self.0.iter().map(|(at, tenth)| (f64::from(*at) / 10.0, *tenth))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ages(micros: &[u64]) -> Ages {
        let mut ages = Ages::default();
        micros.iter().for_each(|age| ages.record(Duration::from_micros(*age)));
        ages
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_adds_up(
            left in prop::collection::vec(0..100_000_000u64, 0..50),
            right in prop::collection::vec(0..100_000_000u64, 0..50),
        ) {
            let mut sum = Ages::try_from(String::from(ages(&left))).unwrap();
            sum.add(&ages(&right));
            prop_assert_eq!(sum, ages(&[left, right].concat()));
        }
    }

    #[test]
    fn what_is_older_than_can_be_told_counts_as_the_oldest() {
        let latency = ages(&[1, 10 * LATENCY_MAX.as_micros() as u64]).latency();
        assert!(latency.max_us >= LATENCY_MAX.as_micros() as u64);
        assert_eq!(latency.p50_us, 1);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["", "!", "AAAA"] {
            assert!(Ages::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_over_time_add_up_tenth_by_tenth() {
        let (mut one, mut other) = (Course::default(), Course::default());
        one.record(Duration::from_millis(40), Duration::from_micros(7));
        other.record(Duration::from_millis(99), Duration::from_micros(9));
        other.record(Duration::from_millis(100), Duration::from_micros(1));
        one.add(&other);
        let tenth = |count, sum_us, max_us| Tenth { count, sum_us, max_us };
        let all: Vec<_> = one.tenths().collect();
        assert_eq!(all, [(0.0, tenth(2, 16, 9)), (0.1, tenth(1, 1, 1))]);
    }
}
