//! Which bytes a native consumer is sent next. Pure.
//!
//! ```text
//!   readable   ███████░░░░████████████████████████
//!   have       ███░░░░░░░░░░░░░░░░░░░░████░░░░░░░░
//!                                     edge ┘└──────┘ 1. new bytes, in order, or the newest
//!                 └──┘    └───────────┘              2. older ones, newest first, down to a floor
//! ```

use freshet_protocol::{ByteRange, RangeSet, limits::OFFSET_END_MAX};

use super::pace::Reach;
use crate::hub::Landing;

/// The next part of what is newer than `edge`. A consumer that is far behind is moved to the newest
/// bytes, where `landing` allows that; what it skips is older from then on.
pub(super) fn newer(
    readable: &RangeSet,
    edge: u64,
    reach: Reach,
    landing: Landing,
) -> Option<ByteRange> {
    let run = readable.iter().next_back()?;
    let ahead = ByteRange::new(run.start().max(edge), run.end())?;
    if !reach.is_far(ahead.start(), ahead.end()) {
        return Some(ahead.oldest(reach.part));
    }
    let join = match landing {
        Landing::Anywhere => return Some(ahead.newest(reach.part)),
        Landing::At(join) => join.filter(|&join| join > ahead.start()),
    };
    let after = join.and_then(|join| ByteRange::new(join, ahead.end())).unwrap_or(ahead);
    Some(after.oldest(reach.part))
}

/// The next part of what is not newer: the newest bytes that are missing, at or above `floor`; at most
/// `part`, for a new byte waits behind it.
pub(super) fn older(
    readable: &RangeSet,
    have: &RangeSet,
    floor: u64,
    part: u64,
) -> Option<ByteRange> {
    let missing = readable.newest_missing(have, part)?;
    ByteRange::new(missing.start().max(floor), missing.end())
}

/// The same in order: the oldest bytes that are missing from `from` on, then those before it, for
/// one that passes them on to others who want them in order.
pub(super) fn older_in_order(
    readable: &RangeSet,
    have: &RangeSet,
    from: u64,
    floor: u64,
    part: u64,
) -> Option<ByteRange> {
    let oldest = |from: u64| {
        let rest = readable.within(ByteRange::new(from, OFFSET_END_MAX)?);
        rest.iter().find_map(|run| have.missing(run).iter().next())
    };
    let missing = oldest(from.max(floor)).or_else(|| oldest(floor))?;
    Some(missing.oldest(part))
}

#[cfg(test)]
mod tests {
    use freshet_protocol::limits::PART_BYTES_MAX;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::limits::{LIVE_PART_BYTES_MAX, NEWEST_JUMP_BYTES};

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.iter().map(|&(start, end)| range(start, end)).collect()
    }

    const PART: u64 = LIVE_PART_BYTES_MAX;
    const JUMP: u64 = NEWEST_JUMP_BYTES;

    fn newer(readable: &RangeSet, edge: u64, landing: Landing) -> Option<ByteRange> {
        super::newer(readable, edge, Reach { part: PART, jump: JUMP }, landing)
    }

    #[test]
    fn a_consumer_near_the_edge_gets_everything_in_order() {
        let readable = set(&[(0, 1000 + JUMP)]);
        assert_eq!(newer(&readable, 1000, Landing::Anywhere), Some(range(1000, 1000 + PART)));
        assert_eq!(
            newer(&readable, 990 + JUMP, Landing::Anywhere),
            Some(range(990 + JUMP, 1000 + JUMP))
        );
        assert_eq!(newer(&readable, 1000 + JUMP, Landing::Anywhere), None);
        assert_eq!(newer(&RangeSet::new(), 0, Landing::Anywhere), None);
    }

    #[test]
    fn one_that_is_far_behind_is_moved_to_a_join_point_or_not_at_all() {
        let readable = set(&[(0, 1001 + JUMP)]);
        let at = |join| newer(&readable, 1000, Landing::At(join));
        assert_eq!(at(Some(5000)), Some(range(5000, 5000 + PART)));
        assert_eq!(at(Some(900)), Some(range(1000, 1000 + PART)), "that one is behind it");
        assert_eq!(at(None), Some(range(1000, 1000 + PART)));
        let near = newer(&readable, 2000, Landing::At(Some(5000)));
        assert_eq!(near, Some(range(2000, 2000 + PART)), "not far behind");
    }

    #[test]
    fn one_that_is_far_behind_is_moved_to_the_newest_bytes() {
        let end = 1001 + JUMP;
        assert_eq!(newer(&set(&[(0, end)]), 1000, Landing::Anywhere), Some(range(end - PART, end)));
        assert_eq!(
            newer(&set(&[(0, 10), (500, 600)]), 10, Landing::Anywhere),
            Some(range(500, 600)),
            "over a hole"
        );
    }

    #[test]
    fn older_bytes_come_newest_first_and_not_below_the_floor() {
        let (readable, have) = (set(&[(0, 2000)]), set(&[(1500, 2000)]));
        assert_eq!(older(&readable, &have, 0, PART), Some(range(0, 1500)));
        assert_eq!(older(&readable, &have, 1400, PART), Some(range(1400, 1500)));
        assert_eq!(older(&readable, &have, 1500, PART), None);
        let long = set(&[(0, 10 * PART_BYTES_MAX)]);
        assert_eq!(older(&long, &RangeSet::new(), 0, PART).unwrap().len(), PART);
        assert_eq!(
            older(&long, &RangeSet::new(), 0, PART_BYTES_MAX).unwrap().len(),
            PART_BYTES_MAX
        );
    }

    #[test]
    fn in_order_older_bytes_come_from_the_place_asked_for_and_then_from_the_floor() {
        let (readable, have) = (set(&[(0, 2000), (3000, 4000)]), set(&[(1500, 3500)]));
        let next = |from, floor| older_in_order(&readable, &have, from, floor, PART);
        assert_eq!(next(0, 0), Some(range(0, 1500)));
        assert_eq!(next(700, 0), Some(range(700, 1500)));
        assert_eq!(next(1600, 0), Some(range(3500, 4000)));
        assert_eq!(next(4000, 200), Some(range(200, 1500)));
        assert_eq!(next(0, 3800), Some(range(3800, 4000)));
        assert_eq!(next(0, 4000), None);
    }

    proptest! {
        /// Whatever a consumer has and wherever it stands, it gets each byte once and misses none.
        #[test]
        fn every_byte_is_sent_once(
            runs in vec((0..40u64, 1..10u64), 1..6), had in vec((0..40u64, 1..10u64), 0..4), edge in 0..50u64,
            in_order in any::<bool>(),
        ) {
            let unit = PART / 3;
            let scaled = |runs: &[(u64, u64)]| -> RangeSet {
                runs.iter().map(|&(at, len)| range(at * unit, (at + len) * unit)).collect()
            };
            let (readable, mut have) = (scaled(&runs), scaled(&had));
            let mut edge = have.end().max(edge * unit);
            let from = edge;
            let old = |have: &RangeSet| match in_order {
                true => older_in_order(&readable, have, from, 0, PART),
                false => older(&readable, have, 0, PART),
            };
            while let Some(part) = newer(&readable, edge, Landing::Anywhere).or_else(|| old(&have)) {
                prop_assert!(readable.covers(part) && !have.overlaps(part), "{part}");
                edge = edge.max(part.end());
                have.insert(part);
            }
            prop_assert!(readable.difference(&have).is_empty());
        }
    }
}
