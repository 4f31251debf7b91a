//! What several runs come to: the middle one, how far they lie apart, and whether two differ by more than
//! chance.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::limits::BOOTSTRAP_DRAWS;

/// The middle of some values, and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one, or the mean of the two that are nearest to it.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these; `None` where there are none, or only such as are no numbers.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: middle(&values), min, max })
    }
}

/// The middle of values that are in order and not none.
fn middle(values: &[f64]) -> f64 {
    let (half, odd) = (values.len() / 2, values.len() % 2);
    let middle: Vec<_> = values.iter().skip((half + odd).saturating_sub(1)).take(2 - odd).collect();
    middle.iter().copied().sum::<f64>() / middle.len() as f64
}

/// A median, and where it lies in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// As measured.
    pub median: f64,
    /// In 2.5 of 100 cases it is below.
    pub low: f64,
    /// In 2.5 of 100 cases it is above.
    pub high: f64,
}

/// B by A where both were measured in turn: the ratios of the pairs, drawn by lot. `None` where there are
/// fewer than two.
#[must_use]
pub fn paired_ratio(a: &[f64], b: &[f64]) -> Option<Interval> {
    let ratios: Vec<_> = a.iter().zip(b).map(|(a, b)| b / a).filter(|it| it.is_finite()).collect();
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
    if ratios.len() < 2 {
        return None;
    }
    interval(median(&ratios)?, |lot| median(&draw(&ratios, lot)))
}

/// B by A where they were measured at different times: the medians' ratio, each side drawn by itself.
/// `None` where one has fewer than two.
#[must_use]
pub fn unpaired_ratio(a: &[f64], b: &[f64]) -> Option<Interval> {
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ratio = |a: &[f64], b: &[f64]| {
        let ratio = median(b)? / median(a)?;
        ratio.is_finite().then_some(ratio)
    };
    interval(ratio(a, b)?, |lot| ratio(&draw(a, lot), &draw(b, lot)))
}

/// The same seed each time: the same figures give the same answer.
fn interval(median: f64, mut once: impl FnMut(&mut StdRng) -> Option<f64>) -> Option<Interval> {
    let mut lot = StdRng::seed_from_u64(1);
    let mut drawn: Vec<_> = (0..BOOTSTRAP_DRAWS).filter_map(|_| once(&mut lot)).collect();
    drawn.sort_by(f64::total_cmp);
    let at =
        |share: f64| drawn.get((drawn.len().saturating_sub(1) as f64 * share) as usize).copied();
    Some(Interval { median, low: at(0.025)?, high: at(0.975)? })
}

/// As many values as there are, each by lot.
fn draw(values: &[f64], lot: &mut StdRng) -> Vec<f64> {
    let mut one = || values.get(lot.random_range(0..values.len())).copied();
    (0..values.len()).filter_map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).unwrap().median;
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(&[7.0]) - 7.0).abs() < f64::EPSILON);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn a_change_is_told_from_noise() {
        let noise = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.97, 1.08, 0.93, 1.0];
        let turned: Vec<_> = noise.iter().rev().copied().collect();
        let same = paired_ratio(&noise, &turned).unwrap();
        assert!(same.low < 1.0 && same.high > 1.0, "{same:?}");
        let slower: Vec<_> = turned.iter().map(|value| value * 1.5).collect();
        for interval in [paired_ratio(&noise, &slower), unpaired_ratio(&noise, &slower)] {
            let interval = interval.unwrap();
            assert!(interval.low > 1.2 && interval.high < 1.9, "{interval:?}");
        }
    }

    #[test]
    fn a_single_pair_says_nothing() {
        assert_eq!(paired_ratio(&[1.0], &[2.0]), None);
        assert_eq!(unpaired_ratio(&[1.0, 1.0], &[2.0]), None);
        assert_eq!(paired_ratio(&[0.0, 0.0], &[1.0, 1.0]), None);
    }

    proptest! {
        #[test]
        fn the_median_lies_between_the_ends(values in prop::collection::vec(-1e9..1e9f64, 1..40)) {
            let spread = Spread::of(values.clone()).unwrap();
            prop_assert!(spread.min <= spread.median && spread.median <= spread.max);
            let below = values.iter().filter(|value| **value <= spread.median).count();
            prop_assert!(below * 2 >= values.len());
        }

        #[test]
        fn an_interval_lies_within_the_ratios(
            pairs in prop::collection::vec((0.1..10.0f64, 0.1..10.0f64), 2..12),
        ) {
            let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let all = Spread::of(a.iter().zip(&b).map(|(a, b)| b / a)).unwrap();
            let interval = paired_ratio(&a, &b).unwrap();
            prop_assert!(all.min <= interval.low && interval.low <= interval.high);
            prop_assert!(interval.high <= all.max);
        }
    }
}
