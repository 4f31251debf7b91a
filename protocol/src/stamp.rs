//! Times on the wire: Unix seconds with nanoseconds as decimals, and what a round trip tells of a
//! peer's clock.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time, in nanoseconds since the Unix epoch; good until the year 2554.
///
/// Printed as `1700000000.123456789`. A value, not a clock: whoever needs the present asks
/// the system and converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(u64);

/// Why a text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a time (Unix seconds, at most 9 decimals)")]
pub struct StampError {
    given: String,
}

const NANOS: u64 = 1_000_000_000;

impl Stamp {
    /// `nanos` after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero where it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed distance in nanoseconds, positive where this is the later one.
    #[must_use]
    pub fn minus(self, other: Self) -> i64 {
        let nanos = i128::from(self.0) - i128::from(other.0);
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// This time moved by signed nanoseconds.
    #[must_use]
    pub const fn shifted(self, nanos: i64) -> Self {
        Self(self.0.saturating_add_signed(nanos))
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / NANOS, self.0 % NANOS)
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        parse(text.trim()).ok_or_else(|| StampError { given: text.chars().take(60).collect() })
    }
}

fn parse(text: &str) -> Option<Stamp> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{decimals:0<9}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(NANOS)?.checked_add(nanos).map(Stamp)
}

/// One question and its answer, as NTP sees them: when we asked, what their clock said, when the
/// answer was here.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// Our clock when the request left.
    pub sent: Stamp,
    /// Their clock in between (`Stream-Time`).
    pub theirs: Stamp,
    /// Our clock when the reply arrived.
    pub received: Stamp,
}

impl RoundTrip {
    /// How far their clock is ahead of ours, in nanoseconds; wrong by at most half of [`Self::delay`].
    #[must_use]
    pub fn offset_nanos(&self) -> i64 {
        let half = self.received.minus(self.sent) / 2;
        self.theirs.minus(self.sent.shifted(half))
    }

    /// How long the question took.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.received.since(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(nanos: u64) {
            prop_assert_eq!(Stamp(nanos).to_string().parse(), Ok(Stamp(nanos)));
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "[0-9.]{0,30}|.{0,20}") {
            let _ = text.parse::<Stamp>();
        }

        #[test]
        fn the_offset_is_right_within_half_the_delay(
            ahead in -1_000_000_000i64..1_000_000_000, out in 0..1_000_000i64, back in 0..1_000_000i64,
        ) {
            let sent = Stamp(2_000_000_000_000_000_000);
            let trip = RoundTrip {
                sent,
                theirs: sent.shifted(out).shifted(ahead),
                received: sent.shifted(out + back),
            };
            prop_assert!((trip.offset_nanos() - ahead).abs() <= (out + back) / 2 + 1);
        }
    }

    #[test]
    fn decimals_are_optional_and_at_most_nine() {
        assert_eq!("1700000000".parse(), Ok(Stamp(1_700_000_000 * NANOS)));
        assert_eq!("1.5".parse(), Ok(Stamp(1_500_000_000)));
        for bad in ["", ".5", "1.", "-1", "1.0000000001", "99999999999999"] {
            assert!(bad.parse::<Stamp>().is_err(), "{bad}");
        }
    }
}
