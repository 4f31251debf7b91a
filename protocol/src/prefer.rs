//! `Prefer: wait=S` (RFC 7240, section 4.3).

use std::time::Duration;

use crate::limits::WAIT_SECONDS_MAX;

/// How long the request asks to wait; `None` where it does not, or not in whole seconds.
///
/// An unknown or malformed preference is ignored, as RFC 7240, section 2 wants it.
#[must_use]
pub fn wait_of(prefer: &str) -> Option<Duration> {
    let value = prefer
        .split([',', ';'])
        .filter_map(|item| item.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?
        .1;
    let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(wait_of("respond-async, wait=10"), Some(Duration::from_secs(10)));
        assert_eq!(wait_of("WAIT = 3"), Some(Duration::from_secs(3)));
        assert_eq!(wait_of("wait=99999"), Some(Duration::from_secs(WAIT_SECONDS_MAX.into())));
        assert_eq!(wait_of("wait=soon"), None);
        assert_eq!(wait_of("return=minimal"), None);
    }
}
