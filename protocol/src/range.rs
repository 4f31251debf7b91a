//! Ranges of bytes and sets of them: the one idea that every role shares.
//!
//! ```text
//!   held     ██████████░░░░░░██████████████  ◀ newest
//!   have     ████░░░░░░░░░░░░░░░░░░████░░░░
//!   missing      ██████      ██████    ████  ◀ sent first
//! ```

use std::{fmt, ops::Range};

use crate::limits::OFFSET_END_MAX;

/// A run of bytes: not empty, its end never beyond [`OFFSET_END_MAX`].
///
/// Half-open inside (`start..end`), closed on the wire (`first-last`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

/// Why two numbers are not a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The last byte comes before the first.
    #[error("range {first}-{last} is reversed")]
    Reversed {
        /// First byte asked for.
        first: u64,
        /// Last byte asked for.
        last: u64,
    },
    /// The last byte is not a usable offset.
    #[error("offset {last} is beyond the last usable one, {}", OFFSET_END_MAX - 1)]
    TooFar {
        /// Last byte asked for.
        last: u64,
    },
}

impl ByteRange {
    /// `start..end`; `None` where it is empty, reversed or beyond the last usable offset.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end && end <= OFFSET_END_MAX { Some(Self { start, end }) } else { None }
    }

    /// The `len` bytes from `start` on; `None` where there are none or they go too far.
    #[must_use]
    pub const fn at(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(end) => Self::new(start, end),
            None => None,
        }
    }

    /// The one byte at `offset`, which must be a usable one: a larger one is taken for the last.
    #[must_use]
    pub const fn byte(offset: u64) -> Self {
        let start = if offset < OFFSET_END_MAX { offset } else { OFFSET_END_MAX - 1 };
        Self { start, end: start + 1 }
    }

    /// All from the first byte of the two to the last one.
    #[must_use]
    pub fn through(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The bytes from `first` to `last`, both included, as the wire writes them.
    ///
    /// # Errors
    ///
    /// They are reversed, or `last` is not a usable offset.
    pub const fn closed(first: u64, last: u64) -> Result<Self, RangeError> {
        if last < first {
            return Err(RangeError::Reversed { first, last });
        }
        if last >= OFFSET_END_MAX {
            return Err(RangeError::TooFar { last });
        }
        Ok(Self { start: first, end: last + 1 })
    }

    /// Offset of the first byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Offset one past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Offset of the last byte.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.end - 1
    }

    /// Bytes in it; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Is the byte at `offset` in it?
    #[must_use]
    pub const fn contains(self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// What both have.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Its newest `bytes`, or all of it where it has fewer.
    #[must_use]
    pub fn newest(self, bytes: u64) -> Self {
        Self { start: self.start.max(self.end.saturating_sub(bytes.max(1))), end: self.end }
    }

    /// Its oldest `bytes`, or all of it where it has fewer.
    #[must_use]
    pub fn oldest(self, bytes: u64) -> Self {
        Self { start: self.start, end: self.end.min(self.start.saturating_add(bytes.max(1))) }
    }

    const fn std(self) -> Range<u64> {
        self.start..self.end
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.last())
    }
}

/// A set of bytes: disjoint runs that do not touch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet(rangemap::RangeSet<u64>);

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add the bytes of `range`.
    pub fn insert(&mut self, range: ByteRange) {
        self.0.insert(range.std());
    }

    /// Take the bytes of `range` out.
    pub fn remove(&mut self, range: ByteRange) {
        self.0.remove(range.std());
    }

    /// Add all bytes of `other`.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|range| self.insert(range));
    }

    /// No byte at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of runs.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// Number of bytes. Walks all runs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.iter().map(ByteRange::len).sum()
    }

    /// One past the newest byte; 0 where there is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |run| run.end)
    }

    /// The runs, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ByteRange> + '_ {
        self.0.iter().map(|run| ByteRange { start: run.start, end: run.end })
    }

    /// Is the byte at `offset` in it?
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.0.contains(&offset)
    }

    /// Are all bytes of `range` in it?
    #[must_use]
    pub fn covers(&self, range: ByteRange) -> bool {
        self.run_at(range.start).is_some_and(|run| range.end <= run.end)
    }

    /// Is any byte of `range` in it?
    #[must_use]
    pub fn overlaps(&self, range: ByteRange) -> bool {
        self.0.overlaps(&range.std())
    }

    /// The run that has the byte at `offset`.
    #[must_use]
    pub fn run_at(&self, offset: u64) -> Option<ByteRange> {
        self.0.get(&offset).map(|run| ByteRange { start: run.start, end: run.end })
    }

    /// The first offset at or after `from` that is not in it.
    #[must_use]
    pub fn first_missing(&self, from: u64) -> u64 {
        self.run_at(from).map_or(from, ByteRange::end)
    }

    /// The bytes of `within` that are not in it.
    #[must_use]
    pub fn missing(&self, within: ByteRange) -> Self {
        Self(self.0.gaps(&within.std()).collect())
    }

    /// The bytes of `within` that are in it.
    #[must_use]
    pub fn within(&self, within: ByteRange) -> Self {
        self.0
            .overlapping(&within.std())
            .filter_map(|run| within.intersect(ByteRange { start: run.start, end: run.end }))
            .collect()
    }

    /// The bytes that are here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter().flat_map(|run| other.missing(run).iter().collect::<Vec<_>>()).collect()
    }

    /// The newest run of bytes that is here and not in `have`, cut to its newest `limit` bytes.
    ///
    /// The core of newest-first delivery. Walks from the newest run down and stops at the first
    /// byte that `have` lacks.
    #[must_use]
    pub fn newest_missing(&self, have: &Self, limit: u64) -> Option<ByteRange> {
        self.iter().rev().find_map(|run| newest_gap(have, run)).map(|run| run.newest(limit))
    }

    /// The newest `count` runs: what a peer is told of a set with too many.
    #[must_use]
    pub fn newest_runs(&self, count: usize) -> Self {
        self.iter().rev().take(count).collect()
    }
}

/// The newest run of `run` that `have` lacks.
fn newest_gap(have: &RangeSet, run: ByteRange) -> Option<ByteRange> {
    let mut end = run.end;
    while let Some(held) = have.run_at(end - 1) {
        end = held.start;
        if end <= run.start {
            return None;
        }
    }
    let below = ByteRange::new(run.start, end)?;
    let start = have.0.overlapping(&below.std()).next_back().map_or(run.start, |held| held.end);
    ByteRange::new(start, end)
}

impl FromIterator<ByteRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        Self(ranges.into_iter().map(ByteRange::std).collect())
    }
}

/// `0-99,200-299`, or `*` where there is nothing.
impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs = self.iter();
        match runs.next() {
            None => f.write_str("*"),
            Some(first) => {
                write!(f, "{first}")?;
                runs.try_for_each(|run| write!(f, ",{run}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SPACE: u64 = 64;

    /// The simplest model of a set of bytes: a bit for each.
    type Bitmap = [bool; SPACE as usize];

    fn any_range() -> impl Strategy<Value = ByteRange> {
        (0..SPACE, 0..SPACE).prop_map(|(a, b)| ByteRange::closed(a.min(b), a.max(b)).unwrap())
    }

    fn apply(edits: &[(bool, ByteRange)]) -> (RangeSet, Bitmap) {
        let (mut set, mut bits) = (RangeSet::new(), [false; SPACE as usize]);
        for &(add, range) in edits {
            if add {
                set.insert(range)
            } else {
                set.remove(range)
            }
            for offset in range.std() {
                bits[usize::try_from(offset).unwrap()] = add;
            }
        }
        (set, bits)
    }

    fn bits_of(set: &RangeSet) -> Bitmap {
        std::array::from_fn(|at| set.contains(at as u64))
    }

    fn edits() -> impl Strategy<Value = Vec<(bool, ByteRange)>> {
        vec((any::<bool>(), any_range()), 0..12)
    }

    proptest! {
        #[test]
        fn a_set_is_its_bitmap(edits in edits(), range in any_range()) {
            let (set, bits) = apply(&edits);
            let count = |bits: &[bool]| bits.iter().filter(|&&bit| bit).count() as u64;
            let slice = &bits[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];

            prop_assert_eq!(bits_of(&set), bits);
            prop_assert_eq!(set.bytes(), count(&bits));
            prop_assert_eq!(set.end(), bits.iter().rposition(|&bit| bit).map_or(0, |at| at as u64 + 1));
            prop_assert_eq!(set.covers(range), slice.iter().all(|&bit| bit));
            prop_assert_eq!(set.overlaps(range), slice.iter().any(|&bit| bit));
            prop_assert_eq!(set.missing(range).bytes(), slice.len() as u64 - count(slice));
            prop_assert_eq!(set.within(range).bytes(), count(slice));
            prop_assert_eq!(
                set.first_missing(range.start),
                (range.start..).find(|&at| !set.contains(at)).unwrap()
            );
        }

        #[test]
        fn a_difference_is_bit_by_bit(ours in edits(), theirs in edits()) {
            let ((ours, our_bits), (theirs, their_bits)) = (apply(&ours), apply(&theirs));
            let expected: Bitmap = std::array::from_fn(|at| our_bits[at] && !their_bits[at]);
            prop_assert_eq!(bits_of(&ours.difference(&theirs)), expected);
        }

        #[test]
        fn newest_missing_ends_at_the_newest_byte_that_is_lacking(
            held in edits(), have in edits(), limit in 1..80u64,
        ) {
            let ((held, held_bits), (have, have_bits)) = (apply(&held), apply(&have));
            let lacks = |at: &u64| held_bits[usize::try_from(*at).unwrap()] && !have_bits[usize::try_from(*at).unwrap()];
            let expected = (0..SPACE).rfind(lacks).map(|last| {
                let start = (0..=last).rev().take_while(lacks).take(usize::try_from(limit).unwrap()).last();
                ByteRange::closed(start.unwrap(), last).unwrap()
            });
            prop_assert_eq!(held.newest_missing(&have, limit), expected);
        }

        #[test]
        fn asking_again_and_again_gets_everything(held in edits(), limit in 1..20u64) {
            let (held, _) = apply(&held);
            let mut have = RangeSet::new();
            while let Some(run) = held.newest_missing(&have, limit) {
                prop_assert!(!have.overlaps(run));
                have.insert(run);
            }
            prop_assert_eq!(have, held);
        }
    }

    #[test]
    fn the_last_usable_offset_is_the_last() {
        let last = OFFSET_END_MAX - 1;
        assert_eq!(ByteRange::closed(last, last).unwrap().len(), 1);
        assert_eq!(
            ByteRange::closed(0, OFFSET_END_MAX),
            Err(RangeError::TooFar { last: OFFSET_END_MAX })
        );
        assert_eq!(ByteRange::closed(9, 3), Err(RangeError::Reversed { first: 9, last: 3 }));
        assert_eq!(ByteRange::at(u64::MAX, 2), None);
    }
}
