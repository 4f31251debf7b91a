//! `Range`, read as RFC 9110, section 14 has it, and what it comes to on a stream. Pure.
//!
//! `http-range-header` reads each range in its strict form. What it gets wrong is set right before:
//! letter case, spaces, leading zeros, a suffix of nothing, and numbers beyond 64 bits, which
//! RFC 8673 wants to be told back as they came. What a range comes to is decided here, for the
//! crate knows files of one piece only.

use freshet_protocol::{ByteRange, RangeSet};
use http_range_header::{EndPosition, StartPosition, parse_range_header};

use crate::{hub::OutOfTime, limits};

/// What a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    specs: Vec<Spec>,
    /// The last position of the only range, as it was written.
    last: String,
    /// Exactly `bytes=0-`, as players ask for what they mean to play from its beginning.
    is_everything: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// What there is to be had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'a> {
    /// What can be read.
    pub(super) readable: &'a RangeSet,
    /// The complete length, once it is known.
    pub(super) total: Option<u64>,
    /// What is older was let go.
    pub(super) retained_from: u64,
}

/// How a `Range` is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// As if it were absent.
    Ignored,
    /// With these bytes, in this order.
    Parts(Vec<ByteRange>),
    /// With everything from here on, as it comes; the last position is told back.
    Follow { from: u64, last: String },
}

/// Why it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RangeError {
    #[error("Range {given:?} is no set of byte ranges")]
    Form { given: String },
    #[error("more than {max} ranges", max = limits::RANGES_ANSWERED_MAX)]
    TooMany,
    #[error("no byte of it is there: the stream ends at {length}")]
    Beyond { length: u64 },
    #[error("byte {at} is not held")]
    Hole { at: u64 },
    #[error(transparent)]
    Time(#[from] OutOfTime),
}

impl RangeError {
    /// May the same range be answered later?
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Beyond { .. } | Self::Hole { .. })
    }
}

impl Wanted {
    /// Read a field; `None` where its unit is not bytes, and so not ours.
    pub(super) fn parse(field: &str) -> Result<Option<Self>, RangeError> {
        let form = || RangeError::Form { given: field.chars().take(120).collect() };
        let (unit, set) = field.trim().split_once('=').ok_or_else(form)?;
        if !unit.trim_end().eq_ignore_ascii_case("bytes") {
            return Ok(None);
        }
        let items: Vec<_> = set
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .take(limits::RANGES_READ_MAX + 1)
            .collect();
        if items.len() > limits::RANGES_READ_MAX {
            return Err(RangeError::TooMany);
        }
        let specs = items.iter().map(|item| Spec::parse(item)).collect::<Option<Vec<_>>>();
        let specs = specs.filter(|specs| !specs.is_empty()).ok_or_else(form)?;
        let last = items.first().and_then(|item| item.split_once('-')).map_or("", |pair| pair.1);
        let is_everything = specs == [Spec::From(0)];
        Ok(Some(Self { specs, last: last.trim().into(), is_everything }))
    }

    /// What it comes to.
    pub(super) fn answer(&self, extent: Extent<'_>) -> Result<Answer, RangeError> {
        if extent.total.is_none() {
            if self.is_everything {
                return Ok(Answer::Ignored);
            }
            if let Some(answer) = self.follow(extent) {
                return answer;
            }
        }
        let length = extent.length();
        let asked: Vec<_> = self.specs.iter().filter_map(|spec| spec.within(length)).collect();
        let Some(first) = asked.first() else { return Err(RangeError::Beyond { length }) };
        let held: Vec<_> = asked.iter().filter_map(|range| extent.piece(*range)).collect();
        if held.is_empty() {
            return Err(RangeError::Hole { at: first.start().max(extent.retained_from) });
        }
        merged(&held).map(Answer::Parts)
    }

    /// Its only range, where that goes on to the end: `bytes=A-` begins at A, and `bytes=-N` so far
    /// before an end that is still open that it begins nowhere.
    pub(super) fn open_end(&self) -> Option<u64> {
        match self.specs[..] {
            [Spec::From(first)] => Some(first),
            [Spec::Last(_)] => Some(u64::MAX),
            _ => None,
        }
    }

    /// Does it name bytes that are all held, by first and last, so that its answer never changes?
    pub(super) fn is_final(&self, readable: &RangeSet) -> bool {
        self.specs.iter().all(|spec| match *spec {
            Spec::Between(first, last) => {
                ByteRange::closed(first, last).is_ok_and(|range| readable.covers(range))
            }
            Spec::From(_) | Spec::Last(_) => false,
        })
    }

    /// RFC 8673: an explicit last position far beyond the end.
    fn follow(&self, extent: Extent<'_>) -> Option<Result<Answer, RangeError>> {
        let [Spec::Between(first, last)] = self.specs[..] else { return None };
        let length = extent.length();
        if last < length.saturating_add(limits::FOLLOW_DISTANCE_MIN) {
            return None;
        }
        if first > length {
            return Some(Err(RangeError::Beyond { length }));
        }
        let from = first.max(extent.retained_from);
        Some(Ok(Answer::Follow { from, last: self.last.clone() }))
    }
}

impl Spec {
    fn parse(item: &str) -> Option<Self> {
        let (first, last) = item.split_once('-')?;
        let (first, last) = (plain(first)?, plain(last)?);
        if first.is_empty() && last == "0" {
            return Some(Self::Last(0));
        }
        let parsed = parse_range_header(&format!("bytes={first}-{last}")).ok()?;
        let one = parsed.ranges.first()?;
        match (one.start, one.end) {
            (StartPosition::FromLast(count), _) => Some(Self::Last(count)),
            (StartPosition::Index(first), EndPosition::LastByte) => Some(Self::From(first)),
            (StartPosition::Index(first), EndPosition::Index(last)) => {
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes of it that a representation of `length` has.
    fn within(self, length: u64) -> Option<ByteRange> {
        match self {
            Self::From(first) => ByteRange::new(first, length),
            Self::Between(first, last) => ByteRange::new(first, length.min(last.saturating_add(1))),
            Self::Last(count) => ByteRange::new(length.saturating_sub(count), length),
        }
    }
}

/// A number without what the strict form does not have; one beyond 64 bits becomes the largest.
/// `None` where it is no number.
fn plain(number: &str) -> Option<String> {
    let number = number.trim();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = number.trim_start_matches('0');
    match (number.is_empty(), digits.is_empty()) {
        (true, _) => Some(String::new()),
        (false, true) => Some("0".into()),
        (false, false) => Some(digits.parse::<u64>().unwrap_or(u64::MAX).to_string()),
    }
}

impl Extent<'_> {
    /// The length of the representation as it is now.
    pub(super) fn length(&self) -> u64 {
        self.total.unwrap_or_else(|| self.readable.end())
    }

    /// The held bytes of `range` from its first one on; what retention let go is skipped, as
    /// RFC 8673, section 2.2 has it, and a hole ends it.
    fn piece(&self, range: ByteRange) -> Option<ByteRange> {
        let from = range.start().max(self.retained_from);
        self.readable.run_at(from)?.intersect(ByteRange::new(from, range.end())?)
    }
}

/// The ranges in the order they were asked for, those that touch or overlap joined.
fn merged(ranges: &[ByteRange]) -> Result<Vec<ByteRange>, RangeError> {
    let joined: RangeSet = ranges.iter().copied().collect();
    if joined.runs() > limits::RANGES_ANSWERED_MAX {
        return Err(RangeError::TooMany);
    }
    let mut parts: Vec<ByteRange> = Vec::new();
    for run in ranges.iter().filter_map(|range| joined.run_at(range.start())) {
        if !parts.contains(&run) {
            parts.push(run);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange::closed(first, last).unwrap()
    }

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.iter().map(|&(first, last)| range(first, last)).collect()
    }

    fn answer(field: &str, held: &[(u64, u64)], total: Option<u64>) -> Result<Answer, RangeError> {
        let readable = set(held);
        let extent = Extent { readable: &readable, total, retained_from: 0 };
        Wanted::parse(field).unwrap().unwrap().answer(extent)
    }

    fn parts(ranges: &[(u64, u64)]) -> Result<Answer, RangeError> {
        Ok(Answer::Parts(ranges.iter().map(|&(first, last)| range(first, last)).collect()))
    }

    #[test]
    fn a_complete_stream_answers_as_a_file_does() {
        for (field, expected) in [
            ("bytes=0-499", parts(&[(0, 499)])),
            ("bytes=500-999", parts(&[(500, 999)])),
            ("bytes=-500", parts(&[(500, 999)])),
            ("bytes=-5000", parts(&[(0, 999)])),
            ("bytes=950-", parts(&[(950, 999)])),
            ("bytes=0-", parts(&[(0, 999)])),
            ("bytes=950-99999999999999999999999", parts(&[(950, 999)])),
            ("bytes=0-9007199254740991", parts(&[(0, 999)])),
            ("BYTES = 0007-8 , 10-11", parts(&[(7, 8), (10, 11)])),
            ("bytes=,0-0,,-1,", parts(&[(0, 0), (999, 999)])),
            ("bytes=500-600,601-700", parts(&[(500, 700)])),
            ("bytes=900-999,0-9,5-20", parts(&[(900, 999), (0, 20)])),
            ("bytes=5000-6000,0-1", parts(&[(0, 1)])),
            ("bytes=1000-", Err(RangeError::Beyond { length: 1000 })),
            ("bytes=-0", Err(RangeError::Beyond { length: 1000 })),
            ("bytes=99999999999999999999-", Err(RangeError::Beyond { length: 1000 })),
        ] {
            assert_eq!(answer(field, &[(0, 999)], Some(1000)), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_set_of_ranges_is_refused_and_another_unit_is_not_ours() {
        for bad in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=9-3",
            "bytes=1-2,x",
            "bytes=+1-2",
            "bytes=1",
            "bytes=--1",
            "bytes=,",
        ] {
            assert!(matches!(Wanted::parse(bad), Err(RangeError::Form { .. })), "{bad}");
        }
        assert_eq!(Wanted::parse("seconds=1-2"), Ok(None));
        let many = format!("bytes={}", "0-0,".repeat(limits::RANGES_READ_MAX + 1));
        assert_eq!(Wanted::parse(&many), Err(RangeError::TooMany));
    }

    #[test]
    fn at_most_sixteen_ranges_are_answered_and_what_overlaps_counts_once() {
        let asked = |step: u64| {
            let items: Vec<_> = (0..17).map(|at| format!("{0}-{0}", at * step)).collect();
            answer(&format!("bytes={}", items.join(",")), &[(0, 999)], Some(1000))
        };
        assert_eq!(asked(2), Err(RangeError::TooMany));
        assert_eq!(asked(1), parts(&[(0, 16)]));
    }

    #[test]
    fn a_live_stream_answers_what_is_there_and_follows_when_asked_to() {
        let live = |field: &str| answer(field, &[(0, 999)], None);
        let follow = |from, last: &str| Ok(Answer::Follow { from, last: last.into() });
        assert_eq!(live("bytes=0-"), Ok(Answer::Ignored));
        assert_eq!(live("bytes=0-1"), parts(&[(0, 1)]));
        assert_eq!(live("bytes=900-"), parts(&[(900, 999)]));
        assert_eq!(live("bytes=900-5000"), parts(&[(900, 999)]));
        assert_eq!(live("bytes=900-9007199254740991"), follow(900, "9007199254740991"));
        assert_eq!(live("bytes=0-999999999999"), follow(0, "999999999999"));
        let huge = "123456789012345678901234567890";
        assert_eq!(live(&format!("bytes=1000-{huge}")), follow(1000, huge));
        assert_eq!(live("bytes=1001-9007199254740991"), Err(RangeError::Beyond { length: 1000 }));
        assert_eq!(live("bytes=1000-"), Err(RangeError::Beyond { length: 1000 }));
    }

    #[test]
    fn a_hole_ends_a_range_and_what_was_let_go_is_skipped() {
        let held = [(100, 199), (300, 399)];
        assert_eq!(answer("bytes=150-350", &held, None), parts(&[(150, 199)]));
        assert_eq!(answer("bytes=250-350", &held, None), Err(RangeError::Hole { at: 250 }));
        assert_eq!(answer("bytes=390-450", &held, Some(500)), parts(&[(390, 399)]));
        assert_eq!(answer("bytes=450-", &held, Some(500)), Err(RangeError::Hole { at: 450 }));
        let readable = set(&held);
        let extent = Extent { readable: &readable, total: None, retained_from: 100 };
        let from_start = Wanted::parse("bytes=0-150").unwrap().unwrap();
        assert_eq!(from_start.answer(extent), parts(&[(100, 150)]));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_is_answered_with_bytes_that_are_held_and_none_twice(
            field in "(bytes=)?[0-9,-]{1,40}", total in any::<bool>(),
        ) {
            let readable = set(&[(3, 20), (30, 40)]);
            let total = total.then_some(41);
            let extent = Extent { readable: &readable, total, retained_from: 3 };
            if let Ok(Some(Ok(Answer::Parts(parts)))) =
                Wanted::parse(&field).map(|wanted| wanted.map(|wanted| wanted.answer(extent)))
            {
                let joined: RangeSet = parts.iter().copied().collect();
                prop_assert_eq!(joined.bytes(), parts.iter().map(|part| part.len()).sum::<u64>());
                prop_assert!(parts.iter().all(|part| readable.covers(*part)));
            }
        }
    }
}
