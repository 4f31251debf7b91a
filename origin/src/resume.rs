//! What to send next: what the distributor holds, against what we have. Pure.
//!
//! ```text
//!   held     ████████░░░░░░████████░░░░
//!   we have  ██████████████████████████ ◀ newest captured
//!   all              ▔▔▔▔▔▔               the oldest byte that is missing
//!   newest                         ▔▔▔▔   the newest chunk that is missing
//! ```
//!
//! Nothing is remembered between two steps but what the distributor last said. So it does not matter
//! why a byte is missing: never sent, lost in a cut, or damaged on its disk and asked for again.

use freshet_protocol::{ByteRange, RangeSet};

use crate::{limits::RUNS_MAX, reply::View};

/// What goes first when the uplink is slower than the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Late {
    /// The newest chunk; older ones when nothing newer waits.
    Newest,
    /// Everything in order.
    #[default]
    All,
}

/// What we have of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Have {
    /// Bytes below are not ours to send.
    pub(crate) floor: u64,
    /// Bytes below are ours, but gone: acknowledged once, and no longer in memory.
    pub(crate) start: u64,
    /// One past the newest byte.
    pub(crate) end: u64,
    /// The complete length, once it is known.
    pub(crate) total: Option<u64>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send these bytes; with `total` the stream is complete there.
    Post { range: ByteRange, total: Option<u64> },
    /// Nothing is missing but the word that it was all.
    Complete { total: u64 },
    /// Nothing is missing now.
    Wait,
    /// Nothing is missing and nothing will come.
    Done,
}

/// Why there is no next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MismatchError {
    /// More is held than there can be.
    #[error("the distributor holds {held} bytes of it, but here are only {here}")]
    Ahead {
        /// One past the newest byte held.
        held: u64,
        /// One past the newest byte here.
        here: u64,
    },
    /// It is complete there, at another length.
    #[error("the distributor has it complete at {held} bytes, which is not where it ends here")]
    OtherLength {
        /// The complete length there.
        held: u64,
    },
    /// It lacks bytes that were only in memory.
    #[error(
        "the distributor lacks bytes {range}, which are no longer in memory (a copy on disk would have them)"
    )]
    Gone {
        /// The bytes.
        range: ByteRange,
    },
}

/// The next step.
pub(crate) fn next(view: &View, have: Have, late: Late, chunk: u64) -> Result<Step, MismatchError> {
    check(view, have)?;
    let floor = have.floor.max(view.retained_from);
    let missing = ByteRange::new(floor, have.end).map(|ours| view.held.missing(ours));
    match missing.as_ref().and_then(|missing| choose(view, missing, late)) {
        Some(run) => {
            let range = cut(run, late, chunk);
            if range.start() < have.start {
                return Err(MismatchError::Gone { range });
            }
            Ok(Step::Post { range, total: have.total.filter(|&total| total == range.end()) })
        }
        None => Ok(match have.total.filter(|&total| total <= have.end) {
            Some(total) if view.total == Some(total) => Step::Done,
            Some(total) => Step::Complete { total },
            None => Step::Wait,
        }),
    }
}

/// Pieces that are held there and are posted again, to prove that they are ours: the oldest bytes
/// and the newest ones.
pub(crate) fn proof(held: &RangeSet, have: Have, bytes: u64) -> Vec<ByteRange> {
    let Some(ours) = ByteRange::new(have.start, have.end) else { return Vec::new() };
    let common = held.within(ours);
    let oldest = common.iter().next().map(|run| run.oldest(bytes));
    let newest = common.iter().next_back().map(|run| run.newest(bytes));
    oldest.into_iter().chain(newest.filter(|&newest| Some(newest) != oldest)).collect()
}

/// Held beyond what is here is no mismatch while more may come: a twin of ours may be faster.
fn check(view: &View, have: Have) -> Result<(), MismatchError> {
    let held = view.held.end();
    if let Some(here) = have.total.filter(|&total| total < held) {
        return Err(MismatchError::Ahead { held, here });
    }
    match view.total {
        Some(held) if have.total.is_some_and(|total| total != held) || have.end > held => {
            Err(MismatchError::OtherLength { held })
        }
        _ => Ok(()),
    }
}

/// The run of missing bytes to take from. Each newest chunk that does not touch the one before makes
/// one more run; with too many of them the smallest hole is closed for each. So an uplink that is too
/// slow for hours coarsens the holes, and the newest bytes still wait for two chunks at most, at first.
fn choose(view: &View, missing: &RangeSet, late: Late) -> Option<ByteRange> {
    if late == Late::All {
        return missing.iter().next();
    }
    let edge = view.held.end();
    let holes = missing.iter().filter(|run| run.start() < edge);
    let smallest = holes.min_by_key(|hole| hole.len()).filter(|_| view.held.runs() >= RUNS_MAX);
    smallest.or_else(|| missing.iter().next_back())
}

fn cut(run: ByteRange, late: Late, chunk: u64) -> ByteRange {
    match late {
        Late::All => run.oldest(chunk),
        Late::Newest => run.newest(chunk),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LEN: u64 = 200;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    fn view(runs: &[(u64, u64)], total: Option<u64>) -> View {
        let held = runs.iter().map(|&(start, end)| range(start, end)).collect();
        View { held, total, ..View::default() }
    }

    fn whole(end: u64) -> Have {
        Have { floor: 0, start: 0, end, total: Some(LEN) }
    }

    fn late() -> impl Strategy<Value = Late> {
        prop_oneof![Just(Late::All), Just(Late::Newest)]
    }

    proptest! {
        /// A distributor that forgets and a source that grows: it ends, with every byte there, none twice.
        #[test]
        fn whatever_is_lost_everything_arrives(
            late in late(), chunk in 1..40u64, grow in 1..60u64,
            losses in vec((0..60usize, 0..LEN, 1..50u64), 0..6), retained in 0..20u64,
        ) {
            let mut seen = View { retained_from: retained, ..View::default() };
            let mut end = 0;
            for step in 0..2000 {
                end = (end + grow).min(LEN);
                for &(_, start, len) in losses.iter().filter(|(at, ..)| *at == step) {
                    seen.held.remove(range(start, start + len));
                }
                match next(&seen, whole(end), late, chunk).unwrap() {
                    Step::Post { range, total } => {
                        prop_assert!(!seen.held.overlaps(range), "{range} is sent twice");
                        prop_assert!(range.len() <= chunk && range.start() >= retained && range.end() <= end);
                        seen.held.insert(range);
                        seen.total = seen.total.or(total);
                    }
                    Step::Complete { total } => seen.total = Some(total),
                    Step::Wait => prop_assert!(end < LEN),
                    Step::Done => break,
                }
            }
            prop_assert_eq!(seen.total, Some(LEN));
            prop_assert!(seen.held.covers(range(retained, LEN)));
        }

        #[test]
        fn in_order_is_the_first_byte_missing_and_newest_is_the_last(
            runs in vec((0..LEN, 1..30u64), 0..8), chunk in 1..40u64,
        ) {
            let held = runs.iter().map(|&(start, len)| range(start, (start + len).min(LEN))).collect();
            let seen = View { held, ..View::default() };
            let missing: Vec<u64> = (0..LEN).filter(|&at| !seen.held.contains(at)).collect();
            prop_assume!(!missing.is_empty());
            let step = |late| match next(&seen, whole(LEN), late, chunk) {
                Ok(Step::Post { range, .. }) => range,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(step(Late::All).start(), missing[0]);
            prop_assert_eq!(step(Late::Newest).last(), missing[missing.len() - 1]);
        }
    }

    #[test]
    fn the_end_is_said_with_the_last_byte_or_after_it() {
        let post = |start, end, total| Ok(Step::Post { range: range(start, end), total });
        assert_eq!(
            next(&view(&[(0, 150)], None), whole(LEN), Late::All, 64),
            post(150, LEN, Some(LEN))
        );
        assert_eq!(next(&view(&[(0, 150)], None), whole(180), Late::All, 64), post(150, 180, None));
        let held = view(&[(0, LEN)], None);
        assert_eq!(next(&held, whole(LEN), Late::All, 64), Ok(Step::Complete { total: LEN }));
        let held = view(&[(0, LEN)], Some(LEN));
        assert_eq!(next(&held, whole(LEN), Late::All, 64), Ok(Step::Done));
        let empty = Have { floor: 0, start: 0, end: 0, total: Some(0) };
        assert_eq!(next(&view(&[], None), empty, Late::All, 64), Ok(Step::Complete { total: 0 }));
        assert_eq!(next(&view(&[(0, 180)], None), whole(180), Late::All, 64), Ok(Step::Wait));
    }

    #[test]
    fn with_too_many_holes_the_smallest_is_closed_before_new_bytes_go() {
        let runs: Vec<_> = (0..RUNS_MAX as u64).map(|at| (at * 5, at * 5 + 1)).collect();
        let mut seen = view(&runs, None);
        seen.held.insert(range(11, 14));
        let have = Have { floor: 0, start: 0, end: seen.held.end() + 50, total: None };
        let step = next(&seen, have, Late::Newest, 10).unwrap();
        assert_eq!(step, Step::Post { range: range(14, 15), total: None });
        seen.held.insert(range(14, 15));
        let Ok(Step::Post { range, .. }) = next(&seen, have, Late::Newest, 10) else { panic!() };
        assert_eq!(range.end(), have.end, "and then the newest again");
    }

    #[test]
    fn what_does_not_fit_stops() {
        use MismatchError::{Ahead, Gone, OtherLength};
        let step = |view: &View, have| next(view, have, Late::All, 64);
        let growing = |end| Have { floor: 0, start: 0, end, total: None };
        let ended = Have { total: Some(80), ..growing(80) };
        assert_eq!(step(&view(&[(0, 90)], None), ended), Err(Ahead { held: 90, here: 80 }));
        assert_eq!(step(&view(&[(0, 90)], None), growing(80)), Ok(Step::Wait), "it may grow");
        assert_eq!(step(&view(&[(0, 90)], Some(90)), whole(LEN)), Err(OtherLength { held: 90 }));
        assert_eq!(step(&view(&[(0, 90)], Some(90)), growing(91)), Err(OtherLength { held: 90 }));
        let window = Have { floor: 10, start: 50, end: 90, total: None };
        assert_eq!(step(&view(&[(0, 30)], None), window), Err(Gone { range: range(30, 90) }));
        assert!(
            matches!(step(&view(&[(10, 50)], None), window), Ok(Step::Post { .. })),
            "not from 0"
        );
    }

    #[test]
    fn the_proof_is_the_oldest_and_the_newest_bytes_that_both_have() {
        let held = |runs: &[(u64, u64)]| view(runs, None).held;
        assert_eq!(proof(&held(&[]), whole(LEN), 4), []);
        assert_eq!(proof(&held(&[(0, 3)]), whole(LEN), 4), [range(0, 3)]);
        assert_eq!(proof(&held(&[(0, 9), (20, 30)]), whole(LEN), 4), [range(0, 4), range(26, 30)]);
        assert_eq!(proof(&held(&[(0, 500)]), whole(LEN), 4), [range(0, 4), range(196, 200)]);
    }
}
