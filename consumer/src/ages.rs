//! How old the newest byte was, each time that there was a newer one.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;

use crate::limits::AGE_MICROS_MAX;

/// Ages, counted to two digits.
#[derive(Clone, Debug)]
pub struct Ages {
    /// `None` only where a histogram of this range cannot be made.
    histogram: Option<Histogram<u64>>,
    newest: Option<Duration>,
}

impl Default for Ages {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, AGE_MICROS_MAX, 2).ok();
        Self { histogram, newest: None }
    }
}

impl Ages {
    pub(crate) fn note(&mut self, age: Duration) {
        self.newest = Some(age);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(age.as_micros()).unwrap_or(u64::MAX).max(1));
        }
    }

    /// How often there was a newer byte whose age is known.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The age of the newest byte when it came.
    #[must_use]
    pub const fn newest(&self) -> Option<Duration> {
        self.newest
    }

    /// The age that the given part (0 to 1) of them did not exceed.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(histogram.value_at_quantile(part)))
    }
}

impl fmt::Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(p50), Some(p99)) = (self.quantile(0.5), self.quantile(0.99)) else {
            return f.write_str("not known");
        };
        let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
        write!(f, "{p50:.2} ms (p50), {p99:.2} ms (p99)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_two_digits() {
        let mut ages = Ages::default();
        assert_eq!((ages.to_string().as_str(), ages.count()), ("not known", 0));
        (1..=100).for_each(|ms| ages.note(Duration::from_millis(ms)));
        let (p50, p99) = (ages.quantile(0.5).unwrap(), ages.quantile(0.99).unwrap());
        assert!((49..=51).contains(&p50.as_millis()), "{p50:?}");
        assert!((97..=101).contains(&p99.as_millis()), "{p99:?}");
        assert_eq!((ages.count(), ages.newest()), (100, Some(Duration::from_millis(100))));
        ages.note(Duration::from_secs(1 << 40));
        assert!(ages.quantile(1.0).unwrap() >= Duration::from_secs(3600));
    }
}
