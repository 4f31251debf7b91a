//! How a member keeps up with its group: a little faster or slower for a small drift, a leap for a large one.

use crate::limits::{GROUP_DRIFT_CLOSED, GROUP_DRIFT_MAX, GROUP_DRIFT_MIN, GROUP_SPEED_CHANGE_MAX};

/// What to do until the next look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Play with that speed, where 1 is the movie's own.
    Speed(f64),
    /// Go to that byte, and on with the movie's own speed.
    Seek(u64),
}

impl Pace {
    /// We are at the byte `ours`, the group is at the byte `group`, and plays `rate` bytes a second.
    #[must_use]
    pub(super) fn between(ours: u64, group: u64, rate: u32) -> Self {
        let seconds = |bytes: u64| bytes as f64 / f64::from(rate.max(1));
        let drift = if group >= ours { seconds(group - ours) } else { -seconds(ours - group) };
        if drift.abs() > GROUP_DRIFT_MAX.as_secs_f64() {
            return Self::Seek(group);
        }
        if drift.abs() < GROUP_DRIFT_MIN.as_secs_f64() {
            return Self::Speed(1.0);
        }
        let change = drift / GROUP_DRIFT_CLOSED.as_secs_f64();
        Self::Speed(1.0 + change.clamp(-GROUP_SPEED_CHANGE_MAX, GROUP_SPEED_CHANGE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_drift_is_closed_gently_and_a_large_one_by_a_leap() {
        assert_eq!(Pace::between(1000, 1000, 1000), Pace::Speed(1.0));
        assert_eq!(Pace::between(1000, 1005, 1000), Pace::Speed(1.0), "5 ms are nothing");
        assert_eq!(Pace::between(1000, 1900, 1000), Pace::Speed(1.05));
        assert_eq!(Pace::between(1900, 1000, 1000), Pace::Speed(0.95));
        let Pace::Speed(speed) = Pace::between(1000, 1050, 1000) else { panic!("a leap") };
        assert!((1.009..1.011).contains(&speed), "{speed}");
        assert_eq!(Pace::between(1000, 9000, 1000), Pace::Seek(9000));
        assert_eq!(Pace::between(9000, 1000, 1000), Pace::Seek(1000));
    }

    proptest! {
        #[test]
        fn whoever_keeps_to_it_comes_to_the_group(
            begin in 0_u64..20_000_000,
            ahead in -6_000_000_i64..6_000_000,
            rate in 10_000_u32..4_000_000,
        ) {
            let (mut group, mut ours) = (begin as f64, begin.saturating_add_signed(ahead) as f64);
            for _ in 0..600 {
                // A tenth of a second each.
                group += f64::from(rate) / 10.0;
                match Pace::between(ours as u64, group as u64, rate) {
                    Pace::Seek(to) => ours = to as f64,
                    Pace::Speed(speed) => {
                        prop_assert!((0.95..=1.05).contains(&speed));
                        ours += speed * f64::from(rate) / 10.0;
                    }
                }
            }
            let drift = (ours - group).abs() / f64::from(rate);
            prop_assert!(drift < 0.15, "{} s", drift);
        }
    }
}
