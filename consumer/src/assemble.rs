//! Who holds what: our bytes, the distributor's, and the difference. Pure bookkeeping.
//!
//! ```text
//!   0          floor                                  edge        total
//!   offered      ░░░░████████████████    ██████████████            │
//!   held             ██████  ████████    ██████                    │
//!   missing                ██                  ████████            │
//! ```
//!
//! Below the floor nothing can be had any more (`Retained-From`).

use freshet_protocol::{ByteRange, Held, RangeSet, limits::OFFSET_END_MAX};

use crate::limits;

/// What is known about one incarnation of a stream, from the consumer's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    held: RangeSet,
    offered: RangeSet,
    total: Option<u64>,
    floor: u64,
}

/// The distributor contradicts itself, under one entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was complete at {was} bytes, and now reaches to {now}")]
pub struct TotalChanged {
    /// The complete length as first told.
    pub was: u64,
    /// What contradicts it.
    pub now: u64,
}

impl Assembly {
    /// Begin with what an earlier run holds.
    #[must_use]
    pub fn resume(held: Held) -> Self {
        Self { held: held.set, total: held.total, ..Self::default() }
    }

    /// The distributor says what it holds, and from where on.
    ///
    /// # Errors
    ///
    /// It contradicts the complete length that was known.
    pub fn learn(&mut self, offered: Held, retained_from: u64) -> Result<(), TotalChanged> {
        self.learn_total(offered.total, offered.set.end())?;
        self.floor = self.floor.max(retained_from);
        self.offered = offered.set;
        Ok(())
    }

    /// A part says the complete length, or does not, and reaches to `end`.
    ///
    /// # Errors
    ///
    /// It contradicts the complete length that was known.
    pub fn learn_total(&mut self, total: Option<u64>, end: u64) -> Result<(), TotalChanged> {
        match (self.total, total) {
            (Some(was), Some(now)) if was != now => return Err(TotalChanged { was, now }),
            (Some(was), _) if end > was => return Err(TotalChanged { was, now: end }),
            (None, Some(now)) if self.held.end() > now => {
                return Err(TotalChanged { was: now, now: self.held.end() });
            }
            _ => {}
        }
        self.total = self.total.or(total);
        Ok(())
    }

    /// Bytes came: which of them are new. They count as held from now on.
    pub fn place(&mut self, range: ByteRange) -> RangeSet {
        let fresh = self.held.missing(range);
        self.held.insert(range);
        if self.held.runs() > limits::RUNS_MAX {
            let oldest = self.held.iter().next();
            oldest.into_iter().for_each(|run| self.held.remove(run));
        }
        fresh
    }

    /// The bytes below `floor` are not wanted, or not to be had.
    pub fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// What is held, as `Content-Range` says it.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { set: self.held.clone(), total: self.total }
    }

    /// One past the newest byte held.
    #[must_use]
    pub fn held_end(&self) -> u64 {
        self.held.end()
    }

    /// Number of runs held.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.held.runs()
    }

    /// Number of bytes held.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// The complete length, once it is known.
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// Below this nothing is asked for.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// One past the newest byte that anybody is known to hold.
    #[must_use]
    pub fn edge(&self) -> u64 {
        self.held.end().max(self.offered.end())
    }

    /// The first byte at or after `from` that is not held.
    #[must_use]
    pub fn first_missing(&self, from: u64) -> u64 {
        self.held.first_missing(from)
    }

    /// What is not held of all that is known to exist, from byte 0 on.
    #[must_use]
    pub fn holes(&self) -> RangeSet {
        let end = self.total.unwrap_or_else(|| self.edge());
        ByteRange::new(0, end).map_or_else(RangeSet::new, |all| self.held.missing(all))
    }

    /// What the distributor offers and we lack, from the floor on.
    #[must_use]
    pub fn obtainable(&self) -> RangeSet {
        ByteRange::new(self.floor, OFFSET_END_MAX)
            .map_or_else(RangeSet::new, |above| self.offered.within(above).difference(&self.held))
    }

    /// Every byte of a complete stream is held.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.total.is_some() && self.holes().is_empty()
    }

    /// Every byte of a complete stream from the floor on is held.
    #[must_use]
    pub fn has_all_kept(&self) -> bool {
        let kept = |total| ByteRange::new(self.floor, total);
        self.total.is_some_and(|total| kept(total).is_none_or(|kept| self.held.covers(kept)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn offer(text: &str) -> Held {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn parts_in_any_order_and_any_number_of_times_make_the_stream(
            stream in vec(any::<u8>(), 1..200),
            parts in vec((0..200usize, 1..50usize), 0..60),
        ) {
            let (mut assembly, mut file) = (Assembly::default(), vec![None; stream.len()]);
            let mut written = 0;
            for (start, len) in parts {
                let end = (start + len).min(stream.len());
                let Some(part) = ByteRange::new(start as u64, end as u64) else { continue };
                for fresh in assembly.place(part).iter() {
                    written += fresh.len();
                    for at in fresh.start()..fresh.end() {
                        let at = usize::try_from(at).unwrap();
                        prop_assert_eq!(file[at], None, "a byte is handed out once");
                        file[at] = Some(stream[at]);
                    }
                }
            }
            assembly.learn_total(Some(stream.len() as u64), 0).unwrap();

            prop_assert_eq!(assembly.held_bytes(), written);
            for (at, byte) in file.iter().enumerate() {
                prop_assert_eq!(assembly.held().set.contains(at as u64), byte.is_some());
                prop_assert!(byte.is_none_or(|byte| byte == stream[at]));
            }
            prop_assert_eq!(assembly.is_whole(), file.iter().all(Option::is_some));
        }

        #[test]
        fn what_is_obtainable_is_offered_and_lacking_and_above_the_floor(
            held in vec((0..64u64, 1..20u64), 0..6),
            offered in vec((0..64u64, 1..20u64), 0..6),
            floor in 0..64u64,
        ) {
            let set = |runs: &[(u64, u64)]| -> RangeSet {
                runs.iter().filter_map(|&(start, len)| ByteRange::at(start, len)).collect()
            };
            let (held, offered) = (set(&held), set(&offered));
            let mut assembly = Assembly::resume(Held { set: held.clone(), total: None });
            assembly.learn(Held { set: offered.clone(), total: None }, floor).unwrap();
            for at in 0..100 {
                let wanted = at >= floor && offered.contains(at) && !held.contains(at);
                prop_assert_eq!(assembly.obtainable().contains(at), wanted);
            }
        }
    }

    #[test]
    fn an_end_a_hole_and_a_loss_are_three_things() {
        let mut assembly = Assembly::default();
        assembly.place(range(0, 10));
        assembly.learn(offer("bytes 0-9,20-29/*"), 0).unwrap();
        assert_eq!(assembly.obtainable().to_string(), "20-29");

        assembly.place(range(20, 30));
        assembly.learn(offer("bytes 0-9,20-29/30"), 0).unwrap();
        assert!(assembly.obtainable().is_empty() && !assembly.has_all_kept());
        assert_eq!(assembly.holes().to_string(), "10-19");

        assembly.learn(offer("bytes 20-29/30"), 20).unwrap();
        assert!(assembly.has_all_kept() && !assembly.is_whole(), "10-19 is lost");

        assembly.place(range(10, 20));
        assert!(assembly.is_whole());
    }

    #[test]
    fn a_complete_length_does_not_change() {
        let mut assembly = Assembly::default();
        assembly.learn(offer("bytes */30"), 0).unwrap();
        assert_eq!(assembly.learn(offer("bytes */31"), 0), Err(TotalChanged { was: 30, now: 31 }));
        assert_eq!(assembly.learn_total(None, 31), Err(TotalChanged { was: 30, now: 31 }));
        assert_eq!(assembly.learn_total(Some(30), 30), Ok(()));
    }

    #[test]
    fn an_empty_stream_is_whole() {
        let mut assembly = Assembly::default();
        assembly.learn(offer("bytes */0"), 0).unwrap();
        assert!(assembly.is_whole() && assembly.has_all_kept());
    }
}
