//! Medians, spreads and ratios.

/// What several rounds came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

impl Spread {
    /// Of these values; `None` if there are none, or one is not a number.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Self { median, low, high })
    }

    /// Of the ratios round by round: what slows a whole round down cancels. `None` if a round is
    /// missing on either side.
    #[must_use]
    pub fn of_ratios(values: &[f64], references: &[f64]) -> Option<Self> {
        if values.len() != references.len() {
            return None;
        }
        let ratios = values.iter().zip(references).map(|(value, reference)| value / reference);
        Self::of(&Vec::from_iter(ratios))
    }
}

/// The order of contenders in a round: as they stand, and the other way round in every second round,
/// so that whatever grows or fades over a round favours nobody.
pub fn order(round: usize, contenders: usize) -> Vec<usize> {
    match round % 2 {
        0 => (0..contenders).collect(),
        _ => (0..contenders).rev().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let odd = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(odd, Spread { median: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of(&[5.0]), Some(Spread { median: 5.0, low: 5.0, high: 5.0 }));
    }

    #[test]
    fn there_is_no_median_of_nothing() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine was faster from round to round, and the last one disturbed me: the medians,
        // 120 of either, come from different rounds and would say 1.
        let (mine, other) = ([120.0, 132.0, 100.0], [100.0, 120.0, 200.0]);
        let ratio = Spread::of_ratios(&mine, &other).unwrap();
        assert!((ratio.median - 1.1).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.low - 0.5).abs() < 1e-9 && (ratio.high - 1.2).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn there_is_no_ratio_to_a_missing_round() {
        assert_eq!(Spread::of_ratios(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn rounds_alternate_in_their_order() {
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [2, 1, 0]);
        assert_eq!(order(2, 3), [0, 1, 2]);
    }
}
