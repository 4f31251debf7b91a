//! What has come of a movie's datagrams, and how: in order, late, twice, or not at all.

use std::collections::BTreeSet;

use freshet_protocol::doors::groups::Received;

use crate::limits::GROUP_WINDOW;

/// Counts datagrams by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipt {
    /// The largest numbers that have come.
    window: BTreeSet<u64>,
    first: Option<u64>,
    /// How many came, each of them once.
    came: u64,
    counts: Received,
}

impl Receipt {
    /// A datagram has come; `is_of_use` where its bytes were not here already.
    pub(super) fn note(&mut self, seq: u64, is_of_use: bool) {
        let newest = self.window.last().copied();
        let is_old = newest.is_some_and(|newest| seq + GROUP_WINDOW <= newest);
        if is_old || !self.window.insert(seq) {
            self.counts.duplicate += 1;
            return;
        }
        self.came += 1;
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
        if newest.is_some_and(|newest| seq < newest) {
            self.counts.out_of_order += 1;
        }
        if !is_of_use {
            self.counts.late += 1;
        }
        if self.window.len() as u64 > GROUP_WINDOW {
            self.window.pop_first();
        }
    }

    /// The counts by now: what is missing between the first and the newest one is lost.
    pub(super) fn counts(&self) -> Received {
        let span = self.first.zip(self.window.last());
        let span = span.map_or(0, |(first, last)| last - first + 1);
        let lost = u32::try_from(span.saturating_sub(self.came)).unwrap_or(u32::MAX);
        Received { lost, ..self.counts }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_is_counted() {
        let mut receipt = Receipt::default();
        for (seq, is_of_use) in [(5, true), (6, true), (9, true), (8, true), (8, true), (10, false)]
        {
            receipt.note(seq, is_of_use);
        }
        let counts = Received { lost: 1, out_of_order: 1, late: 1, duplicate: 1 };
        assert_eq!(receipt.counts(), counts, "7 is lost");
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_happened(
            fate in prop::collection::vec(0_u8..10, 1..400),
        ) {
            let (mut receipt, mut lost, mut twice) = (Receipt::default(), 0, 0);
            receipt.note(1, true);
            for (seq, fate) in (2_u64..).zip(&fate) {
                match fate {
                    0 => lost += 1,
                    1 => {
                        twice += 1;
                        receipt.note(seq, true);
                        receipt.note(seq, true);
                    }
                    _ => receipt.note(seq, true),
                }
            }
            receipt.note(fate.len() as u64 + 2, true);
            let counts = receipt.counts();
            prop_assert_eq!((counts.lost, counts.duplicate, counts.out_of_order), (lost, twice, 0));
        }
    }
}
