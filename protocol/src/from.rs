//! Where a delivery begins: `from=` in a query, by place or by time.

use std::{fmt, str::FromStr, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::stamp::Stamp;

/// Where a delivery begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum From {
    /// At the newest place where a player can begin; the live edge, where the container is not
    /// known.
    #[default]
    Live,
    /// At the first byte kept.
    Start,
    /// At this offset.
    Offset(u64),
    /// So long before the newest byte: `-30s`, `-1.5h`.
    Ago(Duration),
    /// At what came at this time: `2026-11-25T10:00:00Z`, or `@` and Unix seconds.
    Time(Stamp),
}

impl From {
    /// What is understood, in words.
    pub const EXPECTED: &'static str = "live, start, an offset, a time back (-30s, with ms, s, m, h or d), \
         an RFC 3339 time (2026-11-25T10:00:00Z) or @ and Unix seconds";

    /// Does a stream's timeline say where it is?
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Ago(_) | Self::Time(_))
    }
}

/// Says nothing: whoever asks knows what was expected, and says [`From::EXPECTED`].
impl FromStr for From {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "live" => return Ok(Self::Live),
            "start" => return Ok(Self::Start),
            _ => {}
        }
        let known = if let Some(back) = text.strip_prefix('-') {
            duration(back).map(Self::Ago)
        } else if let Some(seconds) = text.strip_prefix('@') {
            seconds.parse().ok().map(Self::Time)
        } else if text.contains(':') {
            rfc3339(text).map(Self::Time)
        } else {
            text.parse().ok().map(Self::Offset)
        };
        known.ok_or(())
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Start => f.write_str("start"),
            Self::Offset(offset) => write!(f, "{offset}"),
            Self::Ago(back) => {
                let seconds = Stamp::from_nanos(u64::try_from(back.as_nanos()).unwrap_or(u64::MAX));
                let text = seconds.to_string();
                write!(f, "-{}s", text.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Time(time) => write!(f, "@{time}"),
        }
    }
}

/// `30s`, `1.5h`; a number, with at most nine decimals, and its unit.
fn duration(text: &str) -> Option<Duration> {
    let number_end = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(number_end);
    let nanos_of_unit: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    // A stamp is a number with nine decimals, and strict about it.
    let billionths = u128::from(number.parse::<Stamp>().ok()?.nanos());
    let nanos = billionths * u128::from(nanos_of_unit) / 1_000_000_000;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn rfc3339(text: &str) -> Option<Stamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok().map(Stamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> From {
        From::Time(Stamp::from_nanos(seconds * 1_000_000_000))
    }

    #[test]
    fn places_and_times_are_told_apart() {
        for (text, from) in [
            ("live", From::Live),
            ("start", From::Start),
            ("1700000000", From::Offset(1_700_000_000)),
            ("@1700000000", at(1_700_000_000)),
            ("2023-11-14T22:13:20Z", at(1_700_000_000)),
            ("2023-11-14t23:13:20+01:00", at(1_700_000_000)),
            ("2023-11-14T22:13:20.5Z", From::Time(Stamp::from_nanos(1_700_000_000_500_000_000))),
            ("-0s", From::Ago(Duration::ZERO)),
            ("-250ms", From::Ago(Duration::from_millis(250))),
            ("-30s", From::Ago(Duration::from_secs(30))),
            ("-1.5h", From::Ago(Duration::from_secs(5400))),
            ("-2d", From::Ago(Duration::from_secs(172_800))),
        ] {
            assert_eq!(text.parse(), Ok(from), "{text}");
        }
        for bad in ["", "-30", "-s", "30s", "--30s", "-1e3s", "-3w", "@", "@-1", "1.5"] {
            assert_eq!(bad.parse::<From>(), Err(()), "{bad}");
        }
        for bad in ["2023-11-14", "22:13:20", "2023-11-14T22:13:20", "1969-12-31T23:59:59Z"] {
            assert_eq!(bad.parse::<From>(), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(nanos: u64, which in 0..3) {
            let from = match which {
                0 => From::Offset(nanos),
                1 => From::Ago(Duration::from_nanos(nanos)),
                _ => From::Time(Stamp::from_nanos(nanos)),
            };
            prop_assert_eq!(from.to_string().parse(), Ok(from));
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "[-@0-9a-zT:.+]{0,30}|.{0,20}") {
            let _ = text.parse::<From>();
        }
    }
}
