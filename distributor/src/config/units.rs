//! Amounts as people write them: `64KiB`, `30s`.

use std::time::Duration;

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error(
        "{given:?} is no size; expected a number, with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"
    )]
    Bytes { given: String },
    #[error("{given:?} is no duration; expected a number, with ms, s, m, h or d")]
    Duration { given: String },
}

/// `4096`, `64KiB`, `10GB`.
pub(super) fn bytes(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "tib" => Some(1 << 40),
        _ => None,
    };
    let (number, unit) = split(text);
    number
        .zip(factor(unit))
        .and_then(|(number, factor): (u64, u64)| number.checked_mul(factor))
        .ok_or_else(|| UnitError::Bytes { given: text.into() })
}

/// `30s`, `500ms`, `10m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let millis = |unit: &str| match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let (number, unit) = split(text);
    number
        .zip(millis(unit))
        .and_then(|(number, millis): (u64, u64)| number.checked_mul(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| UnitError::Duration { given: text.into() })
}

fn split(text: &str) -> (Option<u64>, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64 KiB"), Ok(65_536));
        assert_eq!(bytes("10mb"), Ok(10_000_000));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
    }

    #[test]
    fn what_is_no_amount_says_what_was_expected() {
        for bad in ["", "MiB", "-1", "1.5MiB", "1 parsec", "99999999999TiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
