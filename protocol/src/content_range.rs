//! `Content-Range` in its two readings, and `Have`: where these bytes belong, or which bytes I hold.
//!
//! ```text
//!   a message with bytes      bytes 0-4095/*                     where they belong
//!                             bytes 4096-8191/8192               and the stream ends there
//!                             bytes */8192                       complete, nothing more
//!   a message without bytes   bytes 0-4095,8192-12287/*          what the sender holds
//!                             bytes */*                          nothing
//! ```
//!
//! The grammar of one range is RFC 9110, section 14.4; several are this protocol's own.

use std::{fmt, str::FromStr};

use crate::{
    limits::{OFFSET_END_MAX, RANGES_MAX, RANGES_PARSED_MAX},
    range::{ByteRange, RangeError, RangeSet},
};

/// Why a `Content-Range` or `Have` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentRangeError {
    /// Not `bytes SET/LENGTH`.
    #[error("{given:?} is not of the form \"bytes FIRST-LAST/LENGTH\"")]
    Form {
        /// The value, cut to 120 characters.
        given: String,
    },
    /// A number that is no number, or is more than 64 bits can hold.
    #[error("{given:?} is not an offset (a decimal number up to {})", OFFSET_END_MAX - 1)]
    Number {
        /// The number as given, cut to 120 characters.
        given: String,
    },
    /// `curl -r a-b -T -` sends this.
    #[error("the length -1 is no length: write \"*\" while it is unknown")]
    MinusOne,
    /// A range that is reversed or goes too far.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Ranges that touch, overlap or come in another order.
    #[error("ranges must ascend without touching: {next} follows {previous}")]
    Order {
        /// A range.
        previous: ByteRange,
        /// The one after it.
        next: ByteRange,
    },
    /// More ranges than anybody needs.
    #[error("more than {RANGES_PARSED_MAX} ranges")]
    TooMany,
    /// The complete length is below the last byte.
    #[error("complete length {total} does not cover byte {last}")]
    BeyondTotal {
        /// The length given.
        total: u64,
        /// The last byte given.
        last: u64,
    },
    /// A message with bytes has exactly one range.
    #[error("{ranges} ranges, where the bytes of one message belong to exactly one")]
    NotOne {
        /// Ranges given.
        ranges: usize,
    },
}

/// What the sender of a message holds: `bytes SET/LENGTH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The bytes held. Printed are the newest 128 runs of it.
    pub set: RangeSet,
    /// The complete length, once it is known.
    pub total: Option<u64>,
}

/// Where the bytes of a message belong: `bytes A-B/LENGTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Their place.
    pub range: ByteRange,
    /// The complete length, once it is known.
    pub total: Option<u64>,
}

/// What an origin's POST says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkRange {
    /// `bytes A-B/*` or `bytes A-B/T`: bytes with a place.
    Bytes(Placed),
    /// `bytes */T`: the stream is complete at T bytes; there is no body.
    Complete {
        /// The complete length.
        total: u64,
    },
}

impl FromStr for Held {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let (set, total) = split(text)?;
        let (set, total) = (parse_set(set)?, parse_total(total)?);
        check_total(set.end(), total)?;
        Ok(Self { set, total })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.set.runs() > RANGES_MAX {
            return write!(f, "bytes {}/{}", self.set.newest_runs(RANGES_MAX), Total(self.total));
        }
        write!(f, "bytes {}/{}", self.set, Total(self.total))
    }
}

impl FromStr for Placed {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let (set, total) = split(text)?;
        if set == "*" || set.contains(',') {
            let ranges = text.parse::<Held>()?.set.runs();
            return Err(ContentRangeError::NotOne { ranges });
        }
        let (range, total) = (parse_range(set.trim())?, parse_total(total)?);
        check_total(range.end(), total)?;
        Ok(Self { range, total })
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}/{}", self.range, Total(self.total))
    }
}

impl FromStr for ChunkRange {
    type Err = ContentRangeError;

    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let Held { set, total } = text.parse()?;
        let mut runs = set.iter();
        match (runs.next(), runs.next(), total) {
            (Some(range), None, total) => Ok(Self::Bytes(Placed { range, total })),
            (None, None, Some(total)) => Ok(Self::Complete { total }),
            (None, None, None) => Err(ContentRangeError::NotOne { ranges: 0 }),
            _ => Err(ContentRangeError::NotOne { ranges: set.runs() }),
        }
    }
}

impl fmt::Display for ChunkRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(placed) => placed.fmt(f),
            Self::Complete { total } => write!(f, "bytes */{total}"),
        }
    }
}

struct Total(Option<u64>);

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(total) => total.fmt(f),
            None => f.write_str("*"),
        }
    }
}

/// `bytes SET/LENGTH` into SET and LENGTH; the unit in any case, as RFC 9110, section 14.1 has it.
fn split(text: &str) -> Result<(&str, &str), ContentRangeError> {
    let form = || ContentRangeError::Form { given: excerpt(text) };
    let (unit, rest) = text.trim().split_once(' ').ok_or_else(form)?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return Err(form());
    }
    rest.trim().rsplit_once('/').ok_or_else(form)
}

fn parse_set(text: &str) -> Result<RangeSet, ContentRangeError> {
    let mut set = RangeSet::new();
    if text == "*" {
        return Ok(set);
    }
    let mut previous: Option<ByteRange> = None;
    for (count, item) in text.split(',').enumerate() {
        if count == RANGES_PARSED_MAX {
            return Err(ContentRangeError::TooMany);
        }
        let next = parse_range(item.trim())?;
        if let Some(previous) = previous.filter(|previous| next.start() <= previous.end()) {
            return Err(ContentRangeError::Order { previous, next });
        }
        previous = Some(next);
        set.insert(next);
    }
    Ok(set)
}

fn parse_range(text: &str) -> Result<ByteRange, ContentRangeError> {
    let form = || ContentRangeError::Form { given: excerpt(text) };
    let (first, last) = text.split_once('-').ok_or_else(form)?;
    Ok(ByteRange::closed(parse_number(first)?, parse_number(last)?)?)
}

fn parse_total(text: &str) -> Result<Option<u64>, ContentRangeError> {
    match text {
        "*" => Ok(None),
        "-1" => Err(ContentRangeError::MinusOne),
        number => match parse_number(number)? {
            total if total <= OFFSET_END_MAX => Ok(Some(total)),
            _ => Err(ContentRangeError::Number { given: excerpt(number) }),
        },
    }
}

fn parse_number(text: &str) -> Result<u64, ContentRangeError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| ContentRangeError::Number { given: excerpt(text) })
}

fn check_total(end: u64, total: Option<u64>) -> Result<(), ContentRangeError> {
    match total {
        Some(total) if total < end => Err(ContentRangeError::BeyondTotal { total, last: end - 1 }),
        _ => Ok(()),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn held(text: &str) -> Result<Held, ContentRangeError> {
        text.parse()
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(
            ranges in vec((0..OFFSET_END_MAX, 1..u64::MAX), 0..40), total in any::<bool>(),
        ) {
            let set: RangeSet = ranges.iter().filter_map(|&(start, len)| {
                ByteRange::new(start, start.saturating_add(len).min(OFFSET_END_MAX))
            }).collect();
            let total = total.then(|| set.end());
            let said = Held { set, total };
            prop_assert_eq!(said.to_string().parse(), Ok(said));
        }

        #[test]
        fn nothing_that_is_said_makes_the_parser_panic(text in "(bytes )?[0-9,*/ -]{0,60}|.{0,40}") {
            if let Ok(said) = held(&text) {
                prop_assert_eq!(said.to_string().parse(), Ok(said));
            }
        }
    }

    proptest! {
        /// Neither asks the other.
        #[test]
        fn what_is_placed_is_a_chunks_range(
            text in "(bytes )?[0-9,*/ -]{0,30}|(BYTES|bytes) ?[0-9]{1,3}-[0-9]{1,3}(,[0-9]{3}-[0-9]{3})?/([*]|[0-9]{1,4}|-1)",
        ) {
            let placed = text.parse::<Placed>();
            match text.parse::<ChunkRange>() {
                Ok(ChunkRange::Bytes(range)) => prop_assert_eq!(placed, Ok(range)),
                Ok(ChunkRange::Complete { .. }) => {
                    prop_assert_eq!(placed, Err(ContentRangeError::NotOne { ranges: 0 }));
                }
                Err(error) => prop_assert_eq!(placed, Err(error)),
            }
        }
    }

    #[test]
    fn a_sender_that_holds_too_many_runs_leaves_out_the_oldest() {
        let set: RangeSet = (0..200).filter_map(|at| ByteRange::at(at * 10, 5)).collect();
        let printed = Held { set, total: None }.to_string();
        let parsed = held(&printed).unwrap();
        assert_eq!(parsed.set.runs(), RANGES_MAX);
        assert_eq!(parsed.set.end(), 1995);
    }

    #[test]
    fn what_is_malformed_says_why() {
        use ContentRangeError::{
            BeyondTotal, Form, MinusOne, NotOne, Number, Order, Range, TooMany,
        };
        let range = |first, last| ByteRange::closed(first, last).unwrap();
        let many = format!(
            "bytes {}/*",
            (0..2000).map(|at| format!("{0}-{0}", at * 2)).collect::<Vec<_>>().join(",")
        );
        for (text, why) in [
            ("bytes 9-3/*", Range(RangeError::Reversed { first: 9, last: 3 })),
            ("bytes 100-399/-1", MinusOne),
            ("bytes 0-99999999999999999999/*", Number { given: "99999999999999999999".into() }),
            ("bytes 0-9223372036854775807/*", Range(RangeError::TooFar { last: OFFSET_END_MAX })),
            ("bytes 0-9/5", BeyondTotal { total: 5, last: 9 }),
            ("bytes 0-9,10-12/*", Order { previous: range(0, 9), next: range(10, 12) }),
            ("bytes 5-9,0-2/*", Order { previous: range(5, 9), next: range(0, 2) }),
            ("bytes=0-9", Form { given: "bytes=0-9".into() }),
            ("items 0-9/*", Form { given: "items 0-9/*".into() }),
            ("bytes +1-9/*", Number { given: "+1".into() }),
            ("bytes 0-/*", Number { given: String::new() }),
            (&many, TooMany),
        ] {
            assert_eq!(held(text), Err(why), "{text}");
        }
        assert_eq!("bytes 0-1,3-4/*".parse::<ChunkRange>(), Err(NotOne { ranges: 2 }));
        assert_eq!("bytes */*".parse::<ChunkRange>(), Err(NotOne { ranges: 0 }));
    }

    #[test]
    fn the_forms_of_the_design_are_understood() {
        let range = ByteRange::closed(0, 4095).unwrap();
        assert_eq!("bytes 0-4095/*".parse(), Ok(ChunkRange::Bytes(Placed { range, total: None })));
        assert_eq!("bytes */4096".parse(), Ok(ChunkRange::Complete { total: 4096 }));
        assert_eq!("BYTES 0-4095/4096".parse(), Ok(Placed { range, total: Some(4096) }));
        assert_eq!(held("bytes */*"), Ok(Held::default()));
    }
}
