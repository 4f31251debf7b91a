//! What has to arrive, until it is acknowledged: one list a peer, without sockets and clocks.
//!
//! Sent again after half a second, then less and less often, ten times in all. What is given up is not
//! missed: who is silent for long is lost by another rule. Times are microseconds on any steady clock.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Message;
use crate::limits::{GROUP_RETRIES_MAX, GROUP_RETRY_MICROS, GROUP_SEEN_MAX, GROUP_UNACKED_MAX};

/// A peer's datagrams in both directions.
#[derive(Debug, Default)]
pub struct Link {
    seq: u64,
    unacked: BTreeMap<u64, Unacked>,
    seen: VecDeque<u64>,
}

#[derive(Debug)]
struct Unacked {
    datagram: Bytes,
    again: u64,
    tries: u32,
}

impl Link {
    /// The datagram that carries this; kept where it has to arrive.
    #[must_use]
    pub fn send(&mut self, now: u64, message: &Message) -> Bytes {
        self.seq += 1;
        let datagram = message.encode(self.seq);
        if message.is_acknowledged() {
            if self.unacked.len() >= GROUP_UNACKED_MAX {
                self.unacked.pop_first();
            }
            let kept =
                Unacked { datagram: datagram.clone(), again: now + GROUP_RETRY_MICROS, tries: 1 };
            self.unacked.insert(self.seq, kept);
        }
        datagram
    }

    /// The datagram of that number has come.
    pub fn acknowledged(&mut self, seq: u64) {
        self.unacked.remove(&seq);
    }

    /// Is this the first time that a datagram of that number comes?
    pub fn is_new(&mut self, seq: u64) -> bool {
        if self.seen.contains(&seq) {
            return false;
        }
        if self.seen.len() >= GROUP_SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(seq);
        true
    }

    /// What is to be sent again.
    #[must_use]
    pub fn due(&mut self, now: u64) -> Vec<Bytes> {
        self.unacked.retain(|_, kept| kept.again > now || kept.tries < GROUP_RETRIES_MAX);
        let due = self.unacked.values_mut().filter(|kept| kept.again <= now);
        due.map(|kept| {
            kept.again = now + (GROUP_RETRY_MICROS << kept.tries.min(2));
            kept.tries += 1;
            kept.datagram.clone()
        })
        .collect()
    }

    /// The number of the last datagram that was sent.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.seq
    }

    /// Has everything arrived, or been given up?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unacked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_to_arrive_is_sent_ten_times_and_no_more() {
        let mut link = Link::default();
        let first = link.send(0, &Message::Pause);
        let mut times = vec![0];
        for now in (0..60_000_000).step_by(100_000) {
            for again in link.due(now) {
                assert_eq!(again, first);
                times.push(now / 100_000);
            }
        }
        assert_eq!(times.len(), GROUP_RETRIES_MAX as usize);
        assert_eq!(times[..4], [0, 5, 15, 35], "tenths of a second");
        assert!(link.is_settled());
    }

    #[test]
    fn an_acknowledgement_ends_it_and_data_is_sent_once() {
        let mut link = Link::default();
        let _ = link.send(0, &Message::Pause);
        let _ = link.send(0, &Message::Data { offset: 0, bytes: Bytes::new() });
        link.acknowledged(2);
        assert!(!link.is_settled());
        link.acknowledged(1);
        assert!(link.is_settled() && link.due(60_000_000).is_empty());
    }

    proptest! {
        #[test]
        fn a_number_is_new_once_and_memory_is_bounded(
            numbers in prop::collection::vec(0_u64..40, 0..500),
        ) {
            let (mut link, mut known) = (Link::default(), std::collections::HashSet::new());
            for number in numbers {
                prop_assert_eq!(link.is_new(number), known.insert(number));
                let _ = link.send(0, &Message::Pause);
                prop_assert!(link.unacked.len() <= GROUP_UNACKED_MAX);
                prop_assert!(link.seen.len() <= GROUP_SEEN_MAX);
            }
        }
    }
}
