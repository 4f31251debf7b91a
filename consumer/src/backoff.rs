//! How long to pause before the next attempt: twice as long each time, with jitter, from the start
//! again once bytes have come.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::limits;

/// Pauses in a row.
#[derive(Debug)]
pub(crate) struct Pauses {
    row: ExponentialBackoff,
}

impl Pauses {
    pub(crate) fn new() -> Self {
        Self { row: row() }
    }

    /// Things go well: the next pause is a short one.
    pub(crate) fn reset(&mut self) {
        self.row = row();
    }

    /// The next pause; at least `least`, but never longer than the longest.
    pub(crate) fn next(&mut self, least: Option<Duration>) -> Duration {
        let pause = self.row.next().unwrap_or(limits::BACKOFF_MAX);
        pause.max(least.unwrap_or_default()).min(limits::BACKOFF_MAX)
    }
}

fn row() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(limits::BACKOFF_MIN)
        .with_max_delay(limits::BACKOFF_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_short_again() {
        let mut pauses = Pauses::new();
        assert!(pauses.next(None) <= limits::BACKOFF_MIN * 2);
        let late = (0..100).map(|_| pauses.next(None)).last().unwrap();
        assert_eq!(late, limits::BACKOFF_MAX);
        pauses.reset();
        assert!(pauses.next(None) <= limits::BACKOFF_MIN * 2);
        assert!(pauses.next(Some(Duration::from_secs(2))) >= Duration::from_secs(2));
        assert_eq!(pauses.next(Some(Duration::from_secs(3600))), limits::BACKOFF_MAX);
    }
}
