//! When which byte was captured: the newest times, in a bounded list. Pure.

use std::collections::VecDeque;

use freshet_protocol::Stamp;

use crate::limits::{MARK_EVERY, MARKS_MAX};

/// Offsets and the times of their capture, ascending.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(u64, Stamp)>);

impl Marks {
    /// The byte at `offset` was captured at `time`.
    pub(super) fn push(&mut self, offset: u64, time: Stamp) {
        if self.0.back().is_some_and(|&(_, last)| time.since(last) < MARK_EVERY) {
            return;
        }
        if self.0.len() == MARKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((offset, time));
    }

    /// When the byte at `offset` was captured; `None` where that is forgotten.
    pub(super) fn at(&self, offset: u64) -> Option<Stamp> {
        let after = self.0.partition_point(|&(at, _)| at <= offset);
        self.0.get(after.checked_sub(1)?).map(|&(_, time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_byte_has_the_time_of_its_piece() {
        let mut marks = Marks::default();
        marks.push(10, Stamp::from_nanos(5 * MS));
        marks.push(20, Stamp::from_nanos(9 * MS));
        let time = |offset| marks.at(offset).map(|stamp| stamp.nanos() / MS);
        assert_eq!(
            [time(9), time(10), time(19), time(20), time(99)],
            [None, Some(5), Some(5), Some(9), Some(9)]
        );
    }

    #[test]
    fn the_list_is_bounded_and_forgets_the_oldest() {
        let mut marks = Marks::default();
        for at in 0..=MARKS_MAX as u64 {
            marks.push(at, Stamp::from_nanos(at * MS));
            marks.push(at, Stamp::from_nanos(at * MS + 1));
        }
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert_eq!(marks.at(0), None);
        assert_eq!(marks.at(1), Some(Stamp::from_nanos(MS)));
    }
}
