//! What a scanner has found: the header, and the newest join points behind it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::limits::POINTS_KEPT_EXACTLY;

#[derive(Debug, Default)]
pub(super) struct Found {
    /// The header, in pieces that are put together when somebody asks.
    parts: Vec<Bytes>,
    whole: Option<Bytes>,
    /// How often the header has changed.
    version: u64,
    /// Ascending.
    points: VecDeque<Point>,
    /// How many there were so far.
    count: u64,
    /// From here on all points are remembered.
    complete_from: u64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    /// From 1 on.
    number: u64,
    at: u64,
}

impl Found {
    /// The header from now on. Points before it belonged to another one.
    pub(super) fn set_header(&mut self, parts: Vec<Bytes>) {
        self.parts = parts;
        self.whole = None;
        self.version += 1;
        if let Some(newest) = self.points.back() {
            self.complete_from = newest.at + 1;
        }
        self.points.clear();
    }

    /// A player can begin at `at`, after the header.
    pub(super) fn point(&mut self, at: u64) {
        if self.points.back().is_some_and(|newest| newest.at >= at) {
            return;
        }
        self.count += 1;
        self.points.push_back(Point { number: self.count, at });
        self.thin();
    }

    /// Forget what is too old to be remembered so exactly: a point whose number is divisible by
    /// 2^k, and not by more, lives for so many times 2^k others. So the newest are all there, and
    /// the gaps grow with the age.
    fn thin(&mut self) {
        for power in 0..u64::BITS {
            let age = POINTS_KEPT_EXACTLY.checked_mul(1 << power).filter(|&age| age < self.count);
            let Some(number) = age.map(|age| self.count - age) else { return };
            if number.trailing_zeros() == power
                && let Ok(index) = self.points.binary_search_by_key(&number, |point| point.number)
            {
                let forgotten = self.points.remove(index).map_or(0, |point| point.at + 1);
                self.complete_from = self.complete_from.max(forgotten);
            }
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn cost(&self) -> usize {
        let parts: usize = self.parts.iter().map(Bytes::len).sum();
        // One part is shared with the whole.
        let whole =
            if self.parts.len() > 1 { self.whole.as_ref().map_or(0, Bytes::len) } else { 0 };
        parts + whole + self.points.capacity() * size_of::<Point>()
    }

    /// The newest point at or below `end`.
    pub(super) fn newest(&self, end: u64) -> Option<u64> {
        let after = self.points.partition_point(|point| point.at <= end);
        Some(self.points.get(after.checked_sub(1)?)?.at)
    }

    /// The oldest point at or above `at`.
    pub(super) fn first_from(&self, at: u64) -> Option<u64> {
        let first = self.points.partition_point(|point| point.at < at);
        Some(self.points.get(first)?.at)
    }

    /// Nobody looks at what is below `offset` any more.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.complete_from = self.complete_from.max(offset);
    }

    /// Are all points from `at` on remembered?
    pub(super) fn is_complete_from(&self, at: u64) -> bool {
        self.complete_from <= at
    }

    /// Give the points back, and forget them.
    pub(super) fn take_points(&mut self) -> Vec<u64> {
        self.points.drain(..).map(|point| point.at).collect()
    }

    /// All points that are remembered.
    #[cfg(test)]
    pub(super) fn points(&self) -> Vec<u64> {
        self.points.iter().map(|point| point.at).collect()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn header(&mut self) -> Bytes {
        let parts = &self.parts;
        let join = || match parts.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            several => {
                let len = several.iter().map(Bytes::len).sum();
                let mut whole = BytesMut::with_capacity(len);
                several.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        };
        self.whole.get_or_insert_with(join).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_thinned_where_they_are_old() {
        const COUNT: u64 = 1_000_000;
        let mut found = Found::default();
        (0..COUNT).for_each(|at| found.point(at));
        let points = found.points();
        assert!(points.len() < 3_000, "{}", points.len());
        let exact = COUNT - POINTS_KEPT_EXACTLY;
        assert!((exact..COUNT).all(|at| points.contains(&at)), "the newest are all there");
        for (one, next) in points.iter().zip(&points[1..]) {
            let (gap, age) = (next - one, COUNT - one);
            assert!(gap <= 1 + 2 * age / POINTS_KEPT_EXACTLY, "{gap} at an age of {age}");
        }
        assert!(points[0] < COUNT / 2, "and the oldest are not forgotten");
        for at in [0, 5, COUNT / 3, COUNT - 7, COUNT + 9] {
            assert_eq!(found.newest(at), points.iter().copied().rfind(|&point| point <= at));
            assert_eq!(found.first_from(at), points.iter().copied().find(|&point| point >= at));
        }
        let complete = points.iter().rposition(|&point| !points.contains(&(point.max(1) - 1)));
        let complete = points[complete.unwrap()];
        assert!(found.is_complete_from(complete) && !found.is_complete_from(complete - 1));
    }

    #[test]
    fn a_new_header_makes_older_points_worthless() {
        let mut found = Found::default();
        found.set_header(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        found.point(7);
        assert_eq!((found.header().as_ref(), found.points().len()), (&b"ab"[..], 1));
        found.set_header(vec![Bytes::from_static(b"c")]);
        assert_eq!((found.header().as_ref(), found.points().len()), (&b"c"[..], 0));
        assert_eq!(found.version(), 2);
    }
}
