//! Bytes that have come and were not taken yet: a queue with a bound. Pure.
//!
//! ```text
//!   network ──push──▶ ▒▒▒▒▒▒▒▒░░░░ ──front, take──▶ program
//!                     buffered │ room
//! ```
//!
//! Full means that the network waits: bytes in order, for a program that cannot do without any of
//! them, leave nothing to drop.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A queue of bytes in order.
#[derive(Debug)]
pub struct Buffer {
    queue: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
    peak: usize,
}

impl Buffer {
    /// For about `bytes_max` bytes: what comes while there is room is taken whole.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, bytes_max, peak: 0 }
    }

    /// May more bytes come?
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.bytes < self.bytes_max
    }

    /// Bytes come.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.peak = self.peak.max(self.bytes);
        self.queue.push_back(bytes);
    }

    /// The oldest bytes; empty where there are none.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.queue.front().map_or(&[], Bytes::as_ref)
    }

    /// The program took `count` of the oldest bytes.
    pub fn take(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        while let Some(front) = self.queue.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.queue.pop_front();
        }
    }

    /// No byte waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The most bytes that ever waited.
    #[must_use]
    pub const fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(
            steps in vec((vec(any::<u8>(), 0..20), 0..30usize), 0..40), bytes_max in 1..60usize,
        ) {
            let mut buffer = Buffer::new(bytes_max);
            let (mut pushed, mut taken) = (Vec::new(), Vec::new());
            for (bytes, count) in steps {
                if buffer.has_room() {
                    pushed.extend_from_slice(&bytes);
                    buffer.push(bytes.into());
                }
                let count = count.min(buffer.front().len());
                taken.extend_from_slice(&buffer.front()[..count]);
                buffer.take(count);
                prop_assert!(buffer.peak() < bytes_max + 20, "one push over the bound at most");
                prop_assert_eq!(buffer.is_empty(), pushed.len() == taken.len());
            }
            while !buffer.is_empty() {
                let front = buffer.front().to_vec();
                taken.extend_from_slice(&front);
                buffer.take(front.len());
            }
            prop_assert_eq!(pushed, taken);
        }
    }

    #[test]
    fn a_take_may_cross_pieces_and_takes_no_more_than_there_is() {
        let mut buffer = Buffer::new(100);
        buffer.push(Bytes::from_static(b"abc"));
        buffer.push(Bytes::from_static(b"def"));
        buffer.take(4);
        assert_eq!(buffer.front(), b"ef");
        buffer.take(100);
        assert!(buffer.is_empty() && buffer.has_room());
    }
}
